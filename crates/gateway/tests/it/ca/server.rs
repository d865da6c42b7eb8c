//! HTTPS around the books.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Channel, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::Inner;
use super::books::Reply;
use super::issuer::Issuer;
use super::mood::Mood;
use super::place::Place;
use super::problem::{MADE_UP, Problem};
use super::rules::Verdict;
use super::validation::Validation;

pub(crate) fn tls(issuer: &Issuer) -> TlsAcceptor {
    let (chain, key) = issuer.server();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("its own versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("its own key");
    TlsAcceptor::from(Arc::new(config))
}

/// Ends with the task it runs in, and all its connections with it.
pub(crate) async fn serve(listener: TcpListener, tls: TlsAcceptor, inner: Arc<Inner>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(connection(stream, tls.clone(), inner.clone()));
            }
            Some(_) = connections.join_next() => {}
            else => return,
        }
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, inner: Arc<Inner>) {
    // Who does not trust the root, or goes, has had his answer.
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(|request| answer(request, inner.clone()));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, inner: Arc<Inner>) -> Result<Response<Body>, Gone> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LONGEST_REQUEST).collect().await.map_err(|_| Gone)?.to_bytes();
    let place = Place::of(head.uri.path());
    let asked = inner.ask(place);
    let well = || {
        let typed = head.headers.get("content-type").is_some_and(|value| value == "application/jose+json");
        let method = head.method.as_str();
        match method != "POST" || typed {
            true => inner.answer(&asked.place, method, &body),
            false => inner.refuse(Problem::new(415, "malformed", "application/jose+json was expected")),
        }
    };
    let reply = match inner.mood(&asked) {
        Mood::Well => well(),
        Mood::Slow(by) => {
            sleep(by).await;
            well()
        }
        Mood::Down => return Err(Gone),
        Mood::Silent => std::future::pending().await,
        Mood::Mute => {
            begin(well().validation, &inner);
            std::future::pending().await
        }
        Mood::Says(status, text) => Reply::new(status, text),
        Mood::Busy(wait) => {
            inner.refuse(Problem { retry_after: Some(wait), ..Problem::new(503, "serverInternal", MADE_UP) })
        }
        Mood::RateLimited(wait) => inner.refuse(Problem::rate_limited(MADE_UP, wait)),
        Mood::NonceUsedUp => inner.refuse(Problem::new(400, "badNonce", MADE_UP)),
        Mood::Endless => return Ok(Response::new(endless())),
    };
    let Reply { status, headers, body, validation } = reply;
    begin(validation, &inner);
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::from(body).boxed_unsync()).expect("its own headers"))
}

fn begin(validation: Option<Validation>, inner: &Arc<Inner>) {
    let Some(validation) = validation else { return };
    let inner = inner.clone();
    tokio::spawn(async move {
        let found = match inner.verdict() {
            Verdict::Honest => validation.look().await,
            Verdict::Reject => Err(Problem::unauthorized("nobody holds this name")),
            Verdict::Never => return,
        };
        inner.settle(&validation, found);
    });
}

fn endless() -> Body {
    let (mut sender, body) = Channel::<Bytes>::new(1);
    tokio::spawn(async move { while sender.send_data(Bytes::from_static(&[b' '; 65_536])).await.is_ok() {} });
    body.boxed_unsync()
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The connection is to end without an answer.
#[derive(Debug)]
struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gone")
    }
}

impl std::error::Error for Gone {}

const LONGEST_REQUEST: usize = 1 << 20;
