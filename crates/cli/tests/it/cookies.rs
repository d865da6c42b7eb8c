//! `cookies`: renamed and sealed in front of real Express apps, which see nothing of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use panoply::Keys;

use crate::client::{Answer, Client, get};
use crate::gateway::Gateway;
use crate::node::Node;
use crate::scratch::Scratch;

#[tokio::test]
async fn the_app_sees_its_own_cookies_and_the_visitor_does_not() {
    let app = Node::start("logins.js");
    let folder = Scratch::new();
    let gateway = Gateway::serve(app.address(), &["--config", &written(&folder, RENAMED_AND_SEALED)]);
    let client = gateway.client();
    for (place, names, app_sees) in [
        ("kept", &["__Host-id"][..], "connect.sid=s%3A"),
        ("carried", &["__Host-cart", "__Host-cart.sig"], "session=eyJ1c2VyIjoiYW5uIn0="),
    ] {
        for http_2 in [false, true] {
            let mut jar = Jar { http_2, ..Jar::default() };
            jar.visit(&client, &format!("/{place}/login?user=ann")).await;
            assert_eq!(jar.names(), names, "{place}");
            for (name, value) in &jar.cookies {
                assert!(
                    value.len() > 51 && !value.contains("s%3A") && !value.contains("eyJ1c2VyIjoi"),
                    "{name}={value}"
                );
            }
            let me = jar.visit(&client, &format!("/{place}/me")).await;
            assert!(me.text().starts_with("{\"user\":\"ann\",\"sent\":"), "{}", me.text());
            assert!(me.text().contains(app_sees), "{}", me.text());
            assert!(!me.text().contains("__Host-"), "{}", me.text());

            let mut forged = jar.clone();
            for value in forged.cookies.values_mut() {
                value.replace_range(30..31, if &value[30..31] == "x" { "y" } else { "x" });
            }
            let me = forged.visit(&client, &format!("/{place}/me")).await;
            assert_eq!(me.text(), NOBODY, "{place}");

            jar.visit(&client, &format!("/{place}/logout")).await;
            assert_eq!(jar.names(), [""; 0], "{place}");
        }
    }
    gateway.logged("were kept from the app");
}

#[tokio::test]
async fn the_apps_own_name_is_nobodys_else() {
    let app = Node::start("logins.js");
    let folder = Scratch::new();
    let gateway = Gateway::serve(app.address(), &["--config", &written(&folder, RENAMED_AND_SEALED)]);
    // Good cookies, and not from here.
    for (place, name) in [("kept", "connect.sid"), ("carried", "session")] {
        let direct = direct(&app, &format!("/{place}/login?user=ann"), "").await;
        let mut jar = Jar::default();
        jar.take(&direct);
        assert!(jar.cookies.contains_key(name));
        let mut theirs = jar.clone();
        theirs.cookies = jar.cookies.iter().map(|(name, value)| (outside(name), value.clone())).collect();
        for mut jar in [jar, theirs] {
            let me = jar.visit(&gateway.client(), &format!("/{place}/me")).await;
            assert_eq!(me.text(), NOBODY, "{place} {:?}", jar.cookies);
        }
    }
    let renamed = "[shield.cookies]\nrename = { 'connect.sid' = '__Host-id' }";
    let gateway = Gateway::serve(app.address(), &["--config", &written(&folder, renamed)]);
    let request = Request::get("/kept/me")
        .header("cookie", "a=1")
        .header("cookie", "connect.sid=x")
        .header("cookie", "b=2; __Host-id=y");
    let answer = gateway.client().ask_http_2(request.body(Full::<Bytes>::default()).unwrap()).await;
    assert_eq!(answer.text(), "{\"user\":null,\"sent\":\"a=1; b=2; connect.sid=y\"}");
}

#[tokio::test]
async fn a_login_from_before_lasts_until_the_change_over_ends() {
    let app = Node::start("logins.js");
    let folder = Scratch::new();
    for (until, user) in [("2099-12-31", "ann"), ("2020-12-31", "nobody")] {
        let text = format!("{RENAMED_AND_SEALED}\naccept_plain_until = '{until}'");
        let gateway = Gateway::serve(app.address(), &["--config", &written(&folder, &text)]);
        for place in ["kept", "carried"] {
            let mut jar = Jar::default();
            jar.take(&direct(&app, &format!("/{place}/login?user=ann"), "").await);
            let me = jar.visit(&gateway.client(), &format!("/{place}/me")).await;
            assert_eq!(me.text().contains("\"ann\""), user == "ann", "{place} {until}: {}", me.text());
            // To log out ends what was before too, and the next login leaves none of it in the browser.
            if user == "ann" {
                jar.visit(&gateway.client(), &format!("/{place}/logout")).await;
                assert_eq!(jar.names(), [""; 0], "{place}");
            }
            jar.visit(&gateway.client(), &format!("/{place}/login?user=bob")).await;
            assert!(jar.names().iter().all(|name| name.starts_with("__Host-")), "{place}: {:?}", jar.names());
            assert!(jar.visit(&gateway.client(), &format!("/{place}/me")).await.text().contains("\"bob\""));
        }
    }
}

#[tokio::test]
async fn keys_outlive_a_restart_and_can_be_shared_and_replaced() {
    let app = Node::start("logins.js");
    let folder = Scratch::new();
    let (state, config) = (folder.path().join("state"), written(&folder, RENAMED_AND_SEALED));
    let start = || Gateway::serve(app.address(), &["--config", &config]);
    let kept = || {
        let more = ["serve", "--to", &format!("http://{}", app.address()), "--https", "127.0.0.1:0"];
        let state = ["--config", &config, "--state", state.to_str().unwrap()];
        Gateway::start(&[&more[..], &state].concat(), &[])
    };
    let client = |gateway: &Gateway| Client::trusting(&state.join("self-made.crt"), gateway.https());
    let mut jar = Jar::default();
    {
        let gateway = kept();
        jar.visit(&client(&gateway), "/carried/login?user=ann").await;
    }
    let mode = fs::metadata(state.join("keys")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let gateway = kept();
    assert!(jar.visit(&client(&gateway), "/carried/me").await.text().contains("\"ann\""));
    let elsewhere = start(); // with a key of its own
    assert_eq!(jar.clone().visit(&elsewhere.client(), "/carried/me").await.text(), NOBODY);

    let (old, new) = (Keys::generate(), Keys::generate());
    let text = format!("keys = {{ env = 'SHOP_KEYS' }}\n{RENAMED_AND_SEALED}");
    let shared = written(&folder, &text);
    let started = |keys: &str| {
        let to = format!("http://{}", app.address());
        let arguments = ["serve", "--to", &to, "--https", "127.0.0.1:0", "--config", &shared];
        Gateway::start(&arguments, &[("SHOP_KEYS", keys)])
    };
    let (before, after) = (started(&old), started(&format!("{new}\n{old}")));
    let mut jar = Jar::default();
    jar.visit(&before.client(), "/carried/login?user=ann").await;
    assert!(jar.visit(&after.client(), "/carried/me").await.text().contains("\"ann\""));
    jar.visit(&after.client(), "/carried/login?user=bob").await;
    assert_eq!(jar.visit(&before.client(), "/carried/me").await.text(), NOBODY);
    for gateway in [&before, &after] {
        assert!(!gateway.log().contains(&old) && !gateway.log().contains(&new), "{}", gateway.log());
    }
}

#[tokio::test]
async fn what_grows_too_long_by_its_seal_is_told_to_the_operator() {
    let app = Node::start("logins.js");
    let folder = Scratch::new();
    let gateway = Gateway::serve(app.address(), &["--config", &written(&folder, RENAMED_AND_SEALED)]);
    let mut jar = Jar::default();
    jar.visit(&gateway.client(), "/carried/login?user=ann").await;
    let answer = jar.visit(&gateway.client(), "/carried/login?user=bob&size=2500").await;
    assert_eq!(answer.status, 200);
    gateway.logged("4,096 bytes");
}

const RENAMED_AND_SEALED: &str = "[shield.cookies]\n\
    rename = { 'connect.sid' = '__Host-id', session = '__Host-cart' }\n\
    seal = ['connect.sid', 'session']";

const NOBODY: &str = "{\"user\":null,\"sent\":null}";

/// The cookies of a browser that only ever visits one host.
#[derive(Clone, Debug, Default)]
struct Jar {
    cookies: BTreeMap<String, String>,
    http_2: bool,
}

impl Jar {
    async fn visit(&mut self, client: &Client, path: &str) -> Answer {
        let mut request = get(path);
        for (name, value) in &self.cookies {
            // Browsers send one field; over HTTP/2 they may send several.
            request.headers_mut().append("cookie", format!("{name}={value}").parse().unwrap());
        }
        let answer = if self.http_2 {
            client.ask_http_2(request).await
        } else {
            let line: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.headers_mut().remove("cookie");
            if !line.is_empty() {
                request.headers_mut().insert("cookie", line.join("; ").parse().unwrap());
            }
            client.ask(request).await
        };
        let lines: Vec<_> =
            answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
        for line in &lines {
            if line.starts_with("__Host-") {
                let lower = line.to_lowercase();
                assert!(
                    lower.contains("; path=/") && lower.contains("; secure") && !lower.contains("domain"),
                    "{line}"
                );
            }
        }
        self.take(&lines);
        answer
    }

    fn take<S: AsRef<str>>(&mut self, lines: &[S]) {
        for line in lines {
            let line = line.as_ref();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            let lower = line.to_lowercase();
            if lower.contains("max-age=0") || lower.contains("01 jan 1970") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        self.cookies.keys().map(String::as_str).collect()
    }
}

fn outside(name: &str) -> String {
    name.replace("connect.sid", "__Host-id").replace("session", "__Host-cart")
}

fn written(folder: &Scratch, text: &str) -> String {
    let path = folder.path().join(format!("{}.toml", text.len()));
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// The `Set-Cookie` lines of the app itself, with nothing in front.
async fn direct(app: &Node, path: &str, cookie: &str) -> Vec<String> {
    let stream = tokio::net::TcpStream::connect(app.address()).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost").header("cookie", cookie);
    let answer = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
    let lines = answer.headers().get_all("set-cookie").iter();
    lines.map(|line| line.to_str().unwrap().to_owned()).collect()
}
