//! Which names are served.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Version;
use axum::routing::get;
use panoply::{Connection, Guard, Hosts, RateLimit, Shield};
use tower::ServiceExt;

const VISITOR: &str = "192.0.2.1:50000";
const LOCAL: &str = "127.0.0.1:50000";

fn shop() -> Hosts {
    Hosts::named(["shop.example", "*.cdn.example", "203.0.113.5"]).unwrap().health_path("/health").unwrap()
}

fn app(shield: Shield) -> Router {
    Router::new().route("/", get("hello")).route("/health", get("well")).layer(shield)
}

/// Asks with these Host headers.
async fn ask(app: &Router, peer: &str, version: Version, target: &str, hosts: &[&str]) -> u16 {
    let request = hosts
        .iter()
        .fold(Request::get(target).version(version), |request, host| request.header("host", *host));
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Connection::plain(peer.parse::<SocketAddr>().unwrap()));
    app.clone().oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn only_the_names_of_the_list_are_served() {
    let app = app(Shield::bare().hosts(shop()));
    let (h10, h11, h2) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
    for (peer, version, target, hosts, status) in [
        (VISITOR, h11, "/", &["shop.example"][..], 200),
        (VISITOR, h11, "/", &["SHOP.example.:8443"], 200),
        (VISITOR, h11, "/", &["img.cdn.example"], 200),
        (VISITOR, h11, "/", &["cdn.example"], 421),
        (VISITOR, h11, "/", &["evil.example"], 421),
        (VISITOR, h11, "/", &["203.0.113.5"], 200),
        (VISITOR, h11, "/", &["203.0.113.6"], 421), // a bare address
        (VISITOR, h11, "/", &["[2001:db8::1]:80"], 421),
        (VISITOR, h11, "/", &["localhost"], 421),
        (VISITOR, h11, "/health", &["10.0.0.7:3000"], 200),
        (VISITOR, h11, "/health/", &["10.0.0.7:3000"], 421),
        (VISITOR, h11, "/", &[], 400),
        (VISITOR, h11, "/", &[""], 400),
        (VISITOR, h11, "/", &["shop.example", "shop.example"], 400),
        (VISITOR, h11, "/health", &["shop.example", "evil.example"], 400),
        (VISITOR, h11, "/", &["shop.example@evil.example"], 400),
        (VISITOR, h11, "/", &["shop.example/evil"], 400),
        (VISITOR, h11, "http://shop.example/", &["evil.example"], 200), // RFC 9112 §3.2.2
        (VISITOR, h11, "http://evil.example/", &["shop.example"], 421),
        (VISITOR, h10, "/", &[], 421),
        (VISITOR, h10, "/health", &[], 200),
        (VISITOR, h2, "https://shop.example/", &[], 200),
        (VISITOR, h2, "https://shop.example/", &["Shop.Example"], 200),
        (VISITOR, h2, "http://shop.example/", &["shop.example:80"], 200),
        (VISITOR, h2, "http://shop.example/", &["shop.example:81"], 400),
        (VISITOR, h2, "https://shop.example/", &["evil.example"], 400),
        (VISITOR, h2, "https://evil.example/", &[], 421),
        (LOCAL, h11, "/", &["localhost:3000"], 200),
        (LOCAL, h11, "/", &["127.0.0.1:3000"], 200),
        (LOCAL, h11, "/", &["[::1]:3000"], 200),
        (LOCAL, h11, "/", &["evil.example"], 421), // DNS rebinding
        ("[::ffff:127.0.0.1]:50000", h11, "/", &["localhost"], 200),
    ] {
        assert_eq!(
            ask(&app, peer, version, target, hosts).await,
            status,
            "{peer} {version:?} {target} {hosts:?}"
        );
    }
}

#[tokio::test]
async fn without_names_every_host_is_served_that_is_one() {
    let app = app(Shield::default());
    for (hosts, status) in [
        (&["any.example"][..], 200),
        (&["203.0.113.6"], 200),
        (&["a.example", "b.example"], 400),
        (&[], 400),
        (&["a b"], 400),
    ] {
        assert_eq!(ask(&app, VISITOR, Version::HTTP_11, "/", hosts).await, status, "{hosts:?}");
    }
}

#[tokio::test]
async fn a_miss_costs_ten_requests() {
    let rate = RateLimit::of("25/day".parse().unwrap());
    for (hosts, miss, left) in [(Guard::On(shop()), 421, 4), (Guard::Observe(shop()), 200, 22)] {
        let app = app(Shield::bare().hosts(hosts).rate_limit(rate.clone()));
        let ask = async |host| ask(&app, VISITOR, Version::HTTP_11, "/", &[host]).await;
        // Ten, ten, and one where fewer than ten are left.
        for name in ["a.example", "b.example", "c.example"] {
            assert_eq!(ask(name).await, miss, "{name}");
        }
        for _ in 0..left {
            assert_eq!(ask("shop.example").await, 200, "{left}");
        }
        assert_eq!(ask("shop.example").await, 429, "{left}");
    }
}
