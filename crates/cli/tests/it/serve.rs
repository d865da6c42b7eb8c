//! `panoply serve`: what a stranger sees of a badly protected Express app, practice by practice.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{form, get};
use crate::gateway::{Gateway, panoply};
use crate::node::Node;

#[tokio::test]
async fn a_stranger_sees_none_of_the_weaknesses() {
    let shop = Node::start("shop.js");
    let gateway = Gateway::serve(shop.address(), &["--host", "localhost"]);
    let client = gateway.client();

    for answer in client.both(|| get("/")).await {
        for (name, value) in [
            ("x-powered-by", ""),
            ("server", ""),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "SAMEORIGIN"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
            ("content-security-policy", "base-uri 'self';frame-ancestors 'self';object-src 'none'"),
            ("strict-transport-security", ""), // a self-made certificate would lock its visitors out
        ] {
            assert_eq!(answer.header(name), value, "{name}: {:?}", answer.headers);
        }
    }
    for (path, status, hidden) in [("/no/such/page", 404, "Cannot GET"), ("/crash", 500, "shop.js")] {
        for answer in client.both(|| get(path)).await {
            assert_eq!(answer.status.as_u16(), status);
            assert!(!answer.text().contains(hidden), "{path}: {}", answer.text());
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        }
    }
    gateway.logged("the till is on fire"); // the original is the operator's

    let cookies = client.get("/cookies").await;
    let cookies: Vec<_> =
        cookies.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
    for (name, script_may_read) in [("theme", true), ("connect.sid2", false), ("XSRF-TOKEN", true)] {
        let line = cookies.iter().find(|line| line.starts_with(name)).unwrap();
        assert!(line.contains("; Secure") && line.contains("; SameSite=Lax"), "{line}");
        assert_eq!(!line.contains("HttpOnly"), script_may_read, "{line}");
    }
}

#[tokio::test]
async fn every_refusal_has_the_shields_headers_over_both_versions() {
    let shop = Node::start("shop.js");
    let gateway = Gateway::serve(shop.address(), &["--host", "shop.example"]);
    let client = gateway.client();
    let foreign = || {
        let mut request = form("/login", "email=a&password=b");
        for (name, value) in
            [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("cookie", "a=b")]
        {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    let long = format!("/{}", "x".repeat(9000));
    let many = || {
        let request =
            (0..120).fold(Request::get("/"), |request, number| request.header(format!("x-{number}"), "1"));
        request.body(Full::<Bytes>::default()).unwrap()
    };
    let large = || {
        let mut request = form("/login", "");
        request.headers_mut().insert("content-length", "99999999".parse().unwrap());
        request
    };
    fn status<const N: usize>(answers: [crate::client::Answer; N], expected: StatusCode) {
        for answer in answers {
            assert_eq!(answer.status, expected, "{answer:?}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{answer:?}");
            assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
        }
    }
    status(client.both(foreign).await, StatusCode::FORBIDDEN);
    status(client.both(|| get(&long)).await, StatusCode::URI_TOO_LONG);
    // Over HTTP/1.1 it is hyper that counts: its refusal is bare, and closes the connection.
    let [bare, page] = client.both(many).await;
    assert_eq!(
        (bare.status, bare.headers.len()),
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, 3),
        "{bare:?}"
    );
    status([page], StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    // A name that is not served is refused whoever asks, but that this machine may call itself localhost.
    let elsewhere = || Request::get("/").header("host", "evil.example").body(Full::default()).unwrap();
    status(client.both(elsewhere).await, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(client.get("/").await.status, 200);
    status([raw(&gateway, &large()).await, raw(&gateway, &large()).await], StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn the_other_door_leads_known_hosts_to_https() {
    let shop = Node::start("shop.js");
    let gateway = Gateway::serve(shop.address(), &["--http", "127.0.0.1:0", "--host", "shop.example"]);
    for (host, status, location) in [
        ("shop.example", 301, format!("https://shop.example:{}/a?b=c", gateway.https().port())),
        ("localhost", 301, format!("https://localhost:{}/a?b=c", gateway.https().port())),
        ("evil.example", 421, String::new()),
    ] {
        let mut stream = tokio::net::TcpStream::connect(gateway.http()).await.unwrap();
        let request = format!("GET /a?b=c HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
        assert!(
            location.is_empty() || answer.contains(&format!("\r\nlocation: {location}\r\n")),
            "{host}: {answer}"
        );
        assert!(answer.contains("x-frame-options: SAMEORIGIN"), "{host}: {answer}");
    }
}

#[tokio::test]
async fn a_load_balancer_may_ask_for_the_health_path_under_any_name() {
    let folder = crate::scratch::Scratch::new();
    let file = folder.path().join("panoply.toml");
    let (shop, blog) = (Node::start("shop.js"), Node::start("shop.js"));
    let sites = [("shop.example", shop.address()), ("blog.example", blog.address())];
    let sites = sites.map(|(host, app)| format!("[[site]]\nhosts = ['{host}']\nupstream = 'http://{app}'\n"));
    let health = "shield.hosts.health_path = '/etag'\nshield.rate_limit = '1000/s'\n";
    std::fs::write(&file, [health, &sites.concat()].concat()).unwrap();
    let gateway =
        Gateway::start(&["serve", "--https", "127.0.0.1:0", "--config", file.to_str().unwrap()], &[]);
    for (host, path, status) in [
        ("shop.example", "/etag", 200),
        ("blog.example", "/etag", 200),
        ("192.0.2.1", "/etag", 200),
        ("192.0.2.1", "/", 421),
        ("evil.example", "/etag/", 421),
    ] {
        let ask = || Request::get(path).header("host", host).body(Full::<Bytes>::default()).unwrap();
        for answer in gateway.client().both(ask).await {
            assert_eq!(answer.status, status, "{host}{path}");
        }
    }
}

#[tokio::test]
async fn the_app_of_a_path_gets_it_as_it_was_sent_and_no_other_app_does() {
    let app = |answer| crate::recorder::Recorder::answering(answer);
    let old = app(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold");
    let new = app(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnew");
    let folder = crate::scratch::Scratch::new();
    let file = folder.path().join("panoply.toml");
    let rule = format!("[[site.rule]]\npath = \"/account/*\"\nupstream = \"http://{}\"\n", new.address());
    std::fs::write(&file, format!("[[site]]\n{rule}")).unwrap();
    let gateway = Gateway::serve(old.address(), &["--config", file.to_str().unwrap()]);
    let client = gateway.client();
    for (path, status, answer) in [
        ("/?a=/account", 200, "old"),
        ("/accounts", 200, "old"),
        ("/account?a=b", 200, "new"),
        ("/ACCOUNT/", 200, "new"),
        ("/%61ccount//x%2Fy", 200, "new"),
        ("//account", 400, ""),
        ("/x/../account", 400, ""),
        ("/account%2Fx", 400, ""),
    ] {
        let asked = [old.seen().concat().len(), new.seen().concat().len()];
        for said in client.both(|| get(path)).await {
            assert_eq!(said.status, status, "{path}");
            assert!(answer.is_empty() || said.text() == answer, "{path}: {}", said.text());
        }
        let line = format!("GET {path} HTTP/1.1\r\n");
        for (app, name, before) in [(&old, "old", asked[0]), (&new, "new", asked[1])] {
            let came = app.seen().concat();
            assert_eq!(came.matches(&line).count(), if name == answer { 2 } else { 0 }, "{path} {name}");
            assert_eq!(came.len() > before, name == answer, "{path} {name}");
        }
    }
    gateway.logged(&format!("at /account/*, to http://{}", new.address()));
}

#[tokio::test]
async fn a_trusted_proxy_says_who_asks() {
    let shop = Node::start("shop.js");
    let folder = crate::scratch::Scratch::new();
    let file = folder.path().join("panoply.toml");
    std::fs::write(&file, "trusted_proxies = [\"127.0.0.0/8\"]\n[shield]\nrate_limit = \"2/min\"\n").unwrap();
    let gateway = Gateway::serve(shop.address(), &["--config", file.to_str().unwrap()]);
    let client = gateway.client();
    let ask = |ip: &'static str| {
        let request =
            Request::get("/etag").header("x-forwarded-for", ip).body(Full::<Bytes>::default()).unwrap();
        let client = client.clone();
        async move { client.ask(request).await.status.as_u16() }
    };
    for (visitor, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.1", 200),
        ("192.0.2.1", 429),
        ("6.6.6.6, 192.0.2.1", 429), // further left is what the visitor made up
        ("192.0.2.2", 200),
    ] {
        assert_eq!(ask(visitor).await, status, "{visitor}");
    }
}

#[tokio::test]
async fn a_login_that_loses_its_cookie_is_noticed() {
    let shop = Node::start("shop.js");
    let gateway = Gateway::serve(shop.address(), &[]);
    let answer = gateway.client().ask(form("/login", "email=a%40b.example&password=correct+horse")).await;
    assert_eq!(answer.header("set-cookie"), "", "secure, and no trust proxy");
    gateway.logged("app.set('trust proxy', 'loopback')");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_end_before_the_gateway_does() {
    let app = crate::recorder::Recorder::with(|stream, record| {
        use std::io::{Read, Write};
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap();
        record.add(&chunk[..read]);
        std::thread::sleep(Duration::from_millis(700));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nfinished");
    });
    let mut gateway = Gateway::serve(app.address(), &[]);
    let client = gateway.client();
    let request = tokio::spawn(async move { client.get("/").await });
    app.heads(1);
    gateway.signal("TERM");
    assert_eq!(request.await.unwrap().text(), "finished");
    assert_eq!(gateway.ended().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_ends_before_the_gateway_does() {
    let app = crate::recorder::Recorder::with(|stream, record| {
        use std::io::{Read, Write};
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap();
        record.add(&chunk[..read]);
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: farewells\r\n\r\n",
            )
            .unwrap();
        std::thread::sleep(Duration::from_millis(700));
        let _ = stream.write_all(b"farewell");
    });
    let mut gateway = Gateway::serve(app.address(), &[]);
    let mut stream = gateway.client().connect("http/1.1").await;
    let request = b"GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: farewells\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut got = vec![0; 12];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(got, b"HTTP/1.1 101");
    gateway.signal("TERM");
    let mut rest = String::new();
    let _ = stream.read_to_string(&mut rest).await;
    assert!(rest.ends_with("farewell"), "{rest}");
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn the_certificate_is_kept_and_nobody_else_reads_its_key() {
    use std::os::unix::fs::PermissionsExt;
    let gateway = Gateway::serve(([127, 0, 0, 1], 1).into(), &[]);
    let state = gateway.state().path();
    for name in ["self-made.crt", "self-made.key"] {
        let mode = std::fs::metadata(state.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let made = std::fs::read(state.join("self-made.crt")).unwrap();
    let state_argument = state.to_str().unwrap();
    let again = Gateway::serve(([127, 0, 0, 1], 1).into(), &["--state", state_argument]);
    assert_eq!(std::fs::read(state.join("self-made.crt")).unwrap(), made);
    drop(again);
}

#[test]
fn the_demo_shows_the_difference() {
    let (code, table, complaint) =
        panoply(&["demo", "--once", "--https", "127.0.0.1:0", "--naked", "127.0.0.1:0"]);
    assert_eq!(code, Some(0), "behind the gateway everything is safe: {table}\n{complaint}");
    for practice in panoply::Practice::ALL {
        let shown = table.contains(&format!("\n{practice} "));
        let elsewhere = [panoply::Practice::RateLimit, panoply::Practice::Sessions];
        assert_eq!(shown, !elsewhere.contains(&practice), "{practice}: {table}");
    }
    assert!(!complaint.contains("refused practice"), "the table says it: {complaint}");
}

#[test]
fn the_log_is_one_line_an_event_whatever_a_visitor_sends() {
    let gateway = Gateway::serve(([127, 0, 0, 1], 1).into(), &["--host", "shop.example"]);
    let curl = Command::new("curl")
        .args(["-sk", "-H", "host: evil\u{1b}[31m.example", "-o", "/dev/null"])
        .arg(format!("https://{}/%0a%0derror:%20forged", gateway.https()))
        .status();
    assert!(curl.is_ok(), "curl is installed: run scripts/test");
    assert!(!gateway.log().contains('\u{1b}'), "{}", gateway.log());
}

/// A request whose announced body never comes.
async fn raw(gateway: &Gateway, request: &Request<Full<Bytes>>) -> crate::client::Answer {
    let mut stream = gateway.client().connect("http/1.1").await;
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n",
        request.method(),
        request.uri()
    );
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| {
            (name.parse::<http::HeaderName>().unwrap(), value.parse::<http::HeaderValue>().unwrap())
        })
        .collect();
    crate::client::Answer {
        status,
        version: http::Version::HTTP_11,
        headers,
        trailers: None,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}
