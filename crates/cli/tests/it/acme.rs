//! Certificates from an authority: Pebble, which is real, looks at the real program.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::Full;

use crate::client::{Answer, Client};
use crate::gateway::{Gateway, panoply};
use crate::pebble::Pebble;
use crate::port::free_port;
use crate::process::{Process, Redis};
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;

#[tokio::test(flavor = "multi_thread")]
async fn a_name_and_an_address_are_proved_by_either_challenge_and_kept_from_other_eyes() {
    for challenge in ["tls-alpn-01", "http-01"] {
        let pebble = Pebble::start();
        let site = Site::new(&pebble, &format!("challenges = ['{challenge}']"));
        let gateway = site.serve(&pebble, &["--host", "shop.example", "--host", "127.0.0.1"]);
        for name in ["shop.example", "127.0.0.1"] {
            pebble.certificate_of(pebble.https, name).await;
        }
        assert_eq!(pebble.issued(), 2, "{challenge}");
        gateway.logged("a certificate has come");
        let folder = site.folder_of_authority();
        for (path, expected) in [
            (site.state().join("acme"), 0o700),
            (folder.clone(), 0o700),
            (folder.join("account.json"), 0o600),
            (folder.join("shop.example.pem"), 0o600),
            (folder.join("127.0.0.1.json"), 0o600),
        ] {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, expected, "{}", path.display());
        }
        assert!(!gateway.log().contains("PRIVATE KEY"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_the_authority_serves_what_it_has() {
    let mut pebble = Pebble::start();
    let site = Site::new(&pebble, "");
    let gateway = site.serve(&pebble, &["--host", "shop.example"]);
    let first = pebble.certificate_of(pebble.https, "shop.example").await;
    drop(gateway);
    let roots = pebble.roots().unwrap();
    pebble.kill();
    let gateway = site.serve(&pebble, &["--host", "shop.example"]);
    let shown = pebble.shown_to(roots, pebble.https, "shop.example").await;
    assert_eq!(shown, Some(first), "{}", gateway.log());
    assert!(!gateway.log().contains("made here"), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_is_proved_by_the_operators_program() {
    let pebble = Pebble::start();
    let site = Site::new(&pebble, "");
    let hook = site.hook(&pebble, "");
    site.write(&pebble.settings(&format!("dns = {{ hook = ['{hook}', 'zone=shop.example'] }}")));
    let gateway = site.serve(&pebble, &["--host", "*.shop.example"]);
    pebble.certificate_of(pebble.https, "img.shop.example").await;
    gateway.logged("a certificate has come");
    let calls = fs::read_to_string(format!("{hook}.calls")).unwrap();
    let lines: Vec<_> = calls.lines().collect();
    assert_eq!(lines.len(), 2, "{calls}");
    assert!(lines[0].starts_with("zone=shop.example present _acme-challenge.shop.example "), "{calls}");
    assert_eq!(lines[1], lines[0].replace("present", "cleanup"), "{calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_is_proved_by_an_update_of_the_zone_and_leaves_nothing_in_it() {
    let bind = Bind::start();
    let mut pebble = Pebble::stopped("", &[]);
    pebble.look_up_at(bind.port);
    pebble.restart();
    let site = Site::new(&pebble, "");
    let update = |secret: &str| {
        let key = format!("{{ name = 'panoply', secret = '{secret}' }}");
        let dns = format!("{{ server = '127.0.0.1:{}', key = {key} }}", bind.port);
        pebble.settings(&format!("challenges = ['dns-01']\ndns = {dns}"))
    };
    site.write(&update("bm90IHRoZSByaWdodCBzZWNyZXQgb2YgdGhpcyBrZXk="));
    let stranger = site.serve(&pebble, &["--host", "*.shop.example"]);
    stranger.logged("hint=\"let the server allow this key to update the zone\"");
    drop(stranger);
    fs::remove_dir_all(site.state().join("acme")).unwrap();
    site.write(&update(Bind::SECRET));
    let gateway = site.serve(&pebble, &["--host", "*.shop.example", "--host", "shop.example"]);
    for name in ["img.shop.example", "shop.example"] {
        pebble.certificate_of(pebble.https, name).await;
    }
    until("the zone is as before", || bind.answers("_acme-challenge.shop.example").is_empty());
    assert!(!gateway.log().contains(Bind::SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_bound_to_the_customer_where_the_authority_asks() {
    let settings = r#", "externalAccountBindingRequired": true, "externalAccountMACKeys":
        {"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}"#;
    let pebble = Pebble::start_as(settings, &[]);
    let site = Site::new(&pebble, "");
    let unbound = site.serve(&pebble, &["--host", "shop.example"]);
    unbound.logged("hint=\"set `external_account` in [tls.acme] to what the authority gave you\"");
    drop(unbound);
    fs::remove_dir_all(site.state().join("acme")).unwrap();
    let key = site.settings.path().join("key");
    fs::write(&key, "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\n").unwrap();
    let bound = format!("external_account = {{ id = 'kid-1', key = {{ file = '{}' }} }}", key.display());
    site.write(&pebble.settings(&bound));
    let gateway = site.serve(&pebble, &["--host", "shop.example"]);
    pebble.certificate_of(pebble.https, "shop.example").await;
    assert!(!gateway.log().contains("zWNDZM6eQGHW"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nonces_that_are_refused_are_replaced() {
    // One in eight: hardly ever is one refused three times, which is when an order is given up for half a minute.
    let pebble = Pebble::start_as("", &[("PEBBLE_WFE_NONCEREJECT", "12")]);
    let names = ["a.example", "b.example", "c.example", "d.example", "e.example", "f.example"];
    let hosts: Vec<&str> = names.iter().flat_map(|name| ["--host", name]).collect();
    // Of some sixty requests one is all but certain to be refused; of two hundred and forty it is.
    for _ in 0..4 {
        let site = Site::new(&pebble, "");
        let _gateway = site.serve(&pebble, &hosts);
        for name in names {
            pebble.certificate_of(pebble.https, name).await;
        }
        if pebble.logged("reject") > 0 || pebble.logged("badNonce") > 0 {
            return;
        }
    }
    panic!("none was refused: {}", pebble.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_elsewhere_is_told_with_its_mend_and_not_tried_over_and_over() {
    let pebble = Pebble::start();
    let site = Site::new(&pebble, "");
    let gateway = site.serve_at(free_port(), free_port(), &["--host", "shop.example"]);
    gateway.logged("there is no certificate yet");
    gateway.logged("hint=\"let the name's A and AAAA records point");
    thread::sleep(Duration::from_secs(5));
    assert_eq!(pebble.logged("/order-plz"), 1, "{}", pebble.log());
    let record = fs::read_to_string(site.folder_of_authority().join("shop.example.json")).unwrap();
    assert!(record.contains("\"failures\":1"), "{record}");
    drop(gateway);
    let again = site.serve(&pebble, &["--host", "shop.example"]);
    thread::sleep(Duration::from_secs(3));
    let after = fs::read_to_string(site.folder_of_authority().join("shop.example.json")).unwrap();
    assert_eq!(after, record, "a restart is no way around the pause: {}", again.log());
    let answer = answer(&site, &again).await;
    assert_eq!((answer.text(), answer.header("strict-transport-security")), ("ok", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_away_is_asked_again_and_the_site_serves_meanwhile() {
    let mut pebble = Pebble::stopped("", &[]);
    let site = Site::new(&pebble, "");
    let gateway = site.serve(&pebble, &["--host", "shop.example"]);
    gateway.logged("the authority is not to be had, and will be asked again");
    assert_eq!(answer(&site, &gateway).await.text(), "ok");
    pebble.restart();
    pebble.certificate_of(pebble.https, "shop.example").await;
    let asked = gateway.log().matches("the authority is not to be had").count();
    assert!(asked <= 2, "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_a_kill_interrupted_is_gone_on_with() {
    let pebble = Pebble::start();
    let site = Site::new(&pebble, "");
    let hook = site.hook(&pebble, "[ \"$3\" = present ] && [ ! -e \"$0.go\" ] && sleep 60");
    site.write(
        &pebble.settings(&format!("challenges = ['dns-01']\ndns = {{ hook = ['{hook}', 'shop.example'] }}")),
    );
    let mut gateway = site.serve(&pebble, &["--host", "shop.example"]);
    let record = || fs::read_to_string(site.folder_of_authority().join("shop.example.json"));
    until("the order is open", || record().is_ok_and(|record| record.contains("\"url\":\"https")));
    gateway.signal("KILL");
    gateway.ended();
    fs::write(format!("{hook}.go"), "").unwrap();
    let _again = site.serve(&pebble, &["--host", "shop.example"]);
    pebble.certificate_of(pebble.https, "shop.example").await;
    let record: serde_json::Value = serde_json::from_str(&record().unwrap()).unwrap();
    assert_eq!(record["begun"].as_array().unwrap().len(), 1, "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_the_list_is_ordered_when_a_visitor_asks_and_no_other_ever() {
    let mut pebble = Pebble::start();
    let site = Site::new(&pebble, "on_demand = ['*.customers.example']");
    let hosts = ["--host", "shop.example", "--host", "*.customers.example"];
    let gateway = site.serve(&pebble, &hosts);
    pebble.certificate_of(pebble.https, "shop.example").await;
    let ask = |name: &'static str| pebble.shown_on_demand(pebble.https, name);
    let first = ask("a.customers.example").await;
    assert!(first.is_some(), "the first visitor waits for it: {}", gateway.log());
    let (one, other) = tokio::join!(ask("b.customers.example"), ask("b.customers.example"));
    assert!(one.is_some() && one == other, "{}", gateway.log());
    for stranger in ["evil.example", "a.b.customers.example", "customers.example"] {
        assert!(ask(stranger).await.is_none(), "{stranger}");
    }
    assert_eq!(pebble.issued(), 3, "{}", gateway.log());
    assert_eq!(pebble.logged("/order-plz"), 3, "{}", pebble.log());
    drop(gateway);
    let roots = pebble.roots().unwrap();
    pebble.kill();
    let _again = site.serve(&pebble, &hosts);
    assert_eq!(pebble.shown_to(roots.clone(), pebble.https, "a.customers.example").await, first);
    let refused = pebble.shown_to(roots, pebble.https, "c.customers.example").await;
    assert!(refused.is_none(), "without a certificate there is no handshake");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_listed_with_their_ends_and_their_renewals() {
    let pebble = Pebble::start();
    let site = Site::new(&pebble, "");
    let _gateway = site.serve(&pebble, &["--host", "shop.example"]);
    pebble.certificate_of(pebble.https, "shop.example").await;
    let (file, state) = (site.file().display().to_string(), site.state().display().to_string());
    let list = ["certificates", "list", "--config", &file, "--state", &state];
    let (code, json, stderr) = panoply(&[&list[..], &["--format", "json"]].concat());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    let [ordered, own] = found["certificates"].as_array().unwrap().as_slice() else { panic!("{json}") };
    assert_eq!((&ordered["names"][0], &ordered["from"]), (&"shop.example".into(), &"acme".into()), "{json}");
    assert!(ordered["issuer"].as_str().unwrap().contains("Pebble"), "{json}");
    let time = |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap().to_owned();
    for entry in [ordered, own] {
        assert!(time(entry, "not_before") < time(entry, "renewal"), "{json}");
        assert!(time(entry, "renewal") < time(entry, "not_after"), "{json}");
    }
    assert_eq!(own["from"], "self_made", "{json}");
    let (code, text, _) = panoply(&list);
    assert!(code == Some(0) && text.contains("shop.example\n  issuer   CN=Pebble"), "{text}");
    assert!(text.contains(&format!("renewed  {}", time(ordered, "renewal"))), "{text}");
    let gone = site.settings.path().join("gone.toml");
    fs::write(&gone, "tls = { cert = '/nowhere/cert.pem', key = '/nowhere/key.pem' }\n").unwrap();
    let (code, _, stderr) = panoply(&["certificates", "list", "--config", &gone.display().to_string()]);
    assert!(code == Some(2) && stderr.contains("/nowhere/cert.pem"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_trusts_nobody_serves_what_it_has_and_orders_nothing() {
    let pebble = Pebble::start();
    let site = Site::new(&pebble, "");
    let gateway = site.serve(&pebble, &["--host", "shop.com"]);
    let first = pebble.certificate_of(pebble.https, "shop.com").await;
    drop(gateway);
    let settings = pebble.settings("");
    let without: Vec<_> = settings.lines().filter(|line| !line.starts_with("ca = ")).collect();
    site.write(&without.join("\n"));
    let state = site.state().display().to_string();
    let empty = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", site.settings.path().to_str().unwrap())];
    let file = site.file().display().to_string();
    let (https, http) = (format!("127.0.0.1:{}", pebble.https), format!("127.0.0.1:{}", pebble.http));
    let places = ["--host", "shop.com", "--https", &https, "--http", &http, "--state", &state];
    let start = ["serve", "--to", "http://127.0.0.1:1", "--config", &file];
    let gateway = Gateway::start(&[&start[..], &places].concat(), &empty);
    gateway.logged("hint: install the package ca-certificates");
    assert_eq!(pebble.shown_at(pebble.https, "shop.com").await, Some(first));
}

/// The one cannot order, since its turn is taken; the other can, but the authority comes to the one.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_gateways_one_orders_and_either_answers() {
    for challenge in ["tls-alpn-01", "http-01"] {
        let (pebble, redis) = (Pebble::start(), Redis::start());
        let site = Site::new(&pebble, &format!("challenges = ['{challenge}']"));
        let keys = site.settings.path().join("keys");
        fs::write(&keys, "9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymA=\n").unwrap();
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
        let on_demand = "on_demand = ['*.customers.example']";
        let settings = pebble.settings(&format!("challenges = ['{challenge}']\n{on_demand}"));
        site.write(&format!("keys = {{ file = '{}' }}\n{settings}", keys.display()));
        let url = redis.url();
        let flags = ["--host", "shop.example", "--host", "*.customers.example", "--store", &url];
        let directory = Scratch::new();

        let claim = format!("panoply:claim:acme:{}:orders", pebble.authority());
        redis.ask(&format!("SET {claim} somebody PX 600000"));
        let one = site.serve(&pebble, &flags);
        one.logged("another process orders");
        redis.ask(&format!("DEL {claim}"));
        let other_port = free_port();
        let state = directory.path().display().to_string();
        let other = site.serve_with_state(&state, other_port, free_port(), &flags);
        let ordered = pebble.certificate_of(other_port, "shop.example").await;
        let seen = pebble.certificate_of(pebble.https, "shop.example").await;
        assert_eq!(ordered, seen, "{challenge}");
        assert_eq!(pebble.issued(), 1, "{challenge}: {}\n{}", one.log(), other.log());
        let asked = pebble.shown_on_demand(other_port, "a.customers.example").await;
        assert!(asked.is_some(), "{challenge}: {}\n{}", one.log(), other.log());
        assert_eq!(pebble.shown_at(pebble.https, "a.customers.example").await, asked, "{challenge}");
        assert_eq!(pebble.issued(), 2, "{challenge}: the one has it from the other");
        let secret = redis.ask("KEYS panoply:shared:*");
        assert!(secret.contains("shop.example.pem"), "{secret}");
        for key in secret.lines().filter(|line| line.starts_with("panoply:")) {
            let value = redis.ask(&format!("GET {key}"));
            assert!(!value.contains("BEGIN") && !value.contains("key_pkcs8"), "{key}: {value}");
        }
    }
}

#[test]
fn what_cannot_order_says_so_at_the_start() {
    for (arguments, said) in [
        (&["--acme", "ops@shop.example"][..], "hint: name the hosts: `--host shop.example`"),
        (&["--acme", "ops"], "hint: write one that is read"),
        (&["--acme", "ops@shop.example", "--host", "*.shop.com"], "hint: set `dns` in [tls.acme]"),
        (
            &["--acme", "ops@shop.example", "--host", "shop.com", "--store", "redis://127.0.0.1:1"],
            "hint: write `keys = { file",
        ),
    ] {
        let ports = ["--https", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let start = ["serve", "--to", "http://127.0.0.1:1"];
        let (code, _, stderr) = panoply(&[&start[..], &ports, arguments].concat());
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

/// One site, started where Pebble comes to look.
struct Site {
    settings: Scratch,
    app: Recorder,
}

impl Site {
    fn new(pebble: &Pebble, more: &str) -> Self {
        let site = Self { settings: Scratch::new(), app: Recorder::answering(OK) };
        site.write(&pebble.settings(more));
        site
    }

    fn write(&self, settings: &str) {
        fs::write(self.file(), settings).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.settings.path().join("panoply.toml")
    }

    fn state(&self) -> PathBuf {
        self.settings.path().join("state")
    }

    /// Where what belongs to Pebble is kept.
    fn folder_of_authority(&self) -> PathBuf {
        fs::read_dir(self.state().join("acme")).unwrap().next().unwrap().unwrap().path()
    }

    fn serve(&self, pebble: &Pebble, more: &[&str]) -> Gateway {
        self.serve_at(pebble.https, pebble.http, more)
    }

    fn serve_at(&self, https: u16, http: u16, more: &[&str]) -> Gateway {
        self.serve_with_state(&self.state().display().to_string(), https, http, more)
    }

    fn serve_with_state(&self, state: &str, https: u16, http: u16, more: &[&str]) -> Gateway {
        let (to, file) = (format!("http://{}", self.app.address()), self.file().display().to_string());
        let (https, http) = (format!("127.0.0.1:{https}"), format!("127.0.0.1:{http}"));
        let places = ["--https", &https, "--http", &http, "--state", state];
        Gateway::start(&[&["serve", "--to", &to, "--config", &file][..], &places, more].concat(), &[])
    }

    /// A program that writes down how it is called, does `first`, and sets the record in Pebble's DNS.
    fn hook(&self, pebble: &Pebble, first: &str) -> String {
        let path = self.settings.path().join("hook");
        let mut script = String::new();
        writeln!(script, "#!/bin/sh\necho \"$@\" >> \"$0.calls\"\n{first}").unwrap();
        writeln!(script, "case $2 in present) verb=set-txt;; *) verb=clear-txt;; esac").unwrap();
        let url = format!("http://127.0.0.1:{}", pebble.dns_management());
        writeln!(
            script,
            "exec curl -sf -d \"{{\\\"host\\\":\\\"$3.\\\",\\\"value\\\":\\\"$4\\\"}}\" {url}/$verb"
        )
        .unwrap();
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path.display().to_string()
    }
}

/// What the gateway answers to a visitor who trusts the certificate that it made itself.
async fn answer(site: &Site, gateway: &Gateway) -> Answer {
    let client = Client::trusting(&site.state().join("self-made.crt"), gateway.https());
    client.ask(Request::get("/").header("host", "shop.example").body(Full::default()).unwrap()).await
}

/// Debian's bind9, with a zone that takes updates from who has its key.
struct Bind {
    port: u16,
    _process: Process,
    _folder: Scratch,
}

impl Bind {
    const SECRET: &str = "c2l4IHRlYXBvdHMgYW5kIGEgc2VjcmV0IG9mIHRoZWlycw==";

    fn start() -> Self {
        let (port, folder) = (free_port(), Scratch::new());
        let path = folder.path().display();
        let config = format!(
            "options {{ directory \"{path}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
             pid-file none; session-keyfile none; recursion no; dnssec-validation no; }};\ncontrols {{ }};\n\
             key \"panoply\" {{ algorithm hmac-sha256; secret \"{}\"; }};\n\
             zone \"shop.example\" {{ type primary; file \"{path}/zone\";\n\
             update-policy {{ grant panoply name _acme-challenge.shop.example. TXT; }}; }};\n",
            Self::SECRET
        );
        fs::write(folder.path().join("named.conf"), config).unwrap();
        let zone =
            "$TTL 60\n@ SOA ns.shop.example. ops.shop.example. 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n";
        fs::write(folder.path().join("zone"), zone).unwrap();
        // Not on every user's path.
        let named = ["/usr/sbin/named", "/usr/bin/named"].into_iter().find(|path| Path::new(path).exists());
        let mut command = Process::command(named.expect("bind9 is not installed: run scripts/test"));
        command.arg("-c").arg(folder.path().join("named.conf")).arg("-g").stderr(Stdio::null());
        Self { port, _process: Process::start(&mut command, port), _folder: folder }
    }

    /// The TXT records of a name, as the zone's file will have them.
    fn answers(&self, name: &str) -> String {
        let mut dig = Command::new("dig");
        dig.args(["@127.0.0.1", "-p", &self.port.to_string(), "+short", "+tcp", "TXT", name]);
        String::from_utf8(dig.output().unwrap().stdout).unwrap()
    }
}

fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
