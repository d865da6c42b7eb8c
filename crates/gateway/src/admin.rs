//! Where an operator sees what happens, and undoes it: plain HTTP/1.1 on an address of its own, outside of every
//! shield, so that nobody can be kept out of lifting his own ban.
//!
//! **Stops** strangers: without a token it listens for this machine alone, and answers neither pages that a browser
//! shows nor a name that was made to lead here. **Leaves** other users of the machine, who can ask where there is no
//! token, and the network, on which the token travels as it is.
//!
//! | request | answer |
//! |---|---|
//! | `GET /health` | the store's state, open connections, how many bans there are |
//! | `GET /health/live` | 200: the process answers; nobody needs the token for it |
//! | `GET /health/ready` | 200, or 503 once the gateway was told to end; nobody needs the token for it |
//! | `GET /metrics` | counts for Prometheus, text format 0.0.4 |
//! | `GET /bans` | a [`List`] |
//! | `POST /bans` with a [`NewBan`] | [`Done`] |
//! | `DELETE /bans/KEY`, `DELETE /bans/ADDRESS` | [`Done`] |
//! | `GET /refusals/ID` | [`Explained`] |
//!
//! A write says `content-type: application/json`, also without a body, which no form of a page can.

mod answer;
mod bans;
mod explain;
mod gate;
mod view;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

pub use answer::Trouble;
pub use bans::{BanLine, Done, KeptOutLine, List, NewBan};
pub use explain::Explained;
pub use gate::SHORTEST_TOKEN;
pub(crate) use view::View;

use crate::config::Config;
use crate::listen::Socket;
use crate::{GatewayError, metrics, secret};
use answer::{json, text};
use gate::Gate;

/// A listener for operators that nobody was accepted at yet.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: TcpListener,
    gate: Arc<Gate>,
}

impl Admin {
    /// Reads the token that the configuration names, if it names one. It must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the token is not to be had, or could be guessed.
    pub(crate) fn open(config: &Config, socket: &Socket) -> Result<Self, GatewayError> {
        let address = socket.address().map_err(GatewayError::Thread)?;
        Ok(Self { gate: Arc::new(gate(config, address)?), listener: socket.accepting()? })
    }

    /// Answers until it is dropped. Whoever is connected then gets his answer, of what there was to see when he came.
    pub(crate) async fn serve(self, view: Arc<ArcSwap<View>>) {
        let Self { listener, gate } = self;
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let answered =
                        tokio::time::timeout(WHOLE, connection(stream, Arc::clone(&gate), view.load_full()));
                    tokio::spawn(async move {
                        let _ = answered.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "an operator's connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// Who may ask, at `address`.
///
/// # Errors
/// When the token is not to be had, or could be guessed.
pub(crate) fn gate(config: &Config, address: SocketAddr) -> Result<Gate, GatewayError> {
    let token =
        config.admin_token.as_ref().map(|token| secret::read(token, "the admin token")).transpose()?;
    Ok(Gate::new(address, token)?)
}

async fn connection(stream: TcpStream, gate: Arc<Gate>, view: Arc<View>) {
    let service = service_fn(move |request| {
        let (gate, view) = (Arc::clone(&gate), Arc::clone(&view));
        async move { Ok::<_, Infallible>(answer(&gate, &view, request).await.unwrap_or_else(Trouble::answer)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .max_header_size(LARGEST_HEAD)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "an operator's connection broke");
    }
}

async fn answer(
    gate: &Gate,
    view: &View,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Trouble> {
    let (head, body) = request.into_parts();
    let steps: Vec<&str> = head.uri.path().split('/').skip(1).collect();
    // A probe of Kubernetes has no token, asks by an address, and learns nothing but yes or no.
    if let (&Method::GET, ["health", probe @ ("live" | "ready")]) = (&head.method, steps.as_slice()) {
        return Ok(match (*probe, view.is_leaving()) {
            ("ready", true) => probed(StatusCode::SERVICE_UNAVAILABLE, "leaving\n"),
            _ => probed(StatusCode::OK, "ok\n"),
        });
    }
    gate.admit(&head)?;
    match (&head.method, steps.as_slice()) {
        (&Method::GET, ["health"]) => Ok(json(StatusCode::OK, &view.health())),
        (&Method::GET, ["metrics"]) => Ok(text(metrics::page(&view.figures()))),
        (&Method::GET, ["bans"]) => Ok(json(StatusCode::OK, &bans::list(view).await)),
        (&Method::POST, ["bans"]) => {
            Ok(json(StatusCode::CREATED, &bans::add(view, &read(body).await?).await?))
        }
        (&Method::DELETE, ["bans", who]) => Ok(json(StatusCode::OK, &bans::lift(view, who).await?)),
        (&Method::GET, ["refusals", id]) => Ok(json(StatusCode::OK, &explain::explain(view, id)?)),
        (_, ["health" | "metrics"] | ["health", "live" | "ready"] | ["refusals", _]) => {
            Err(Trouble::method("GET"))
        }
        (_, ["bans"]) => Err(Trouble::method("GET, POST")),
        (_, ["bans", _]) => Err(Trouble::method("DELETE")),
        _ => Err(Trouble::new(
            StatusCode::NOT_FOUND,
            "there is nothing here",
            "there is /health, /health/live, /health/ready, /metrics, /bans and /refusals/ID",
        )),
    }
}

fn probed(status: StatusCode, word: &str) -> Response<Full<Bytes>> {
    let mut answer = text(word.to_owned());
    *answer.status_mut() = status;
    answer
}

async fn read(body: Incoming) -> Result<Bytes, Trouble> {
    let body = tokio::time::timeout(HEAD, Limited::new(body, LARGEST_BODY).collect()).await;
    let body = body.ok().and_then(Result::ok).ok_or_else(|| {
        Trouble::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too large, too slow or was cut short",
            "a ban is a network and a reason: 4 KiB are plenty",
        )
    })?;
    Ok(body.to_bytes())
}

/// Operators are few; who holds connections open loses them after [`WHOLE`].
const MOST_CONNECTIONS: usize = 16;
const LARGEST_HEAD: usize = 8 * 1024;
const LARGEST_BODY: usize = 4 * 1024;
/// For a head, and for a body: programs of operators send them at once.
const HEAD: Duration = Duration::from_secs(3);
/// A look through the keys of a large store takes its time.
const WHOLE: Duration = Duration::from_secs(30);
