//! How often a client may ask.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::any;
use panoply::counters::{Counters, Memory, Redis};
use panoply::metrics::Tally;
use panoply::{Clock, Connection, Guard, Practice, Rate, RateLimit, Shield, TrustedProxies, World};
use proptest::prelude::*;
use tower::ServiceExt;

use crate::log::Log;
use crate::store::server::RedisServer;

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
async fn a_limit_holds_for_the_requests_that_it_is_for() {
    let login = "limits.login = { rate = \"1/day\", path = \"/login\", methods = [\"POST\"] }";
    let api = "limits.api = { rate = \"1/day\", path = \"/api/*\" }";
    let key = "limits.key = { rate = \"1/day\", by = \"header:x-api-key\" }";
    let user = "limits.user = { rate = \"1/day\", by = \"user\" }";
    let sid = "limits.sid = { rate = \"1/day\", by = \"cookie:sid\" }";
    let get = "limits.get = { rate = \"1/day\", methods = [\"GET\"] }";
    let (ann, bob) = (("authorization", "Basic YW5uOng="), ("authorization", "Basic Ym9iOng="));
    for (limit, first, second, status) in [
        (login, ("POST", "/login", &[][..]), ("POST", "/login", &[][..]), 429),
        (login, ("POST", "/login", &[]), ("POST", "/LOG%49N/", &[]), 429),
        (login, ("POST", "/login", &[]), ("POST", "//login", &[]), 429),
        (login, ("POST", "/login", &[]), ("POST", "/login?next=/", &[]), 429),
        (login, ("POST", "/login", &[]), ("GET", "/login", &[]), 200),
        (login, ("POST", "/login", &[]), ("POST", "/logins", &[]), 200),
        (api, ("GET", "/api/a", &[]), ("PUT", "/API/b", &[]), 429),
        (api, ("GET", "/api/a", &[]), ("GET", "/apiary", &[]), 200),
        (get, ("GET", "/", &[]), ("HEAD", "/", &[]), 429),
        (get, ("GET", "/", &[]), ("POST", "/", &[]), 200),
        (key, ("GET", "/", &[("x-api-key", "a")]), ("GET", "/", &[("x-api-key", "a")]), 429),
        (key, ("GET", "/", &[("x-api-key", "a")]), ("GET", "/", &[("x-api-key", "b")]), 200),
        (key, ("GET", "/", &[]), ("GET", "/", &[]), 429), // who has none is counted by address
        (key, ("GET", "/", &[]), ("GET", "/", &[("x-api-key", "a"), ("x-api-key", "b")]), 429),
        (user, ("GET", "/", &[ann]), ("GET", "/", &[("authorization", "basic QU5OOnk=")]), 429),
        (user, ("GET", "/", &[ann]), ("GET", "/", &[bob]), 200),
        (user, ("GET", "/", &[("cookie", "sid=a")]), ("GET", "/", &[("cookie", "theme=b; sid=a")]), 429),
        (user, ("GET", "/", &[("cookie", "theme=a")]), ("GET", "/", &[("cookie", "theme=b")]), 429),
        (sid, ("GET", "/", &[("cookie", "sid=a")]), ("GET", "/", &[("cookie", "x=y; sid=\"a\"")]), 429),
        (sid, ("GET", "/", &[("cookie", "sid=a")]), ("GET", "/", &[("cookie", "sid=b")]), 200),
    ] {
        let app = everywhere(Shield::bare().rate_limit(limits(limit)));
        let ask = async |(method, uri, headers): (&str, &str, &[(&'static str, &str)])| {
            app.clone().oneshot(asking(method, uri, headers)).await.unwrap().status()
        };
        assert_eq!(ask(first).await, 200, "{limit} {first:?}");
        assert_eq!(ask(second).await, status, "{limit} {first:?} {second:?}");
    }
}

#[tokio::test]
async fn another_key_each_time_is_bound_by_the_rate() {
    let limit = limits("rate = \"3/day\"\nlimits.key = { rate = \"1/day\", by = \"header:x-api-key\" }");
    let app = everywhere(Shield::bare().rate_limit(limit));
    for (key, status) in [("a", 200), ("b", 200), ("b", 429), ("c", 200), ("d", 429)] {
        assert_eq!(ask(&app, asking("GET", "/", &[("x-api-key", key)])).await.status(), status, "{key}");
    }
}

#[tokio::test]
async fn networks_and_everyone_are_counted_together() {
    for (by, peers) in [
        ("network", [("192.0.2.1:1", 200), ("192.0.2.200:1", 429), ("192.0.3.1:1", 200)]),
        ("network", [("[2001:db8:1:2::1]:1", 200), ("[2001:db8:1:3::1]:1", 429), ("[2001:db8:2::1]:1", 200)]),
        ("everyone", [("192.0.2.1:1", 200), ("[2001:db8::1]:1", 429), ("198.51.100.1:1", 429)]),
    ] {
        let limit = limits(&format!("limits.x = {{ rate = \"1/day\", by = \"{by}\" }}"));
        let app = app(Shield::bare().rate_limit(limit));
        for (peer, status) in peers {
            assert_eq!(statuses(&app, peer, 1).await, [status], "{by} {peer}");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_nobody_declared_is_not_blocked_but_its_users_are() {
    let limit = limits("rate = \"1/day\"\nlimits.key = { rate = \"3/day\", by = \"header:x-api-key\" }");
    let app = everywhere(Shield::bare().rate_limit(limit));
    let request = |headers: &[(&'static str, &str)]| {
        let mut request = asking("GET", "/", headers);
        request.headers_mut().insert("x-forwarded-for", "198.51.100.1".parse().unwrap());
        request.extensions_mut().insert(Connection::plain(([10, 0, 0, 1], 1).into()));
        request
    };
    for status in [200, 200, 200, 429] {
        assert_eq!(ask(&app, request(&[("x-api-key", "a")])).await.status(), status);
    }
    for _ in 0..5 {
        assert_eq!(ask(&app, request(&[])).await.status(), 200, "by address it is everybody");
    }
}

#[tokio::test]
async fn a_dear_request_counts_as_several_and_is_told_in_requests() {
    let clock = Clock::manual();
    let world = Arc::new(World::new(clock.clone()));
    let limit = limits(
        "headers = \"always\"\nlimits.search = { rate = \"60/min, burst 25\", cost = 10, path = \"/search\" }",
    );
    let app = everywhere(Shield::bare().world(world).rate_limit(limit));
    for (limit, policy) in [
        ("\"search\";r=1;t=5", "\"default\";q=2000;w=20, \"search\";q=2;w=25"),
        ("\"search\";r=0;t=5", "\"default\";q=2000;w=20, \"search\";q=2;w=25"),
        ("\"search\";r=0;t=5", "\"default\";q=2000;w=20, \"search\";q=2;w=25"), // refused
    ] {
        let answer = ask(&app, asking("GET", "/search", &[])).await;
        assert_eq!(header(answer.headers(), "ratelimit"), Some(limit));
        assert_eq!(header(answer.headers(), "ratelimit-policy"), Some(policy));
    }
    let answer = ask(&app, asking("GET", "/", &[])).await;
    assert_eq!(
        header(answer.headers(), "ratelimit"),
        Some("\"default\";r=1997;t=1"),
        "refusals cost nothing"
    );
    clock.advance(Duration::from_secs(5));
    assert_eq!(ask(&app, asking("GET", "/search", &[])).await.status(), 200);
}

#[tokio::test]
async fn one_quota_may_be_dearer_on_one_route() {
    let world = Arc::<World>::default();
    let route = |cost: u32| {
        let limit = limits(&format!("limits.api = {{ rate = \"10/day\", cost = {cost} }}"));
        app(Shield::bare().world(Arc::clone(&world)).rate_limit(limit))
    };
    let (plain, dear) = (route(1), route(6));
    for (route, status) in [(&plain, 200), (&dear, 200), (&dear, 429), (&plain, 200)] {
        assert_eq!(statuses(route, "192.0.2.1:1", 1).await, [status]);
    }
}

#[tokio::test]
async fn answers_say_of_limits_what_was_asked_for() {
    for (headers, admitted, refused) in
        [("refusals", false, true), ("always", true, true), ("never", false, false)]
    {
        let limit = || limits(&format!("rate = \"1/day\"\nheaders = \"{headers}\""));
        for (observes, guard) in [(false, Guard::On(limit())), (true, Guard::Observe(limit()))] {
            let app = app(Shield::bare().rate_limit(guard));
            for (says, status) in [(admitted, 200), (refused, 429)] {
                let answer = ask(&app, from("192.0.2.1:1")).await;
                assert_eq!(answer.status(), if observes { 200 } else { status });
                assert_eq!(
                    answer.headers().contains_key("ratelimit"),
                    says && !observes,
                    "{headers} {status}"
                );
                assert_eq!(answer.headers().contains_key("ratelimit-policy"), says && !observes, "{headers}");
                assert_eq!(answer.headers().contains_key("retry-after"), status == 429 && !observes);
            }
        }
    }
}

#[tokio::test]
async fn a_refused_request_is_charged_nowhere() {
    let limit = limits(
        "rate = \"3/day\"\nlimits.a = { rate = \"1/day\", path = \"/a\" }\nlimits.b = { rate = \"2/day\" }",
    );
    let app = everywhere(Shield::bare().rate_limit(limit));
    for (path, status) in [("/a", 200), ("/a", 429), ("/a", 429), ("/", 200), ("/", 429)] {
        assert_eq!(ask(&app, asking("GET", path, &[])).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn who_is_denied_gets_403_unless_he_is_exempt() {
    let world = Arc::<World>::default();
    let load = |toml: &str| app(Shield::bare().world(Arc::clone(&world)).rate_limit(limits(toml)));
    let denied = load("deny = [\"192.0.2.0/24\", \"2001:db8::/32\"]");
    for (peer, status) in [
        ("192.0.2.1:1", 403),
        ("[::ffff:192.0.2.1]:1", 403),
        ("[2001:db8:9::1]:1", 403),
        ("192.0.3.1:1", 200),
    ] {
        assert_eq!(statuses(&denied, peer, 1).await, [status], "{peer}");
    }
    let exempt = load("rate = \"1/day\"\ndeny = [\"192.0.2.0/24\"]\nexempt = [\"192.0.2.1\"]");
    assert_eq!(statuses(&exempt, "192.0.2.1:1", 3).await, [200; 3]);
    assert_eq!(statuses(&exempt, "192.0.2.2:1", 1).await, [403]);
}

#[tokio::test]
async fn one_limit_by_itself_may_be_observed() {
    let world = Arc::<World>::default();
    let load = |toml: &str| app(Shield::bare().world(Arc::clone(&world)).rate_limit(limits(toml)));
    let watching = load("limits.a = { rate = \"1/day\", observe = true }\nlimits.b = \"4/day\"");
    assert_eq!(statuses(&watching, "192.0.2.1:1", 5).await, [200, 200, 200, 200, 429]);
    let acting = load("limits.a = \"1/day\"");
    assert_eq!(statuses(&acting, "192.0.2.1:1", 2).await, [200, 429], "what was observed does not count");
}

/// Two machines on one store.
fn two_machines(counters: Arc<dyn Counters>, toml: &str) -> [Router; 2] {
    [(), ()].map(|()| {
        let world = Arc::new(World::default().counters(Arc::clone(&counters)));
        everywhere(Shield::bare().world(world).rate_limit(limits(toml)))
    })
}

#[tokio::test]
async fn a_shared_limit_is_counted_on_all_machines_together() {
    let clock = Clock::manual();
    let counters = Arc::new(Memory::with_clock(clock.clone()));
    let toml = "headers = \"always\"\nlimits.login = { rate = \"3/min\", shared = true, path = \"/login\" }";
    let machines = two_machines(counters, toml);
    let mut limits = Vec::new();
    for n in 0..5 {
        clock.advance(Duration::from_secs(1));
        let answer = ask(&machines[n % 2], asking("POST", "/login", &[])).await;
        let retry = header(answer.headers(), "retry-after").map(ToOwned::to_owned);
        let limit = header(answer.headers(), "ratelimit").unwrap().to_owned();
        limits.push((answer.status().as_u16(), limit, retry));
        let policy = header(answer.headers(), "ratelimit-policy");
        assert_eq!(policy, Some("\"default\";q=2000;w=20, \"login\";q=3;w=60"));
    }
    let said =
        |status, limit: &str, retry: Option<&str>| (status, limit.to_owned(), retry.map(ToOwned::to_owned));
    assert_eq!(
        limits,
        [
            said(200, "\"login\";r=2;t=60", None),
            said(200, "\"login\";r=1;t=59", None),
            said(200, "\"login\";r=0;t=58", None),
            said(429, "\"login\";r=0;t=57", Some("57")),
            said(429, "\"login\";r=0;t=56", Some("56")),
        ]
    );
    assert_eq!(ask(&machines[0], asking("POST", "/", &[])).await.status(), 200, "another path");
    clock.advance(Duration::from_secs(56));
    assert_eq!(ask(&machines[1], asking("POST", "/login", &[])).await.status(), 200, "the window has ended");
}

#[tokio::test]
async fn who_is_refused_by_the_counters_is_charged_nowhere_else() {
    let counters: Arc<Memory> = Arc::default();
    let toml = "rate = \"3/day\"\nlimits.a = { rate = \"2/day\", shared = true }\nlimits.b = { rate = \"1/day\", shared = true, path = \"/b\" }";
    let world = Arc::new(World::default().counters(counters));
    let app = everywhere(Shield::bare().world(Arc::clone(&world)).rate_limit(limits(toml)));
    for (path, status) in [("/b", 200), ("/b", 429), ("/b", 429), ("/", 200), ("/", 429)] {
        assert_eq!(ask(&app, asking("GET", path, &[])).await.status(), status, "{path}");
    }
    let Tally { admitted, refused, .. } = world.metrics().of(Some(Practice::RateLimit));
    assert_eq!((admitted, refused), (2, 3), "who asks twice is counted once");
}

#[tokio::test]
async fn a_shared_limit_is_one_question_and_node_s_key() {
    let server = RedisServer::start();
    let counters = Arc::new(Redis::connect(&server.url()).unwrap());
    let toml = r#"
        limits.node = { rate = "10/min", shared = true, prefix = "rlflx", cost = 2, path = "/node" }
        limits.own = { rate = "10/min", shared = true, path = "/own" }
        limits.key = { rate = "10/min", shared = true, path = "/key", by = "header:x-api-key" }
        limits.watched = { rate = "1/min", shared = true, prefix = "rlflx", observe = true, path = "/watched" }
    "#;
    let [app, other] = two_machines(counters, toml);
    let by = async |peer: &str, path: &str| {
        let mut request = asking("GET", path, &[("x-api-key", "secret")]);
        request.extensions_mut().insert(Connection::plain(peer.parse().unwrap()));
        ask(&app, request).await.status().as_u16()
    };
    assert_eq!(by("192.0.2.1:1", "/node").await, 200); // the script is there from now on
    server.answers("CONFIG RESETSTAT");
    assert_eq!(by("[2001:db8::1]:1", "/node").await, 200);
    assert_eq!(by("192.0.2.1:1", "/").await, 200);
    let stats = server.answers("INFO commandstats");
    assert!(stats.contains("cmdstat_evalsha:calls=1,"), "{stats}");
    server.answers("INCRBY rlflx:192.0.2.1 7"); // as rate-limiter-flexible does
    assert_eq!(by("192.0.2.1:1", "/node").await, 429);

    assert_eq!(by("[2001:db8::1]:1", "/own").await, 200);
    assert_eq!(by("192.0.2.1:1", "/key").await, 200);
    assert_eq!([by("192.0.2.1:1", "/watched").await, by("192.0.2.1:1", "/watched").await], [200, 200]);
    let mut keys: Vec<_> = server.answers("KEYS *").lines().map(ToOwned::to_owned).collect();
    keys.sort();
    let hashed = keys.remove(0);
    assert!(hashed.starts_with("limit:key:") && hashed.len() == 53 && !hashed.contains("secret"), "{hashed}");
    assert_eq!(
        keys,
        ["limit:own:2001:db8::/64", "observe:rlflx:192.0.2.1", "rlflx:192.0.2.1", "rlflx:2001:db8::1",]
    );
    drop(other);
}

#[tokio::test]
async fn where_the_counters_fail_the_rate_still_holds() {
    let server = RedisServer::stopped();
    let (lines, _guard) = Log::listening();
    let counters = Arc::new(Redis::connect(&server.url()).unwrap().timeout(Duration::from_millis(100)));
    let [app, _] =
        two_machines(counters, "rate = \"3/day\"\nlimits.login = { rate = \"1/min\", shared = true }");
    for status in [200, 200, 200, 429] {
        assert_eq!(ask(&app, asking("POST", "/login", &[])).await.status(), status);
    }
    assert_eq!(lines.with("the limit `login` is not counted"), 1, "once a minute");
}

#[test]
fn threads_together_pass_no_limit_more_often_than_it_says() {
    let limit = limits(
        "rate = \"1/day, burst 30\"\nlimits.a = { rate = \"1/h, burst 20\" }\nlimits.b = { rate = \"2/day, burst 20\", by = \"everyone\" }",
    );
    let app = everywhere(Shield::bare().world(Arc::default()).rate_limit(limit));
    let admitted: usize = std::thread::scope(|threads| {
        let asking = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let statuses = runtime.block_on(statuses(&app, "192.0.2.1:1", 200));
            statuses.into_iter().filter(|&status| status == 200).count()
        };
        let threads: Vec<_> = (0..4).map(|_| threads.spawn(asking)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 20);
}

/// Each limit by itself, in milliseconds: until when each of those whom it counts owes.
#[derive(Default)]
struct Naive(HashMap<(usize, String), u64>);

impl Naive {
    /// `limits`: whom they count, what a request owes, and how much may be owed.
    fn admits(&mut self, limits: &[(usize, String, u64, u64)], now: u64) -> bool {
        let owed = |(limit, whom, cost, _): &(usize, String, u64, u64)| {
            self.0.get(&(*limit, whom.clone())).copied().unwrap_or(0).max(now) + cost
        };
        let after: Vec<u64> = limits.iter().map(owed).collect();
        let passes = limits.iter().zip(&after).all(|((.., most), after)| *after <= now + most);
        if passes {
            self.0.extend(
                limits.iter().zip(after).map(|((limit, whom, ..), after)| ((*limit, whom.clone()), after)),
            );
        }
        passes
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_is_counted(
        path in "/[ -~&&[^ \"<>`{}^|#]]{0,40}",
        value in prop::collection::vec(prop::sample::select(vec![0x09_u8, b'B', b'a', b' ', b'=', b';', b'"', b'%', 0x80, 0xff]), 0..40),
        basic: bool,
    ) {
        let toml = r#"
            rate = "1/day"
            limits.login = { rate = "1/day", path = "/login/*" }
            limits.key = { rate = "1/day", by = "header:x-api-key" }
            limits.sid = { rate = "1/day", by = "cookie:sid" }
            limits.user = { rate = "1/day", by = "user" }
        "#;
        let value = if basic { [b"Basic ", value.as_slice()].concat() } else { value };
        prop_assume!(path.parse::<Uri>().is_ok());
        let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
        let app = everywhere(Shield::bare().rate_limit(limits(toml)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for status in [200, 429] {
            let mut request = asking("GET", &path, &[]);
            for name in ["authorization", "x-api-key", "cookie"] {
                request.headers_mut().insert(name, value.clone());
            }
            prop_assert_eq!(runtime.block_on(ask(&app, request)).status().as_u16(), status);
        }
    }

    #[test]
    fn several_limits_pass_what_each_by_itself_would(
        asks in prop::collection::vec((0_u8..3, 0_u8..3, 0_usize..3, 0_u64..600), 1..120),
    ) {
        let toml = r#"
            rate = "1/s, burst 6"
            limits.login = { rate = "30/min, burst 6", cost = 2, path = "/login" }
            limits.key = { rate = "1/s, burst 3", by = "header:x-api-key" }
            limits.all = { rate = "5/s, burst 9", by = "everyone", cost = 5, path = "/login/*" }
        "#;
        let clock = Clock::manual();
        let world = Arc::new(World::new(clock.clone()));
        let app = everywhere(Shield::bare().world(world).rate_limit(limits(toml)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut naive, mut now) = (Naive::default(), 0);
        for (client, key, path, pause) in asks {
            now += pause;
            clock.advance(Duration::from_millis(pause));
            let client = format!("192.0.2.{client}");
            let (path, is_login, below) =
                [("/", false, false), ("/login", true, true), ("/login/help", false, true)][path];
            let mut held = vec![(0, client.clone(), 1_000, 6_000)];
            if is_login {
                held.push((1, client.clone(), 4_000, 12_000));
            }
            let key = (key > 0).then(|| format!("key {key}"));
            held.push((2, key.clone().unwrap_or_else(|| client.clone()), 1_000, 3_000));
            if below {
                held.push((3, String::new(), 1_000, 1_800));
            }
            let mut request = asking("GET", path, &[]);
            if let Some(key) = &key {
                request.headers_mut().insert("x-api-key", key.parse().unwrap());
            }
            request.extensions_mut().insert(Connection::plain(format!("{client}:1").parse().unwrap()));
            let status = runtime.block_on(ask(&app, request)).status();
            prop_assert_eq!(status == 200, naive.admits(&held, now), "{} {:?} at {}", path, held, now);
        }
    }
}
