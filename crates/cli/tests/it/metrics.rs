//! What Prometheus reads: every line as its text format 0.0.4 has it, every figure what really happened.

mod handshakes;
mod page;
mod stores;

use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::get;
use crate::gateway::{Gateway, PATIENCE};
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;

pub(crate) use self::page::Page;

/// Two sites, of which one app takes its time.
fn two_sites(more: &str) -> (Gateway, Scratch, Recorder) {
    let app = Recorder::with(|stream, record| {
        let mut chunk = [0; 65536];
        while let Ok(read @ 1..) = stream.read(&mut chunk) {
            record.add(&chunk[..read]);
            let text = String::from_utf8_lossy(&chunk[..read]).into_owned();
            // A body that is sent ends with `b`.
            let mut last = text.bytes().last();
            while text.starts_with("POST ") && last != Some(b'b') {
                let Ok(read @ 1..) = stream.read(&mut chunk) else { return };
                last = Some(chunk[read - 1]);
            }
            if text.starts_with("GET /slow") {
                thread::sleep(Duration::from_millis(600));
            }
            if text.starts_with("GET /never") {
                thread::sleep(Duration::from_secs(60));
            }
            let answer = if text.starts_with("GET /missing") {
                &b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno"[..]
            } else {
                OK
            };
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    });
    let folder = Scratch::new();
    let file = folder.path().join("panoply.toml");
    let address = app.address();
    let text = format!(
        "admin = '127.0.0.1:0'\n{more}\n[[site]]\nhosts = ['shop.example']\nupstream = 'http://{address}'\n\
         [[site]]\nhosts = ['blog.example', 'blog.test']\nupstream = 'http://{address}'\n"
    );
    fs::write(&file, text).unwrap();
    let arguments = ["serve", "--https", "127.0.0.1:0", "--config", file.to_str().unwrap()];
    (Gateway::start(&arguments, &[]), folder, app)
}

fn to(host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", host).body(Full::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_in_the_histogram_of_its_site_and_one_sees_who_was_slow() {
    let (gateway, _folder, app) = two_sites("");
    let client = gateway.client();
    for _ in 0..3 {
        for answer in client.both(|| get("/")).await {
            assert_eq!(answer.status, 200);
        }
    }
    for (host, path, status) in [
        ("blog.example", "/slow", 200),
        ("BLOG.test.", "/missing", 404),
        ("evil.example", "/", 421),
        ("192.0.2.7", "/", 421),
    ] {
        assert_eq!(client.ask(to(host, path)).await.status, status, "{host} {path}");
    }
    // Who gives up on a stalled app has waited, too.
    let gone = client.clone();
    let asked = tokio::spawn(async move { gone.get("/never").await });
    app.until(|seen| seen.concat().contains("/never"));
    tokio::time::sleep(Duration::from_millis(700)).await;
    asked.abort();
    let deadline = Instant::now() + PATIENCE;
    let given_up = "panoply_requests_total{site=\"shop.example\",status=\"gone\"}";
    while Page::of(&gateway).figure(given_up) < 1.0 {
        assert!(Instant::now() < deadline, "nobody noticed that the visitor is gone");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let page = Page::of(&gateway);
    for (figure, count) in [
        ("panoply_requests_total{site=\"shop.example\",status=\"2xx\"}", 6.0),
        ("panoply_requests_total{site=\"shop.example\",status=\"4xx\"}", 0.0),
        (given_up, 1.0),
        ("panoply_requests_total{site=\"blog.example\",status=\"2xx\"}", 1.0),
        ("panoply_requests_total{site=\"blog.example\",status=\"4xx\"}", 1.0),
        ("panoply_requests_total{site=\"no site\",status=\"4xx\"}", 2.0),
        ("panoply_request_seconds_count{site=\"shop.example\"}", 7.0),
        ("panoply_app_seconds_count{site=\"shop.example\"}", 7.0),
        ("panoply_request_seconds_count{site=\"blog.example\"}", 2.0),
        ("panoply_app_seconds_count{site=\"blog.example\"}", 2.0),
        ("panoply_request_seconds_count{site=\"no site\"}", 2.0),
        ("panoply_app_seconds_count{site=\"no site\"}", 0.0),
    ] {
        assert!(page.has(figure), "{figure}");
        assert_eq!(page.figure(figure).to_bits(), f64::to_bits(count), "{figure}");
    }
    let slow = page.figure("panoply_app_seconds_sum{site=\"blog.example\"}");
    assert!((0.6..60.0).contains(&slow), "{slow}");
    let whole = page.figure("panoply_request_seconds_sum{site=\"blog.example\"}");
    assert!(whole >= slow, "the app is a part of the whole: {slow} of {whole}");
    assert!(page.figure("panoply_request_seconds_bucket{site=\"blog.example\",le=\"0.5\"}") < 2.0);
    assert!(page.figure("panoply_app_seconds_sum{site=\"shop.example\"}") >= 0.6, "who gave up has waited");
    let of_others = |name: &&String| name.contains("site=\"evil") || name.contains("site=\"blog.test");
    assert_eq!(page.0.keys().find(of_others), None, "a visitor's word is no label");
}

#[tokio::test]
async fn the_app_is_not_blamed_for_a_slow_upload_and_counts_outlive_a_reload() {
    let (gateway, folder, _app) = two_sites("");
    let mut stream = gateway.client().connect("http/1.1").await;
    let authority = gateway.client().authority();
    let head =
        format!("POST / HTTP/1.1\r\nhost: {authority}\r\ncontent-type: text/x\r\ncontent-length: 2\r\n\r\na");
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    stream.write_all(b"b").await.unwrap();
    let mut answer = [0; 512];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
    let page = counted(&gateway, 1).await;
    assert_eq!(page.figure("panoply_app_seconds_count{site=\"shop.example\"}") as u64, 1);
    let took = page.figure("panoply_app_seconds_sum{site=\"shop.example\"}");
    assert!(took < 2.0, "{took}");
    assert!(page.figure("panoply_request_seconds_sum{site=\"shop.example\"}") >= 3.8);

    let file = folder.path().join("panoply.toml");
    let text =
        fs::read_to_string(&file).unwrap().replace("'shop.example'", "'shop.example', 'www.shop.example'");
    fs::write(&file, format!("shield.csrf = 'off'\n{text}")).unwrap();
    gateway.signal("HUP");
    let deadline = Instant::now() + PATIENCE;
    while Page::of(&gateway).figure("panoply_reloads_total{result=\"taken\"}") < 1.0 {
        assert!(Instant::now() < deadline, "{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(gateway.client().get("/").await.status, 200);
    counted(&gateway, 2).await;
}

/// Waits until so many requests to the shop are counted, which they are when their answers have been sent.
async fn counted(gateway: &Gateway, requests: u64) -> Page {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = Page::of(gateway);
        let found = page.figure("panoply_requests_total{site=\"shop.example\",status=\"2xx\"}") as u64;
        if found >= requests {
            assert_eq!(found, requests);
            return page;
        }
        assert!(Instant::now() < deadline, "{found} of {requests} are counted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
