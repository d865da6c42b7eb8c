//! Which certificate is shown for which name, which requests a handshake is good for, and how files are replaced.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use panoply::Keys;
use panoply::shared::Shared;

use crate::authority::{Authority, Issued, write};
use crate::gateway::{Gateway, PATIENCE};
use crate::process::Redis;
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;
use crate::visitor::Visitor;

/// Two sites, each with a certificate of its own.
struct Shops {
    authority: Authority,
    shop: Issued,
    blog: Issued,
    app: Recorder,
    folder: Scratch,
}

impl Shops {
    fn new() -> Self {
        let authority = Authority::new("shops");
        let (shop, blog) =
            (authority.issue(&["shop.example", "*.shop.example"]), authority.issue(&["blog.example"]));
        let folder = Scratch::new();
        shop.write(folder.path(), "shop");
        blog.write(folder.path(), "blog");
        Self { authority, shop, blog, app: Recorder::answering(OK), folder }
    }

    fn start(&self) -> Gateway {
        self.start_with("")
    }

    /// `more`: settings of the file beside the sites.
    fn start_with(&self, more: &str) -> Gateway {
        let file = self.folder.path().join("panoply.toml");
        let (app, folder) = (self.app.address(), self.folder.path().display());
        let text = format!(
            r#"
            {more}
            [[site]]
            hosts = ["shop.example", "*.shop.example"]
            upstream = "http://{app}"
            tls.cert = "{folder}/shop.pem"
            tls.key = "{folder}/shop.key"

            [[site]]
            hosts = ["blog.example"]
            upstream = "http://{app}"
            tls.cert = "{folder}/blog.pem"
            tls.key = "{folder}/blog.key"
            "#
        );
        fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        Gateway::start(&["serve", "--config", file, "--https", "127.0.0.1:0", "--admin", "127.0.0.1:0"], &[])
    }

    fn visitor(&self, gateway: &Gateway) -> Visitor {
        Visitor::new(gateway.https(), &self.authority, None)
    }
}

#[tokio::test]
async fn a_handshake_is_good_for_the_site_that_it_names() {
    let shops = Shops::new();
    let gateway = shops.start();
    let visitor = shops.visitor(&gateway);
    let nameless = visitor.nameless();
    for (visitor, name, host, status, shown) in [
        (&visitor, "shop.example", "shop.example", 200, &shops.shop),
        (&visitor, "img.shop.example", "img.shop.example", 200, &shops.shop),
        (&visitor, "shop.example", "www.shop.example", 200, &shops.shop),
        (&visitor, "blog.example", "blog.example:8443", 200, &shops.blog),
        (&visitor, "shop.example", "blog.example", 421, &shops.shop),
        (&visitor, "blog.example", "shop.example", 421, &shops.blog),
        (&visitor, "blog.example", "other.example", 421, &shops.blog),
        (&nameless, "shop.example", "shop.example", 200, &shops.shop),
        (&nameless, "shop.example", "blog.example", 200, &shops.shop),
    ] {
        let met = visitor.ask(name, host, "").await.unwrap_or_else(|error| panic!("{name} {host}: {error}"));
        assert_eq!((met.status, met.shown), (status, shown.der()), "{name} {host}");
    }
    let hosts = ["shop.example", "blog.example", "www.shop.example", "shop.example"];
    assert_eq!(visitor.ask_http_2("shop.example", &hosts).await.unwrap(), [200, 421, 200, 200]);
    for name in ["other.example", "example", "a.b.c.example"] {
        let refused = visitor.ask(name, name, "").await.unwrap_err().to_string();
        assert!(
            refused.contains("UnrecognizedName") || refused.contains("UnrecognisedName"),
            "{name}: {refused}"
        );
    }
}

#[tokio::test]
async fn a_flood_of_wrong_names_is_closed_before_it_costs_a_handshake() {
    let shops = Shops::new();
    let gateway = shops.start_with("shield.rate_limit = \"6/min, burst 60\"");
    let visitor = shops.visitor(&gateway);
    let is_told = |error: &std::io::Error| error.to_string().to_lowercase().contains("unrecogni");
    for turn in 0..6 {
        let refused = visitor.ask("other.example", "other.example", "").await.unwrap_err();
        assert!(is_told(&refused), "{turn}: {refused}");
    }
    // The last of them is charged when it was told already, and a few of the points may be back by then.
    let deadline = Instant::now() + PATIENCE;
    while is_told(&visitor.ask("other.example", "other.example", "").await.unwrap_err()) {
        assert!(Instant::now() < deadline, "nobody stops it");
    }
    let refused = visitor.ask("shop.example", "shop.example", "").await.err();
    assert!(refused.as_ref().is_some_and(|refused| !is_told(refused)), "{refused:?}");
    let neighbour = visitor.from([127, 0, 0, 9]);
    assert_eq!(neighbour.ask("shop.example", "shop.example", "").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_visitor_who_comes_back_resumes_at_his_own_site() {
    let shops = Shops::new();
    let gateway = shops.start();
    let visitor = shops.visitor(&gateway);
    assert!(!visitor.ask("shop.example", "shop.example", "").await.unwrap().resumed);
    for _ in 0..6 {
        // Whichever thread it comes to.
        assert!(visitor.ask("shop.example", "shop.example", "").await.unwrap().resumed);
    }
    assert!(!visitor.ask("blog.example", "blog.example", "").await.unwrap().resumed);
}

#[tokio::test]
async fn a_visitor_resumes_at_whichever_machine_he_comes_to() {
    let (shops, redis) = (Shops::new(), Redis::start());
    let keys = shops.folder.path().join("keys");
    write(&keys, b"9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymA=\n");
    let more = format!("keys = {{ file = \"{}\" }}\nstore.url = \"{}\"", keys.display(), redis.url());
    let machines = [(); 2].map(|()| shops.start_with(&more));
    let visitor = shops.visitor(&machines[0]);
    let ask = async |machine: &Gateway| {
        let there = visitor.at(machine.https());
        there.ask("shop.example", "shop.example", "").await.unwrap().resumed
    };
    let deadline = Instant::now() + PATIENCE;
    while !(ask(&machines[0]).await && ask(&machines[1]).await && ask(&machines[0]).await) {
        assert!(Instant::now() < deadline, "{}", machines[0].log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let kept = redis.ask("KEYS *ticket*");
    assert!(kept.contains("ticket key"), "the keys are in the store: {kept}");
    redis.signal("KILL");
    assert!(ask(&machines[1]).await, "what it has of the store it keeps while that is down");
}

/// What another machine has sealed with the new keys is opened once the file of keys was read again.
#[tokio::test]
async fn what_is_shared_follows_the_keys() {
    let (shops, redis) = (Shops::new(), Redis::start());
    let file = shops.folder.path().join("keys");
    let [old, new, strange] = [(); 3].map(|()| Keys::generate());
    write(&file, format!("{old}\n").as_bytes());
    let more = format!("keys = {{ file = \"{}\" }}\nstore.url = \"{}\"", file.display(), redis.url());
    let gateway = shops.start_with(&more);
    // Both of hours that are over, which nobody makes keys for; the strange one is looked for last.
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 3_600;
    let name = |ago: u64| format!("ticket key {}", now - ago);
    let deadline = Instant::now() + PATIENCE;
    while !redis.ask("KEYS *ticket*").contains(&format!("ticket key {}", now + 1)) {
        assert!(Instant::now() < deadline, "it has looked at all hours: {}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (secret, ago) in [(&new, 3), (&strange, 2)] {
        let another =
            Shared::open(&redis.url(), &Keys::new([secret]).unwrap(), &panoply::Clock::system()).unwrap();
        another.write(&name(ago), &[7; 48], Duration::from_secs(600)).await.unwrap();
    }
    write(&file, format!("{new}\n{old}\n").as_bytes());
    gateway.signal("HUP");
    gateway.logged("the configuration was read again");
    let not_opened =
        |ago| format!("a value in the store was not sealed with these keys name=\"{}\"", name(ago));
    gateway.logged(&not_opened(2));
    assert!(!gateway.log().contains(&not_opened(3)), "{}", gateway.log());
}

#[tokio::test]
async fn files_that_are_replaced_are_shown_without_a_restart() {
    let shops = Shops::new();
    let gateway = shops.start();
    let visitor = shops.visitor(&gateway);
    let renewed = shops.authority.issue(&["shop.example", "*.shop.example"]);
    renewed.write(shops.folder.path(), "shop");
    shown(&visitor, "shop.example", &renewed).await;

    write(&shops.folder.path().join("shop.pem"), b"-----BEGIN CERTIFICATE-----\nbroken\n");
    gateway.logged("shop.pem` holds no certificate in PEM form: what was there before stays in use");
    write(&shops.folder.path().join("blog.key"), shops.shop.key.as_bytes());
    gateway.logged("blog.key` holds the key of another certificate than");
    shown(&visitor, "shop.example", &renewed).await;
    shown(&visitor, "blog.example", &shops.blog).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        gateway.log().matches("shop.pem` holds no certificate").count(),
        1,
        "one error each is enough"
    );

    let mended = shops.authority.issue(&["shop.example", "*.shop.example"]);
    mended.write(shops.folder.path(), "shop");
    shown(&visitor, "shop.example", &mended).await;
}

/// As the kubelet does it: the files are links into `..data`, which is a link to the newest folder.
#[tokio::test]
async fn a_secret_that_kubernetes_swaps_is_seen() {
    let shops = Shops::new();
    let folder = shops.folder.path();
    for file in ["shop.pem", "shop.key"] {
        fs::remove_file(folder.join(file)).unwrap();
        symlink(Path::new("..data").join(file), folder.join(file)).unwrap();
    }
    let lay = |name: &str, issued: &Issued| {
        fs::create_dir(folder.join(name)).unwrap();
        issued.write(&folder.join(name), "shop");
        let _ = fs::remove_file(folder.join("..data_tmp"));
        symlink(name, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    lay("..one", &shops.shop);
    let gateway = shops.start();
    let visitor = shops.visitor(&gateway);
    shown(&visitor, "shop.example", &shops.shop).await;
    let renewed = shops.authority.issue(&["shop.example", "*.shop.example"]);
    lay("..two", &renewed);
    shown(&visitor, "shop.example", &renewed).await;
}

#[test]
fn metrics_tell_when_a_certificate_ends() {
    let shops = Shops::new();
    let gateway = shops.start();
    let page = crate::admin::ask(gateway.admin(), "GET /metrics", "", "");
    let line = page
        .lines()
        .find(|line| line.starts_with("panoply_certificate_not_after_seconds{name=\"*.shop.example\"}"));
    let end: u64 = line.and_then(|line| line.split(' ').nth(1)).and_then(|end| end.parse().ok()).unwrap_or(0);
    assert!(end > 1_700_000_000, "{page}");
}

/// Waits until visitors are shown it; sooner than the gateway looks by itself, which it does every minute.
async fn shown(visitor: &Visitor, name: &str, issued: &Issued) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let met = visitor.forgetful().ask(name, name, "").await.unwrap();
        if met.shown == issued.der() {
            return assert_eq!(met.status, 200);
        }
        assert!(Instant::now() < deadline, "the new certificate is not shown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
