//! One request on its way to the app, and the answer on its way back. Nothing is held, both ways stream.

mod answer;
mod exchange;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, EXPECT, HOST, SET_COOKIE, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request};
use http_body::Body as _;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use panoply::{Rejection, RequestBody, Visitor, trace};

use crate::forwarded::Peer;
use crate::metrics::Measured;
use crate::progress::Progress;
use crate::symptom::Login;
use crate::upstream::{Outgoing, Upstreams};
use crate::worker::Open;
use crate::{hop, tunnel};
pub(crate) use answer::Answer;
use exchange::{Again, Answered, Exchange};

/// Sends `request` to the app and gives back its answer; where there is none, why.
pub(crate) async fn forward(
    upstreams: &Upstreams,
    peer: &Peer,
    open: &Arc<Open>,
    measured: &Measured,
    visitor: Visitor,
    request: Request<RequestBody<Incoming>>,
) -> Result<Response<Answer>, Rejection> {
    if request.method() == Method::CONNECT {
        return Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "CONNECT asks for a tunnel to elsewhere"));
    }
    if let Some(maintenance) = upstreams.maintenance()
        && !maintenance.admits(visitor)
    {
        return maintenance.answer();
    }
    let (mut head, body) = request.into_parts();
    // An app that is told whose request this is has no reason to lose a cookie.
    let login = if upstreams.proof().is_none() { Login::of(&head) } else { None };
    let had = upstreams.had(&head.headers);
    let upgrade = prepare(&mut head, upstreams, peer, visitor);
    let (body, progress) = outgoing(body);
    let again = match (&progress, &upgrade) {
        (None, None) if head.method.is_idempotent() => Again::May,
        (None, None) => Again::IfRefused,
        _ => Again::MayNot,
    };

    let request = Request::from_parts(head, body);
    let asker = open.places().asker(visitor.ip);
    let exchange = Exchange::new(upstreams, asker, progress.as_deref(), again);
    let waiting = measured.wait(progress.as_deref());
    let answered = exchange.run(request, had).await;
    drop(waiting);
    let Answered { mut answer, mut lease, index } = answered?;
    if let Some(cookie) = upstreams.cookie(index, had) {
        answer.headers_mut().append(SET_COOKIE, cookie.clone());
    }
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switch(upgrade, answer, Arc::clone(open), lease.busy.take());
    }
    if let Some(login) = login {
        login.check(answer.status(), answer.headers());
    }
    lease.heed(answer.headers());
    hop::strip(answer.headers_mut());
    Ok(answer.map(|body| Answer::new(body, lease)))
}

/// Makes a visitor's request ours: one framing, our word on who asks, nothing that belongs to the visitor's
/// connection. What stays of an upgrade is returned.
fn prepare(
    head: &mut request::Parts,
    upstreams: &Upstreams,
    peer: &Peer,
    visitor: Visitor,
) -> Option<OnUpgrade> {
    let protocol = if head.version == Version::HTTP_11 { hop::upgrade(&head.headers) } else { None };
    hop::strip(&mut head.headers);
    trace::clean(&mut head.headers);
    // Ours was answered by hyper when it first read the body; the app's would be to us.
    head.headers.remove(EXPECT);
    // HTTP/2 has the host in the target alone. Where both are given, the target wins (RFC 9112 §3.2.2).
    if let Some(host) =
        head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
    {
        head.headers.insert(HOST, host);
    }
    join_cookies(&mut head.headers);
    peer.tell(visitor, &mut head.headers);
    if let Some(proof) = upstreams.proof() {
        peer.prove(proof, visitor, &mut head.headers);
    }
    head.uri = origin_form(&head.uri);
    head.version = Version::HTTP_11;
    let protocol = protocol?;
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, protocol);
    head.extensions.remove::<OnUpgrade>()
}

/// HTTP/2 splits cookies over several lines; an HTTP/1.1 app is to see one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(COOKIE).iter();
    let (Some(first), Some(_)) = (lines.next(), lines.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for line in headers.get_all(COOKIE).iter().skip(1) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(line.as_bytes());
    }
    // What was valid apart is valid joined.
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        headers.insert(COOKIE, joined);
    }
}

/// The target as a server that is no proxy reads it.
fn origin_form(uri: &Uri) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.path_and_query =
        Some(uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_default()
}

/// A body that is known to be empty is none, and its request may be sent again.
fn outgoing(body: RequestBody<Incoming>) -> (Outgoing, Option<Arc<AtomicU64>>) {
    if body.is_end_stream() {
        return (Either::Right(Empty::new()), None);
    }
    let (body, whole) = Progress::new(body);
    (Either::Left(body), Some(whole))
}

/// Both sides agreed to speak something else: from here on bytes pass both ways.
///
/// What the visitor sent after its request waits in hyper's buffer until now.
fn switch(
    upgrade: Option<OnUpgrade>,
    mut answer: Response<Incoming>,
    open: Arc<Open>,
    busy: impl Send + 'static,
) -> Result<Response<Answer>, Rejection> {
    let Some(visitor) = upgrade else {
        return Err(Rejection::new(StatusCode::BAD_GATEWAY, "the app switched protocols unasked"));
    };
    let app = hyper::upgrade::on(&mut answer);
    let protocol = answer.headers_mut().remove(UPGRADE);
    let is_websocket =
        protocol.as_ref().is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let speak = if is_websocket { tunnel::Protocol::WebSocket } else { tunnel::Protocol::Other };
    tunnel::join(visitor, app, speak, open, busy);
    hop::strip(answer.headers_mut());
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        answer.headers_mut().insert(UPGRADE, protocol);
    }
    Ok(answer.map(|_| Answer::None))
}
