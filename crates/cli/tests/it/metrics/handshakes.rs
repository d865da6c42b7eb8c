//! Handshakes that came to nothing, by why.

use std::fs;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{Page, two_sites};
use crate::authority::{Authority, write};
use crate::client::Client;
use crate::gateway::{Gateway, PATIENCE};
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;
use crate::visitor::Visitor;

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
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = Page::of(&gateway);
        if (failed(&page, "broken"), failed(&page, "left")) == (1, 2) {
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
    for broken in [1, 2, 3, 3, 3] {
        garbage().await;
        // He is charged a moment after his connection has ended.
        let deadline = Instant::now() + PATIENCE;
        while failed(&Page::of(&gateway), "broken") < broken {
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
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = Page::of(&gateway);
        let found = expected.map(|(reason, _)| (reason, failed(&page, reason)));
        if found == expected {
            break;
        }
        assert!(Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn failed(page: &Page, reason: &str) -> u64 {
    page.figure(&format!("panoply_handshakes_failed_total{{reason=\"{reason}\"}}")) as u64
}
