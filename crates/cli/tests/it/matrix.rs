//! Every protection in every way that a request can go: over HTTP/1.1, HTTP/2 and as an upgrade; for the site, for a
//! bare address and for a stranger's name; answered by the app, by nobody, or refused.
//!
//! The table says of each cell what is expected: that the protection holds, or why there is none. A failure prints its
//! row.

mod stage;
mod table;

use std::fmt::Write as _;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use stage::{GOOD, Stage, request, send};
use table::{ANSWERED, Behind, HOSTS, Host, Row, Way, get, table};

#[tokio::test]
async fn every_protection_holds_in_every_way_that_a_request_can_go() {
    let stage = Stage::new(3);
    let mut faults = String::new();
    let (mut number, mut places) = (0, Vec::new());
    for row in table() {
        for way in [Way::Http1, Way::Http2, Way::Upgrade] {
            if row.status[way as usize] == 0 {
                assert!(!row.except.is_empty(), "{}: {way:?} is left out without a reason", row.what);
                continue;
            }
            number += 3;
            let checked = tokio::join!(
                stage.check(&row, way, Host::Site, number),
                stage.check(&row, way, Host::Address, number + 1),
                stage.check(&row, way, Host::Stranger, number + 2),
            );
            for (host, (wrong, line)) in HOSTS.into_iter().zip([checked.0, checked.1, checked.2]) {
                places.push((format!("{} | {way:?} | {host:?}", row.what), wrong, line));
            }
        }
    }
    for (place, mut wrong, line) in places {
        wrong.extend(stage.check_line(&line).await);
        if !wrong.is_empty() {
            let _ = writeln!(faults, "{place}: {}", wrong.join("; "));
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[tokio::test]
async fn what_never_becomes_a_request_is_refused_bare_and_closes_whatever_it_asks_for() {
    let stage = Stage::new(1);
    for (what, head) in [
        ("two framings", "content-length: 5\r\ntransfer-encoding: chunked\r\n"),
        ("two lengths", "content-length: 5\r\ncontent-length: 6\r\n"),
        (
            "an upgrade with two framings",
            "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n",
        ),
    ] {
        for host in ["localhost", "192.0.2.7", "stranger.example"] {
            let mut stream = stage.gateways[0].client().connect("http/1.1").await;
            let head =
                format!("POST /ok?framed= HTTP/1.1\r\nhost: {host}\r\nx-row: framed\r\n{head}\r\nhello");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer).to_lowercase();
            assert!(answer.starts_with("http/1.1 400 "), "{what} for {host}: {answer}");
            assert!(
                !answer.contains("server:") && !answer.contains("set-cookie"),
                "{what} for {host}: {answer}"
            );
            assert!(stage.seen("framed").is_empty(), "{what} for {host}");
        }
    }
}

#[tokio::test]
async fn a_cookie_that_was_sealed_over_one_way_is_the_apps_own_over_every_other() {
    let stage = Stage::new(1);
    let row = Row {
        what: "a cookie",
        behind: Behind::App,
        asks: get("/ok"),
        status: [200, 200, 101],
        except: "",
        cells: ANSWERED,
    };
    let client = stage.gateways[0].client();
    for (number, there) in [Way::Http1, Way::Http2, Way::Upgrade].into_iter().enumerate() {
        let answer = send(&client, there, request(&row, there, Host::Site, "first", &client)).await;
        let lines: Vec<_> =
            answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
        let sealed = lines.iter().find(|line| line.starts_with("__Host-id=")).expect("it is renamed");
        let sealed = sealed.split(';').next().unwrap();
        for back in [Way::Http1, Way::Http2, Way::Upgrade] {
            for (cookie, seen) in [
                (sealed.to_owned(), Some("sid=s3cr3t-0f-th3-visit0r")),
                (format!("{sealed}x"), None), // it was changed
                ("sid=forged".to_owned(), None),
            ] {
                let name =
                    format!("back{number}{}{}", back as usize, seen.is_some()) + &cookie[cookie.len() - 1..];
                let mut request = request(&row, back, Host::Site, &name, &client);
                request.headers_mut().insert("cookie", cookie.parse().unwrap());
                let status = send(&client, back, request).await.status;
                assert_eq!(status, row.status[back as usize], "{there:?} {back:?} {cookie}");
                let came = stage.seen(&name);
                assert_eq!(came.len(), 1, "{there:?} {back:?} {cookie}");
                assert_eq!(came[0]["headers"]["cookie"].as_str(), seen, "{there:?} {back:?} {cookie}");
            }
        }
    }
}

#[tokio::test]
async fn who_comes_in_the_clear_is_led_to_tls_or_refused_and_never_meets_the_app() {
    let stage = Stage::new(1);
    let long = format!("/{}", "a".repeat(9_000));
    for (what, host, path, more, status, refused) in [
        ("the site", "localhost", "/ok", "", 301, ""),
        ("an upgrade", "localhost", "/ok", "connection: upgrade\r\nupgrade: websocket\r\n", 301, ""),
        ("a bare address", "192.0.2.7", "/ok", "", 421, "hosts"),
        ("a stranger's name", "stranger.example", "/ok", "", 421, "hosts"),
        ("too long an address", "localhost", &*long, "", 414, "limits"),
    ] {
        let name = format!("clear{status}{}", host.len() + more.len());
        let head = format!(
            "GET {path}?{name}= HTTP/1.1\r\nhost: {host}\r\nx-row: {name}\r\ntraceparent: {GOOD}\r\nconnection: close\r\n{more}\r\n"
        );
        let mut stream = tokio::net::TcpStream::connect(stage.gateways[0].http()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{what}: {answer}");
        for held in ["referrer-policy: ", "x-frame-options: sameorigin", "content-security-policy: "] {
            assert!(answer.contains(held), "{what} {held}: {answer}");
        }
        for none in ["server:", "x-powered-by:", "set-cookie:", "strict-transport-security:"] {
            assert!(!answer.contains(none), "{what} {none}: {answer}");
        }
        assert!(stage.seen(&name).is_empty(), "{what}");
        let line = stage.line(0, &name, 1, None).await;
        assert_eq!(
            (line["status"].as_u64(), line["refused"].as_str().unwrap_or("")),
            (Some(status), refused),
            "{what}: {line}"
        );
        assert_eq!(line["trace_id"], GOOD[3..35], "{what}");
    }
}
