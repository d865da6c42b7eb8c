use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use panoply::{Errors, Guard, Policy, RequestBody, Shield};
use tower::{Layer, ServiceExt, service_fn};

use crate::app::{Answer, answer};
use crate::log::Log;

const EXPRESS_404: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <title>Error</title>\n</head>\n<body>\n<pre>Cannot GET /nope</pre>\n</body>\n</html>\n";
const STACK: &str = "TypeError: till is on fire\n    at open (/srv/shop/till.js:12:9)\n";
const OWN_404: &str = "<!doctype html><title>Lost?</title><h1>This page has moved out</h1>";
const OWN_JSON: &str = r#"{"error":"no such order","order":7}"#;

fn says(status: u16, kind: &str, body: &'static str) -> Response<&'static str> {
    let builder = Response::builder().status(status).header("content-length", body.len());
    builder.header("content-type", kind).header("etag", "\"1\"").body(body).unwrap()
}

fn asks(method: Method, accept: &str) -> Request<&'static str> {
    Request::builder().method(method).uri("/nope").header("accept", accept).body("").unwrap()
}

#[tokio::test]
async fn a_page_that_shows_the_software_becomes_neutral_and_one_of_the_apps_own_stays() {
    for errors in [Errors::default(), Errors::in_front()] {
        let shield = Shield::bare().errors(errors);
        for (said, masked) in [
            (says(404, "text/html; charset=utf-8", EXPRESS_404), true),
            (says(400, "text/html", EXPRESS_404), true),
            (says(500, "text/plain", STACK), true),
            (says(403, "application/json", r#"{"stack":"Error\n    at f (/srv/a.js:1:2)"}"#), true),
            (says(502, "text/html", "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"), true),
            (says(404, "text/html", OWN_404), false),
            (says(404, "application/json", OWN_JSON), false),
            (says(404, "text/plain", "Not Found"), false),
            (says(500, "text/plain", ""), false),
            (says(404, "image/png", EXPRESS_404), false),
            (says(200, "text/html", EXPRESS_404), false), // a page about Express
            (says(200, "text/plain", STACK), false),      // a bug report
            (says(302, "text/plain", STACK), false),
        ] {
            let answer = answer(&shield, asks(Method::GET, "text/html"), said.clone()).await;
            let row = format!("{said:?} became {answer:?}");
            assert_eq!(answer.status, said.status(), "{row}");
            assert_eq!(answer.text() != *said.body(), masked, "{row}");
            if masked {
                assert_neutral(&answer);
            } else {
                assert_eq!(&answer.headers, said.headers(), "{row}");
            }
        }
    }
}

fn assert_neutral(answer: &Answer) {
    let (status, length) = (answer.status.as_str(), answer.body.len().to_string());
    assert!(answer.text().contains(&format!("<title>{status} ")), "{answer:?}");
    assert!(!answer.text().contains("till") && !answer.text().contains("<pre>"), "{answer:?}");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("content-length"), length);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("etag"), "");
}

#[tokio::test]
async fn a_client_of_json_gets_problem_details() {
    let shield = Shield::bare().errors(Errors::default());
    for (accept, said, kind) in [
        ("application/json", says(404, "text/html", EXPRESS_404), "application/problem+json"),
        ("*/*", says(404, "text/html", EXPRESS_404), "text/html; charset=utf-8"),
        ("*/*", says(404, "application/json", r#"{"detail":"Not Found"}"#), "application/problem+json"),
    ] {
        let answer = answer(&shield, asks(Method::GET, accept), said).await;
        assert_eq!(answer.header("content-type"), kind, "{accept}");
        assert_eq!(answer.header("vary"), "Accept");
        if kind == "application/problem+json" {
            let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!((&problem["status"], &problem["title"]), (&404.into(), &"Not Found".into()));
        }
    }
}

#[tokio::test]
async fn expresss_answer_to_options_keeps_allow_alone() {
    let shield = Shield::bare().errors(Errors::default());
    for (allow, body, left) in
        [("GET, HEAD", "GET, HEAD", ""), ("GET, HEAD", "ask me nicely", "ask me nicely")]
    {
        let mut said = says(200, "text/plain", body);
        said.headers_mut().insert("allow", allow.parse().unwrap());
        let answer = answer(&shield, asks(Method::OPTIONS, "*/*"), said).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, left));
        assert_eq!(answer.header("allow"), allow);
        assert_eq!(answer.headers.contains_key("content-type"), !left.is_empty());
        assert_eq!(answer.header("content-length"), left.len().to_string());
    }
}

#[tokio::test]
async fn a_compressed_5xx_is_masked_unread_unless_told() {
    for (errors, status, masked) in [
        (Errors::default(), 500, true),
        (Errors::default().pass_compressed(), 500, false),
        (Errors::default(), 422, false), // an API's own words, more often than not
    ] {
        let mut said = says(status, "text/html", "\u{1f}not really gzip");
        said.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        let answer = answer(&Shield::bare().errors(errors), asks(Method::GET, "text/html"), said).await;
        assert_eq!(answer.header("content-encoding"), if masked { "" } else { "gzip" }, "{status}");
        assert_eq!(answer.text().starts_with('\u{1f}'), !masked, "{status}");
    }
}

#[tokio::test]
async fn observed_pages_stay_and_so_does_an_answer_to_head() {
    for (guard, method) in
        [(Guard::Observe(Errors::default()), Method::GET), (Guard::On(Errors::default()), Method::HEAD)]
    {
        let said = says(404, "text/html", EXPRESS_404);
        let answer = answer(&Shield::bare().errors(guard), asks(method, "*/*"), said.clone()).await;
        assert_eq!((answer.text(), &answer.headers), (*said.body(), said.headers()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_never_held() {
    for (status, kind, waits) in [
        (200, "text/html", 0),
        (500, "text/event-stream", 0),
        (500, "application/octet-stream", 0),
        (500, "text/html", 1), // an error page: a second, and no more
    ] {
        let app = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| async move {
            let response = Response::builder().status(status).header("content-type", kind);
            Ok::<_, Infallible>(response.body(TickAndWait { ticked: false }).unwrap())
        });
        let app = Shield::bare().errors(Errors::default()).layer(app);
        let start = now();
        let Ok(response) = app.oneshot(Request::new(Full::default())).await;
        let waited = now() - start;
        assert_eq!(waited.as_secs(), waits, "{status} {kind}");
        let first = response.into_body().frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "tick", "{status} {kind}");
    }
}

fn now() -> tokio::time::Instant {
    tokio::time::sleep(Duration::ZERO).deadline()
}

/// Says one thing, and then nothing, for good.
struct TickAndWait {
    ticked: bool,
}

impl http_body::Body for TickAndWait {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.ticked, true) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data("tick".into()))))
    }
}

#[test]
fn the_original_is_in_the_log_under_the_id_that_the_visitor_sees() {
    let (log, _guard) = Log::listening();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let shield = Shield::bare().errors(Errors::default());
    let ask = || {
        let said = says(500, "text/plain", "Error: password=hunter2 is wrong\n    at f (/srv/a.js:1:2)");
        runtime.block_on(answer(&shield, asks(Method::GET, "application/json"), said))
    };
    let answers: Vec<_> = (0..20).map(|_| ask()).collect();
    let lines = log.events();
    let originals: Vec<_> = lines.iter().filter(|line| line.contains_key("original")).collect();
    assert_eq!(originals.len(), 10, "ten a second: {lines:?}");
    let problem: serde_json::Value = serde_json::from_slice(&answers[0].body).unwrap();
    assert_eq!(originals[0]["id"], problem["request_id"].as_str().unwrap());
    assert_eq!(originals[0]["original"], "Error: password=[redacted] is wrong\\n    at f (/srv/a.js:1:2)");
    assert!(answers.iter().all(|answer| !answer.text().contains("/srv/")));
}
