//! One connection: handshake, HTTP/1.1 or HTTP/2, and each request through its route's shield to the app.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, UPGRADE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use panoply::practices::brute_force::Tried;
use panoply::{Body, Rejection, Scheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tracing::Instrument;

use crate::access_log::{AccessLog, Logged};
use crate::acme::Answers;
use crate::clock;
use crate::cuts::{Cut, Unmet};
use crate::floods::Counted;
use crate::forwarded::Peer;
use crate::framing::{Outcome, Strict};
use crate::lasting::{Answering, Lasting, Lasts};
use crate::life::{Handed, Life, Verdict, Watched};
use crate::proxy::{self, Answer};
use crate::proxy_protocol::{self, Step};
use crate::redirect;
use crate::route::Ambiguous;
use crate::served::{Era, Served};
use crate::singleton;
use crate::tap::Tapped;
use crate::tls::{Accepted, Called};
use crate::worker::Open;

/// What is done with the connections of a listener.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// TLS, and behind it the app.
    Https { era: Era, log: Option<Arc<AccessLog>> },
    /// In the clear, and only to send visitors to the other door.
    Redirect { era: Era, log: Option<Arc<AccessLog>> },
}

/// Serves one connection until it ends, or until `closing` says that it should.
pub(crate) async fn serve(
    mut stream: TcpStream,
    address: SocketAddr,
    door: Door,
    closing: watch::Receiver<bool>,
    open: Arc<Open>,
) {
    // Small answers must not wait for a full segment.
    let _ = stream.set_nodelay(true);
    // What waits in the kernel is read by nobody yet: by the little that is left there, a reader's pace is seen.
    let socket = socket2::SockRef::from(&stream);
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    // A visitor who is gone without a word would be waited for as long as the app has nothing to say to him.
    let alive = socket2::TcpKeepalive::new().with_time(QUIET).with_interval(BETWEEN).with_retries(PROBES);
    let _ = socket.set_tcp_keepalive(&alive);
    let terms = &open.places().terms;
    let (address, named) = match visitor(&mut stream, address, &open).await {
        Ok(visitor) => visitor,
        Err((cut, whose)) => return open.places().cuts.count(cut, whose.ip()),
    };
    match door {
        Door::Https { era, log } => {
            let served = era.load_full();
            let knock = panoply::Connection { named, ..panoply::Connection::tls(address) };
            let shield = served.routes.at_the_door();
            if !shield.admits_handshake(knock) {
                open.places().cuts.unmet.count(Unmet::TurnedAway);
                return tracing::debug!(peer = %address, "too many handshakes came to nothing");
            }
            let accepted = served.tls.accept(stream, address.ip(), &served.routes);
            let accepted = match tokio::time::timeout(terms.handshake.duration(), accepted).await {
                Ok(Ok(accepted)) => accepted,
                Ok(Err(error)) => {
                    if let Some(unmet) = Unmet::of(&error) {
                        open.places().cuts.unmet.count(unmet);
                    }
                    // Who left before he said anything, or an authority that has looked, cost nothing.
                    if error.kind() == io::ErrorKind::InvalidData {
                        shield.charge_handshake(knock);
                    }
                    return tracing::debug!(peer = %address, %error, "no TLS handshake");
                }
                // Browsers connect in advance, and may then have nothing to say: it has cost a place for a while.
                Err(_) => return open.cut(Cut::Handshake),
            };
            let Accepted { stream, http_2, trusted_certificate, called, verified } = accepted;
            let connection = panoply::Connection { trusted_certificate, ..knock };
            let peer = Peer::new(address, Scheme::Https).verified(verified);
            open.life().started(clock::now());
            let door = Arc::new(Inside { connection, peer, era, log, to: To::App { called }, open });
            drop(served);
            if http_2 {
                serve_http_2(stream, door, closing).await;
            } else {
                serve_http_1(stream, door, closing).await;
            }
        }
        Door::Redirect { era, log } => {
            let connection = panoply::Connection { named, ..panoply::Connection::plain(address) };
            let peer = Peer::new(address, Scheme::Http);
            open.life().started(clock::now());
            let door = Arc::new(Inside { connection, peer, era, log, to: To::Https, open });
            serve_http_1(stream, door, closing).await;
        }
    }
}

/// Whose connection it is, and whether that is somebody: whoever is at its other end, or whom a balancer names first. The
/// one that names nobody is not one visitor: it looks whether we are well, and has to find us whoever else comes; or
/// it does not know, and stands for many.
async fn visitor(
    stream: &mut TcpStream,
    peer: SocketAddr,
    open: &Open,
) -> Result<(SocketAddr, bool), (Cut, SocketAddr)> {
    let places = open.places();
    if !places.is_balancer(peer.ip()) {
        return Ok((peer, true));
    }
    let said = tokio::time::timeout(places.terms.handshake.duration(), proxy_header(stream)).await;
    let Ok(Ok(source)) = said else { return Err((Cut::ProxyHeader, peer)) };
    let Some(visitor) = source else { return Ok((peer, false)) };
    open.claim(visitor.ip()).map_err(|cut| (cut, visitor))?;
    Ok((visitor, true))
}

/// Reads a PROXY header, and nothing of what follows it.
async fn proxy_header(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut bytes = Vec::new();
    loop {
        match proxy_protocol::read(&bytes).map_err(io::Error::other)? {
            Step::Whole(source) => return Ok(source),
            Step::More(more) => {
                let there = bytes.len();
                bytes.resize(there + more, 0);
                stream.read_exact(bytes.get_mut(there..).unwrap_or_default()).await?;
            }
        }
    }
}

/// What the requests of one connection share.
#[derive(Debug)]
struct Inside {
    connection: panoply::Connection,
    peer: Peer,
    era: Era,
    log: Option<Arc<AccessLog>>,
    to: To,
    open: Arc<Open>,
}

#[derive(Debug)]
enum To {
    App { called: Called },
    Https,
}

impl Inside {
    /// It never fails: there is always an answer, and every answer went through a shield, but for the one to an
    /// authority, which asks from anywhere and as often as it likes.
    async fn answer(
        &self,
        request: Request<Incoming>,
        lasts: Lasts,
    ) -> Response<Logged<Handed<Body<Answer>>>> {
        let open = self.open.life().begin();
        let served = self.era.load();
        let served: &Served = &served;
        if let (To::Https, Some(answers)) = (&self.to, &served.answers)
            && let Some(proof) = proof(answers, &request).await
        {
            return proof.map(|body| Logged::new(Handed::new(body, open), None));
        }
        let found = served.routes.find(host(&request), request.uri().path());
        let (Ok(route) | Err(Ambiguous(route))) = found;
        let mut measured = served.traffic.begin(route.site);
        let misdirected = self.is_misdirected(served, route.site, host(&request));
        let mut entry = self.log.as_ref().map(|log| log.begin(&request, &self.connection));
        let asked = entry.as_ref();
        let (answer, passage) = route
            .shield
            .pass(self.connection, request, |visitor, request| async move {
                if let Some(entry) = asked {
                    entry.asked_by(visitor);
                }
                if let Some(name) = singleton::sent_twice(request.headers()) {
                    tracing::debug!(%name, "a field that stands once came twice");
                    return Err(Rejection::new(
                        StatusCode::BAD_REQUEST,
                        "a field that stands once came twice",
                    ));
                }
                match (found, &self.to) {
                    _ if misdirected => Err(Rejection::new(
                        StatusCode::MISDIRECTED_REQUEST,
                        "the handshake was for another site than the request",
                    )),
                    (Ok(route), To::App { .. }) => {
                        if request.extensions().get::<Tried>().is_some() {
                            lasts.to_the_end();
                        }
                        let measured = served.traffic.of(route.site);
                        // At a level that is seldom on, since a span takes a place in a table that all threads share;
                        // refusals say by themselves whose they are.
                        let span = tracing::debug_span!(
                            "request",
                            id = %visitor.id,
                            site = served.config.site_name(route.site),
                            trace_id = visitor.trace.map(tracing::field::display)
                        );
                        proxy::forward(&route.upstreams, &self.peer, &self.open, measured, visitor, request)
                            .instrument(span)
                            .await
                    }
                    (Ok(_), To::Https) => redirect::to_https(&request, served.https_port),
                    (Err(Ambiguous(_)), _) => {
                        Err(Rejection::new(StatusCode::BAD_REQUEST, "the path can be read in two ways"))
                    }
                }
            })
            .await;
        measured.answered(answer.status());
        // The first site speaks for all names that nobody has.
        if answer.status() == StatusCode::MISDIRECTED_REQUEST && !misdirected && passage.refused().is_some() {
            measured.of_no_site();
        }
        if let Some(entry) = &mut entry {
            entry.answered(answer.status(), &passage);
        }
        answer.map(|body| Logged::new(Handed::new(body, open), entry))
    }

    /// Whether a request is for another site than the handshake was, on whose terms it came: RFC 9110 §15.5.20, and
    /// RFC 9113 §9.1.1 for browsers that use one connection for all names of a certificate. Who named no site in the
    /// handshake may ask for any but those where certificates are asked for, or were.
    fn is_misdirected(&self, Served { tls, routes, .. }: &Served, site: usize, host: &str) -> bool {
        let To::App { called } = &self.to else { return false };
        let named = || matches!(called, Called::ByName(_)) && routes.place(host).is_some();
        site != called.site() && (tls.asks(site) || tls.asks(called.site()) || named())
    }
}

/// What an authority is to find, where it comes to look (RFC 8555 §8.3); any other request takes its usual way.
async fn proof<B>(answers: &Answers, request: &Request<B>) -> Option<Response<Body<Answer>>> {
    let token = request.uri().path().strip_prefix("/.well-known/acme-challenge/")?;
    if request.method() != Method::GET {
        return None;
    }
    let text = answers.http(host(request), token).await?;
    let mut answer = Response::new(Body::app(Answer::Text { text: Some(text.into()) }));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Some(answer)
}

/// The host that is asked for, without port.
pub(crate) fn host<B>(request: &Request<B>) -> &str {
    if let Some(host) = request.uri().host() {
        return host;
    }
    let host = request.headers().get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let end = match host {
        [b'[', ..] => host.iter().position(|byte| *byte == b']').map(|bracket| bracket + 1),
        _ => host.iter().position(|byte| *byte == b':'),
    };
    std::str::from_utf8(host.get(..end.unwrap_or(host.len())).unwrap_or(host)).unwrap_or_default()
}

async fn serve_http_1(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    door: Arc<Inside>,
    closing: watch::Receiver<bool>,
) {
    let max_headers = door.era.load().routes.max_headers();
    let terms = &door.open.places().terms;
    // The life ends it long before, and counts why.
    let head = terms.head.max(terms.idle).duration().saturating_mul(2);
    let outcome = Outcome::default();
    let stream = Tapped::new(stream, Watched(Arc::clone(door.open.life())));
    let stream = Tapped::new(stream, Strict::new(outcome.clone(), Arc::clone(&door.open)));
    let inside = Arc::clone(&door);
    let service = service_fn(move |request| {
        let (door, outcome) = (Arc::clone(&door), outcome.clone());
        Answering::new(Lasts::of(&request), |lasts| async move {
            let awaited = request.headers().contains_key(UPGRADE) || request.method() == Method::CONNECT;
            let answer = door.answer(request, lasts).await;
            match answer.status() {
                _ if !awaited => {}
                StatusCode::SWITCHING_PROTOCOLS => outcome.switched(),
                _ => outcome.stayed(),
            }
            Ok::<_, Infallible>(answer)
        })
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new()) // without it the next line does nothing
        .header_read_timeout(head) // without it nobody asks for what waited behind an upgrade
        .max_header_size(MAX_HEAD)
        .max_buf_size(UNREAD);
    if let Some(most) = max_headers {
        builder.max_headers(most);
    }
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    until_closed(connection, http1::UpgradeableConnection::graceful_shutdown, closing, &inside, "HTTP/1.1")
        .await;
}

async fn serve_http_2(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    door: Arc<Inside>,
    closing: watch::Receiver<bool>,
) {
    let inside = Arc::clone(&door);
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        // Boxed, since each stream becomes a task, and is moved some ten times on the way there.
        Lasting::new(Lasts::of(&request), |lasts| async move {
            Ok::<_, Infallible>(door.answer(request, lasts).await)
        })
    });
    let stream = Tapped::new(stream, Watched(Arc::clone(inside.open.life())));
    let stream = Tapped::new(stream, Counted::new(Arc::clone(&inside.open)));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(UNREAD)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .serve_connection(TokioIo::new(stream), service);
    until_closed(connection, http2::Connection::graceful_shutdown, closing, &inside, "HTTP/2").await;
}

/// Drives a connection to its end; when the gateway closes, or the connection has lived long enough, to the end of the
/// requests that it has.
async fn until_closed<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    shut_down: impl FnOnce(Pin<&mut C>),
    mut closing: watch::Receiver<bool>,
    inside: &Inside,
    protocol: &'static str,
) {
    let mut connection = pin!(connection);
    let mut alarm = pin!(tokio::time::sleep_until(clock::now()));
    let mut shut_down = Some(shut_down);
    loop {
        let cut = tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    if let Some(cut) = ended_by_hyper(&error) {
                        inside.open.cut(cut);
                    }
                    tracing::debug!(%error, protocol, "a connection broke");
                }
                return;
            }
            // A gateway that is gone closes its connections too.
            () = closed(&mut closing, inside.open.life()), if shut_down.is_some() => None,
            () = inside.open.life().worn(), if shut_down.is_some() => Some(Cut::Requests),
            () = alarm.as_mut() => match inside.open.life().check(clock::now()) {
                Verdict::Wait(until) => {
                    alarm.as_mut().reset(until);
                    continue;
                }
                Verdict::Close(cut) if shut_down.is_some() => Some(cut),
                // It was told, and has nothing to wait for.
                Verdict::Close(_) => return,
                Verdict::Drop(cut) => return inside.open.cut(cut),
            },
        };
        if let Some(cut) = cut {
            inside.open.cut(cut);
            alarm.as_mut().reset(clock::now() + LAST_WORDS);
        }
        if let Some(shut_down) = shut_down.take() {
            shut_down(connection.as_mut());
        }
    }
}

/// Ready when the gateway closes. hyper would end a connection that has brought nothing yet, but who was just let in may
/// have his first request on the way.
async fn closed(closing: &mut watch::Receiver<bool>, life: &Life) {
    let _ = closing.wait_for(|closing| *closing).await;
    let deadline = clock::now() + LAST_WORDS;
    while !life.has_begun() && clock::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Why hyper ended a connection of HTTP/2, where it was hyper: it counts continuations, and streams that are reset.
fn ended_by_hyper(error: &hyper::Error) -> Option<Cut> {
    let error = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
    match error.reason()? {
        _ if !error.is_library() => None,
        h2::Reason::ENHANCE_YOUR_CALM => Some(Cut::Flood),
        _ => Some(Cut::Framing),
    }
}

/// Before the kernel asks whether somebody is still there, and how often it asks.
const QUIET: Duration = Duration::from_secs(60);
const BETWEEN: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;
/// For what is on its way when a connection is told that it ends.
const LAST_WORDS: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// In bytes. Half of it has to go before the kernel asks for more: who takes so much a minute is seen to be steady.
const UNSENT: u32 = 64 * 1024;
/// Twice what `limits` lets pass, so that it is `limits` that refuses, with a page and the shield's headers; what
/// is over even this, hyper answers with a bare 431 and closes.
const MAX_HEAD: usize = 32 * 1024;
/// In bytes: who has not read so much gets no further piece of his answer. It holds a head, too.
const UNREAD: usize = 2 * MAX_HEAD;
/// A page load asks for a few dozen at once. One connection must not own its thread.
const MAX_STREAMS: u32 = 128;
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// A peer that is gone is noticed within two of these.
const PING: Duration = Duration::from_secs(20);
