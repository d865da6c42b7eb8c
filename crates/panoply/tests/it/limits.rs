//! How large and how slow a request may be.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::extract::rejection::BytesRejection;
use axum::http::Version;
use axum::http::request::Builder;
use axum::response::IntoResponse;
use axum::routing::post;
use http_body::Frame;
use panoply::{Guard, Limits, Period, Shield, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

/// What an app sees when it reads the body: so many bytes, or the status it would answer.
type Seen = Arc<Mutex<Vec<Result<usize, u16>>>>;

fn app(limits: impl Into<Guard<Limits>>) -> (Router, Seen) {
    let seen = Seen::default();
    let sees = Arc::clone(&seen);
    let read = async move |body: Result<Bytes, BytesRejection>| {
        let body = body.map(|body| body.len()).map_err(|error| error.into_response().status().as_u16());
        sees.lock().unwrap().push(body);
        "whatever came, all is well"
    };
    (Router::new().route("/", post(read)).layer(Shield::bare().limits(limits)), seen)
}

/// A body that does not say how long it is.
struct Peer(mpsc::UnboundedReceiver<usize>);

impl http_body::Body for Peer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| Some(Ok(Frame::data(Bytes::from(vec![b'x'; bytes?])))))
    }
}

/// Sends so many bytes, so many seconds apart.
fn streamed(every: Duration, frames: usize, bytes: usize) -> Body {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for _ in 0..frames {
            sleep(every).await;
            let _ = sender.send(bytes);
        }
    });
    Body::new(Peer(receiver))
}

async fn ask(app: Router, request: Builder, body: Body) -> u16 {
    app.oneshot(request.body(body).unwrap()).await.unwrap().status().as_u16()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_grows_over_the_limit_is_413_whatever_the_app_answers() {
    let limits = || Limits::default().body(Size::kib(1)).form_body(Size::kib(2));
    for (limits, kind, frames, status, seen) in [
        (limits(), "text/plain", 4, 200, Ok(1024)),
        (limits(), "text/plain", 5, 413, Err(413)),
        (limits(), "application/json", 8, 200, Ok(2048)),
        (limits(), "application/json", 9, 413, Err(413)),
        (limits().unlimited_body(), "text/plain", 100, 200, Ok(25_600)),
    ] {
        let (app, sees) = app(limits);
        let request = Request::post("/").header("content-type", kind);
        let body = streamed(Duration::from_millis(1), frames, 256);
        assert_eq!(ask(app, request, body).await, status, "{kind} {frames}");
        assert_eq!(*sees.lock().unwrap(), [seen], "{kind} {frames}");
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_never_reaches_the_app() {
    let (app, sees) = app(Limits::default().body(Size::kib(1)));
    let request = Request::post("/").header("content-length", "1025");
    assert_eq!(ask(app, request, Body::from(vec![0; 1025])).await, 413);
    assert!(sees.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_only_observed_passes() {
    let (app, sees) = app(Guard::Observe(Limits::default().body(Size::kib(1)).headers(0)));
    let request = Request::post("/").header("content-length", "1025");
    assert_eq!(ask(app, request, Body::from(vec![0; 1025])).await, 200);
    assert_eq!(*sees.lock().unwrap(), [Ok(1025)]);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (app, _) = app(Limits::default());
    let long = "a".repeat(8 * 1024);
    for (request, status) in [
        (Request::post(format!("/?{long}")), 414),
        (Request::post("/").header("x", &long).header("y", &long), 431),
        ((0..101).fold(Request::post("/"), |request, _| request.header("x", "y")), 431),
        ((0..100).fold(Request::post("/"), |request, _| request.header("x", "y")), 200),
    ] {
        assert_eq!(ask(app.clone(), request, Body::empty()).await, status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_keeps_us_waiting_is_408_and_one_that_is_slow_but_steady_is_not() {
    let second = Duration::from_secs(1);
    let tight = || Limits::default().idle(Period::seconds(5)).min_rate(Size::kib(1));
    for (name, limits, every, frames, bytes, status) in [
        ("steady for an hour", Limits::default(), second, 3600, 500, 200),
        ("one byte a second", Limits::default(), second, 3600, 1, 408),
        ("a pause of 29 s", Limits::default(), 29 * second, 1, 1, 200),
        ("a pause of 31 s", Limits::default(), 31 * second, 1, 1, 408),
        ("steady, by a tighter limit", tight(), second, 60, 1024, 200),
        ("slow, by a tighter limit", tight(), second, 60, 512, 408),
    ] {
        let (app, _) = app(limits);
        let start = now();
        assert_eq!(ask(app, Request::post("/"), streamed(every, frames, bytes)).await, status, "{name}");
        assert!(status == 200 || start.elapsed() < 32 * second, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grpc_stream_may_rest() {
    for (version, kind, status) in [
        (Version::HTTP_2, "application/grpc+proto", 200),
        (Version::HTTP_2, "text/plain", 408),
        (Version::HTTP_11, "application/grpc", 408), // there is none over HTTP/1.1
    ] {
        let (app, _) = app(Limits::default());
        let request = Request::post("/").version(version).header("content-type", kind);
        let body = streamed(Duration::from_secs(3600), 2, 1);
        assert_eq!(ask(app, request, body).await, status, "{version:?} {kind}");
    }
}

#[tokio::test]
async fn over_a_socket_too_what_is_cut_short_is_no_whole() {
    const CHUNK: &str = "5\r\n12345\r\n";
    for (name, framing, body, seen, answer) in [
        ("whole", "content-length: 5", "12345".to_owned(), Ok(5), "HTTP/1.1 200"),
        ("broken off", "content-length: 9", "12345".to_owned(), Err(400), ""),
        ("broken off between chunks", "transfer-encoding: chunked", CHUNK.to_owned(), Err(400), ""),
        ("too large", "transfer-encoding: chunked", CHUNK.repeat(2), Err(413), "HTTP/1.1 413"),
    ] {
        let (app, sees) = app(Limits::default().body(Size::bytes(9)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(axum::serve(listener, app).into_future());
        let mut socket = TcpStream::connect(address).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{framing}\r\n\r\n");
        socket.write_all((head + &body).as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answered = String::new();
        let _ = socket.read_to_string(&mut answered).await;
        assert!(answered.starts_with(answer), "{name}: {answered}");
        assert_eq!(*sees.lock().unwrap(), [seen], "{name}");
        server.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "the paused clock of the test")]
fn now() -> Instant {
    Instant::now()
}
