//! Connections that ask for nothing, or read nothing: how many there may be, and when they end.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Kept, get};
use crate::frames::{Frames, GOAWAY, HEADERS, RST_STREAM, WINDOW_UPDATE, literal};
use crate::gateway::{Gateway, PATIENCE};
use crate::recorder::{OK, Recorder};

/// A gateway with these settings, and an admin listener.
pub(crate) fn serve(app: SocketAddr, settings: &str) -> Gateway {
    let folder = crate::scratch::Scratch::new();
    let file = folder.path().join("panoply.toml");
    fs::write(&file, settings).unwrap();
    Gateway::serve(app, &["--admin", "127.0.0.1:0", "--config", file.to_str().unwrap()])
}

/// Waits until so many were cut for that: they are counted when they are closed already.
pub(crate) fn cuts(gateway: &Gateway, reason: &str, count: u64) {
    let deadline = Instant::now() + PATIENCE;
    while cut(gateway, reason) != count {
        assert!(Instant::now() < deadline, "{reason}: {}, and not {count}", cut(gateway, reason));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How many connections were closed for this.
pub(crate) fn cut(gateway: &Gateway, reason: &str) -> u64 {
    let page = crate::admin::ask(gateway.admin(), "GET /metrics", "", "");
    let start = format!("panoply_connections_cut_total{{reason=\"{reason}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{reason}:\n{page}")).parse().unwrap()
}

/// How long until the other end closes, since a moment before there was anything that it counts from.
async fn lasts(begun: Instant, mut stream: impl AsyncRead + Unpin) -> Duration {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest));
    assert!(read.await.is_ok(), "it is still open");
    begun.elapsed()
}

#[tokio::test]
async fn who_finds_no_place_is_closed_before_the_handshake() {
    let app = Recorder::answering(OK);
    let gateway = serve(app.address(), "[connections]\nmost = 3\n");
    let client = gateway.client();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(client.keep(true).await);
    }
    let mut fourth = TcpStream::connect(gateway.https()).await.unwrap();
    let read = fourth.read(&mut [0]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    cuts(&gateway, "full", 1);
    gateway.logged("a connection was closed unserved");
    for kept in &mut held {
        assert_eq!(client.ask_on(kept, get("/")).await.status, 200, "who has a place keeps it");
    }
    drop(held);
    let deadline = Instant::now() + PATIENCE;
    while crate::admin::ask(gateway.admin(), "GET /health", "", "").contains("\"connections\":3") {
        assert!(Instant::now() < deadline, "places are given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(client.get("/").await.status, 200);
}

const SHORT: &str = "[connections]\nhandshake = \"3s\"\nhead = \"2s\"\nidle = \"3s\"\nrequests = 3\n";

#[tokio::test]
async fn every_silence_has_its_end() {
    let app = Recorder::answering(OK);
    let gateway = serve(app.address(), SHORT);
    let client = gateway.client();
    let hello_begun = async {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(gateway.https()).await.unwrap();
        stream.write_all(&[22, 3, 1]).await.unwrap();
        lasts(begun, stream).await
    };
    let head_dripped = async {
        let begun = Instant::now();
        let stream = client.connect("http/1.1").await;
        let (reading, mut writing) = tokio::io::split(stream);
        let drip = async {
            writing.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
            while writing.write_all(b"a: b\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::select! { lasted = lasts(begun, reading) => lasted, () = drip => panic!("it broke") }
    };
    let block_never_ended = async {
        let begun = Instant::now();
        let mut frames = Frames::open(&client).await;
        let block: Vec<u8> = [(":method", "GET"), (":path", "/")]
            .iter()
            .flat_map(|(name, value)| literal(name, value))
            .collect();
        frames.send(HEADERS, 0, 1, &block).await;
        while frames.is_open() && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        begun.elapsed()
    };
    let (silent, begun, silent_1, silent_2, dripped, unended) = tokio::join!(
        async { lasts(Instant::now(), TcpStream::connect(gateway.https()).await.unwrap()).await },
        hello_begun,
        async { lasts(Instant::now(), client.connect("http/1.1").await).await },
        async { lasts(Instant::now(), client.connect("h2").await).await },
        head_dripped,
        block_never_ended,
    );
    for (name, lasted, least) in [
        ("silence", silent, 3),
        ("half a hello", begun, 3),
        ("HTTP/1.1 without a head", silent_1, 2),
        ("HTTP/2 without a preface", silent_2, 2),
        ("a head that drips", dripped, 2),
        ("a block that never ends", unended, 2),
    ] {
        let least = Duration::from_millis(least * 1000 - 100);
        assert!((least..PATIENCE).contains(&lasted), "{name}: {lasted:?}");
    }
    cuts(&gateway, "handshake", 2);
    cuts(&gateway, "head", 4);
}

#[tokio::test]
async fn a_connection_ends_in_good_order_when_it_rests_or_has_brought_enough() {
    let app = Recorder::answering(OK);
    let gateway = serve(app.address(), SHORT);
    let client = gateway.client();
    for http_2 in [false, true] {
        let mut kept = client.keep(http_2).await;
        assert_eq!(client.ask_on(&mut kept, get("/")).await.status, 200);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        assert_eq!(client.ask_on(&mut kept, get("/")).await.status, 200, "a short rest is no end");
        ended(&mut kept).await;
        assert!(begun.elapsed() >= Duration::from_millis(2900), "HTTP/2 {http_2}: {:?}", begun.elapsed());
    }
    cuts(&gateway, "idle", 2);

    for http_2 in [false, true] {
        let mut kept = client.keep(http_2).await;
        for _ in 0..3 {
            assert_eq!(client.ask_on(&mut kept, get("/")).await.status, 200, "HTTP/2 {http_2}");
        }
        ended(&mut kept).await;
    }
    cuts(&gateway, "requests", 2);
    assert_eq!(cut(&gateway, "idle"), 2, "these did not rest");

    let mut frames = Frames::open(&client).await;
    let request = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")];
    for stream in [1, 3, 5] {
        frames.headers(stream, true, &request).await;
    }
    assert!(frames.until(&[GOAWAY]).await.is_some(), "HTTP/2 is told");
}

async fn ended(kept: &mut Kept) {
    let end = async {
        match kept {
            Kept::Http1(sender) => {
                while sender.ready().await.is_ok() && !sender.is_closed() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Kept::Http2(sender) => {
                while !sender.is_closed() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, end).await.expect("it is still open");
}

/// An app whose answer never ends, and that tells when nobody takes it any more.
fn endless() -> (Recorder, mpsc::Receiver<Instant>) {
    let (sender, closed) = mpsc::channel();
    let app = Recorder::with(move |stream, _| {
        let _ = std::io::Read::read(stream, &mut [0; 65536]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        while write_some(stream) {}
        let _ = sender.send(Instant::now());
    });
    (app, closed)
}

fn write_some(stream: &mut StdStream) -> bool {
    stream.write_all(&[b'x'; 16384]).is_ok()
}

#[tokio::test]
async fn who_does_not_read_holds_nothing_of_the_apps_for_long() {
    let (app, closed) = endless();
    let gateway = serve(app.address(), "[connections]\nunread = \"2s\"\n");
    let client = gateway.client();

    let mut stalled = client.connect("http/1.1").await;
    let begun = Instant::now();
    stalled.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let end = tokio::task::spawn_blocking(move || (closed.recv_timeout(Duration::from_secs(90)), closed));
    let (end, closed) = end.await.unwrap();
    assert!(end.expect("HTTP/1.1: the app still writes") - begun >= Duration::from_millis(1900));
    cuts(&gateway, "unread", 1);
    drop(stalled);

    // A window that is never opened again; the connection goes on for the other requests.
    let mut frames = Frames::open(&client).await;
    let request = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")];
    let begun = Instant::now();
    frames.headers(1, true, &request).await;
    let end = tokio::task::spawn_blocking(move || closed.recv_timeout(Duration::from_secs(90)));
    let end = end.await.unwrap().expect("HTTP/2: the app still writes");
    assert!(end - begun >= Duration::from_millis(1900));
    cuts(&gateway, "unread", 2);
}

#[tokio::test]
async fn a_stream_that_stalls_ends_without_the_others() {
    let (app, closed) = endless();
    let gateway = serve(app.address(), "[connections]\nunread = \"2s\"\n");
    let client = gateway.client();
    let mut frames = Frames::open(&client).await;
    let request = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")];
    // Room enough on the connection, and on the second stream.
    frames.send(WINDOW_UPDATE, 0, 0, &[0x3f, 0, 0, 0]).await;
    frames.headers(1, true, &request).await;
    frames.headers(3, true, &request).await;
    let open = async {
        loop {
            frames.send(WINDOW_UPDATE, 0, 3, &[0, 1, 0, 0]).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let wait = tokio::task::spawn_blocking(move || closed.recv_timeout(Duration::from_secs(90)));
    tokio::select! { end = wait => drop(end.unwrap().expect("the app still writes")), () = open => {} }
    assert!(frames.is_open(), "the other stream is read");
    frames.send(WINDOW_UPDATE, 0, 1, &[0, 1, 0, 0]).await;
    let reset = loop {
        let frame = frames.until(&[RST_STREAM]).await.expect("the stream is reset when it is asked");
        if frame.stream == 1 {
            break frame;
        }
    };
    assert_eq!(reset.stream, 1);
}

#[tokio::test]
async fn a_tunnel_that_is_not_read_is_closed_and_one_that_rests_is_not() {
    let (sender, closed) = mpsc::channel();
    let app = Recorder::with(move |stream, _| {
        let mut head = vec![0; 65536];
        let read = std::io::Read::read(stream, &mut head).unwrap();
        let rests = head[..read].starts_with(b"GET /rests");
        let _ = stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: endless\r\n\r\n",
        );
        if rests {
            let _ = std::io::Read::read(stream, &mut head);
            let _ = stream.write_all(b"still here");
            return;
        }
        while write_some(stream) {}
        let _ = sender.send(());
    });
    let gateway = serve(app.address(), "[connections]\nunread = \"1s\"\nidle = \"1s\"\n");
    let client = gateway.client();
    let ask = async |path: &str| {
        let mut stream = client.connect("http/1.1").await;
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: endless\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let _unread = ask("/").await;
    let mut rests = ask("/rests").await;
    let end = tokio::task::spawn_blocking(move || closed.recv_timeout(Duration::from_secs(90)));
    end.await.unwrap().expect("the app still writes");
    cuts(&gateway, "unread", 1);
    tokio::time::sleep(Duration::from_secs(3)).await;
    rests.write_all(b"ping").await.unwrap();
    let mut said = Vec::new();
    rests.read_to_end(&mut said).await.unwrap();
    assert!(said.ends_with(b"still here"), "{}", said.escape_ascii());
}

#[tokio::test]
async fn a_slow_but_steady_reader_gets_all_of_it() {
    const SIZE: usize = 1 << 20;
    let app = Recorder::with(|stream, _| {
        let _ = std::io::Read::read(stream, &mut [0; 65536]);
        let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
        let _ = stream.write_all(&vec![b'x'; SIZE]);
        let _ = std::io::Read::read(stream, &mut [0; 1]);
    });
    let gateway = serve(app.address(), "[connections]\nunread = \"2s\"\nidle = \"2s\"\n");
    let client = gateway.client();
    let mut stream = client.connect("http/1.1").await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let (mut read, mut piece) = (0, vec![0; SIZE / 100]);
    while read < SIZE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let some = stream.read(&mut piece).await.unwrap();
        assert!(some > 0, "it was cut off after {read} bytes");
        read += some;
    }
    assert_eq!(cut(&gateway, "unread"), 0);
}
