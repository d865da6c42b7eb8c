//! Behind a load balancer that says by the PROXY protocol whose bytes it passes on.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use crate::connections::{cuts, serve};
use crate::gateway::Gateway;
use crate::port::free_port;
use crate::process::Process;
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;

const BEHIND: &str =
    "proxy_protocol = [\"127.0.0.0/30\"]\n[connections]\nmost_by_client = 2\nhandshake = \"10s\"\n";

/// curl's exit code, and what it was answered with.
fn curl(gateway: &Gateway, arguments: &[&str]) -> (Option<i32>, String) {
    let url = format!("https://localhost:{}/", gateway.https().port());
    let certificate = gateway.state().path().join("self-made.crt");
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "30", "--write-out", " %{http_code}", "--ipv4", "--cacert"])
        .arg(certificate)
        .args(arguments)
        .arg(url)
        .output()
        .expect("curl: run scripts/test");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Version 2 for TCP over IPv4, with something that nobody knows behind the addresses.
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xcb\0\x71\x09\xc6\x33\x64\x01\x12\x67\x01\xbb\xee\0\x04what";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

#[tokio::test]
async fn the_visitor_is_whom_the_balancer_names() {
    let app = Recorder::answering(OK);
    let gateway = serve(app.address(), BEHIND);
    let client = gateway.client();
    for (number, (header, visitor)) in [
        (&b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n"[..], "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (V2, "203.0.113.9"),
        (LOCAL, "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut stream = client.connect_after(header, "http/1.1").await.unwrap();
        let asked = format!("GET /{number} HTTP/1.1\r\n");
        let head = format!("{asked}host: localhost\r\nx-forwarded-for: 6.6.6.6\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let heads = app.heads(number + 1);
        let head = heads.iter().find(|head| head.starts_with(&asked)).unwrap();
        let told = format!("x-forwarded-for: {visitor}\r\n");
        assert!(head.contains(&told), "{}: {head}", header.escape_ascii());
    }
}

/// A health check that finds a limit takes the gateway out of service, for everybody.
#[tokio::test]
async fn a_balancer_that_names_nobody_is_never_blocked() {
    let app = Recorder::answering(OK);
    let limited = "proxy_protocol = [\"127.0.0.1\"]\n[shield]\nrate_limit = \"4/day\"\n";
    let gateway = serve(app.address(), limited);
    let client = gateway.client();
    for (header, blocked) in [
        (LOCAL, false),
        (&b"PROXY UNKNOWN\r\n"[..], false),
        (b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n", true),
    ] {
        let mut last = String::new();
        for _ in 0..8 {
            let mut stream = client.connect_after(header, "http/1.1").await.unwrap();
            let head = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            stream.write_all(head).await.unwrap();
            last.clear();
            let _ = tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut last).await;
        }
        let status = if blocked { "HTTP/1.1 429" } else { "HTTP/1.1 200" };
        assert!(last.starts_with(status), "{}: {last}", header.escape_ascii());
    }
}

#[test]
fn a_balancer_has_to_say_and_nobody_else_may() {
    let app = Recorder::answering(OK);
    let gateway = serve(app.address(), BEHIND);
    assert_eq!(curl(&gateway, &["--haproxy-protocol"]).1, "ok 200");
    assert_eq!(curl(&gateway, &["--interface", "127.0.0.3", "--haproxy-protocol"]).1, "ok 200");
    let heads = app.heads(2).concat();
    assert!(heads.contains("x-forwarded-for: 127.0.0.3\r\n"), "{heads}");

    assert_ne!(curl(&gateway, &[]).0, Some(0));
    let stranger = ["--interface", "127.0.0.9", "--haproxy-protocol"];
    assert_ne!(curl(&gateway, &stranger).0, Some(0));
    assert_eq!(curl(&gateway, &stranger[..2]).1, "ok 200");
    let begun = Instant::now();
    let mut silent = TcpStream::connect(gateway.https()).unwrap();
    Write::write_all(&mut silent, b"PROXY TCP4 203.0.113.7").unwrap();
    assert!(matches!(silent.read(&mut [0]), Ok(0) | Err(_)));
    assert!((Duration::from_millis(900)..Duration::from_secs(30)).contains(&begun.elapsed()));
    cuts(&gateway, "proxy_header", 2);
    gateway.logged("take it out of `proxy_protocol`");
}

#[test]
fn a_client_behind_the_balancer_has_its_places_and_others_have_theirs() {
    let app = Recorder::answering(OK);
    let gateway = serve(app.address(), BEHIND);
    let open = |ip: &str| {
        let mut stream = TcpStream::connect(gateway.https()).unwrap();
        write!(stream, "PROXY TCP4 {ip} 198.51.100.1 4711 443\r\n").unwrap();
        stream
    };
    let is_open = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    let mut held = [(); 2].map(|()| open("203.0.113.7"));
    assert!(held.iter_mut().all(is_open));
    let mut third = open("203.0.113.7");
    cuts(&gateway, "client", 1);
    assert!(matches!(third.read(&mut [0]), Ok(0) | Err(_)), "a third of one client");
    assert!(is_open(&mut open("203.0.113.8")), "another client behind the same balancer");
}

/// nginx passes bytes on in version 1, and answers a health check of its own.
#[test]
fn nginx_says_whose_bytes_it_passes_on() {
    let app = Recorder::answering(OK);
    let gateway = serve(app.address(), BEHIND);
    let folder = Scratch::new();
    let port = free_port();
    let modules = "/usr/lib/nginx/modules/ngx_stream_module.so";
    assert!(fs::exists(modules).unwrap(), "libnginx-mod-stream is missing: run scripts/test");
    let file = folder.path().join("nginx.conf");
    let text = format!(
        "load_module {modules};\ndaemon off;\npid {0}/pid;\nerror_log {0}/error.log;\nevents {{}}\n\
         stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass {1}; proxy_protocol on; }} }}\n",
        folder.path().display(),
        gateway.https(),
    );
    fs::write(&file, text).unwrap();
    let mut command = Process::command("/usr/sbin/nginx");
    let _nginx = Process::start(command.arg("-c").arg(&file), port);
    let to = format!("localhost:{}:127.0.0.1:{port}", gateway.https().port());
    let to = to.as_str();
    let answer = curl(&gateway, &["--interface", "127.0.0.5", "--connect-to", to]);
    assert_eq!(answer.1, "ok 200");
    let head = &app.heads(1)[0];
    assert!(head.contains("x-forwarded-for: 127.0.0.5\r\n"), "{head}");
}
