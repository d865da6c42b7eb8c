//! An app at several places, of which some are killed, stopped, cut off or hang: what can be saved is saved, and nothing
//! is done twice.

mod http_2;
pub(crate) mod load;
mod reached;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::net::{TcpListener, TcpSocket};

use crate::client::get;
use crate::gateway::{Gateway, PATIENCE};
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;
use load::{Load, NAMES, Places};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_lost_and_no_write_done_twice_when_one_of_three_is_killed_and_comes_back() {
    let mut places = Places::start();
    let gateway = serve(&places.addresses(), "upstreams.answer = '5s'");
    let load = Load::begin(&gateway.client());
    settled(Duration::from_millis(700)).await;
    places.nodes[1].kill();
    gateway.logged("an upstream is left out");
    settled(Duration::from_millis(700)).await;
    assert_eq!(up(&gateway, places.nodes[1].address()), "0");
    places.start_again(1);
    gateway.logged("an upstream is asked again");
    settled(Duration::from_millis(300)).await;
    let asked = load.end().await;
    assert_eq!(up(&gateway, places.nodes[1].address()), "1");
    asked.check(&places.came(), &[502]);
    let came = places.came();
    for name in NAMES {
        assert!(came.iter().any(|line| line.ends_with(name)), "{name} got nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_costs_no_read_and_is_found_by_its_check() {
    let places = Places::start();
    let checks = "upstreams.health = '/health'\nupstreams.check_every = '600ms'\n\
                  upstreams.check_deadline = '500ms'\nupstreams.answer = '3s'";
    let gateway = serve(&places.addresses(), checks);
    let load = Load::begin(&gateway.client());
    settled(Duration::from_millis(500)).await;
    places.nodes[0].signal("STOP");
    gateway.logged("an upstream is not well");
    settled(Duration::from_millis(1_500)).await;
    assert_eq!(up(&gateway, places.nodes[0].address()), "0");
    let (before, deadline) = (places.came().len(), Instant::now() + PATIENCE);
    while places.came().len() == before {
        assert!(Instant::now() < deadline, "the others go on");
        settled(Duration::from_millis(50)).await;
    }
    places.nodes[0].signal("CONT");
    gateway.logged("an upstream is well again");
    load.end().await.check(&places.came(), &[504]);

    // It answers, but says itself that it is not well.
    fs::write(places.ledger.with_file_name(format!("ledger.sick.{}", NAMES[2])), "").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while up(&gateway, places.nodes[2].address()) != "0" {
        assert!(Instant::now() < deadline, "{}", gateway.log());
        settled(Duration::from_millis(50)).await;
    }
    gateway.logged("it answered 503");
}

#[tokio::test]
async fn what_can_be_sent_again_goes_to_one_other_place_and_the_rest_to_none() {
    // What the first place does with a request that it has read.
    type Fate = fn(&mut TcpStream);
    let silent: Fate = |_| {};
    let began: Fate = |stream| drop(stream.write_all(b"HTTP/1.1 200 OK\r\nconte"));
    let hangs: Fate = |_| std::thread::sleep(PATIENCE);
    for (method, body, fate, name, status, good_ones) in [
        ("GET", "", silent, "silent", 200, 1),
        ("DELETE", "", silent, "silent", 200, 1),
        ("GET", "", hangs, "hangs", 200, 1),
        ("POST", "", silent, "silent", 502, 0),
        ("PUT", "a body", silent, "silent", 502, 0),
        ("POST", "", hangs, "hangs", 504, 0),
        ("GET", "", began, "began", 502, 0),
    ] {
        let bad = Recorder::with(move |stream, record| {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).unwrap_or(0);
            record.add(&chunk[..read]);
            fate(stream);
        });
        let good = Recorder::answering(OK);
        let gateway = serve(&[bad.address(), good.address()], "upstreams.answer = '2s'");
        let request = Request::builder().method(method).uri("/x").body(Full::<Bytes>::from(body)).unwrap();
        let answer = gateway.client().ask(request).await;
        let row = format!("{method} {body:?}, first place {name}");
        assert_eq!(answer.status, status, "{row}: {answer:?}");
        assert!(status == 200 || answer.header("x-content-type-options") == "nosniff", "{row}: {answer:?}");
        assert_eq!(bad.heads(1).len(), 1, "{row}");
        assert_eq!(good.seen().concat().matches("/x HTTP/1.1").count(), good_ones, "{row}");
    }
}

#[tokio::test]
async fn what_was_never_written_goes_on_whatever_it_is() {
    let down = down();
    let (cut_off, _full) = cut_off().await;
    for (away, name) in [(down.local_addr().unwrap(), "refuses"), (cut_off, "cut off")] {
        let good = Recorder::answering(OK);
        let gateway = serve(&[away, good.address()], "upstreams.connect = '300ms'");
        for count in 1..=6 {
            let post = Request::post("/x").body(Full::<Bytes>::from("a body")).unwrap();
            assert_eq!(gateway.client().ask(post).await.status, 200, "{name}, request {count}");
        }
        assert_eq!(good.seen().concat().matches("POST /x").count(), 6, "{name}");
        assert_eq!(up(&gateway, away), "0", "{name}");
    }
}

#[tokio::test]
async fn when_all_are_out_all_are_tried_and_502_is_told_from_504() {
    // Ports that nobody else is given meanwhile, and where nobody listens.
    let taken = [down(), down(), down(), down()];
    let at = |index: usize| taken[index].local_addr().unwrap();
    let (cut_off, _full) = cut_off().await;
    for (places, status) in [(vec![at(0), at(1)], 502), (vec![cut_off], 504)] {
        let gateway = serve(&places, "upstreams.connect = '300ms'");
        for _ in 0..3 {
            for answer in gateway.client().both(|| get("/")).await {
                assert_eq!(answer.status, status, "{places:?}");
                assert_eq!(answer.header("x-content-type-options"), "nosniff", "{places:?}");
            }
        }
    }
    let gateway = serve(&[at(2), at(3)], "");
    assert_eq!(gateway.client().get("/").await.status, 502);
    let [_first, _second, back, _last] = taken;
    let listener = back.listen(16).unwrap().into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(OK);
        }
    });
    assert_eq!(gateway.client().get("/").await.status, 200, "one that is back is found at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_open_count_as_under_way() {
    // Each place holds its first answer open and ends all others.
    let place = || {
        let first = std::sync::atomic::AtomicBool::new(true);
        Recorder::with(move |stream, record| {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut chunk) {
                record.add(&chunk[..read]);
                if first.swap(false, Ordering::Relaxed) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nopen");
                    let _ = stream.read(&mut chunk);
                    record.add(b"gone\r\n\r\n");
                    return;
                }
                let _ = stream.write_all(OK);
            }
        })
    };
    let places = [place(), place()];
    let addresses = [places[0].address(), places[1].address()];
    let gateway = serve(&addresses, "upstreams.balance = 'least_connections'");
    let client = gateway.client();
    let stream = client.begin(get("/stream")).await;
    let (held, free) = if places[0].seen().is_empty() { (1, 0) } else { (0, 1) };
    // The other place's own first answer stays open as well; then it is one all, and both have their turn.
    let other = client.begin(get("/other")).await;
    assert_eq!(places[free].heads(1).len(), 1, "it went where nothing was under way");
    drop(other);
    // The gateway has to notice first.
    places[free].heads(2);
    for _ in 0..4 {
        assert_eq!(client.get("/x").await.status, 200);
    }
    assert_eq!(places[free].heads(6).len(), 6);
    assert_eq!(places[held].heads(1).len(), 1, "the stream is still under way there");
    drop(stream);
}

#[tokio::test]
async fn a_visitor_stays_at_his_place_as_long_as_that_is_there() {
    let mut places = Places::start();
    let gateway = serve(&places.addresses(), "upstreams.balance = 'sticky'");
    let client = gateway.client();
    let ask = async |cookie: &str| {
        let request = Request::get("/").header("cookie", cookie).body(Full::<Bytes>::default()).unwrap();
        let answer = client.ask(request).await;
        (answer.text().to_owned(), answer.header("set-cookie").to_owned())
    };
    let (home, cookie) = ask("other=1").await;
    let (pair, flags) = cookie.split_once("; ").unwrap();
    assert_eq!(flags, "Path=/; HttpOnly; Secure; SameSite=Lax");
    assert!(pair.starts_with("__Host-route=") && !pair.contains("127"), "{pair}");
    for _ in 0..6 {
        assert_eq!(ask(&format!("a=b; {pair}; c=d")).await, (home.clone(), String::new()));
    }
    let (_, forged) = ask("__Host-route=AAAAAAAAAAAAAAAA").await;
    assert!(forged.starts_with("__Host-route="), "who brings none of ours gets one");

    let gone = NAMES.iter().position(|name| *name == home).unwrap();
    places.nodes[gone].kill();
    let (other, replaced) = ask(pair).await;
    assert_ne!(other, home);
    let (new, _) = replaced.split_once("; ").unwrap();
    places.start_again(gone);
    for _ in 0..6 {
        assert_eq!(ask(new).await, (other.clone(), String::new()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_hangs_has_so_many_waiting_and_takes_nothing_from_other_apps() {
    let hangs = Recorder::with(|stream, record| {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap_or(0);
        record.add(&chunk[..read]);
        let _ = stream.read(&mut chunk);
    });
    let well = Recorder::answering(OK);
    let file = format!(
        "[[site]]\nhosts = ['localhost']\nupstream = 'http://{}'\nupstreams.waiting = 4\nupstreams.answer = '100s'\n\
         [[site.rule]]\npath = '/other'\nupstream = 'http://{}'\n",
        hangs.address(),
        well.address()
    );
    let gateway = started(&file);
    let client = gateway.client();
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("/").await })
        })
        .collect();
    hangs.heads(4);
    let asked = Instant::now();
    for answer in client.both(|| get("/")).await {
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), "5");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    assert!(asked.elapsed() < PATIENCE, "it is told at once");
    assert_eq!(client.get("/other").await.status, 200);
    assert_eq!(figure(&gateway, "panoply_upstream_waiting", hangs.address()), "4");
    for waits in waiting {
        waits.abort();
    }
    let deadline = Instant::now() + PATIENCE;
    while figure(&gateway, "panoply_upstream_waiting", hangs.address()) != "0" {
        assert!(Instant::now() < deadline, "who gave up waits no more");
        settled(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_hangs_leaves_places_to_others_and_a_client_leaves_room_also_after_a_reload() {
    let hangs = Recorder::with(|stream, record| {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap_or(0);
        record.add(&chunk[..read]);
        let _ = stream.read(&mut chunk);
    });
    let well = Recorder::answering(OK);
    let settings = format!(
        "admin = '127.0.0.1:0'\ntrusted_proxies = ['127.0.0.1']\nconnections.most = 16\nshield.rate_limit = 'off'\n\
         [[site]]\nhosts = ['localhost']\nupstream = 'http://{}'\n\
         [[site.rule]]\npath = '/other'\nupstream = 'http://{}'\n",
        hangs.address(),
        well.address()
    );
    let folder = Scratch::new();
    let file = folder.path().join("panoply.toml");
    fs::write(&file, &settings).unwrap();
    let gateway =
        Gateway::start(&["serve", "--https", "127.0.0.1:0", "--config", file.to_str().unwrap()], &[]);
    let client = gateway.client();
    let ask = |path: &'static str, visitor: &str| {
        let request = Request::get(path).header("x-forwarded-for", visitor);
        let (client, request) = (client.clone(), request.body(Full::<Bytes>::default()).unwrap());
        async move { client.ask(request).await.status }
    };
    // Half of all places may wait for one app; of eight, four are anybody's, and one client has one of the others.
    let mut waiting = Vec::new();
    for (visitor, more) in [("203.0.113.7", 5), ("203.0.113.8", 1), ("2001:db8::1", 1), ("203.0.113.9", 1)] {
        for _ in 0..more {
            waiting.push(tokio::spawn(ask("/", visitor)));
        }
        hangs.heads(waiting.len());
        assert_eq!(ask("/", visitor).await, 503, "{visitor} has what a client has");
    }
    for place in ["before", "after"] {
        assert_eq!(ask("/", "203.0.113.10").await, 503, "{place} the reload: all have what an app has");
        assert_eq!(ask("/other", "203.0.113.7").await, 200, "{place} the reload");
        assert_eq!(figure(&gateway, "panoply_upstream_waiting", hangs.address()), "8", "{place}");
        if place == "before" {
            fs::write(&file, format!("{settings}upstreams.answer = '9s'\n")).unwrap();
            gateway.signal("HUP");
            gateway.logged("holds from now on");
        }
    }
    for waits in waiting {
        waits.abort();
    }
    let deadline = Instant::now() + PATIENCE;
    while figure(&gateway, "panoply_upstream_waiting", hangs.address()) != "0" {
        assert!(Instant::now() < deadline, "who gave up waits no more");
        settled(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_deadline_is_for_the_head_and_cuts_no_stream() {
    let streams = Recorder::with(|stream, _| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n");
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(500));
            let _ = stream.write_all(b"x");
        }
    });
    let gateway = serve(&[streams.address()], "upstreams.answer = '2s'");
    assert_eq!(gateway.client().get("/").await.text(), "xxxxxx");
}

/// The site at these places, with more settings.
fn serve(places: &[SocketAddr], settings: &str) -> Gateway {
    let urls: Vec<_> = places.iter().map(|address| format!("'http://{address}'")).collect();
    started(&format!("[[site]]\nhosts = ['localhost']\nupstream = [{}]\n{settings}\n", urls.join(", ")))
}

fn started(file: &str) -> Gateway {
    let folder = Scratch::new();
    let path = folder.path().join("panoply.toml");
    fs::write(&path, format!("admin = '127.0.0.1:0'\nshield.rate_limit = 'off'\n{file}")).unwrap();
    Gateway::start(&["serve", "--https", "127.0.0.1:0", "--config", path.to_str().unwrap()], &[])
}

fn up(gateway: &Gateway, place: SocketAddr) -> String {
    figure(gateway, "panoply_upstream_up", place)
}

/// One figure of a place, as `/metrics` tells it.
fn figure(gateway: &Gateway, name: &str, place: SocketAddr) -> String {
    let mut stream = TcpStream::connect(gateway.admin()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let start = format!("{name}{{site=\"localhost\",upstream=\"http://{place}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{start}:\n{page}")).to_owned()
}

async fn settled(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A place where nobody listens, and that nobody else is given meanwhile.
fn down() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket
}

/// A place that no connection comes to and that says nothing, like one behind a cable that was cut: its queue is full, so
/// that the kernel drops what knocks.
async fn cut_off() -> (SocketAddr, (TcpListener, Vec<tokio::net::TcpStream>)) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let listener = socket.listen(1).unwrap();
    let mut queue = Vec::new();
    loop {
        let knock = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(200), knock).await {
            Ok(stream) => queue.push(stream.unwrap()),
            Err(_) => return (address, (listener, queue)),
        }
    }
}
