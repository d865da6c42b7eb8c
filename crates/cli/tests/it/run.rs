//! `panoply run`: the real Express app, unchanged, behind the whole shield.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use http::Request;
use http_body_util::Full;

use crate::client::{form, get};
use crate::gateway::Gateway;

#[tokio::test]
async fn secure_cookies_work_without_trust_proxy() {
    let gateway = Gateway::run(&[], &["node", "shop.js"]);
    let client = gateway.client();
    for answer in client.both(|| form("/login", "email=a%40b.example&password=correct+horse")).await {
        assert_eq!((answer.status.as_u16(), answer.header("location")), (302, "/account"), "{answer:?}");
        let cookie = answer.header("set-cookie").to_owned();
        for flag in ["; Secure", "; HttpOnly", "; SameSite=Lax"] {
            assert!(cookie.contains(flag), "{cookie}");
        }
        let session = cookie.split(';').next().unwrap().to_owned();
        let account = client
            .ask(Request::get("/account").header("cookie", session).body(Full::default()).unwrap())
            .await;
        assert_eq!(account.status, 200);
        assert!(account.text().contains("a@b.example"), "{}", account.text());
    }
}

#[tokio::test]
async fn the_app_sees_its_visitor() {
    let gateway = Gateway::run(&[], &["node", "shop.js"]);
    let seen = gateway.client().get("/whoami").await;
    let seen: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(seen["ip"], "127.0.0.1", "{seen}");
    assert_eq!(seen["secure"], true, "{seen}");
    assert!(
        seen["headers"].get("x-panoply-visitor").is_none()
            && seen["headers"].get("x-forwarded-for").is_none(),
        "{seen}"
    );
}

#[tokio::test]
async fn the_apps_port_is_no_way_around() {
    let gateway = Gateway::run(&[], &["node", "shop.js"]);
    let port = app_port(&gateway);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    // Linux answers on all of 127/8: another address of it stands for another address of the machine.
    let elsewhere = SocketAddr::new(IpAddr::from([127, 0, 0, 2]), port);
    assert!(TcpStream::connect_timeout(&elsewhere, Duration::from_secs(1)).is_err());
}

#[test]
fn an_app_that_others_reach_directly_is_not_served() {
    let (code, _, stderr) =
        crate::gateway::panoply(&["run", "--https", "127.0.0.1:0", "--no-preload", "--", "node", "shop.js"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("--allow-public-port"), "{stderr}");
    let allowed = Gateway::run(&["--no-preload", "--allow-public-port"], &["node", "shop.js"]);
    assert!(allowed.log().contains("panoply stands in front of"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_end_before_the_app_does() {
    let script = "require('http').createServer((q, s) => { console.error('as' + 'ked'); setTimeout(() => s.end('finished'), 700) }) \
                  .listen(process.env.PORT); process.on('SIGTERM', () => process.exit(7))";
    let mut gateway = Gateway::run(&[], &["node", "-e", script]);
    let client = gateway.client();
    let request = tokio::spawn(async move { client.get("/").await });
    gateway.logged("asked"); // which the command itself, as the log names it, does not say
    gateway.signal("TERM");
    assert_eq!(request.await.unwrap().text(), "finished");
    assert_eq!(gateway.ended().code(), Some(7), "the app's own exit code");
}

#[test]
fn the_apps_end_is_ours() {
    let script = "require('http').createServer().listen(process.env.PORT); process.on('SIGUSR2', () => process.exit(5))";
    let mut gateway = Gateway::run(&[], &["node", "-e", script]);
    gateway.signal("USR2");
    assert_eq!(gateway.ended().code(), Some(5));
}

#[test]
fn signals_pass_to_the_app_and_production_is_said() {
    let script = "require('http').createServer().listen(process.env.PORT); \
                  process.on('SIGUSR2', () => { console.error('mode ' + process.env.NODE_ENV); process.exit(0) })";
    let mut gateway = Gateway::run(&[], &["node", "-e", script]);
    gateway.logged("NODE_ENV");
    gateway.signal("USR2");
    gateway.logged("mode undefined");
    assert_eq!(gateway.ended().code(), Some(0));

    let mut gateway = Gateway::run(&["--production"], &["node", "-e", script]);
    gateway.signal("USR2");
    gateway.logged("mode production");
    assert_eq!(gateway.ended().code(), Some(0));
}

#[tokio::test]
async fn loopback_is_not_rate_limited() {
    let folder = crate::scratch::Scratch::new();
    let file = folder.path().join("panoply.toml");
    fs::write(&file, "[shield]\nrate_limit = \"2/min\"\n").unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let app = crate::node::Node::start("shop.js");
    for (gateway, last) in
        [(Gateway::run(&config, &["node", "shop.js"]), 200), (Gateway::serve(app.address(), &config), 429)]
    {
        let client = gateway.client();
        let mut status = 0;
        for _ in 0..5 {
            status = client.ask(get("/etag")).await.status.as_u16();
        }
        assert_eq!(status, last);
    }
}

/// From the start-up page: `panoply stands in front of `node shop.js` on 127.0.0.1:41234`.
fn app_port(gateway: &Gateway) -> u16 {
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("stands in front of")).unwrap();
    line.rsplit(':').next().unwrap().parse().unwrap()
}
