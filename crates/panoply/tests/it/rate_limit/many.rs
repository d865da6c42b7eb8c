//! Several limits of one request: for whom each holds, by what it counts, and what a refusal costs.

use std::sync::Arc;
use std::time::Duration;

use panoply::{Clock, Connection, Guard, Shield, World};

use super::{app, ask, asking, everywhere, from, header, limits, statuses};

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
            ask(&app, asking(method, uri, headers)).await.status()
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
