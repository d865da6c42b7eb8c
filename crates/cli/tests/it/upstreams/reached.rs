//! An app behind a socket file or TLS, and one that is worked on.

use std::fs;

use super::{serve, started};
use crate::authority::Authority;
use crate::client::get;
use crate::node::Node;
use crate::process::Process;
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;

#[tokio::test]
async fn an_app_is_reached_through_a_socket_file() {
    let folder = Scratch::new();
    let (ledger, socket) = (folder.path().join("ledger"), folder.path().join("app.sock"));
    let mut command = Process::command("node");
    command
        .arg("place.js")
        .current_dir(crate::node::folder())
        .env("NAME", "red")
        .env("LEDGER", &ledger)
        .env("PORT", &socket);
    let app = Process::until(&mut command, || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    let gateway =
        started(&format!("[[site]]\nhosts = ['localhost']\nupstream = 'unix:{}'\n", socket.display()));
    for answer in gateway.client().both(|| get("/x")).await {
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "red"));
    }
    drop(app);
    for answer in gateway.client().both(|| get("/x")).await {
        assert_eq!(answer.status, 502, "{answer:?}");
    }
}

#[tokio::test]
async fn an_app_at_https_has_to_show_its_own_certificate() {
    let folder = Scratch::new();
    let (authority, stranger) = (Authority::new("the apps' own"), Authority::new("a stranger"));
    let ledger = folder.path().join("ledger");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let ca = format!("upstreams.ca = '{}'", ca.display());
    let named = format!("{ca}\nupstreams.server_name = 'app.internal'");
    for (issued, name, settings, status) in [
        (authority.issue(&["127.0.0.1"]), "for its address", &ca, 200),
        (authority.issue(&["app.internal"]), "for its name", &named, 200),
        (authority.issue(&["app.internal"]), "for another name", &ca, 502),
        (authority.issue(&["127.0.0.1"]), "for its address, where a name is asked for", &named, 502),
        (stranger.issue(&["127.0.0.1"]), "of a stranger", &ca, 502),
        (
            authority.issue(&["127.0.0.1"]),
            "of an authority that the machine does not know",
            &String::new(),
            502,
        ),
    ] {
        let (cert, key) = issued.write(folder.path(), "app");
        let environment = [
            ("NAME", "red"),
            ("LEDGER", ledger.to_str().unwrap()),
            ("CERT", cert.to_str().unwrap()),
            ("KEY", key.to_str().unwrap()),
        ];
        let app = Node::start_with("place.js", &environment);
        let gateway = started(&format!(
            "[[site]]\nhosts = ['localhost']\nupstream = 'https://{}'\n{settings}\n",
            app.address()
        ));
        let client = gateway.client();
        for _ in 0..2 {
            let answer = client.get("/x").await;
            assert_eq!(answer.status, status, "a certificate {name}: {answer:?}\n{}", gateway.log());
        }
        assert!(status == 200 || gateway.log().contains("invalid peer certificate"), "{}", gateway.log());
    }
    let came = fs::read_to_string(&ledger).unwrap();
    assert_eq!(came.lines().count(), 4, "nothing is sent to who is not the app: {came}");
}

#[tokio::test]
async fn visitors_get_the_page_of_maintenance_and_who_works_on_the_app_gets_the_app() {
    let app = Recorder::answering(OK);
    let folder = Scratch::new();
    let page = folder.path().join("maintenance.html");
    fs::write(&page, "<h1>Back at noon</h1>").unwrap();
    let page = page.display();
    for (setting, retry_after, text) in [
        ("true".to_owned(), "300", None),
        (format!("'{page}'"), "300", Some("<h1>Back at noon</h1>")),
        (
            format!("{{ page = '{page}', allow = ['127.0.0.2'], retry_after = '1h' }}"),
            "3600",
            Some("<h1>Back at noon</h1>"),
        ),
        ("{ allow = ['127.0.0.0/30'] }".to_owned(), "", None),
        ("false".to_owned(), "", None),
    ] {
        let before = app.seen().concat().len();
        let gateway = serve(&[app.address()], &format!("maintenance = {setting}"));
        for answer in gateway.client().both(|| get("/x")).await {
            let status = if retry_after.is_empty() { 200 } else { 503 };
            assert_eq!(answer.status, status, "{setting}");
            assert_eq!(answer.header("retry-after"), retry_after, "{setting}");
            assert!(status == 200 || answer.header("x-content-type-options") == "nosniff", "{setting}");
            assert!(text.is_none_or(|text| answer.text() == text), "{setting}: {}", answer.text());
        }
        assert_eq!(app.seen().concat().len() == before, !retry_after.is_empty(), "{setting}");
        if setting.contains("127.0.0.2") {
            assert_eq!(gateway.client().from([127, 0, 0, 2]).get("/x").await.status, 200, "{setting}");
        }
    }
}
