//! Apps that speak HTTP/2: many requests on a connection, and what an app says that it has not done.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::load::Load;
use super::{settled, started};
use crate::authority::Authority;
use crate::node::Node;
use crate::scratch::Scratch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_says_good_bye_loses_no_read_and_does_nothing_twice() {
    let folder = Scratch::new();
    let ledger = folder.path().join("ledger");
    let environment = [("NAME", "red"), ("LEDGER", ledger.to_str().unwrap()), ("STREAMS", "3")];
    let app = Node::start_with("place.js", &environment);
    let site = format!("[[site]]\nhosts = ['localhost']\nupstream = 'h2c://{}'\n", app.address());
    let gateway = started(&site);
    let load = Load::begin(&gateway.client());
    settled(Duration::from_secs(3)).await;
    let asked = load.end().await;
    let came: Vec<String> = fs::read_to_string(&ledger).unwrap().lines().map(str::to_owned).collect();
    asked.check(&came, &[502]);
    assert!(
        came.len() * 50 >= asked.count() * 49,
        "what was not done is sent again: {} of {}",
        came.len(),
        asked.count()
    );
    let sessions = fs::read_to_string(folder.path().join("ledger.sessions")).unwrap();
    assert!(sessions.lines().count() > 5, "the app said good-bye: {sessions:?}");
    assert!(sessions.lines().all(|most| most.parse::<u32>().unwrap() <= 3), "no more at once than it takes");
    assert!(sessions.lines().any(|most| most.parse::<u32>().unwrap() > 1), "several on one: {sessions:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_what_an_app_takes_at_once_another_connection_is_opened() {
    let folder = Scratch::new();
    let ledger = folder.path().join("ledger");
    let environment = [("NAME", "red"), ("LEDGER", ledger.to_str().unwrap()), ("STREAMS", "3")];
    let app = Node::start_with("place.js", &environment);
    let app = format!("[[site]]\nhosts = ['localhost']\nupstream = 'h2c://{}'\n", app.address());
    let gateway = started(&format!("{app}upstreams.answer = '40s'\n"));
    // The app answers nobody before all are there: who had to wait for another would wait for ever.
    for round in 0..3 {
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..30 {
            let client = gateway.client();
            asked.spawn(async move { client.get("/together/30").await.status });
        }
        let statuses = asked.join_all().await;
        assert!(statuses.iter().all(|status| *status == 200), "round {round}: {statuses:?}");
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_over_tls_too() {
    let folder = Scratch::new();
    let authority = Authority::new("the apps' own");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let ledger = folder.path().join("ledger");
    let (cert, key) = authority.issue(&["127.0.0.1"]).write(folder.path(), "app");
    let environment = [
        ("NAME", "red"),
        ("LEDGER", ledger.to_str().unwrap()),
        ("CERT", cert.to_str().unwrap()),
        ("KEY", key.to_str().unwrap()),
        ("STREAMS", "100"),
    ];
    let speaks = Node::start_with("place.js", &environment);
    let speaks_not = Node::start_with("place.js", &environment[..4]);
    let site = |app: &Node| {
        let ca = ca.display();
        format!(
            "[[site]]\nhosts = ['localhost']\nupstream = 'h2://{}'\nupstreams.ca = '{ca}'\n",
            app.address()
        )
    };
    let gateway = started(&site(&speaks));
    let post = |path: &str, body: &'static str| {
        Request::post(path).header("x-test", "1").body(Full::<Bytes>::from(body)).unwrap()
    };
    for (path, body, status) in
        [("/refuse/1", "", 200), ("/refuse/2", "a body", 502), ("/refuse/2", "a body", 200)]
    {
        let answer = gateway.client().ask(post(path, body)).await;
        assert_eq!(answer.status, status, "{path} {body:?}: {answer:?}");
    }
    let came = fs::read_to_string(&ledger).unwrap();
    assert_eq!(came, "POST /refuse/1 red\nPOST /refuse/2 red\n");

    let gateway = started(&site(&speaks_not));
    assert_eq!(gateway.client().get("/x").await.status, 502);
    gateway.logged("no connection to the app at h2://");
    assert_eq!(fs::read_to_string(&ledger).unwrap(), came);
}
