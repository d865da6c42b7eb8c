//! Connections to the app: broken, closed, kept, and held back.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::client::get;
use crate::gateway::Gateway;
use crate::port::free_address;
use crate::recorder::{OK, Recorder};

#[tokio::test]
async fn an_app_that_is_down_or_breaks_is_a_502_with_the_shields_headers() {
    let broken = Recorder::with(|stream, _| {
        let mut chunk = [0; 4096];
        let _ = stream.read(&mut chunk);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-");
    });
    let down = free_address();
    for app in [broken.address(), down] {
        let gateway = Gateway::serve(app, &[]);
        for answer in gateway.client().both(|| get("/")).await {
            assert_eq!(answer.status, 502, "{answer:?}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{answer:?}");
            assert!(
                !answer.text().contains("127.0.0.1"),
                "the visitor learns the status alone: {}",
                answer.text()
            );
        }
        gateway.logged("the app at http://127.0.0.1:");
    }
}

#[tokio::test]
async fn a_connection_that_the_app_closed_is_not_used_and_a_post_is_never_sent_twice() {
    // Each connection answers once and is then closed without a word, as an app does that restarts.
    let app = Recorder::with(|stream, record| {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap_or(0);
        record.add(&chunk[..read]);
        let _ = stream.write_all(OK);
        let _ = stream.shutdown(Shutdown::Both);
        record.add(b"closed\r\n\r\n");
    });
    let gateway = Gateway::serve(app.address(), &[]);
    let client = gateway.client();
    for count in 1..=5 {
        let answer = client.ask(Request::post("/").body(Full::<Bytes>::default()).unwrap()).await;
        assert_eq!(answer.status, 200, "request {count}");
        assert_eq!(app.heads(2 * count).len(), 2 * count, "each was sent once");
    }
}

#[tokio::test]
async fn connections_to_the_app_are_kept() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &[]);
    let client = gateway.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 200);
    }
    // One for each thread at the most.
    let threads = std::thread::available_parallelism().unwrap().get();
    assert!(app.seen().len() <= threads, "{} connections", app.seen().len());
}

#[tokio::test]
async fn a_slow_reader_holds_the_app_back() {
    // 64 MiB that nobody reads: what the gateway takes from the app must stay a small part of it.
    let app = Recorder::with(|stream, record| {
        let mut chunk = [0; 4096];
        let _ = stream.read(&mut chunk);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n");
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let piece = [b'x'; 65536];
        let mut written = 0;
        while written < 67_108_864 {
            match stream.write(&piece) {
                Ok(more) => written += more,
                Err(_) => break,
            }
        }
        record.add(format!("{written} \r\n\r\n").as_bytes());
    });
    let gateway = Gateway::serve(app.address(), &[]);
    let answer = gateway.client().begin(get("/")).await;
    let written: usize = app.heads(1).remove(0).trim().parse().unwrap();
    assert!(written < 32 * 1024 * 1024, "{written} bytes were taken from the app");
    drop(answer);
}
