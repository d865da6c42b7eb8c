//! How often a client may ask.

mod many;
mod naive;
mod shared;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::any;
use panoply::{Clock, Connection, Guard, Practice, Rate, RateLimit, Shield, TrustedProxies, World};
use tower::ServiceExt;

fn rate(rate: &str) -> RateLimit {
    RateLimit::of(rate.parse().unwrap())
}

fn app(shield: Shield) -> Router {
    Router::new().route("/", any("hello")).layer(shield)
}

fn from(peer: &str) -> Request {
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(Connection::plain(peer.parse::<SocketAddr>().unwrap()));
    request
}

async fn ask(app: &Router, request: Request) -> Response {
    app.clone().oneshot(request).await.unwrap()
}

async fn statuses(app: &Router, peer: &str, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(ask(app, from(peer)).await.status().as_u16());
    }
    statuses
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Every limit of a request, and what it counts by: `1/min` is one at once, and nothing comes back within a test.
fn limits(toml: &str) -> RateLimit {
    toml::from_str(toml).unwrap()
}

fn asking(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> Request {
    let mut request = from("192.0.2.1:1");
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = uri.parse().unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

fn everywhere(shield: Shield) -> Router {
    Router::new().fallback(|| async { "hello" }).layer(shield)
}

#[tokio::test]
async fn who_has_had_too_many_handshakes_for_nothing_gets_no_more_and_a_proxy_always_does() {
    let clock = Clock::manual();
    let shield = || {
        let world = Arc::new(World::new(clock.clone()));
        Shield::bare().world(world).trusted_proxies(TrustedProxies::new(["10.0.0.0/8"]).unwrap())
    };
    for (row, (guard, peer, admitted)) in [
        (Guard::On(rate("1/h, burst 20")), "192.0.2.1:1", [true, true, false]),
        // Where a miss is more than all that one has.
        (Guard::On(rate("1/h, burst 2")), "192.0.2.1:1", [true, true, false]),
        (Guard::On(rate("1/h, burst 20")), "10.0.0.1:1", [true, true, true]),
        (Guard::Observe(rate("1/h, burst 20")), "192.0.2.1:1", [true, true, true]),
        (Guard::Off, "192.0.2.1:1", [true, true, true]),
    ]
    .into_iter()
    .enumerate()
    {
        let shield = shield().rate_limit(guard);
        let knock = Connection::tls(peer.parse().unwrap());
        let found = [(); 3].map(|()| {
            let admitted = shield.admits_handshake(knock);
            shield.charge_handshake(knock);
            admitted
        });
        assert_eq!(found, admitted, "row {row}");
        assert!(shield.admits_handshake(Connection::tls("192.0.2.2:1".parse().unwrap())), "row {row}");
    }
}

#[tokio::test]
async fn requests_close_nobody_the_door_and_handshakes_for_nothing_cost_requests() {
    let world = Arc::new(World::new(Clock::manual()));
    let shield = Shield::bare().world(world).rate_limit(rate("1/h, burst 11"));
    let knock = Connection::tls("192.0.2.1:1".parse().unwrap());
    let app = app(shield.clone());
    shield.charge_handshake(knock);
    assert_eq!(statuses(&app, "192.0.2.1:2", 2).await, [200, 429]);
    assert!(shield.admits_handshake(knock));
}

#[tokio::test]
async fn a_flood_is_told_when_to_come_back() {
    let clock = Clock::manual();
    let world = Arc::new(World::new(clock.clone()));
    let app = app(Shield::bare().world(world).rate_limit(rate("6/min, burst 2")));
    assert_eq!(statuses(&app, "192.0.2.1:1", 2).await, [200, 200]);

    let refused = ask(&app, from("192.0.2.1:2")).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    for (name, value) in [
        ("retry-after", "10"),
        ("ratelimit-policy", "\"default\";q=2;w=20"),
        ("ratelimit", "\"default\";r=0;t=10"),
    ] {
        assert_eq!(header(refused.headers(), name), Some(value), "{name}");
    }

    assert_eq!(statuses(&app, "192.0.2.2:1", 1).await, [200], "another client");
    clock.advance(Duration::from_millis(9_990));
    let refused = ask(&app, from("192.0.2.1:3")).await;
    assert_eq!(header(refused.headers(), "retry-after"), Some("1"));
    clock.advance(Duration::from_millis(10));
    assert_eq!(statuses(&app, "192.0.2.1:1", 2).await, [200, 429], "refusals cost nothing");
}

#[tokio::test]
async fn a_household_is_one_client() {
    let app = app(Shield::bare().rate_limit(rate("1/day")));
    for (peer, status) in [
        ("[2001:db8::1]:1", 200),
        ("[2001:db8::2]:1", 429),
        ("[2001:db8:0:1::1]:1", 200),
        ("192.0.2.1:1", 200),
        ("[::ffff:192.0.2.1]:1", 429),
    ] {
        assert_eq!(statuses(&app, peer, 1).await, [status], "{peer}");
    }
}

#[tokio::test]
async fn a_page_with_two_hundred_parts_in_ten_tabs_is_no_flood() {
    let app = app(Shield::default().without(Practice::Hosts));
    assert!(statuses(&app, "192.0.2.1:1", 2000).await.iter().all(|&status| status == 200));
}

#[tokio::test]
async fn a_request_passes_all_limits() {
    let limits = rate("100/day").limit("login", "2/h".parse::<Rate>().unwrap()).unwrap();
    let app = app(Shield::bare().rate_limit(limits));
    assert_eq!(statuses(&app, "192.0.2.1:1", 3).await, [200, 200, 429]);
    let refused = ask(&app, from("192.0.2.1:1")).await;
    assert_eq!(
        header(refused.headers(), "ratelimit-policy"),
        Some("\"default\";q=100;w=86400, \"login\";q=2;w=3600")
    );
    assert_eq!(header(refused.headers(), "ratelimit"), Some("\"login\";r=0;t=1800"));
}

#[tokio::test]
async fn one_rule_on_many_routes_is_one_bucket_and_two_rules_are_two() {
    for (name, one, other, statuses_of_other) in [
        ("the same rule", rate("2/day"), rate("2/day"), [429, 429]),
        ("another rate", rate("2/day"), rate("1/day"), [200, 429]),
        ("another scope", rate("2/day"), rate("2/day").scope("b.example"), [200, 200]),
        ("the same scope", rate("2/day").scope("b.example"), rate("2/day").scope("b.example"), [429, 429]),
    ] {
        let world = Arc::<World>::default();
        let one = app(Shield::bare().world(Arc::clone(&world)).rate_limit(one));
        let other = app(Shield::bare().world(world).rate_limit(other));
        assert_eq!(statuses(&one, "192.0.2.1:1", 2).await, [200, 200], "{name}");
        assert_eq!(statuses(&other, "192.0.2.1:1", 2).await, statuses_of_other, "{name}");
    }
}

#[tokio::test]
async fn a_reload_keeps_what_was_counted() {
    let world = Arc::<World>::default();
    let load = || app(Shield::bare().world(Arc::clone(&world)).rate_limit(rate("1/day")));
    assert_eq!(statuses(&load(), "192.0.2.1:1", 1).await, [200]);
    assert_eq!(statuses(&load(), "192.0.2.1:1", 1).await, [429]);
}

#[tokio::test]
async fn what_is_observed_blocks_nobody_then_or_later() {
    let world = Arc::<World>::default();
    let load = |guard| app(Shield::bare().world(Arc::clone(&world)).rate_limit(guard));
    assert_eq!(statuses(&load(Guard::Observe(rate("1/day"))), "192.0.2.1:1", 3).await, [200; 3]);
    assert_eq!(statuses(&load(Guard::On(rate("1/day"))), "192.0.2.1:1", 2).await, [200, 429]);
}

#[tokio::test]
async fn whoever_is_exempt_is_never_blocked_also_when_it_was() {
    let world = Arc::<World>::default();
    let load = |limit| app(Shield::bare().world(Arc::clone(&world)).rate_limit(limit));
    assert_eq!(statuses(&load(rate("1/day")), "192.0.2.1:1", 2).await, [200, 429]);
    let exempting = load(rate("1/day").exempt("192.0.2.0/24".parse().unwrap()));
    assert_eq!(statuses(&exempting, "192.0.2.1:1", 2).await, [200, 200]);
}

#[tokio::test]
async fn this_machine_is_exempt_where_that_is_set_and_through_no_header() {
    let shield = Shield::bare().trusted_proxies(TrustedProxies::new(["10.0.0.1"]).unwrap());
    let set = shield.clone().rate_limit(rate("1/day").exempt_loopback());
    let unset = shield.rate_limit(rate("1/day"));
    for (name, shield, peer, forwarded, last) in [
        ("set", &set, "127.0.0.1:1", None, 200),
        ("set, IPv6", &set, "[::1]:1", None, 200),
        ("not set", &unset, "127.0.0.1:1", None, 429),
        ("says so", &set, "192.0.2.1:1", Some("127.0.0.1"), 429),
        ("a trusted proxy says so", &set, "10.0.0.1:1", Some("127.0.0.1"), 429),
    ] {
        let app = app(shield.clone());
        let mut status = StatusCode::OK;
        for _ in 0..2 {
            let mut request = from(peer);
            if let Some(forwarded) = forwarded {
                request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
            }
            status = ask(&app, request).await.status();
        }
        assert_eq!(status, last, "{name}");
    }
}

#[tokio::test]
async fn preflights_do_not_count_with_the_requests_and_are_no_way_around() {
    let app = app(Shield::bare().rate_limit(rate("2/day")));
    let preflight = || {
        let mut request = from("192.0.2.1:1");
        *request.method_mut() = Method::OPTIONS;
        request.headers_mut().insert("origin", "https://pay.example".parse().unwrap());
        request.headers_mut().insert("access-control-request-method", "PUT".parse().unwrap());
        request
    };
    for status in [200, 200, 429] {
        assert_eq!(ask(&app, preflight()).await.status(), status);
    }
    assert_eq!(statuses(&app, "192.0.2.1:1", 3).await, [200, 200, 429]);
    let mut options = preflight();
    options.headers_mut().remove("access-control-request-method");
    assert_eq!(ask(&app, options).await.status(), 429, "a plain OPTIONS is a request");
}

#[tokio::test]
async fn a_refusal_carries_the_headers_of_an_answer() {
    let app = app(Shield::default().without(Practice::Hosts).rate_limit(rate("1/day")));
    let answer = ask(&app, from("192.0.2.1:1")).await;
    let refused = ask(&app, from("192.0.2.1:1")).await;
    assert_eq!((answer.status().as_u16(), refused.status().as_u16()), (200, 429));
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "content-type") {
        if name != "content-length" && name != "content-security-policy" {
            assert_eq!(refused.headers().get(name), Some(value), "{name}");
        }
    }
}
