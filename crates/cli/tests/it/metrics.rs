//! What Prometheus reads: every line as its text format 0.0.4 has it, every figure what really happened.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::admin::ask;
use crate::authority::{Authority, write};
use crate::client::{Client, get};
use crate::gateway::Gateway;
use crate::process::Redis;
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;
use crate::visitor::Visitor;

/// A page of metrics: figures by name and labels, as they stand there.
pub(crate) struct Page(BTreeMap<String, f64>);

impl Page {
    pub(crate) fn of(gateway: &Gateway) -> Self {
        let answer = ask(gateway.admin(), "GET /metrics", "", "");
        let (head, page) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
        read(page).unwrap_or_else(|fault| panic!("{fault}:\n{page}"))
    }

    /// 0 where there is none.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// Reads a page as strictly as `promtool check metrics`: each family once, with help, type and its samples together;
/// no sample twice; counters end in `_total`; buckets rise to the count.
fn read(page: &str) -> Result<Page, String> {
    let (mut families, mut samples) = (HashSet::new(), BTreeMap::new());
    let (mut family, mut kind) = (String::new(), String::new());
    if !page.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    for line in page.lines() {
        let fault = |why: &str| Err(format!("{why}: {line}"));
        if let Some(help) = line.strip_prefix("# HELP ") {
            let Some((name, text)) = help.split_once(' ') else { return fault("no help") };
            if !families.insert(name.to_owned()) || text.is_empty() {
                return fault("a family twice, or without help");
            }
            (family, kind) = (name.to_owned(), String::new());
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let Some((name, of)) = typed.split_once(' ') else { return fault("no type") };
            if name != family || !["counter", "gauge", "histogram"].contains(&of) {
                return fault("a type of another family, or none that there is");
            }
            if (of == "counter") != name.ends_with("_total") {
                return fault("a counter, and nothing else, is a total");
            }
            kind = of.to_owned();
        } else {
            let Some((sample, figure)) = line.rsplit_once(' ') else { return fault("no figure") };
            let name = sample.split('{').next().unwrap_or_default();
            let suffix = name.strip_prefix(&*family);
            match (&*kind, suffix) {
                ("counter" | "gauge", Some("")) | ("histogram", Some("_bucket" | "_sum" | "_count")) => {}
                _ => return fault("a sample outside its family"),
            }
            if let Some(labels) = sample.strip_prefix(name).filter(|labels| !labels.is_empty())
                && !are_labels(labels)
            {
                return fault("no labels");
            }
            let Ok(figure) = figure.parse::<f64>() else { return fault("no number") };
            if figure < 0.0 || samples.insert(sample.to_owned(), figure).is_some() {
                return fault("below nought, or twice");
            }
        }
    }
    for (sample, count) in samples.iter().filter(|(sample, _)| sample.contains("_count{")) {
        let buckets: Vec<_> = BOUNDS
            .iter()
            .map(|bound| sample.replace("_count{", "_bucket{").replace('}', &format!(",le=\"{bound}\"}}")))
            .map(|bucket| samples.get(&bucket).copied())
            .collect();
        if !buckets.is_sorted() || buckets.contains(&None) || buckets.last() != Some(&Some(*count)) {
            return Err(format!("buckets do not rise to {count}: {sample} {buckets:?}"));
        }
    }
    Ok(Page(samples))
}

/// `{name="value",…}`, a quotation mark and a backslash in a value escaped.
fn are_labels(text: &str) -> bool {
    let Some(mut rest) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else { return false };
    loop {
        let Some((name, value)) = rest.split_once("=\"") else { return false };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            return false;
        }
        let mut escaped = false;
        let end = value.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let Some(end) = end else { return false };
        match value[end + 1..].strip_prefix(',') {
            Some(more) => rest = more,
            None => return value.len() == end + 1,
        }
    }
}

#[test]
fn the_reader_of_this_test_refuses_what_prometheus_refuses() {
    let good = "# HELP a_total Help.\n# TYPE a_total counter\na_total{b=\"c\\\"d,\",e=\"f\"} 1\n";
    assert!(read(good).is_ok());
    for (what, with) in [
        ("a_total{", "b_total{"),
        ("# TYPE a_total counter\n", ""),
        ("counter", "summary"),
        ("counter", "gauge"),
        ("} 1\n", "} one\n"),
        ("} 1\n", "} 1"),
        ("} 1\n", "} -1\n"),
        ("\\\"", "\""),
        ("e=\"f\"", "e=f"),
        ("e=\"f\"}", "e=\"f\",}"),
        ("b=", "B="),
    ] {
        assert!(read(&good.replace(what, with)).is_err(), "{what:?} replaced with {with:?}");
    }
    assert!(read(&good.repeat(2)).is_err());
    let histogram = "# HELP h Help.\n# TYPE h histogram\nh_bucket{s=\"x\",le=\"+Inf\"} 1\nh_sum{s=\"x\"} 1.5\nh_count{s=\"x\"} 1\n";
    assert!(read(histogram).is_err(), "it lacks buckets");
}

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

#[tokio::test]
async fn each_request_is_in_the_histogram_of_its_site_and_one_sees_who_was_slow() {
    let (gateway, _folder, _app) = two_sites("");
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
    tokio::time::sleep(Duration::from_millis(700)).await;
    asked.abort();
    let deadline = Instant::now() + Duration::from_secs(20);
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
    assert!((0.6..10.0).contains(&slow), "{slow}");
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
    tokio::time::sleep(Duration::from_millis(500)).await;
    stream.write_all(b"b").await.unwrap();
    let mut answer = [0; 512];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
    let page = Page::of(&gateway);
    assert_eq!(page.figure("panoply_app_seconds_count{site=\"shop.example\"}") as u64, 1);
    let took = page.figure("panoply_app_seconds_sum{site=\"shop.example\"}");
    assert!(took < 0.4, "{took}");
    assert!(page.figure("panoply_request_seconds_sum{site=\"shop.example\"}") >= 0.3);

    let file = folder.path().join("panoply.toml");
    let text =
        fs::read_to_string(&file).unwrap().replace("'shop.example'", "'shop.example', 'www.shop.example'");
    fs::write(&file, format!("shield.csrf = 'off'\n{text}")).unwrap();
    gateway.signal("HUP");
    let deadline = Instant::now() + Duration::from_secs(20);
    while Page::of(&gateway).figure("panoply_reloads_total{result=\"taken\"}") < 1.0 {
        assert!(Instant::now() < deadline, "{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(gateway.client().get("/").await.status, 200);
    let page = Page::of(&gateway);
    assert_eq!(page.figure("panoply_requests_total{site=\"shop.example\",status=\"2xx\"}") as u64, 2);
}

#[tokio::test]
async fn a_handshake_that_fails_is_counted_by_why() {
    let (gateway, _folder, _app) = two_sites("");
    let mut plain = TcpStream::connect(gateway.https()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest).await;
    drop(TcpStream::connect(gateway.https()).await.unwrap());
    let other = Scratch::new();
    let certificate = other.path().join("other.pem");
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&certificate, stranger.cert.pem()).unwrap();
    let distrustful = Client::trusting(&certificate, gateway.https());
    assert!(distrustful.connect_after(&[], "http/1.1").await.is_err());
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let page = Page::of(&gateway);
        let failed =
            |reason| page.figure(&format!("panoply_handshakes_failed_total{{reason=\"{reason}\"}}")) as u64;
        if (failed("broken"), failed("left")) == (1, 2) {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{:?}",
            page.0.iter().filter(|(name, _)| name.contains("handshake")).collect::<Vec<_>>()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_visitor_who_cannot_be_met_is_counted_by_why() {
    let (authority, staff) = (Authority::new("sites"), Authority::new("staff"));
    let (folder, app) = (Scratch::new(), Recorder::answering(OK));
    let at = folder.path().display();
    authority.issue(&["shop.example", "staff.example"]).write(folder.path(), "all");
    write(&folder.path().join("staff.pem"), staff.pem().as_bytes());
    let upstream = format!("upstream = 'http://{}'", app.address());
    let text = format!(
        "admin = '127.0.0.1:0'\nshield.rate_limit = '3/h'\ntls.cert = '{at}/all.pem'\ntls.key = '{at}/all.key'\n\
         [[site]]\nhosts = ['shop.example']\n{upstream}\n\
         [[site]]\nhosts = ['staff.example']\n{upstream}\ntls.client_ca = '{at}/staff.pem'\n"
    );
    let file = folder.path().join("panoply.toml");
    fs::write(&file, text).unwrap();
    let gateway =
        Gateway::start(&["serve", "--https", "127.0.0.1:0", "--config", file.to_str().unwrap()], &[]);
    let nobody = Visitor::new(gateway.https(), &authority, None);
    let stranger = Authority::new("staff").vouch("ann", 1);
    let stranger = Visitor::new(gateway.https(), &authority, Some(&stranger));
    for (visitor, name) in [
        (nobody.from([127, 0, 0, 2]), "evil.example"),
        (nobody.from([127, 0, 0, 3]), "staff.example"),
        (stranger.from([127, 0, 0, 4]), "staff.example"),
    ] {
        assert!(visitor.ask(name, name, "").await.is_err(), "{name}");
    }
    assert!(nobody.from([127, 0, 0, 5]).shake("shop.example", "spdy/3").await.is_err());
    let garbage = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.6:0".parse().unwrap()).unwrap();
        let mut stream = socket.connect(gateway.https()).await.unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let failed = |reason: &str| {
        let name = format!("panoply_handshakes_failed_total{{reason=\"{reason}\"}}");
        Page::of(&gateway).figure(&name) as u64
    };
    for broken in [1, 2, 3, 3, 3] {
        garbage().await;
        // He is charged a moment after his connection has ended.
        let deadline = Instant::now() + Duration::from_secs(20);
        while failed("broken") < broken {
            assert!(Instant::now() < deadline, "{broken}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(nobody.from([127, 0, 0, 6]).ask("shop.example", "shop.example", "").await.is_err());
    assert_eq!(
        nobody.from([127, 0, 0, 7]).ask("shop.example", "shop.example", "").await.unwrap().status,
        200
    );
    let expected = [("name", 1), ("certificate", 2), ("terms", 1), ("broken", 3), ("turned_away", 3)];
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = expected.map(|(reason, _)| (reason, failed(reason)));
        if found == expected {
            break;
        }
        assert!(Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn values_that_machines_share_have_a_gauge_of_their_own() {
    let redis = Redis::start();
    redis.signal("STOP");
    let (gateway, _folder, _app) = two_sites(&format!(
        "store.url = '{}'\nkeys = ['the key of a test, which protects nobody at all']",
        redis.url()
    ));
    let values = |figure: &str| format!("panoply_store_{figure}{{kind=\"redis\",of=\"values\"}}");
    let becomes = async |state: u64| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let page = Page::of(&gateway);
            assert!(page.has(&values("up")));
            if page.figure(&values("asked_total")) >= 1.0 && page.figure(&values("up")) as u64 == state {
                return page;
            }
            assert!(Instant::now() < deadline, "it does not become {state}:\n{}", gateway.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let down = becomes(0).await;
    assert!(down.figure(&values("failed_total")) >= 1.0 && down.has(&values("failed_seconds")));
    assert_eq!(gateway.client().get("/").await.status, 200, "it serves without");
    redis.signal("CONT");
    gateway.signal("HUP"); // else it asks once a minute
    becomes(1).await;
    for said in ["the store of shared values fails", "the store of shared values answers again"] {
        assert_eq!(gateway.log().matches(said).count(), 1, "{said}:\n{}", gateway.log());
    }
}

#[tokio::test]
async fn metrics_and_log_tell_when_the_store_died_and_when_it_came_back() {
    let redis = Redis::start();
    let (gateway, _folder, _app) = two_sites(&format!(
        "store.url = '{}'\n[shield.rate_limit]\nlimits.api = {{ rate = '100000/min', path = '/', shared = true }}",
        redis.url()
    ));
    let client = gateway.client();
    let up = |page: &Page, of: &str| {
        page.figure(&format!("panoply_store_up{{kind=\"redis\",of=\"{of}\"}}")) as u64
    };
    let failed = |page: &Page, of: &str| {
        page.figure(&format!("panoply_store_failed_total{{kind=\"redis\",of=\"{of}\"}}")) as u64
    };
    let becomes = async |state: u64| {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let page = Page::of(&gateway);
            if ["counts", "bans"].iter().all(|of| up(&page, of) == state) {
                return page;
            }
            assert!(Instant::now() < deadline, "it does not become {state}:\n{}", gateway.log());
            assert_eq!(client.get("/").await.status, 200, "no visitor notices");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(client.get("/").await.status, 200);
    let page = becomes(1).await;
    assert_eq!(failed(&page, "counts") + failed(&page, "bans"), 0);
    assert!(page.figure("panoply_store_asked_total{kind=\"redis\",of=\"counts\"}") >= 1.0);
    assert!(!page.has("panoply_store_failed_seconds{kind=\"redis\",of=\"counts\"}"), "it never failed");

    redis.signal("STOP");
    let down = becomes(0).await;
    for of in ["counts", "bans"] {
        assert!(failed(&down, of) >= 1, "{of}");
        let at = down.figure(&format!("panoply_store_failed_seconds{{kind=\"redis\",of=\"{of}\"}}"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - 60.0..=now).contains(&at), "{of}: {at}, and now is {now}");
    }
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 200);
    }
    assert!(Page::of(&gateway).figure("panoply_store_owed") >= 1.0, "the store is to be told of one key");
    // Each has asked in vain several times, and said so once.
    let deadline = Instant::now() + Duration::from_secs(60);
    while ["counts", "bans"].iter().any(|of| failed(&Page::of(&gateway), of) < 3) {
        assert!(Instant::now() < deadline, "nobody looks whether it is back");
        assert_eq!(client.get("/").await.status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    redis.signal("CONT");
    becomes(1).await;
    for (said, times) in [
        ("the store of counts fails", 1),
        ("the store of counts answers again", 1),
        ("the store of bans fails", 1),
        ("the store of bans answers again", 1),
    ] {
        gateway.logged(said);
        assert_eq!(gateway.log().matches(said).count(), times, "{said}:\n{}", gateway.log());
    }
}

const BOUNDS: [&str; 16] = [
    "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30",
    "60", "+Inf",
];
