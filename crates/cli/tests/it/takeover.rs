//! A new process takes the place of one at work, and no visitor notices.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::client::{Client, form, get};
use crate::gateway::{Gateway, PATIENCE};
use crate::port::free_address;
use crate::recorder::{OK, Record, Recorder};
use crate::scratch::Scratch;

/// A site with a file, and those who serve it one after the other.
struct Site {
    app: Recorder,
    folder: Scratch,
    state: Arc<Scratch>,
    limit: &'static str,
    /// Whether the app lets tries at `/login?held` wait.
    holds: Arc<AtomicBool>,
}

impl Site {
    fn new() -> Self {
        Self::limited("off")
    }

    fn limited(limit: &'static str) -> Self {
        let holds = Arc::new(AtomicBool::new(true));
        let held = Arc::clone(&holds);
        let app = Recorder::with(move |stream, record| answer(stream, record, &held));
        let site = Self { app, folder: Scratch::new(), state: Scratch::new().into(), limit, holds };
        site.write("");
        site
    }

    fn write(&self, more: &str) {
        let text = format!(
            "{more}\nshield.rate_limit = '{}'\n[[site]]\nhosts = ['localhost']\nupstream = 'http://{}'\n\
             shield.brute_force.by_username_and_ip = {{ failures = 3, window = '1h', block = '1h' }}\n",
            self.limit,
            self.app.address()
        );
        fs::write(self.file(), text).unwrap();
    }

    fn file(&self) -> String {
        self.folder.path().join("panoply.toml").display().to_string()
    }

    fn socket(&self) -> PathBuf {
        self.state.path().join("takeover.sock")
    }

    fn start(&self, more: &[&str]) -> Gateway {
        let file = self.file();
        let arguments = ["serve", "--https", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", &file];
        let gateway = Gateway::start_in(&self.state, &[&arguments, more].concat(), &[]);
        while !self.socket().exists() {
            thread::sleep(Duration::from_millis(5));
        }
        gateway
    }

    /// What a start says that comes to nothing.
    fn refused(&self, https: &str, more: &[&str]) -> String {
        let file = self.file();
        let arguments = ["serve", "--https", https, "--config", &file];
        let output = crate::gateway::command(&[&arguments, more].concat(), &self.state).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        stderr
    }
}

/// An app at which nobody has the right password.
fn answer(stream: &mut TcpStream, record: &Record, holds: &AtomicBool) {
    let (mut got, mut chunk) = (String::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        record.add(&chunk[..read]);
        got += &String::from_utf8_lossy(&chunk[..read]);
        while let Some((head, rest)) = got.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let body = length.map_or(0, |length| length.parse().unwrap());
            let Some(next) = rest.get(body..) else { break };
            while head.starts_with("POST /login?held") && holds.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
            }
            let no = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(if head.starts_with("POST") { no } else { OK });
            got = next.to_owned();
        }
    }
}

fn login() -> Request<Full<Bytes>> {
    login_at("/login")
}

fn login_at(path: &str) -> Request<Full<Bytes>> {
    form(path, "email=a%40b.example&password=guess")
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_that_end_in_the_process_before_count_in_the_next() {
    let site = Site::new();
    let mut gateway = site.start(&[]);
    let client = gateway.client();
    let guesses: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.ask(login_at("/login?held")).await.status.as_u16() })
        })
        .collect();
    site.app.heads(3);
    let next = site.start(&["--take-over"]);
    next.logged("serves in the place of the one before");
    site.holds.store(false, Ordering::Relaxed);
    for guess in guesses {
        assert_eq!(guess.await.unwrap(), 401, "whose visitors are let to end");
    }
    assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.log());
    // It was told, and has to hear it. Without what it is told it would refuse the fourth at the earliest.
    let mut status = 0;
    for wait in [0.2, 3.0, 10.0].map(Duration::from_secs_f64) {
        tokio::time::sleep(wait).await;
        status = client.ask(login()).await.status.as_u16();
        if status == 429 {
            break;
        }
    }
    assert_eq!(status, 429, "{}", next.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_used_up_his_rate_has_used_it_up_in_the_next_process_too() {
    let site = Site::limited("3/h");
    let mut gateway = site.start(&[]);
    let client = gateway.client();
    for request in 0..3 {
        assert_eq!(client.get("/").await.status, 200, "request {request}");
    }
    assert_eq!(client.get("/").await.status, 429);
    let mut next = site.start(&["--take-over"]);
    assert_eq!(gateway.ended().code(), Some(0));
    assert_eq!(client.get("/").await.status, 429, "handed over");
    assert_eq!(client.from([127, 0, 0, 2]).get("/").await.status, 200, "another client");
    next.signal("TERM");
    assert_eq!(next.ended().code(), Some(0));
    let again = site.start(&[]);
    assert_eq!(again.client().get("/").await.status, 429, "started anew");
}

#[test]
fn who_is_told_to_end_while_he_hands_over_waits_for_whoever_takes_over() {
    let site = Site::new();
    let mut gateway = site.start(&[]);
    let mut successor = UnixStream::connect(site.socket()).unwrap();
    successor.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut lines = BufReader::new(successor.try_clone().unwrap());
    let mut hears = |word: &str| {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.starts_with(&format!("{{\"say\":\"{word}\"")), "{word}: `{line}`");
    };
    hears("hello");
    successor.write_all(b"{\"say\":\"let_go\",\"version\":1}\n").unwrap();
    hears("yours");
    gateway.signal("TERM");
    thread::sleep(Duration::from_millis(300));
    successor.write_all(b"{\"say\":\"serving\"}\n").unwrap();
    hears("done");
    drop(successor);
    assert_eq!(gateway.ended().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_to_end_after_he_has_handed_over_still_lets_requests_end() {
    let site = Site::new();
    let mut gateway = site.start(&[]);
    let client = gateway.client();
    let held = tokio::spawn(async move { client.ask(login_at("/login?held")).await.status.as_u16() });
    site.app.heads(1);
    let next = site.start(&["--take-over"]);
    next.logged("serves in the place of the one before");
    gateway.signal("TERM");
    thread::sleep(Duration::from_millis(300));
    site.holds.store(false, Ordering::Relaxed);
    assert_eq!(held.await.unwrap(), 401);
    assert_eq!(gateway.ended().code(), Some(0));
}

/// `PANOPLY_TAKEOVERS=200` for more of them.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_one_process_follows_another() {
    let site = Site::new();
    let mut gateway = site.start(&[]);
    let (https, client) = (gateway.https(), gateway.client());
    assert_eq!(fs::metadata(site.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    for guess in 0..3 {
        assert_eq!(client.ask(login()).await.status, 401, "guess {guess}");
    }
    assert_eq!(client.ask(login()).await.status, 429);

    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let visitors: Vec<_> = [(false, false), (false, true), (true, false), (true, true)]
        .into_iter()
        .map(|(keeps, http_2)| {
            let (client, done, answered) = (client.clone(), Arc::clone(&done), Arc::clone(&answered));
            tokio::spawn(visit(client, keeps, http_2, done, answered))
        })
        .collect();
    let total = std::env::var("PANOPLY_TAKEOVERS").map_or(20, |number| number.parse().unwrap());
    for number in 0..total {
        let before = answered.load(Ordering::Relaxed);
        let next = site.start(&["--take-over"]);
        next.logged("serves in the place of the one before");
        assert_eq!((next.https(), next.admin()), (https, gateway.admin()), "hand-over {number}");
        assert_eq!(gateway.ended().code(), Some(0), "hand-over {number}: {}", gateway.log());
        assert_ne!(next.pid(), gateway.pid());
        // The former is gone: whoever is answered now is so by the new one, which knows what was counted.
        assert_eq!(client.ask(login()).await.status, 429, "hand-over {number}");
        assert!(answered.load(Ordering::Relaxed) > before, "hand-over {number}");
        gateway = next;
    }
    done.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.await.expect("every request is answered");
    }
    println!("{total} hand-overs, {} requests", answered.load(Ordering::Relaxed));
}

async fn visit(client: Client, keeps: bool, http_2: bool, done: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    let mut kept = None;
    while !done.load(Ordering::Relaxed) {
        let answer = match (keeps, http_2) {
            (false, true) => client.ask_http_2(get("/")).await,
            (false, false) => client.get("/").await,
            (true, _) => match &mut kept {
                None => {
                    kept = Some(client.keep(http_2).await);
                    continue;
                }
                Some(connection) => match client.try_on(connection, get("/")).await {
                    Ok(answer) => answer,
                    // What was kept may be closed at any time, and a GET is asked again (RFC 9112 §9.3.1).
                    Err(_) => {
                        let mut fresh = client.keep(http_2).await;
                        let answer = client.try_on(&mut fresh, get("/")).await.expect("on a new connection");
                        kept = Some(fresh);
                        answer
                    }
                },
            },
        };
        assert_eq!(answer.status, 200, "{answer:?}");
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_come_to_serve_changes_nothing() {
    let site = Site::new();
    let mut gateway = site.start(&[]);
    let client = gateway.client();
    let mut kept = client.keep(true).await;
    assert_eq!(client.ask_on(&mut kept, get("/")).await.status, 200);
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("http = '{}'", theirs.local_addr().unwrap());
    for (more, said, let_go) in [
        ("shield.csfr = 'on'", "did you mean `csrf`", false),
        ("tls.cert = '/no/such'\ntls.key = '/no/such'", "cannot read `/no/such`", false),
        (&*taken, "cannot listen on", true), // this is found only when everything is given over
    ] {
        site.write(more);
        let stderr = site.refused("127.0.0.1:0", &["--take-over"]);
        assert!(stderr.contains(said), "{more}: {stderr}");
        if let_go {
            gateway.logged("did not come to serve: this one goes on");
        }
        assert_eq!(client.ask_on(&mut kept, get("/")).await.status, 200, "{more}");
        for answer in client.both(|| get("/")).await {
            assert_eq!(answer.status, 200, "{more}");
        }
        assert!(gateway.operate(&["bans", "list"]).0 == Some(0), "{more}: operators are heard");
    }

    // Without being asked to hand over it has its address for itself, and the mend is named.
    site.write("");
    let stderr = site.refused(&gateway.https().to_string(), &[]);
    assert!(stderr.contains(&format!("process {}, is at work: add --take-over", gateway.pid())), "{stderr}");
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0));
    assert!(!site.socket().exists(), "nothing is left of the offer");
    let gateway = site.start(&["--take-over"]);
    gateway.logged("nobody is at work with this state folder");
    assert_eq!(gateway.client().get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_strangers_do_nothing() {
    let site = Site::new();
    let mut gateway = site.start(&[]);
    let client = gateway.client();
    let long = "x".repeat(100_000);
    for (said, is_let_go) in [
        ("", false),
        ("GET / HTTP/1.1\r\n\r\n", false),
        ("{\"say\":\"serving\"}\n", false),
        ("{\"say\":\"let_go\",\"version\":2}\n", false),
        (&long, false),
        ("{\"say\":\"let_go\",\"version\":1}\n", true), // and then it is gone
    ] {
        let mut stream = UnixStream::connect(site.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(said.as_bytes());
        let mut hello = [0; 64];
        let read = stream.read(&mut hello).unwrap_or(0);
        let hello = String::from_utf8_lossy(&hello[..read]).into_owned();
        assert!(
            said.len() > 1000 || hello.starts_with("{\"say\":\"hello\",\"version\":1"),
            "{said}: {hello}"
        );
        drop(stream);
        if is_let_go {
            gateway.logged("did not come to serve: this one goes on");
        }
        let answer = tokio::time::timeout(PATIENCE, client.get("/")).await;
        assert_eq!(answer.expect("it accepts again").status, 200, "{said}");
    }
    // Who says nothing holds nobody up.
    let _silent: Vec<_> = (0..3).map(|_| UnixStream::connect(site.socket()).unwrap()).collect();
    let begun = Instant::now();
    let next = site.start(&["--take-over"]);
    // Each of them may take five seconds to say something.
    assert!(begun.elapsed() < Duration::from_secs(14), "it waited for those who said nothing");
    next.logged("serves in the place of the one before");
    assert_eq!(gateway.ended().code(), Some(0));
    assert_eq!(client.get("/").await.status, 200);
}

#[test]
fn who_has_started_its_app_says_that_it_cannot() {
    let state = Arc::new(Scratch::new());
    let arguments = ["run", "--https", "127.0.0.1:0", "--", "node", "shop.js"];
    let _gateway = Gateway::start_in(&state, &arguments, &[]);
    let mut output = None;
    for _ in 0..900 {
        let arguments = ["serve", "--to", "http://127.0.0.1:1", "--https", "127.0.0.1:0", "--take-over"];
        if state.path().join("takeover.sock").exists() {
            output = Some(crate::gateway::command(&arguments, &state).output().unwrap());
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let output = output.expect("it is asked");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("it has started the app itself") && stderr.contains("hint: "), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_systemd_are_handed_over_too_and_it_is_told_who_serves() {
    let site = Site::new();
    let https = free_address();
    let systemd = UnixDatagram::bind(site.folder.path().join("notify")).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let hears = || {
        let mut words = [0; 1024];
        let read = systemd.recv(&mut words).expect("a word in time");
        String::from_utf8_lossy(&words[..read]).into_owned()
    };
    thread::spawn(move || {
        while TcpStream::connect(https).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
    });
    let (file, notify) = (site.file(), site.folder.path().join("notify").display().to_string());
    let arguments = ["serve", "--config", &file];
    let mut first = Gateway::activated(
        &["-l", &https.to_string(), "--fdname=https"],
        &arguments,
        &[("NOTIFY_SOCKET", &notify)],
    );
    assert!(hears().starts_with("READY=1\n"));
    let client = first.client();
    assert_eq!((first.https(), client.get("/").await.status.as_u16()), (https, 200));

    let next = Gateway::start_in(first.state(), &[&arguments[..], &["--take-over"]].concat(), &[]);
    let main_process = format!("MAINPID={}\n", next.pid());
    let words = hears();
    assert!(words.starts_with(&main_process), "{words}");
    // By the socket that it was handed: nobody has set its environment.
    assert_eq!(hears(), format!("READY=1\nSTATUS=serving https on {https}"));
    assert_eq!(first.ended().code(), Some(0));
    assert_eq!((next.https(), client.get("/").await.status.as_u16()), (https, 200));
}
