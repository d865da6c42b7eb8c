//! What passes, and how: every way of HTTP, through the real gateway to a real Express app or to a recorder.

use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{get, read};
use crate::gateway::{Gateway, PATIENCE};
use crate::node::Node;
use crate::recorder::{OK, Recorder};

#[tokio::test]
async fn an_answer_is_the_same_over_both_versions_of_http() {
    let shop = Node::start("shop.js");
    let gateway = Gateway::serve(shop.address(), &[]);
    let [first, second] = gateway.client().both(|| get("/large?bytes=300000")).await;
    assert_eq!((first.status, second.status), (http::StatusCode::OK, http::StatusCode::OK));
    assert_eq!((first.version, second.version), (http::Version::HTTP_11, http::Version::HTTP_2));
    assert_eq!(first.body.len(), 300_000);
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn a_body_streams_both_ways_at_once() {
    let shop = Node::start("shop.js");
    let gateway = Gateway::serve(shop.address(), &[]);
    let (mut sender, body) = Channel::<Bytes>::new(1);
    let request =
        Request::post("/echo").header("content-type", "application/octet-stream").body(body).unwrap();
    sender.send_data(Bytes::from_static(b"one")).await.unwrap();
    let mut answer = gateway.client().begin(request).await;
    for piece in ["one", "two", "three"] {
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.data_ref().unwrap(), piece, "it comes back before the next one is sent");
        match piece {
            "one" => sender.send_data(Bytes::from_static(b"two")).await.unwrap(),
            "two" => sender.send_data(Bytes::from_static(b"three")).await.unwrap(),
            _ => {}
        }
    }
}

#[tokio::test]
async fn server_sent_events_come_as_they_happen() {
    let shop = Node::start("shop.js");
    let gateway = Gateway::serve(shop.address(), &[]);
    let mut answer = gateway.client().begin(get("/events")).await;
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let mut events = 0;
    while events < 3 {
        let frame = tokio::time::timeout(PATIENCE, answer.frame()).await.expect("an event in time");
        events +=
            frame.unwrap().unwrap().data_ref().unwrap().windows(5).filter(|piece| piece == b"data:").count();
    }
}

#[tokio::test]
async fn trailers_heads_and_not_modified_pass() {
    let shop = Node::start("shop.js");
    let gateway = Gateway::serve(shop.address(), &[]);
    let client = gateway.client();

    let trailers = client.ask_http_2(get("/trailers")).await.trailers.expect("trailers over HTTP/2");
    assert!(trailers.contains_key("x-checksum"), "{trailers:?}");

    let whole = client.get("/etag").await;
    for [first, second] in [
        client.both(|| Request::head("/etag").body(Full::default()).unwrap()).await,
        client
            .both(|| {
                Request::get("/etag")
                    .header("if-none-match", whole.header("etag"))
                    .body(Full::default())
                    .unwrap()
            })
            .await,
    ] {
        for answer in [first, second] {
            assert!(answer.body.is_empty(), "{answer:?}");
            assert_eq!(answer.header("etag"), whole.header("etag"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn who_waits_for_100_continue_gets_it() {
    let shop = Node::start("shop.js");
    let gateway = Gateway::serve(shop.address(), &[]);
    let mut stream = gateway.client().connect("http/1.1").await;
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/octet-stream\r\n\
                content-length: 5\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    let mut rest = String::new();
    let _ = stream.read_to_string(&mut rest).await;
    assert!(rest.starts_with("HTTP/1.1 200") && rest.contains("hello"), "{rest}");
}

#[tokio::test]
async fn what_belongs_to_one_connection_goes_no_further() {
    let app = Recorder::answering(
        b"HTTP/1.1 200 OK\r\nconnection: x-hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nx-own: 1\r\n\
          content-length: 2\r\n\r\nok",
    );
    let gateway = Gateway::serve(app.address(), &[]);
    let request = Request::get("/")
        .header("connection", "x-mine, te")
        .header("x-mine", "1")
        .header("te", "gzip")
        .header("proxy-connection", "keep-alive")
        .header("x-own", "1")
        .body(Full::<Bytes>::default())
        .unwrap();
    let answer = gateway.client().ask(request).await;
    assert_eq!((answer.header("x-own"), answer.header("x-hop"), answer.header("keep-alive")), ("1", "", ""));
    let head = app.heads(1).remove(0).to_lowercase();
    for (name, passes) in [
        ("x-own", true),
        ("x-mine", false),
        ("te", false),
        ("proxy-connection", false),
        ("connection", false),
    ] {
        assert_eq!(head.contains(&format!("\r\n{name}:")), passes, "{name}: {head}");
    }
}

#[tokio::test]
async fn only_the_gateways_word_on_the_visitor_reaches_the_app() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &[]);
    let client = gateway.client();
    let claims = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "forwarded",
        "x-real-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "x_forwarded_for",
        "x_real_ip",
        "x-panoply-visitor",
    ];
    let spoofed = || {
        claims
            .iter()
            .fold(Request::get("/"), |request, name| request.header(*name, "6.6.6.6"))
            .body(Full::<Bytes>::default())
            .unwrap()
    };
    client.both(spoofed).await;
    for head in app.heads(2) {
        assert!(!head.contains("6.6.6.6"), "{head}");
        let host = client.authority();
        let port = gateway.https().port();
        for line in [
            "x-forwarded-for: 127.0.0.1".to_owned(),
            "forwarded: for=127.0.0.1;proto=https".to_owned(),
            "x-forwarded-proto: https".to_owned(),
            format!("x-forwarded-host: {host}"),
            format!("x-forwarded-port: {port}"),
            format!("host: {host}"),
        ] {
            assert!(head.contains(&format!("\r\n{line}")), "{line} is missing: {head}");
        }
    }
}

#[tokio::test]
async fn bytes_after_an_upgrade_wait_for_the_101() {
    let app = Recorder::with(|stream, record| {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap();
        record.add(&chunk[..read]);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(
            stream.set_nonblocking(true).and_then(|()| stream.read(&mut chunk)).unwrap_err().kind(),
            std::io::ErrorKind::WouldBlock
        );
        stream.set_nonblocking(false).unwrap();
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nwelcome").unwrap();
        let read = stream.read(&mut chunk).unwrap();
        record.add(&chunk[..read]);
    });
    let gateway = Gateway::serve(app.address(), &[]);
    let mut stream = gateway.client().connect("http/1.1").await;
    let request =
        b"GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearly";
    stream.write_all(request).await.unwrap();
    let mut answer = vec![0; 4096];
    let mut got = String::new();
    while !got.ends_with("welcome") {
        let read = stream.read(&mut answer).await.unwrap();
        assert!(read > 0, "{got}");
        got.push_str(std::str::from_utf8(&answer[..read]).unwrap());
    }
    assert!(got.starts_with("HTTP/1.1 101 "), "{got}");
    app.until(|seen| seen.concat().ends_with("\r\n\r\nearly"));
}

#[tokio::test]
async fn an_upgrade_that_nobody_could_judge_does_not_pass() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &[]);
    let request = Request::get("/")
        .header("connection", "upgrade, http2-settings")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAAQAAP__")
        .body(Full::<Bytes>::default())
        .unwrap();
    assert_eq!(gateway.client().ask(request).await.status, 200);
    let head = app.heads(1).remove(0).to_lowercase();
    assert!(!head.contains("upgrade") && !head.contains("http2-settings"), "{head}");
}

#[tokio::test]
async fn repeated_headers_keep_their_order_and_crumbs_of_cookies_are_joined() {
    let app = Recorder::answering(
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1; Path=/\r\nset-cookie: b=2; Path=/\r\nlink: <1>\r\nlink: <2>\r\ncontent-length: 0\r\n\r\n",
    );
    let gateway = Gateway::serve(app.address(), &[]);
    let crumbs = || {
        Request::get("/")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x-list", "1")
            .header("x-list", "2")
            .body(Full::<Bytes>::default())
            .unwrap()
    };
    for answer in gateway.client().both(crumbs).await {
        let all = |name: &str| {
            answer
                .headers
                .get_all(name)
                .iter()
                .map(|value| value.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(all("link"), ["<1>", "<2>"]);
        assert!(all("set-cookie")[0].starts_with("a=1") && all("set-cookie")[1].starts_with("b=2"));
    }
    for head in app.heads(2) {
        assert!(head.contains("\r\ncookie: a=1; b=2"), "{head}");
        assert!(head.find("x-list: 1") < head.find("x-list: 2"), "{head}");
    }
}

#[tokio::test]
async fn over_http_2_the_host_is_the_authority() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &[]);
    gateway
        .client()
        .ask_http_2(Request::get("/").header("host", "shop.example").body(Full::default()).unwrap())
        .await;
    let head = app.heads(1).remove(0);
    assert!(head.contains("\r\nhost: shop.example"), "{head}");
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn a_visitor_who_leaves_in_the_middle_of_an_upload_leaves_no_whole_request() {
    let app = Recorder::answering(b"");
    let gateway = Gateway::serve(app.address(), &[]);
    let mut stream = gateway.client().connect("http/1.1").await;
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        .await
        .unwrap();
    app.heads(1);
    drop(stream);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let seen = app.seen().concat();
    assert!(!seen.contains("0\r\n\r\n"), "the app must not take a part for the whole: {seen}");
}

#[tokio::test]
async fn an_early_answer_to_an_upload_is_not_lost() {
    let app =
        Recorder::answering(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 3\r\n\r\nno!");
    let gateway = Gateway::serve(app.address(), &[]);
    let request = Request::post("/")
        .header("content-type", "application/octet-stream")
        .body(Full::from(vec![0; 4 * 1024 * 1024]))
        .unwrap();
    let answer = read(gateway.client().begin(request).await).await;
    assert!(answer.status == 400, "{answer:?}");
}
