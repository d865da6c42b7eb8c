//! What changes while the gateway runs, and that nobody notices: reloads, listeners, the end.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::Full;
use tokio::net::unix::pipe;

use crate::admin::ask;
use crate::client::{Client, get};
use crate::gateway::{Gateway, PATIENCE, panoply};
use crate::port::free_address;
use crate::recorder::{OK, Recorder};
use crate::sandbox::write_pair;
use crate::scratch::Scratch;

/// A gateway with a file that changes.
struct Changing {
    gateway: Gateway,
    folder: Scratch,
}

impl Changing {
    fn serve(text: &str) -> Self {
        let folder = Scratch::new();
        let file = folder.path().join("panoply.toml");
        fs::write(&file, text).unwrap();
        Self { gateway: serve(&file), folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("panoply.toml")
    }

    /// Puts another file into the place of the one that is there, as editors and package managers do.
    fn write(&self, text: &str) {
        let new = self.folder.path().join("panoply.toml.new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    fn change(&self, text: &str) {
        let before = reloads(&self.gateway);
        self.write(text);
        wait("the change is taken into use", || reloads(&self.gateway) > before, &self.gateway);
    }

    fn metric(&self, name: &str) -> Option<u64> {
        let page = ask(self.gateway.admin(), "GET /metrics", "", "");
        let line = page.lines().find(|line| line.split(' ').next() == Some(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

fn serve(file: &Path) -> Gateway {
    let addresses = ["--https", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    Gateway::start(&[&["serve", "--config", file.to_str().unwrap()], &addresses[..]].concat(), &[])
}

/// A line of the log says so, each time.
fn reloads(gateway: &Gateway) -> usize {
    gateway.log().matches("the configuration was read again").count()
}

fn wait(what: &str, done: impl Fn() -> bool, gateway: &Gateway) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}:\n{}", gateway.log());
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn app(answer: &'static [u8]) -> Recorder {
    Recorder::answering(answer)
}

const OLD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold";
const NEW: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnew";

fn site(app: &Recorder) -> String {
    format!("[[site]]\nhosts = ['localhost']\nupstream = 'http://{}'\n", app.address())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_open_meet_the_new_configuration_and_a_broken_one_changes_nothing() {
    let (old, new) = (app(OLD), app(NEW));
    let changing = Changing::serve(&site(&old));
    let client = changing.gateway.client();
    let (mut http_1, mut http_2) = (client.keep(false).await, client.keep(true).await);
    for kept in [&mut http_1, &mut http_2] {
        assert_eq!(client.ask_on(kept, get("/")).await.text(), "old");
    }
    changing.change(&site(&new));
    for kept in [&mut http_1, &mut http_2] {
        assert_eq!(client.ask_on(kept, get("/")).await.text(), "new");
    }
    assert_eq!(changing.metric("panoply_reload_failed"), Some(0));

    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = theirs.local_addr().unwrap();
    let short = changing.folder.path().join("short");
    fs::write(&short, "short\n").unwrap();
    for (refused, (text, said, by_check)) in [
        ("shield.csfr = 'on'".to_owned(), "did you mean `csrf`".to_owned(), true),
        ("[tls]\ncert = '/no/such'\nkey = '/no/such'".to_owned(), "cannot read `/no/such`".to_owned(), true),
        (format!("keys = {{ file = '{}' }}", short.display()), "at least 32 were expected".to_owned(), true),
        (format!("http = '{taken}'"), format!("cannot listen on {taken}"), false),
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!("{text}\n{}", site(&old));
        changing.write(&text);
        changing.gateway.logged(&said);
        wait("it is counted", || changing.metric("panoply_reload_failed") == Some(1), &changing.gateway);
        let count = || changing.metric("panoply_reloads_total{result=\"refused\"}");
        wait("once each", || count() == Some(refused as u64 + 1), &changing.gateway);
        assert_eq!(client.ask_on(&mut http_2, get("/")).await.text(), "new", "{text}");
        let (code, _, complaint) = panoply(&["config", "check", changing.file().to_str().unwrap()]);
        assert_eq!(
            (code, complaint.contains(&said)),
            (Some(if by_check { 2 } else { 0 }), by_check),
            "{complaint}"
        );
    }
    fs::remove_file(changing.file()).unwrap();
    changing.change(&site(&old));
    assert_eq!(changing.metric("panoply_reload_failed"), Some(0));
    assert_eq!(client.ask_on(&mut http_1, get("/")).await.text(), "old");

    // Nothing is left to be done by a file that is the same.
    let before = reloads(&changing.gateway);
    changing.write(&site(&old));
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(reloads(&changing.gateway), before);
    changing.write(&format!("state = '/elsewhere'\n{}", site(&old)));
    changing.gateway.logged("a setting has changed that cannot while it runs setting=\"state\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_volume_changes_by_a_link() {
    let (old, new) = (app(OLD), app(NEW));
    let folder = Scratch::new();
    for (name, app) in [("..first", &old), ("..second", &new)] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("panoply.toml"), site(app)).unwrap();
    }
    let link = |from: &str, to: &str| std::os::unix::fs::symlink(to, folder.path().join(from)).unwrap();
    link("..data", "..first");
    link("panoply.toml", "..data/panoply.toml");
    let gateway = serve(&folder.path().join("panoply.toml"));
    assert_eq!(gateway.client().get("/").await.text(), "old");
    link("..new", "..second");
    fs::rename(folder.path().join("..new"), folder.path().join("..data")).unwrap();
    wait("the link is seen", || reloads(&gateway) == 1, &gateway);
    assert_eq!(gateway.client().get("/").await.text(), "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_come_and_go_and_those_that_stay_are_not_touched() {
    let app = app(OK);
    let http = free_address();
    let with = format!("http = '{http}'\n{}", site(&app));
    let changing = Changing::serve(&site(&app));
    let client = changing.gateway.client();
    let mut kept = client.keep(false).await;
    client.ask_on(&mut kept, get("/")).await;
    assert!(TcpStream::connect(http).is_err());

    changing.change(&with);
    let mut stream = redirected(http);
    changing.change(&site(&app));
    // Who came in by it is let go, and nobody comes in any more.
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    wait("the port is closed", || TcpStream::connect(http).is_err(), &changing.gateway);
    assert_eq!(client.ask_on(&mut kept, get("/")).await.status, 200);
    changing.change(&with);
    redirected(http);
}

/// A file on a disk that is away keeps who reads it waiting, as a pipe does into which nobody writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_proxies_that_does_not_come_keeps_no_visitor_waiting() {
    let app = app(OK);
    let folder = Scratch::new();
    let (file, proxies) = (folder.path().join("panoply.toml"), folder.path().join("proxies"));
    fs::write(&proxies, "10.0.0.0/8\n").unwrap();
    fs::write(&file, format!("trusted_proxies_file = '{}'\n{}", proxies.display(), site(&app))).unwrap();
    let gateway = serve(&file);
    let client = gateway.client();
    fs::remove_file(&proxies).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&proxies).status().unwrap().success());
    gateway.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..4 {
        let answer = tokio::time::timeout(PATIENCE, client.get("/")).await;
        assert_eq!(answer.expect("connections are accepted").status, 200);
    }
    assert_eq!(reloads(&gateway), 0);
    fs::write(&proxies, "10.0.0.0/8\n").unwrap();
    wait("the file has come", || reloads(&gateway) == 1, &gateway);
}

/// Each of them is asked for in another place: by who reads the file, by who reads what it names, and by who watches them.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_to_end_does_so_while_a_reload_waits_for_a_file() {
    let app = app(OK);
    let shop = &["node", "shop.js"];
    for (name, signal, is_run) in [
        ("panoply.toml", "TERM", false),
        ("proxies", "INT", false),
        ("proxies", "TERM", false),
        ("cert.pem", "TERM", false),
        ("cert.pem", "TERM", true),
    ] {
        let folder = Scratch::new();
        let path = |name: &str| folder.path().join(name);
        let tables = if is_run { "[[site]]\nhosts = ['localhost']\n".to_owned() } else { site(&app) };
        fs::write(path("proxies"), "10.0.0.0/8\n").unwrap();
        write_pair(&path("cert.pem"), &path("key.pem"));
        let text = |more: &str| {
            let place = folder.path().display();
            format!(
                "trusted_proxies_file = '{place}/proxies'\n{more}\n\
                 tls = {{ cert = '{place}/cert.pem', key = '{place}/key.pem' }}\n{tables}"
            )
        };
        fs::write(path("panoply.toml"), text("")).unwrap();
        let file = path("panoply.toml");
        let mut gateway =
            if is_run { Gateway::run(&["--config", file.to_str().unwrap()], shop) } else { serve(&file) };

        let pipe = path("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::rename(pipe, path(name)).unwrap();
        gateway.signal("HUP");
        let _keeps_it_waiting = written(&path(name));
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(reloads(&gateway), 0, "{name}");
        let told = Instant::now();
        gateway.signal(signal);
        let code = if is_run { 143 } else { 0 }; // the app's own: it is told too
        assert_eq!(gateway.ended().code(), Some(code), "{name} {signal}:\n{}", gateway.log());
        assert!(told.elapsed() < Duration::from_secs(8), "{name} {signal}: {:?}", told.elapsed());
    }
}

/// The end that somebody who reads the pipe waits for.
fn written(pipe: &Path) -> pipe::Sender {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        // Without a reader there is none to be had (fifo(7)).
        if let Ok(opened) = pipe::OpenOptions::new().open_sender(pipe) {
            return opened;
        }
        assert!(Instant::now() < deadline, "nobody reads {}", pipe.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn keys_that_come_or_go_are_told_where_something_is_shared() {
    let app = app(OK);
    let without = format!("store.url = 'redis://127.0.0.1:1'\n{}", site(&app));
    let with = format!("keys = ['9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymA=']\n{without}");
    for (before, after, said) in [
        (&without, &with, "`keys` are named that were not before"),
        (&with, &without, "no `keys` are named any more"),
    ] {
        let changing = Changing::serve(before);
        changing.change(after);
        changing.gateway.logged(said);
    }
}

fn redirected(http: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(http).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 301");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_when_its_site_is_another_and_no_sooner_than_its_answer() {
    let slow = Recorder::with(|stream, record| {
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut chunk) {
            record.add(&chunk[..read]);
            std::thread::sleep(Duration::from_secs(6));
            let _ = stream.write_all(OLD);
        }
    });
    let named = |hosts: &str| site(&slow).replace("'localhost'", hosts);
    let changing = Changing::serve(&named("'localhost', 'a.example'"));
    let client = changing.gateway.client();
    let asked = [false, true].map(|http_2| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut kept = client.keep(http_2).await;
            let answer = client.ask_on(&mut kept, get("/")).await;
            let deadline = Instant::now() + PATIENCE;
            while !kept.is_closed() && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (answer.text().to_owned(), kept.is_closed())
        })
    });
    slow.heads(2);
    changing.change(&named("'localhost', 'a.example', 'b.example'")); // what is added ends nothing
    changing.change(&named("'localhost'"));
    for asked in asked {
        assert_eq!(asked.await.unwrap(), ("old".to_owned(), true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_outlive_a_reload() {
    let app = app(OK);
    let limited = |more: &str| format!("[shield]\nrate_limit = '2/h'\n{more}\n{}", site(&app));
    let changing = Changing::serve(&limited(""));
    let client = changing.gateway.client();
    while client.get("/").await.status == 200 {}
    changing.change(&limited("csrf = 'off'"));
    assert_eq!(client.get("/").await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_run_a_reload_is_no_word_to_the_app() {
    let folder = Scratch::new();
    let file = folder.path().join("panoply.toml");
    fs::write(&file, "[[site]]\nshield.csrf = 'on'\n").unwrap();
    let gateway = Gateway::run(&["--config", file.to_str().unwrap()], &["node", "shop.js"]);
    assert_eq!(gateway.client().get("/etag").await.status, 200);
    gateway.signal("HUP");
    wait("it is read again", || reloads(&gateway) == 1, &gateway);
    assert_eq!(gateway.client().get("/etag").await.status, 200);
}

/// `PANOPLY_RELOADS=1000` for more of them.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_the_configuration_changes() {
    let (old, new) = (app(OLD), app(NEW));
    let texts = [("on", &old), ("off", &new)]
        .map(|(csrf, app)| format!("shield.rate_limit = 'off'\nshield.csrf = '{csrf}'\n{}", site(app)));
    let changing = Changing::serve(&texts[0]);
    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let visitors: Vec<_> =
        [Visitor::Kept(false), Visitor::Kept(true), Visitor::New(false), Visitor::New(true)]
            .into_iter()
            .map(|visitor| {
                tokio::spawn(visitor.ask(changing.gateway.client(), Arc::clone(&done), Arc::clone(&answered)))
            })
            .collect();

    let total = std::env::var("PANOPLY_RELOADS").map_or(300, |number| number.parse().unwrap());
    let mut memory = 0;
    for number in 0..total {
        if number < total / 2 {
            memory = resident(&changing.gateway).max(memory); // what the allocator takes, it keeps for a while
        }
        let before = reloads(&changing.gateway);
        changing.write(&texts[(number + 1) % 2]);
        changing.gateway.signal("HUP");
        wait("a reload", || reloads(&changing.gateway) > before, &changing.gateway);
    }
    let grown = resident(&changing.gateway).saturating_sub(memory);
    done.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.await.expect("every request is answered");
    }
    let answered = answered.load(Ordering::Relaxed);
    println!("{total} reloads, {answered} requests, {grown} KiB more of {memory} KiB");
    assert!(answered > total, "{answered} requests while there were {total} reloads");
    assert!(grown < 4 * 1024, "{grown} KiB more than {memory} KiB");
}

#[derive(Clone, Copy)]
enum Visitor {
    /// On one connection; of HTTP/2, or of HTTP/1.1.
    Kept(bool),
    /// On a new one each time.
    New(bool),
}

impl Visitor {
    async fn ask(self, client: Client, done: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
        let mut kept = client.keep(matches!(self, Self::Kept(true))).await;
        while !done.load(Ordering::Relaxed) {
            let answer = match self {
                Self::Kept(_) => client.ask_on(&mut kept, get("/")).await,
                Self::New(true) => client.ask_http_2(get("/")).await,
                Self::New(false) => client.get("/").await,
            };
            assert!(answer.status == 200 && ["old", "new"].contains(&answer.text()), "{answer:?}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// In KiB, as the kernel counts it.
fn resident(gateway: &Gateway) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_says_no_before_anything_ends() {
    let app = app(OK);
    let mut changing = Changing::serve(&format!("shutdown.delay = '8s'\n{}", site(&app)));
    let admin = changing.gateway.admin();
    let ready = |path: &str| ask(admin, &format!("GET {path}"), "", "").contains("HTTP/1.1 200");
    let client = changing.gateway.client();
    assert!(ready("/health/live") && ready("/health/ready"));
    // A probe asks by an address that is not this machine's own name.
    assert!(ask(admin, "GET /health/ready", "host: 192.0.2.1\r\n", "").contains("HTTP/1.1 200"));
    changing.gateway.signal("TERM");
    wait("readiness says no", || !ready("/health/ready"), &changing.gateway);
    assert!(ready("/health/live"));
    let request = Request::get("/").body(Full::default()).unwrap();
    assert_eq!(client.ask(request).await.status, 200, "whoever has not heard of it is served");
    assert_eq!(changing.gateway.ended().code(), Some(0));
}
