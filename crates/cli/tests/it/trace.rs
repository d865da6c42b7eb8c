//! W3C trace context through the gateway: what is good passes to the byte, what is not goes, and nothing is made.

use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::access_log::Place;
use crate::gateway::Gateway;
use crate::recorder::{OK, Recorder};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const LATER: &str = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more";

/// The lines of a trace in a head, in their order.
fn traced(head: &str) -> Vec<String> {
    let lines = head.lines().filter(|line| line.starts_with("trace"));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_trace_passes_to_the_byte_and_what_is_none_goes_over_both_protocols() {
    let place = Place::new();
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--config", &place.config("")]);
    let client = gateway.client();
    let two = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let upper = GOOD.to_uppercase();
    let rows = [
        (vec![("traceparent", GOOD)], vec![two], true),
        (
            vec![("traceparent", GOOD), ("tracestate", "b=1"), ("tracestate", "a=t61rcWkgMzE , c=~")],
            vec![two, "tracestate: b=1", "tracestate: a=t61rcWkgMzE , c=~"],
            true,
        ),
        (
            vec![("traceparent", LATER)],
            vec!["traceparent: cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more"],
            true,
        ),
        (vec![("traceparent", GOOD), ("tracestate", "A=1")], vec![two], true),
        (vec![("traceparent", GOOD), ("traceparent", GOOD), ("tracestate", "a=1")], vec![], false),
        (vec![("traceparent", "00-x"), ("tracestate", "a=1")], vec![], false),
        (vec![("traceparent", &*upper)], vec![], false),
        (vec![("tracestate", "a=1")], vec![], false),
        (vec![], vec![], false),
    ];
    for (row, (sent, passed, logged)) in rows.iter().enumerate() {
        let answers = client.both(|| {
            let mut request = Request::get(format!("/{row}"));
            for (name, value) in sent {
                request = request.header(*name, *value);
            }
            request.body(Full::default()).unwrap()
        });
        for (answer, protocol) in answers.await.iter().zip(["HTTP/1.1", "HTTP/2"]) {
            assert_eq!(answer.status, 200);
            assert!(
                !answer.headers.keys().any(|name| name.as_str().starts_with("trace")),
                "{protocol} {sent:?}"
            );
        }
        let path = format!("/{row}");
        let all = app.heads(2 * (row + 1));
        let heads: Vec<_> = all.iter().filter(|head| head.starts_with(&format!("GET {path} "))).collect();
        let lines = place.lines(2 * (row + 1));
        let lines: Vec<_> = lines.iter().filter(|line| line["path"] == path).collect();
        assert_eq!((heads.len(), lines.len()), (2, 2), "{sent:?}");
        for (head, line) in heads.iter().zip(lines) {
            assert_eq!(traced(head), *passed, "{sent:?}");
            assert_eq!(line["trace_id"].as_str(), logged.then_some(TRACE), "{sent:?}: {line}");
        }
    }
}

#[tokio::test]
async fn an_upgrade_carries_its_trace() {
    let place = Place::new();
    let app = Recorder::answering(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    let gateway = Gateway::serve(app.address(), &["--config", &place.config("")]);
    for (parent, passed) in [(GOOD, vec![format!("traceparent: {GOOD}")]), ("00-x", vec![])] {
        let mut stream = gateway.client().connect("http/1.1").await;
        let head = format!(
            "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\ntraceparent: {parent}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
        assert_eq!(traced(app.heads(1).last().unwrap()), passed, "{parent}");
    }
}

#[tokio::test]
async fn whoever_has_a_trace_finds_the_refusal_and_whoever_has_a_refusal_its_trace() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--admin", "127.0.0.1:0"]);
    let evil = Request::post("/")
        .header("traceparent", GOOD)
        .header("cookie", "sid=1")
        .header("origin", "https://evil.example")
        .header("sec-fetch-site", "cross-site")
        .header("sec-fetch-mode", "no-cors")
        .header("content-type", "text/plain")
        .body(Full::default())
        .unwrap();
    let refused = gateway.client().ask(evil).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    gateway.logged(&format!("trace_id={TRACE}"));
    let id = refused.text().split_once("<code>").unwrap().1.split_once("</code>").unwrap().0;
    let (code, said, _) = gateway.operate(&["explain", id]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.lines().any(|line| line == format!("trace        {TRACE}")), "{said}");

    for level in ["info", "debug"] {
        let dead = Gateway::start(
            &["serve", "--to", "http://127.0.0.1:1", "--https", "127.0.0.1:0"],
            &[("PANOPLY_LOG", level)],
        );
        let request = Request::get("/").header("traceparent", GOOD).body(Full::default()).unwrap();
        assert_eq!(dead.client().ask(request).await.status, StatusCode::BAD_GATEWAY);
        dead.logged("status=502");
        let log = dead.log();
        let line = log.lines().find(|line| line.contains("status=502")).expect(&log);
        assert!(line.contains(&format!("trace_id={TRACE}")), "{level}: {line}");
    }
}
