//! A line for each request: what it says, what it never says, and that no request waits for it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Full;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Client, get};
use crate::gateway::{Gateway, PATIENCE, panoply};
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;

/// A folder with a configuration that keeps a log there, and more settings.
pub(crate) struct Place {
    folder: Scratch,
    pub(crate) log: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = Scratch::new();
        let log = folder.path().join("access.log");
        Self { folder, log }
    }

    pub(crate) fn config(&self, more: &str) -> String {
        self.write("panoply.toml", &format!("access_log = '{}'\n{more}", self.log.display()))
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits until so many lines are there; each is JSON, and of ASCII but for what stands for what was left out.
    pub(crate) fn lines(&self, count: usize) -> Vec<Value> {
        lines_in(&self.log, count)
    }
}

fn lines_in(log: &Path, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        if text.lines().count() >= count && text.ends_with('\n') {
            assert!(text.chars().all(|c| matches!(c, ' '..='~' | '\n' | '…')), "{text:?}");
            return text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        }
        assert!(Instant::now() < deadline, "{count} lines were expected, these came:\n{text}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn each_request_has_its_line_and_no_secret_is_in_it() {
    let place = Place::new();
    let app = Recorder::answering(OK);
    let config = place.config("shield.rate_limit.limits.two = { rate = '2/h', path = '/two' }");
    let gateway = Gateway::serve(app.address(), &["--http", "127.0.0.1:0", "--config", &config]);
    let client = gateway.client();
    for answer in client
        .both(|| {
            Request::get("/login?next=/a&token=hunter2&hunter2")
                .header("cookie", "sid=hunter2")
                .header("authorization", "Basic aHVudGVyMg==")
                .header("referer", "https://ann:hunter2@shop.example/reset/hunter2?t=hunter2")
                .header("user-agent", "curl/8")
                .body(Full::<Bytes>::default())
                .unwrap()
        })
        .await
    {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let lines = place.lines(2);
    let text = fs::read_to_string(&place.log).unwrap();
    assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
    for protocol in ["HTTP/1.1", "HTTP/2"] {
        // Lines of one moment stand in any order.
        let line = lines.iter().find(|line| line["protocol"] == protocol).expect(protocol);
        let host = client.authority();
        for (name, value) in [
            ("client", "127.0.0.1"),
            ("method", "GET"),
            ("host", &host),
            ("path", "/login"),
            ("query", "next=…&token=…&…"),
            ("referer", "https://shop.example"),
            ("agent", "curl/8"),
        ] {
            assert_eq!(line[name], value, "{name} in {line}");
        }
        assert_eq!((&line["status"], &line["bytes"], &line["tls"]), (&200.into(), &2.into(), &true.into()));
        assert!(line.get("cut").is_none() && line.get("refused").is_none(), "{line}");
        assert_eq!(line["id"].as_str().unwrap().len(), 32, "{line}");
        assert!((0.0..60.0).contains(&line["seconds"].as_f64().unwrap()), "{line}");
    }

    // Who is refused, who is not answered by the app, who asks for nothing but the head, and the door in the clear.
    let mut pages = Vec::new();
    for _ in 0..3 {
        pages.push(client.get("/two").await);
    }
    let page = pages.pop().unwrap();
    assert_eq!(page.status, 429);
    let (_, id) = page.text().split_once("<code>").unwrap();
    let head = Request::head("/head").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(client.ask(head).await.status, 200);
    let mut plain = std::net::TcpStream::connect(gateway.http()).unwrap();
    plain.write_all(b"GET /plain HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
    plain.read_to_end(&mut Vec::new()).unwrap();

    let lines = place.lines(7);
    let refused = lines.iter().find(|line| line["refused"] == "rate_limit").expect("one was refused");
    assert_eq!((&refused["rule"], &refused["status"]), (&"two".into(), &429.into()));
    assert!(id.starts_with(refused["id"].as_str().unwrap()), "{id} {refused}");
    assert!(refused["bytes"].as_u64().unwrap() > 100 && refused.get("cut").is_none(), "{refused}");
    let head = lines.iter().find(|line| line["path"] == "/head").unwrap();
    assert!(head.get("cut").is_none() && head["bytes"] == 0, "{head}");
    let plain = lines.iter().find(|line| line["path"] == "/plain").unwrap();
    assert_eq!((&plain["tls"], &plain["protocol"]), (&false.into(), &"HTTP/1.0".into()));
    assert!((300..400).contains(&plain["status"].as_u64().unwrap()), "{plain}");

    let mode = fs::metadata(&place.log).unwrap().mode() & 0o777;
    assert_eq!(mode & !0o640, 0, "{mode:o}");
    assert!(gateway.log().contains("access log"), "start-up says where it is");
}

#[tokio::test]
async fn nothing_that_is_sent_makes_a_second_line_or_commands_a_terminal() {
    let place = Place::new();
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--config", &place.config("")]);
    let client = gateway.client();
    let hostile: [&[u8]; 9] = [
        b"\xff\xfe\x80",
        b"\"}{\"time\":\"x\"}",
        b"\\\" , \\",
        "\u{202e}gpj.exe \u{2066}".as_bytes(),
        "\u{9b}2J \u{2028}{\"forged\":1}".as_bytes(),
        b"\t{\"forged\":1}\t",
        "%0a%0d%1b[2J".as_bytes(),
        "💰 ü ${jndi:ldap://x} <script>".as_bytes(),
        &[b'A'; 9_000],
    ];
    let mut asked = 0;
    for bytes in hostile {
        let value = HeaderValue::from_bytes(bytes).unwrap();
        for answer in client
            .both(|| {
                let request = Request::get("/").header("user-agent", &value).header("referer", &value);
                request.body(Full::<Bytes>::default()).unwrap()
            })
            .await
        {
            assert!(matches!(answer.status.as_u16(), 200 | 431), "{answer:?}");
            asked += 1;
        }
        // Bytes that no client's library would put into a target.
        let mut stream = client.connect("http/1.1").await;
        let target: Vec<u8> = bytes.iter().copied().filter(|byte| !b" \t".contains(byte)).collect();
        let head =
            [b"GET /x", &target[..], b"?", &target[..], b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"];
        stream.write_all(&head.concat()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        asked += usize::from(!answer.starts_with(b"HTTP/1.1 400") || answer.len() > 200);
    }
    let lines = place.lines(asked);
    assert_eq!(lines.len(), asked);
    assert!(lines.iter().all(|line| line.get("forged").is_none()));
    let longest = fs::read_to_string(&place.log).unwrap().lines().map(str::len).max();
    assert!(longest < Some(20_000), "{longest:?}");
}

#[tokio::test]
async fn what_was_cut_off_is_marked_with_how_far_it_came() {
    let place = Place::new();
    let app = Recorder::with(|stream, record| {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap_or(0);
        record.add(&chunk[..read]);
        if chunk[..read].starts_with(b"GET /never") {
            thread::sleep(Duration::from_secs(20));
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n");
        let _ = stream.write_all(&[b'x'; 100_000]);
        thread::sleep(Duration::from_secs(20));
    });
    let gateway = Gateway::serve(app.address(), &["--config", &place.config("")]);
    let client = gateway.client();
    drop(client.begin(get("/half")).await);

    // Who leaves before there is an answer.
    let mut stream = client.connect("http/1.1").await;
    stream.write_all(b"GET /never HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    app.heads(2);
    drop(stream);

    let lines = place.lines(2);
    let half = lines.iter().find(|line| line["path"] == "/half").unwrap();
    assert_eq!((&half["cut"], &half["status"]), (&true.into(), &200.into()));
    assert!(half["bytes"].as_u64().unwrap() < 67_108_864, "{half}");
    let never = lines.iter().find(|line| line["path"] == "/never").unwrap();
    assert!(never["cut"] == true && never.get("status").is_none(), "{never}");
    assert!(never["client"] == "127.0.0.1" && never["id"].is_string(), "{never}");
}

#[tokio::test]
async fn a_log_that_is_moved_or_removed_goes_on_and_loses_no_line() {
    let place = Place::new();
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--config", &place.config("")]);
    let client = gateway.client();
    let mut kept = client.keep(true).await;
    let mut ask = async |path: &str| assert_eq!(client.ask_on(&mut kept, get(path)).await.status, 200);

    for _ in 0..50 {
        ask("/old").await;
    }
    let old = place.path("access.log.1");
    place.lines(50);
    fs::rename(&place.log, &old).unwrap();
    gateway.signal("USR1");
    let deadline = Instant::now() + PATIENCE;
    while !place.log.exists() {
        assert!(Instant::now() < deadline, "SIGUSR1 was not heard: {}", gateway.log());
        thread::sleep(Duration::from_millis(10));
    }
    for _ in 0..50 {
        ask("/new").await;
    }
    assert_eq!(place.lines(50).iter().filter(|line| line["path"] == "/new").count(), 50);
    assert_eq!(lines_in(&old, 50).iter().filter(|line| line["path"] == "/old").count(), 50);

    // Nobody sends a signal: a second later it is noticed.
    fs::remove_file(&place.log).unwrap();
    while !place.log.exists() {
        assert!(Instant::now() < deadline + PATIENCE, "its absence was not noticed");
        thread::sleep(Duration::from_millis(10));
    }
    ask("/third").await;
    assert_eq!(place.lines(1)[0]["path"], "/third");

    // Without a stop in between: what the old files have and what the new one has is all that was asked. What would be
    // noticed within a second is heard at once.
    let (mut files, mut fastest) = (Vec::new(), Duration::MAX);
    for round in 0..10 {
        for _ in 0..50 {
            ask("/busy").await;
        }
        let moved = place.path(&format!("busy.{round}"));
        fs::rename(&place.log, &moved).unwrap();
        let start = Instant::now();
        gateway.signal("USR1");
        files.push(moved);
        while !place.log.exists() {
            assert!(start.elapsed() < PATIENCE, "SIGUSR1 was not heard");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        fastest = fastest.min(start.elapsed());
    }
    assert!(fastest < Duration::from_millis(500), "{fastest:?}");
    ask("/last").await;
    while place.lines(1).last().unwrap()["path"] != "/last" {
        assert!(Instant::now() < deadline + 2 * PATIENCE, "the last line is not there");
        thread::sleep(Duration::from_millis(10));
    }
    files.push(place.log.clone());
    let all: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    assert_eq!(all.lines().filter(|line| line.contains("\"/busy\"")).count(), 500);
}

#[tokio::test]
async fn a_reader_that_is_stuck_slows_no_request_and_what_is_lost_is_counted() {
    let place = Place::new();
    assert!(Command::new("mkfifo").arg(&place.log).status().unwrap().success());
    let app = Recorder::answering(OK);
    let config = place.config("admin = '127.0.0.1:0'\nshield.rate_limit = 'off'");
    let gateway = Gateway::serve(app.address(), &["--config", &config]);
    let client = gateway.client();
    // Long lines, of which a few hundred fill what there is room for.
    let path = format!("/{}", "x".repeat(2_000));
    let agent = HeaderValue::from_bytes(&[0xff; 250]).unwrap();
    let attack = async |client: &Client, count: usize| {
        let mut kept = client.keep(true).await;
        let mut slowest = Duration::ZERO;
        for _ in 0..count {
            let mut request = get(&path);
            request.headers_mut().insert("user-agent", agent.clone());
            let start = Instant::now();
            assert_eq!(client.ask_on(&mut kept, request).await.status, 200);
            slowest = slowest.max(start.elapsed());
        }
        slowest
    };
    // Nobody has opened the pipe; then somebody has, and does not read.
    let slowest = attack(&client, 900).await;
    assert!(slowest < Duration::from_secs(15), "{slowest:?}");
    let pipe = fs::OpenOptions::new().read(true).custom_flags(0o4000).open(&place.log).unwrap();
    let slowest = attack(&client, 400).await;
    assert!(slowest < Duration::from_secs(15), "{slowest:?}");

    let dropped = dropped(&gateway);
    assert!(dropped > 0 && dropped < 1_300, "{dropped}");
    gateway.logged("lines of the access log are lost");
    assert_eq!(gateway.log().matches("lines of the access log are lost").count(), 1, "{}", gateway.log());

    // Whoever reads at last gets whole lines.
    let mut read = Vec::new();
    let lines = |read: &[u8]| read.iter().filter(|byte| **byte == b'\n').count();
    let deadline = Instant::now() + PATIENCE;
    while lines(&read) < 1_300 - usize::try_from(dropped).unwrap() {
        assert!(Instant::now() < deadline, "{} lines and {dropped} lost ones", lines(&read));
        let mut chunk = [0; 65_536];
        match (&pipe).read(&mut chunk) {
            Ok(count @ 1..) => read.extend_from_slice(&chunk[..count]),
            _ => thread::sleep(Duration::from_millis(10)),
        }
    }
    for line in String::from_utf8(read).unwrap().lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[tokio::test]
async fn a_full_disk_costs_lines_and_no_request() {
    let place = Place::new();
    let config = place.write("panoply.toml", "access_log = '/dev/full'\nadmin = '127.0.0.1:0'");
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--config", &config]);
    for _ in 0..10 {
        assert_eq!(gateway.client().get("/").await.status, 200);
    }
    let deadline = Instant::now() + PATIENCE;
    while dropped(&gateway) < 10 {
        assert!(Instant::now() < deadline, "{}", dropped(&gateway));
        thread::sleep(Duration::from_millis(20));
    }
    gateway.logged("No space left on device");
}

#[tokio::test]
async fn what_was_asked_last_is_written_before_the_end() {
    let place = Place::new();
    let app = Recorder::answering(OK);
    let mut gateway = Gateway::serve(app.address(), &["--config", &place.config("")]);
    for number in 0..20 {
        assert_eq!(gateway.client().get(&format!("/{number}")).await.status, 200);
    }
    gateway.signal("TERM");
    assert!(gateway.ended().success());
    assert_eq!(fs::read_to_string(&place.log).unwrap().lines().count(), 20);
}

#[tokio::test]
async fn under_run_a_rotation_is_no_word_to_the_app() {
    let place = Place::new();
    let heard = "Debugger listening";
    for (config, reaches_the_app) in [(place.config(""), false), (place.write("none.toml", ""), true)] {
        // Its debugger has a port of its own, as others have whose apps run beside.
        let app = ["node", "--inspect-port=0", "doors.js"];
        let gateway = Gateway::run(&["--config", &config], &app);
        assert_eq!(gateway.client().get("/checked").await.status, 200);
        gateway.signal("USR1");
        if reaches_the_app {
            gateway.logged(heard);
        } else {
            fs::rename(&place.log, place.path("moved")).unwrap();
            gateway.signal("USR1");
            assert_eq!(gateway.client().get("/checked").await.status, 200);
            place.lines(1);
            assert!(!gateway.log().contains(heard), "{}", gateway.log());
        }
    }
}

#[test]
fn a_log_that_cannot_be_written_is_said_at_the_start() {
    let place = Place::new();
    for (file, says) in [("/no/such/folder/access.log", "cannot write"), ("/tmp", "cannot write")] {
        let config = place.write("panoply.toml", &format!("access_log = '{file}'"));
        let (code, _, error) = panoply(&["serve", "--to", "http://127.0.0.1:1", "--config", &config]);
        assert_eq!(code, Some(2), "{file}: {error}");
        assert!(error.contains(says) && error.contains(file) && error.contains("hint: "), "{file}: {error}");
    }
}

#[tokio::test]
async fn a_dash_is_standard_output() {
    let place = Place::new();
    let config = place.write("panoply.toml", "access_log = '-'");
    let app = Recorder::answering(OK);
    let to = format!("http://{}", app.address());
    let mut child = Command::new(env!("CARGO_BIN_EXE_panoply"))
        .args(["serve", "--https", "127.0.0.1:0", "--to", &to, "--config", &config])
        .env("STATE_DIRECTORY", place.path("state"))
        .env_remove("PANOPLY_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut https = None;
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("https") => https = words.next().and_then(|address| address.parse().ok()),
            Some("headers") => break,
            _ => {}
        }
    }
    let client = Client::trusting(&place.path("state/self-made.crt"), https.expect("it started"));
    let status = client.get("/shown").await.status;
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["path"], "/shown", "{line}");
}

/// What Prometheus would see.
fn dropped(gateway: &Gateway) -> u64 {
    let mut stream = std::net::TcpStream::connect(gateway.admin()).unwrap();
    let host = gateway.admin();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let line = page.lines().find(|line| line.starts_with("panoply_access_log_dropped_total ")).expect(&page);
    line.split(' ').nth(1).unwrap().parse().unwrap()
}
