//! A request inside a request. The judge is an upstream that records: it sees what was meant, once, or nothing.

use std::io::{Read, Write};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::connections::cut;
use crate::frames::{DATA, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM};
use crate::gateway::{Gateway, PATIENCE};
use crate::recorder::{OK, Recorder};

const POST: &str = "POST / HTTP/1.1\r\nhost: localhost\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn what_can_be_read_in_two_ways_gets_400_and_the_app_nothing() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--admin", "127.0.0.1:0"]);
    let post = |fields: &str| format!("{POST}{fields}\r\n\r\n");
    for head in [
        post("content-length: 5\r\ntransfer-encoding: chunked"),
        post("transfer-encoding: chunked\r\ncontent-length: 5"),
        post("transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
        post("transfer-encoding: chunked\r\ntransfer-encoding: identity"),
        post("transfer-encoding: identity"),
        post("transfer-encoding: xchunked"),
        post("transfer-encoding: chunked, identity"),
        post("transfer-encoding: gzip, chunked"),
        post("transfer-encoding: \x0bchunked"),
        post("transfer-encoding : chunked"),
        post("transfer-encoding:\r\n chunked"),
        post("transfer-encoding: chunked\r\nx: y\rcontent-length: 5"),
        post("content-length: 5\r\ncontent-length: 5"),
        post("content-length: 5\r\ncontent-length: 6"),
        post("content-length: +5"),
        post("content-length: -5"),
        post("content-length: 0x5"),
        post("content-length: 5, 5"),
        post("content-length : 5"),
        post("content-length: 5\r\n folded: 1"),
        post("content-length: 99999999999999999999999999"),
        post("content-length:"),
        post("content\0-length: 5"),
        post("connection: content-length\r\ncontent-length: 0"),
        post("connection: close, transfer-encoding\r\ntransfer-encoding: chunked"),
        "POST / HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\nhost: localhost\n\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: localhost\nx: y\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: localhost\r\n\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: localhost\r\nx: a\0b\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: localhost\r\nno colon\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n host: localhost\r\n\r\n".to_owned(),
        "GET  / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\nhost: localhost\r\n\r\n".to_owned(),
        "GET / HTTP/2.0\r\nhost: localhost\r\n\r\n".to_owned(),
        "GET /\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\0\x01\0\r\n\r\n".to_owned(),
        // These are judged by the meaning of a field, behind the shield.
        post("host: other.example\r\ncontent-length: 0"),
        post("content-type: text/plain\r\ncontent-type: text/html\r\ncontent-length: 0"),
        post("authorization: Basic YTpi\r\nauthorization: Basic Yzpk\r\ncontent-length: 0"),
    ] {
        let answer = say(&gateway, &format!("{head}0\r\n\r\n{SMUGGLED}")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
    }
    for (first, second) in [
        (POST, "x: y\n\r\n"),
        (POST, "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("GET / HTTP/1.1\r\nhost: localhost\r\n\r", "x\r\n"),
        ("GET / HTTP/1.1", "\n"),
    ] {
        let mut stream = gateway.client().connect("http/1.1").await;
        stream.write_all(first.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(second.as_bytes()).await.unwrap();
        let answer = read(&mut stream, first).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{first:?} {second:?}: {answer}");
    }
    assert_eq!(app.seen().concat(), "");
    assert!(cut(&gateway, "framing") > 30, "an operator sees it: {}", cut(&gateway, "framing"));
    gateway.logged("reason=\"framing\"");
}

#[tokio::test]
async fn a_body_that_breaks_off_its_framing_ends_the_connection() {
    let app = Recorder::answering(b"");
    let gateway = Gateway::serve(app.address(), &[]);
    for (row, body) in [
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "g\r\n\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "0\r\ntransfer-encoding: chunked\r\n\r\n",
        "0\r\ncontent-length: 40\r\n\r\n",
        "0\r\n folded\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let head = CHUNKED.replace("POST /", &format!("POST /{row}"));
        say(&gateway, &format!("{head}{body}{SMUGGLED}")).await;
        let seen = app.seen();
        let path = format!("/{row} HTTP/1.1\r\n");
        assert!(seen.concat().matches(&path).count() <= 1, "{body:?}: {seen:#?}");
    }
    // Each has a connection of its own, for none was answered; what came of one may come late.
    tokio::time::sleep(Duration::from_millis(200)).await;
    for this in app.seen() {
        assert!(this.matches(" HTTP/1.1\r\n").count() <= 1, "{this}");
        assert!(!this.contains("/smuggled"), "{this}");
        assert!(!this.contains("\r\n0\r\n"), "a body that was not whole came whole: {this}");
    }
}

#[tokio::test]
async fn what_normal_clients_send_passes_and_the_connection_is_kept() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &[]);
    let last = "GET /last HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut count = 0;
    for first in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        format!("{POST}content-length: 0\r\n\r\n"),
        format!("{POST}content-length: 5\r\n\r\na\nb\r\n"),
        format!("{CHUNKED}5\r\nhello\r\n0\r\n\r\n"),
        format!("{CHUNKED}005;x=\"y\"\r\nhello\r\n0\r\nx-checksum: 1\r\n\r\n"),
        format!("{CHUNKED}0\r\n\r\n"),
        format!("{POST}connection: keep-alive\r\ncontent-length: 1\r\n\r\nx"),
        // What may not be passed on is answered as if it was not asked for.
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n".to_owned(),
    ] {
        let answer = say(&gateway, &format!("{first}{last}")).await;
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{first:?}: {answer}");
        count += 2;
    }
    let seen = app.seen().concat();
    assert_eq!(seen.matches(" HTTP/1.1\r\n").count(), count, "{seen}");
    assert!(!seen.to_lowercase().contains("transfer-encoding: chunked\r\ncontent-length"), "{seen}");
}

#[tokio::test]
async fn a_field_with_an_underscore_goes_no_further() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &[]);
    say(
        &gateway,
        "GET / HTTP/1.1\r\nhost: localhost\r\nx_role: admin\r\nX_Forwarded_For: 6.6.6.6\r\nx-role: user\r\n\
         connection: close\r\n\r\n",
    )
    .await;
    let head = app.heads(1).remove(0);
    assert!(!head.contains("x_") && head.contains("\r\nx-role: user"), "{head}");
}

#[tokio::test]
async fn what_stands_behind_a_body_says_neither_who_asks_nor_how_it_was_framed() {
    const CLAIMS: [(&str, &str); 7] = [
        ("client-cert", ":AAAA:"),
        ("x-forwarded-for", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("authorization", "Basic YTpi"),
        ("cookie", "session=stolen"),
        ("x-checksum", "abc"),
    ];
    let announced = CLAIMS.map(|(name, _)| name).join(", ");
    for http_2 in [false, true] {
        let app = Recorder::with(|stream, record| {
            let (mut seen, mut chunk) = (Vec::new(), [0; 65536]);
            while let Ok(read @ 1..) = stream.read(&mut chunk) {
                record.add(&chunk[..read]);
                seen.extend_from_slice(&chunk[..read]);
                if String::from_utf8_lossy(&seen).contains("\r\n0\r\n") {
                    let _ = stream.write_all(OK);
                }
            }
        });
        let gateway = Gateway::serve(app.address(), &[]);
        if http_2 {
            let mut frames = Frames::open(&gateway.client()).await;
            let head =
                [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")];
            frames.headers(1, false, &[&head[..], &[("trailer", announced.as_str())]].concat()).await;
            frames.send(DATA, 0, 1, b"hello").await;
            frames.headers(1, true, &CLAIMS).await;
            frames.until(&[DATA, RST_STREAM, GOAWAY]).await;
        } else {
            let trailers = CLAIMS.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
            say(
                &gateway,
                &format!(
                    "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\
                     trailer: {announced}\r\n\r\n5\r\nhello\r\n0\r\n{trailers}\r\n"
                ),
            )
            .await;
        }
        let seen = app.seen().concat();
        let (_, behind) = seen.split_once("\r\n0\r\n").expect("a body in chunks");
        assert_eq!(behind.trim(), "x-checksum: abc", "http_2: {http_2}: {seen}");
    }
}

/// Sends `bytes` on a connection of their own, and reads until it is closed.
async fn say(gateway: &Gateway, bytes: &str) -> String {
    let mut stream = gateway.client().connect("http/1.1").await;
    stream.write_all(bytes.as_bytes()).await.unwrap();
    read(&mut stream, bytes).await
}

async fn read(stream: &mut TlsStream<TcpStream>, bytes: &str) -> String {
    let mut answer = Vec::new();
    // A connection that is reset after its answer has said what it had to say.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .unwrap_or_else(|_| panic!("the connection was not closed after {bytes:?}"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn over_http_2_the_app_sees_one_clean_request_or_nothing() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &[]);
    let plain = [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")];
    let instead = |name: &str, value: &'static str| {
        plain.map(|(own, usual)| (own, if own == name { value } else { usual })).to_vec()
    };
    let more = |fields: &[(&'static str, &'static str)]| [&plain[..], fields].concat();
    for (row, (fields, body, sees)) in [
        (more(&[]), "", 1),
        (more(&[("content-length", "5")]), "hello", 1),
        (more(&[("content-length", "0")]), SMUGGLED, 0),
        (more(&[("content-length", "5")]), SMUGGLED, 0),
        (more(&[("content-length", "500")]), "hello", 0),
        (more(&[("content-length", "5"), ("content-length", "6")]), "hello", 0),
        (more(&[("content-length", "+5")]), "hello", 0),
        (more(&[("transfer-encoding", "chunked")]), "0\r\n\r\n", 0),
        (more(&[("connection", "content-length"), ("content-length", "5")]), "hello", 0),
        (more(&[("upgrade", "h2c")]), "", 0),
        (more(&[("x", "a\r\ncontent-length: 5")]), "", 0),
        (more(&[("x", "a\r\n\r\nGET /smuggled HTTP/1.1")]), "", 0),
        (more(&[("x", "a\nb")]), "", 0),
        (more(&[("x", "a\0b")]), "", 0),
        (more(&[("x: y\r\nz", "a")]), "", 0),
        (more(&[("x y", "a")]), "", 0),
        (more(&[("X", "a")]), "", 0),
        (more(&[("x:", "a")]), "", 0),
        (more(&[("host", "other.example")]), "", 0),
        (more(&[("host", "localhost"), ("host", "localhost")]), "", 0),
        (more(&[("authorization", "Basic YTpi"), ("authorization", "Basic Yzpk")]), "", 0),
        (more(&[(":path", "/smuggled")]), "", 0),
        (more(&[(":other", "x")]), "", 0),
        (instead(":path", "/ HTTP/1.1\r\nx: y\r\n\r\nGET /smuggled"), "", 0),
        (instead(":path", "/a b"), "", 0),
        (instead(":path", ""), "", 0),
        (instead(":path", "smuggled"), "", 0),
        (instead(":method", "GET /smuggled HTTP/1.1\r\nx:"), "", 0),
        (instead(":method", "GET /smuggled"), "", 0),
        (instead(":authority", "localhost\r\nx: y"), "", 0),
        (instead(":authority", "local host"), "", 0),
        (instead(":authority", "user@localhost"), "", 0),
        (instead(":authority", "localhost/smuggled"), "", 0),
        (more(&[]), "", 1), // it was not the visitor who was refused
    ]
    .into_iter()
    .enumerate()
    {
        let row = row.to_string();
        let mut frames = Frames::open(&gateway.client()).await;
        frames.headers(1, body.is_empty(), &[&fields[..], &[("x-row", &row)]].concat()).await;
        if !body.is_empty() {
            frames.send(DATA, END_STREAM, 1, body.as_bytes()).await;
        }
        frames.until(&[HEADERS, RST_STREAM, GOAWAY]).await;
        // What came of a request before its body proved false was no whole request.
        let whole = |this: &str| this.matches("\r\n\r\n").count().min(1) * usize::from(!cut_off(this));
        // The app answers before it has the body.
        let seen = app.until(|seen| whole(&of_row(seen, &row)) >= sees);
        let this = of_row(&seen, &row);
        assert_eq!(whole(&this), sees, "{fields:?} {body:?}: {this}");
        assert!(!this.contains("/smuggled HTTP/1.1\r\n"), "{fields:?} {body:?}: {this}");
        assert!(this.matches(" HTTP/1.1\r\n").count() <= 1, "{fields:?} {body:?}: {this}");
    }
}

/// What came of the request that says to be of this row, up to the next.
fn of_row(seen: &[String], row: &str) -> String {
    let mark = format!("\r\nx-row: {row}\r\n");
    let Some((came, at)) = seen.iter().find_map(|came| Some((came, came.find(&mark)?))) else {
        return String::new();
    };
    let this = &came[came[..at].rfind("POST ").unwrap_or(0)..];
    let next = this[1..].find("POST ").map_or(this.len(), |next| next + 1);
    this[..next].to_owned()
}

/// Whether a recorded request has less of a body than its head promises.
fn cut_off(seen: &str) -> bool {
    let Some((head, body)) = seen.split_once("\r\n\r\n") else { return true };
    let head = head.to_lowercase();
    match head.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()) {
        Some(length) => body.len() < length.parse().unwrap(),
        None => head.contains("transfer-encoding: chunked") && !body.ends_with("0\r\n\r\n"),
    }
}
