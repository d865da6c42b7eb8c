//! What operators do with a gateway that runs: see, explain, ban, lift; and who is no operator.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::client::form;
use crate::gateway::{Gateway, PATIENCE, panoply};
use crate::metrics::Page;
use crate::node::Node;
use crate::process::Redis;
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;
use crate::servers::postgres_server::PostgresServer;

#[tokio::test]
async fn an_operator_lifts_the_ban_that_he_is_under_himself() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--admin", "127.0.0.1:0"]);
    let client = gateway.client();
    assert_eq!(client.get("/").await.status, 200);

    let (code, said, notes) =
        gateway.operate(&["bans", "add", "127.0.0.0/8", "--for", "1h", "--because", "a \"test\""]);
    assert_eq!((code, &*said, &*notes), (Some(0), "kept out for 1h: 127.0.0.0/8\n", ""));
    let refused = client.get("/secret?token=hunter2").await;
    assert_eq!(refused.status, 403);
    assert_eq!(app.heads(1).len(), 1, "the app saw nothing of it");

    let (code, list, _) = gateway.operate(&["bans", "list"]);
    assert_eq!(code, Some(0));
    let [head, ban] = list.lines().collect::<Vec<_>>()[..] else { panic!("{list}") };
    assert!(head.starts_with("KEY  ") && ban.starts_with("127.0.0.0/8  an operator"), "{list}");
    assert!((ban.contains(" 1h ") || ban.contains(" 59min ")) && ban.ends_with("a \"test\""), "{list}");
    let (_, json, _) = gateway.operate(&["bans", "list", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["bans"][0]["network"], "127.0.0.0/8");

    let (code, said, _) = gateway.operate(&["explain", id(refused.text())]);
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "client       127.0.0.1",
        "asked        GET localhost/secret",
        "what         refused with 403 by rate_limit",
        "key          127.0.0.0/8",
        "to let pass  panoply bans lift 127.0.0.0/8",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}:\n{said}");
    }
    assert!(!said.contains("hunter2") && said.contains("a \"test\""), "{said}");

    let (code, said, _) = gateway.operate(&["bans", "lift", "127.0.0.1"]);
    assert_eq!((code, &*said), (Some(0), "lifted: rate_limit ban 127.0.0.0/8\n"));
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(gateway.operate(&["bans", "list"]).1, "nobody is kept out\n");
    let (code, lifted, said) = gateway.operate(&["bans", "lift", "127.0.0.1"]);
    assert_eq!((code, &*lifted), (Some(2), ""));
    assert!(said.contains("nobody is kept out under this key"), "{said}");
}

#[tokio::test]
async fn a_refusal_is_explained_by_the_id_that_its_visitor_saw() {
    let folder = Scratch::new();
    let file = folder.path().join("panoply.toml");
    fs::write(
        &file,
        "admin = '127.0.0.1:0'\n[shield]\nrate_limit = '3/day'\n\
         [[site]]\nhosts = ['localhost']\nshield.csrf.judges = 'every_write'",
    )
    .unwrap();
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--config", file.to_str().unwrap()]);
    let client = gateway.client();
    let explained = |page: &str| {
        let (code, said, error) = gateway.operate(&["explain", id(page)]);
        assert_eq!(code, Some(0), "{error}");
        said
    };

    let foreign = http::Request::post("/login")
        .header("origin", "https://pay.example")
        .header("sec-fetch-site", "cross-site")
        .body(http_body_util::Full::default())
        .unwrap();
    let said = explained(client.ask(foreign).await.text());
    for part in [
        "refused with 403 by csrf",
        "rests on     [[site]] shield.csrf  (the site localhost)",
        "to let pass  shield.csrf.trusted_origins = [\"https://pay.example\"]",
    ] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
    for status in [200, 200, 429] {
        assert_eq!(client.get("/").await.status, status);
    }
    let refused = client.get("/").await;
    let said = explained(refused.text());
    for part in [
        "refused with 429 by rate_limit",
        "rests on     [shield.rate_limit] rate = \"3/day\"  (all sites)",
        "to let pass  shield.rate_limit.exempt = [\"127.0.0.1\"]",
    ] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
    gateway.logged(id(refused.text()));
    gateway.logged("rule=\"default\" key=\"127.0.0.1\" count=4 points=3");
    assert!(said.contains("key          127.0.0.1: 4 of 3\n"), "{said}");

    let (code, said, _) = gateway.operate(&["bans", "lift", "127.0.0.1"]);
    assert_eq!((code, &*said), (Some(0), "lifted: rate_limit default 127.0.0.1\n"));
    assert_eq!(client.get("/").await.status, 200);

    let (code, _, error) = gateway.operate(&["explain", "0123456789abcdef0123456789abcdef"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("no such refusal is remembered"), "{error}");
    let (code, json, _) = gateway.operate(&["explain", id(refused.text()), "--format", "json"]);
    assert_eq!(code, Some(0));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["status"], 429);
}

#[tokio::test]
async fn of_one_clients_many_refusals_the_log_has_the_first_and_a_count_and_explain_knows_it() {
    let folder = Scratch::new();
    let file = folder.path().join("panoply.toml");
    fs::write(&file, "admin = '127.0.0.1:0'\nshield.rate_limit = '1/day'\n").unwrap();
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--config", file.to_str().unwrap()]);
    let client = gateway.client();
    assert_eq!(client.get("/").await.status, 200);
    let mut pages = Vec::new();
    for _ in 0..60 {
        pages.push(client.get("/").await.text().to_owned());
    }
    let last = pages.last().unwrap();
    assert_eq!(
        gateway.operate(&["explain", id(last)]).0,
        Some(0),
        "what has no line has its id, and is remembered"
    );
    let (code, _, error) = gateway.operate(&["explain", id(&pages[20])]);
    assert_eq!(code, Some(2));
    assert!(
        error.contains("of a client that is refused again and again has the first lines alone"),
        "{error}"
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    while !gateway.log().contains("left out: ") {
        assert!(Instant::now() < deadline, "{}", gateway.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = gateway.log();
    let written = log.matches("INFO refused practice=\"rate_limit\"").count();
    // A slow machine may have needed more than ten seconds for them.
    assert!((10..=30).contains(&written) && log.contains(id(&pages[0])), "{written}: {log}");
}

#[tokio::test]
async fn who_guessed_too_often_is_listed_explained_and_let_in_again() {
    let app = Node::start("doors.js");
    let gateway = Gateway::serve(app.address(), &["--admin", "127.0.0.1:0"]);
    let client = gateway.client().from([127, 1, 0, 1]);
    let guess = async || client.ask(form("/unauthorized/login", "username=user1&password=guess")).await;
    for _ in 0..10 {
        assert_eq!(guess().await.status, 401);
    }
    for _ in 0..2 {
        assert_eq!(guess().await.status, 429);
    }
    let refused = guess().await;
    let (_, said, _) = gateway.operate(&["explain", id(refused.text())]);
    for part in [
        "client       127.1.0.1\n",
        "refused with 429 by brute_force\n",
        "rule         by_username_and_ip\n",
        "_127.1.0.1: 11 of 10\n",
        "rests on     [shield.brute_force] by_username_and_ip  (the default)\n",
        "to let pass  shield.brute_force.exempt = [\"127.1.0.1\"]\n",
    ] {
        assert!(said.contains(part) && !said.contains("user1"), "{part}:\n{said}");
    }
    let (_, list, _) = gateway.operate(&["bans", "list"]);
    let [_, row] = list.lines().collect::<Vec<_>>()[..] else { panic!("{list}") };
    let key = row.split(' ').next().unwrap();
    assert!(key.ends_with("_127.1.0.1") && row.contains("brute_force by_username_and_ip  11  "), "{list}");

    let (code, said, _) = gateway.operate(&["bans", "lift", "127.1.0.1"]);
    assert_eq!(code, Some(0));
    assert!(said.contains(&format!("lifted: brute_force by_username_and_ip {key}\n")), "{said}");
    assert_eq!(guess().await.status, 401);
    assert_eq!(gateway.operate(&["bans", "list"]).1, "nobody is kept out\n");
    let metrics = ask(gateway.admin(), "GET /metrics", "", "");
    for line in [
        "panoply_guesses_total{outcome=\"wrong\"} 12",
        "panoply_rule_verdicts_total{practice=\"brute_force\",rule=\"by_username_and_ip\",verdict=\"refused\"} 3",
    ] {
        assert!(metrics.lines().any(|said| said == line), "{line}:\n{metrics}");
    }
}

#[tokio::test]
async fn every_figure_of_the_metrics_is_a_name_labels_and_a_number() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--admin", "127.0.0.1:0", "--host", "localhost"]);
    let client = gateway.client();
    for (host, status) in [("localhost", 200), ("localhost", 200), ("evil.example", 421)] {
        let request = http::Request::get("/").header("host", host);
        assert_eq!(client.ask(request.body(http_body_util::Full::default()).unwrap()).await.status, status);
    }
    let page = Page::of(&gateway);
    for (name, figure) in [
        ("panoply_verdicts_total{practice=\"hosts\",verdict=\"admitted\"}", 2),
        ("panoply_verdicts_total{practice=\"hosts\",verdict=\"refused\"}", 1),
        ("panoply_verdicts_total{practice=\"rate_limit\",verdict=\"admitted\"}", 2),
        ("panoply_bans", 0),
    ] {
        assert!(page.has(name) && page.figure(name) as u64 == figure, "{name}: {}", page.figure(name));
    }
    let health = ask(gateway.admin(), "GET /health", "", "");
    assert!(health.contains(r#""store":{"kind":"memory","up":true}"#), "{health}");
}

#[test]
fn neither_pages_nor_foreign_names_nor_large_requests_are_answered() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--admin", "127.0.0.1:0"]);
    let admin = gateway.admin();
    let json = "content-type: application/json\r\n";
    let ban = r#"{"network":"192.0.2.1"}"#;
    for (request, headers, body, status) in [
        ("GET /bans", String::new(), "", 200),
        ("GET /bans", "origin: http://127.0.0.1:9900\r\n".to_owned(), "", 403),
        ("GET /bans", "sec-fetch-site: cross-site\r\n".to_owned(), "", 403),
        ("GET /bans", "host: evil.example\r\n".to_owned(), "", 421),
        ("POST /bans", String::new(), ban, 415),
        ("POST /bans", format!("{json}origin: null\r\n"), ban, 403),
        ("POST /bans", json.to_owned(), "{\"network\":", 400),
        ("POST /bans", json.to_owned(), r#"{"network":"0.0.0.0/0"}"#, 400),
        ("POST /bans", json.to_owned(), r#"{"network":"192.0.2.1","for":"1h"}"#, 400),
        ("POST /bans", json.to_owned(), &"x".repeat(5_000), 413),
        ("GET /bans", format!("x: {}\r\n", "y".repeat(9_000)), "", 431),
        ("PUT /bans", json.to_owned(), "", 405),
        ("DELETE /bans/192.0.2.1", json.to_owned(), "", 404),
        ("GET /refusals/1", String::new(), "", 400),
        ("GET /", String::new(), "", 404),
        ("POST /bans", json.to_owned(), ban, 201),
        ("DELETE /bans/192.0.2.1", json.to_owned(), "", 200),
    ] {
        let answer = ask(admin, request, &headers, body);
        let line = answer.lines().next().unwrap_or_default();
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{request} {headers:.40}: {line}");
    }
}

#[test]
fn other_machines_need_a_token_and_the_right_one() {
    let (code, _, error) =
        panoply(&["serve", "--to", "http://127.0.0.1:1", "--https", "127.0.0.1:0", "--admin", "0.0.0.0:0"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("could lift every ban"), "{error}");

    let folder = Scratch::new();
    let (file, token) = (folder.path().join("panoply.toml"), folder.path().join("token"));
    fs::write(&token, "9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymA=\n").unwrap();
    fs::write(&file, format!("admin = '0.0.0.0:0'\nadmin_token = {{ file = '{}' }}", token.display()))
        .unwrap();
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--config", file.to_str().unwrap()]);
    let (code, _, error) = gateway.operate(&["bans", "list"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("the admin token is missing or another one"), "{error}");
    let (code, list, error) = gateway.operate(&["bans", "list", "--config", file.to_str().unwrap()]);
    assert_eq!((code, &*list), (Some(0), "nobody is kept out\n"), "{error}");
    let wrong = "authorization: Bearer 9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymB=\r\n";
    let answer = ask(gateway.admin(), "GET /bans", wrong, "");
    assert!(
        answer.starts_with("HTTP/1.1 401 ") && answer.to_lowercase().contains("www-authenticate: bearer")
    );
    assert!(!gateway.log().contains("9XHhfsRAjz"), "{}", gateway.log());

    fs::write(&token, "letmein\n").unwrap();
    let (code, _, error) =
        panoply(&["serve", "--to", "http://127.0.0.1:1", "--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(error.contains("32 printable characters") && !error.contains("letmein"), "{error}");
}

#[tokio::test]
async fn a_ban_outlives_a_restart() {
    let folder = Scratch::new();
    let state = folder.path().to_str().unwrap();
    let app = Recorder::answering(OK);
    let start = || Gateway::serve(app.address(), &["--admin", "127.0.0.1:0", "--state", state]);
    let certificate = folder.path().join("self-made.crt");
    let status = async |gateway: &Gateway| {
        crate::client::Client::trusting(&certificate, gateway.https()).get("/").await.status.as_u16()
    };

    let mut gateway = start();
    assert_eq!(gateway.operate(&["bans", "add", "127.0.0.1", "--because", "stays"]).0, Some(0));
    assert_eq!(status(&gateway).await, 403);
    gateway.signal("KILL");
    gateway.ended();

    let gateway = start();
    assert_eq!(status(&gateway).await, 403);
    let (_, list, _) = gateway.operate(&["bans", "list"]);
    assert!(list.contains("127.0.0.1  an operator  -      until lifted  stays"), "{list}");
    assert_eq!(gateway.operate(&["bans", "lift", "127.0.0.1"]).0, Some(0));
    drop(gateway);
    assert_eq!(status(&start()).await, 200);

    fs::write(folder.path().join("bans.json"), "{\"version\":1,\"bans\":[{").unwrap();
    let (code, _, error) = panoply(&["serve", "--to", "http://127.0.0.1:1", "--state", state]);
    assert_eq!(code, Some(2));
    assert!(error.contains("is damaged"), "{error}");
}

#[tokio::test]
async fn what_one_machine_bans_and_lifts_all_do_also_when_the_store_was_down_or_emptied() {
    let redis = Redis::start();
    let app = Recorder::answering(OK);
    let url = redis.url();
    let options = ["--admin", "127.0.0.1:0", "--store", &url];
    let [one, other] = [(); 2].map(|()| Gateway::serve(app.address(), &options));
    let becomes = async |gateway: &Gateway, status: u16| {
        let deadline = Instant::now() + PATIENCE;
        while gateway.client().get("/").await.status != status {
            assert!(
                Instant::now() < deadline,
                "it stays; health: {}",
                ask(gateway.admin(), "GET /health", "", "")
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };

    let (code, _, notes) = one.operate(&["bans", "add", "127.0.0.1", "--because", "all of us"]);
    assert_eq!((code, &*notes), (Some(0), ""));
    becomes(&one, 403).await;
    becomes(&other, 403).await;
    assert!(other.operate(&["bans", "list"]).1.contains("all of us"));

    redis.ask("FLUSHALL");
    let deadline = Instant::now() + PATIENCE;
    while !redis.ask("KEYS *").contains("panoply:ban:127.0.0.1") {
        assert!(Instant::now() < deadline, "the ban is told anew: {}", redis.ask("KEYS *"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    becomes(&one, 403).await;

    redis.signal("STOP");
    let (code, said, notes) = one.operate(&["bans", "lift", "127.0.0.1"]);
    assert_eq!((code, &*said), (Some(0), "lifted: rate_limit ban 127.0.0.1\n"));
    assert!(notes.contains("the store does not answer"), "{notes}");
    becomes(&one, 200).await;
    assert!(ask(one.admin(), "GET /health", "", "").contains(r#""store":{"kind":"redis","up":false}"#));
    assert_eq!(other.client().get("/").await.status, 403);
    redis.signal("CONT");
    becomes(&other, 200).await;
    becomes(&one, 200).await;
    assert!(!redis.ask("KEYS *").contains("panoply:ban:"), "{}", redis.ask("KEYS *"));
}

#[tokio::test]
async fn bans_and_lifts_travel_through_postgresql_too() {
    let server = PostgresServer::start();
    let url = server.url();
    let app = Recorder::answering(OK);
    let options = ["--admin", "127.0.0.1:0", "--store", &url];
    let [one, other] = [(); 2].map(|()| Gateway::serve(app.address(), &options));
    for (verb, status) in [("add", 403), ("lift", 200)] {
        assert_eq!(one.operate(&["bans", verb, "127.0.0.1"]).0, Some(0), "{verb}");
        let deadline = Instant::now() + PATIENCE;
        while other.client().get("/").await.status != status {
            assert!(Instant::now() < deadline, "{verb}: {}", server.psql("select key, points from rlflx"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn an_exempt_client_is_never_banned() {
    let folder = Scratch::new();
    let file = folder.path().join("panoply.toml");
    fs::write(&file, "admin = '127.0.0.1:0'\nshield.rate_limit.exempt = ['127.0.0.1']").unwrap();
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--config", file.to_str().unwrap()]);
    assert_eq!(gateway.operate(&["bans", "add", "127.0.0.0/8"]).0, Some(0));
    assert_eq!(gateway.client().get("/").await.status, 200);
}

#[test]
fn who_asks_no_gateway_learns_what_to_write() {
    for (arguments, says) in [
        (&["bans", "list"][..], "admin = \"127.0.0.1:9900\""),
        (&["bans", "list", "--admin", "127.0.0.1:1"], "does the gateway run"),
        (&["bans", "list", "--admin", "127.0.0.1:0"], "name the address"),
        (&["bans", "add", "0.0.0.0/0", "--admin", "127.0.0.1:1"], "every address"),
        (&["bans", "add", "192.0.2.1", "--for", "ever", "--admin", "127.0.0.1:1"], "no length of time"),
        (&["explain", "0123456789abcdef0123456789abcdef"], "admin = \"127.0.0.1:9900\""),
        (&["explain", "0123456789abcdef"], "32 hexadecimal digits"),
    ] {
        let (code, _, error) = panoply(arguments);
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
}

/// The id on a page for visitors.
fn id(page: &str) -> &str {
    page.split_once("<code>").and_then(|(_, rest)| rest.split_once("</code>")).expect(page).0
}

/// Bytes to the admin address, and all that comes back.
pub(crate) fn ask(admin: SocketAddr, request: &str, headers: &str, body: &str) -> String {
    let port = admin.port();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let host = if headers.contains("host:") { String::new() } else { format!("host: 127.0.0.1:{port}\r\n") };
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\n{host}{headers}content-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let _ = stream.write_all(body.as_bytes()); // who refuses may close before all of it has come
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn who_holds_connections_open_does_not_keep_the_operator_out() {
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(app.address(), &["--admin", "127.0.0.1:0"]);
    let held: Vec<_> = (0..40).map(|_| TcpStream::connect(gateway.admin()).unwrap()).collect();
    let start = Instant::now();
    assert_eq!(gateway.operate(&["bans", "list"]).0, Some(0));
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    drop(held);
}
