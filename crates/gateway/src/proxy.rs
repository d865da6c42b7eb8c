//! One request on its way to the app, and the answer on its way back. Nothing is held, both ways stream.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, EXPECT, HOST, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use panoply::{Rejection, RequestBody, Visitor};
use pin_project_lite::pin_project;

use crate::forwarded::Peer;
use crate::progress::Progress;
use crate::symptom::Login;
use crate::upstream::{Lease, Outgoing, Target, Upstreams};
use crate::worker::Open;
use crate::{hop, tunnel};

/// Sends `request` to the app and gives back its answer; where there is none, why.
pub(crate) async fn forward(
    upstreams: &Upstreams,
    peer: &Peer,
    open: &Arc<Open>,
    visitor: Visitor,
    request: Request<RequestBody<Incoming>>,
) -> Result<Response<Answer>, Rejection> {
    if request.method() == Method::CONNECT {
        return Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "CONNECT asks for a tunnel to elsewhere"));
    }
    let target = upstreams
        .target()
        .ok_or_else(|| Rejection::new(StatusCode::BAD_GATEWAY, "nothing says where the app is"))?;
    let (mut head, body) = request.into_parts();
    // An app that is told whose request this is has no reason to lose a cookie.
    let login = if upstreams.proof().is_none() { Login::of(&head) } else { None };
    let upgrade = prepare(&mut head, upstreams, peer, visitor);
    let (body, progress) = outgoing(body);
    let replayable = progress.is_none() && head.method.is_idempotent() && upgrade.is_none();

    let request = Request::from_parts(head, body);
    let (mut answer, mut lease) = exchange(target, request, progress.as_deref(), replayable).await?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switch(upgrade, answer, Arc::clone(open));
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
fn outgoing(body: RequestBody<Incoming>) -> (Outgoing, Option<Arc<AtomicU32>>) {
    if body.is_end_stream() {
        return (Either::Right(Empty::new()), None);
    }
    let (body, frames) = Progress::new(body);
    (Either::Left(body), Some(frames))
}

/// Sends once, and a second time only where the first cannot have had an effect: nothing of it was written, or it
/// is idempotent, has no body, and the connection had lain idle so long that the app was about to close it.
async fn exchange(
    target: &Target,
    request: Request<Outgoing>,
    progress: Option<&AtomicU32>,
    replayable: bool,
) -> Result<(Response<Incoming>, Lease), Rejection> {
    let Some(mut lease) = target.idle() else {
        return Box::pin(send_fresh(target, request, progress)).await;
    };
    let copy = (replayable && lease.rested >= STALE).then(|| Box::new(copy(&request)));
    match send(&mut lease, request, progress).await {
        Ok(answer) => Ok((answer, lease)),
        Err(Failure::Unsent(request)) => Box::pin(send_fresh(target, *request, progress)).await,
        Err(Failure::Broken(error)) => match copy {
            Some(request) if error.is_incomplete_message() => {
                Box::pin(send_fresh(target, *request, progress)).await
            }
            _ => Err(broken(target, &error)),
        },
        Err(Failure::Slow) => Err(slow(target)),
    }
}

/// Its future is boxed where it is used: it is large, and few requests need a new connection.
async fn send_fresh(
    target: &Target,
    request: Request<Outgoing>,
    progress: Option<&AtomicU32>,
) -> Result<(Response<Incoming>, Lease), Rejection> {
    let mut lease = target.connect().await.map_err(|error| {
        let status = match error.kind() {
            std::io::ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        Rejection::new(status, format!("no connection to the app at {target}: {error}"))
    })?;
    match send(&mut lease, request, progress).await {
        Ok(answer) => Ok((answer, lease)),
        Err(Failure::Unsent(_)) => Err(Rejection::new(
            StatusCode::BAD_GATEWAY,
            format!("the app at {target} closed a new connection"),
        )),
        Err(Failure::Broken(error)) => Err(broken(target, &error)),
        Err(Failure::Slow) => Err(slow(target)),
    }
}

enum Failure {
    /// Nothing was written; here is the request again.
    Unsent(Box<Request<Outgoing>>),
    Broken(hyper::Error),
    Slow,
}

async fn send(
    lease: &mut Lease,
    request: Request<Outgoing>,
    progress: Option<&AtomicU32>,
) -> Result<Response<Incoming>, Failure> {
    let mut answer = std::pin::pin!(lease.sender.try_send_request(request));
    let mut sent = 0;
    loop {
        match tokio::time::timeout(PATIENCE, answer.as_mut()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(mut failure)) => {
                return Err(match failure.take_message() {
                    Some(request) => Failure::Unsent(Box::new(request)),
                    None => Failure::Broken(failure.into_error()),
                });
            }
            // While the visitor's body moves, it is the visitor who is slow.
            Err(_) => match progress.map(|frames| frames.load(Ordering::Relaxed)) {
                Some(frames) if frames != sent => sent = frames,
                _ => return Err(Failure::Slow),
            },
        }
    }
}

/// The same request again; it has no body.
fn copy(request: &Request<Outgoing>) -> Request<Outgoing> {
    let mut copy = Request::new(Either::Right(Empty::new()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// Who broke it decides the answer: a visitor's body that ended early is the visitor's fault.
fn broken(target: &Target, error: &hyper::Error) -> Rejection {
    if error.is_user() {
        return Rejection::new(StatusCode::BAD_REQUEST, "the body of the request ended early");
    }
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    Rejection::new(StatusCode::BAD_GATEWAY, format!("the app at {target} broke the connection: {cause}"))
}

fn slow(target: &Target) -> Rejection {
    Rejection::new(
        StatusCode::GATEWAY_TIMEOUT,
        format!("the app at {target} gave no answer for {} s", PATIENCE.as_secs()),
    )
}

/// Both sides agreed to speak something else: from here on bytes pass both ways.
///
/// What the visitor sent after its request waits in hyper's buffer until now.
fn switch(
    upgrade: Option<OnUpgrade>,
    mut answer: Response<Incoming>,
    open: Arc<Open>,
) -> Result<Response<Answer>, Rejection> {
    let Some(visitor) = upgrade else {
        return Err(Rejection::new(StatusCode::BAD_GATEWAY, "the app switched protocols unasked"));
    };
    let app = hyper::upgrade::on(&mut answer);
    tunnel::join(visitor, app, open);
    let protocol = answer.headers_mut().remove(UPGRADE);
    hop::strip(answer.headers_mut());
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        answer.headers_mut().insert(UPGRADE, protocol);
    }
    Ok(answer.map(|_| Answer::None))
}

pin_project! {
    /// The app's body, at whose end the connection goes back to the pool; or a text of our own.
    #[project = AnswerProjection]
    #[derive(Debug)]
    pub(crate) enum Answer {
        App { #[pin] body: Incoming, lease: Option<Lease> },
        Text { text: Option<Bytes> },
        None,
    }
}

impl Answer {
    fn new(body: Incoming, lease: Lease) -> Self {
        if body.is_end_stream() {
            lease.release();
            return Self::None;
        }
        Self::App { body, lease: Some(lease) }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let (mut body, lease) = match self.project() {
            AnswerProjection::App { body, lease } => (body, lease),
            AnswerProjection::Text { text } => {
                return Poll::Ready(text.take().map(|text| Ok(Frame::data(text))));
            }
            AnswerProjection::None => return Poll::Ready(None),
        };
        let mut frame = ready!(body.as_mut().poll_frame(context));
        if let Some(Ok(trailers)) = &mut frame
            && let Some(trailers) = trailers.trailers_mut()
        {
            hop::strip_trailers(trailers);
        }
        if matches!(frame, Some(Err(_))) {
            *lease = None; // broken: it closes as it is dropped
        } else if (frame.is_none() || body.is_end_stream())
            && let Some(lease) = lease.take()
        {
            lease.release();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::App { body, .. } => body.is_end_stream(),
            Self::Text { text } => text.is_none(),
            Self::None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::App { body, .. } => body.size_hint(),
            Self::Text { text } => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::None => SizeHint::with_exact(0),
        }
    }
}

/// An app that is asked something hard, or waits for news before it answers (long polling), may take its time;
/// one that says nothing for two minutes is taken to be stuck. nginx waits one.
const PATIENCE: Duration = Duration::from_secs(120);
/// Node's five seconds are over soon: from here on the app may be closing the connection as we write.
const STALE: Duration = Duration::from_secs(1);
