//! Asks a running gateway at its admin address.

use std::env;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use panoply_gateway::config::Listen;
use panoply_gateway::{admin, secret};
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::args::At;
use crate::front;
use crate::trouble::Trouble;

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    address: SocketAddr,
    authorization: Option<HeaderValue>,
}

impl Gateway {
    /// The one that the flags name, else the one of the configuration file.
    pub(crate) fn at(at: &At) -> Result<Self, Trouble> {
        let config = front::file(at.config.as_deref())?;
        let Some(address) = at.admin.or(config.admin.map(Listen::addr)) else {
            return Err(Trouble::new(
                "nothing says where the gateway is asked",
                "write `admin = \"127.0.0.1:9900\"` in panoply.toml and start it anew, or name it with --admin",
            ));
        };
        if address.port() == 0 {
            return Err(Trouble::new(
                "the gateway has chosen the port of its admin address itself",
                "name the address that it printed when it started with --admin",
            ));
        }
        let token = match env::var("PANOPLY_ADMIN_TOKEN").ok().filter(|token| !token.is_empty()) {
            Some(token) => Some(token),
            None => config.admin_token.map(|token| secret::read(&token, "the admin token")).transpose()?,
        };
        let authorization = token.map(|token| HeaderValue::try_from(format!("Bearer {}", token.trim())));
        let mut authorization = authorization.transpose().map_err(|_| {
            Trouble::new(
                "the admin token cannot stand in a header",
                "make one with `openssl rand -base64 32`",
            )
        })?;
        if let Some(authorization) = &mut authorization {
            authorization.set_sensitive(true);
        }
        Ok(Self { address: reachable(address), authorization })
    }

    /// Asks, and reads the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<T, Trouble> {
        let address = self.address;
        let (status, answer) = tokio::time::timeout(PATIENCE, self.answer(method, path, body))
            .await
            .map_err(|_| {
                Trouble::new(format_args!("{address} does not answer"), "is the gateway overloaded?")
            })?
            .map_err(|error| {
                let hint = "does the gateway run, and is this its admin address?";
                Trouble::chained(&*error, hint).about(format_args!("cannot ask {address}"))
            })?;
        if status.is_success()
            && let Ok(answer) = serde_json::from_slice(&answer)
        {
            return Ok(answer);
        }
        Err(match serde_json::from_slice::<admin::Trouble>(&answer) {
            Ok(admin::Trouble { error, hint, .. }) => Trouble::new(shown(&error), shown(&hint)),
            Err(_) => Trouble::new(
                format_args!("what answers at {address} is no gateway of this version ({status})"),
                "name the gateway's admin address with --admin",
            ),
        })
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())))?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LARGEST).collect().await?.to_bytes();
        connection.abort();
        Ok((head.status, body))
    }
}

/// Every address of the machine is no address to ask at: this machine's own is meant.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// As a terminal may show it: what others wrote can hold commands for it.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_unicode());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// A gateway looks through the keys of a large store for as long.
const PATIENCE: Duration = Duration::from_secs(30);
/// In bytes: a thousand bans and some thousand keys.
const LARGEST: usize = 16 * 1024 * 1024;
