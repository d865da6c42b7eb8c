//! Limits that all machines count together.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use panoply::counters::{Counters, Memory, Redis};
use panoply::metrics::Tally;
use panoply::{Clock, Connection, Practice, Shield, World};

use super::{ask, asking, everywhere, header, limits};
use crate::log::Log;
use crate::store::server::RedisServer;

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
