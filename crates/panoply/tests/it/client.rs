//! Who asks, as the app and the log see it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::routing::get;
use axum::{Extension, Router};
use panoply::{Clock, Connection, RateLimit, Shield, TrustedProxies, Visitor, World};
use tower::ServiceExt;

use crate::log::Log;

fn app(shield: Shield) -> Router {
    let who =
        |visitor: Extension<Visitor>| async move { format!("{} {}", visitor.ip, visitor.scheme.as_str()) };
    Router::new().route("/", get(who)).layer(shield)
}

fn from(peer: [u8; 4], headers: &[(&str, &str)]) -> Request {
    let mut request = headers
        .iter()
        .fold(Request::get("/"), |request, (name, value)| request.header(*name, *value))
        .body(Body::empty())
        .unwrap();
    request.extensions_mut().insert(Connection::plain((peer, 50_000).into()));
    request
}

#[tokio::test]
async fn the_app_learns_who_asks_from_trusted_proxies_alone() {
    let shield = Shield::bare().trusted_proxies(TrustedProxies::new(["10.0.0.0/8"]).unwrap());
    for (peer, headers, who) in [
        ([192, 0, 2, 1], &[][..], "192.0.2.1 http"),
        ([192, 0, 2, 1], &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https")], "192.0.2.1 http"),
        ([10, 0, 0, 1], &[("x-forwarded-for", "1.1.1.1, 192.0.2.1")], "192.0.2.1 http"),
        (
            [10, 0, 0, 1],
            &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.1")],
            "192.0.2.1 http",
        ),
        ([10, 0, 0, 1], &[("forwarded", "for=\"[2001:db8::1]:80\";proto=https")], "2001:db8::1 https"),
    ] {
        let answer = app(shield.clone()).oneshot(from(peer, headers)).await.unwrap();
        let body = to_bytes(answer.into_body(), 100).await.unwrap();
        assert_eq!(body, who.as_bytes(), "{peer:?} {headers:?}");
    }
}

#[test]
fn everybody_and_nobody_is_trusted_by_name_only() {
    for (toml, message) in [
        ("proxies = [\"0.0.0.0/0\"]", "every address there is"),
        ("proxies = [\"akamai\"]", "no network that is known by its name"),
        ("proxies = [\"10.0.0.1/8\"]", "hint: write `10.0.0.0/8`"),
        ("proxies = true", "invalid type: boolean"),
    ] {
        let error = toml::from_str::<File>(toml).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    assert!(toml::from_str::<File>("proxies = [\"10.0.0.0/8\", \"::1\"]").is_ok());
}

#[derive(Debug, serde::Deserialize)]
struct File {
    #[expect(dead_code, reason = "read for its errors")]
    proxies: TrustedProxies,
}

#[tokio::test]
async fn a_proxy_that_nobody_declared_blocks_nobody_and_is_named_once_a_day() {
    let (lines, _guard) = Log::listening();
    let clock = Clock::manual();
    let shield = Shield::bare()
        .world(Arc::new(World::new(clock.clone())))
        .rate_limit(RateLimit::of("1/day".parse().unwrap()));
    let app = app(shield);
    let ask = async |peer: [u8; 4]| {
        app.clone().oneshot(from(peer, &[("x-forwarded-for", "192.0.2.1")])).await.unwrap().status()
    };

    for _ in 0..5 {
        assert_eq!(ask([192, 168, 7, 1]).await, 200);
    }
    assert_eq!(lines.with("trusted_proxies = [\"192.168.7.1\"]"), 1);
    assert_eq!(ask([192, 168, 8, 1]).await, 200);
    assert_eq!(lines.with("trusted_proxies = [\"192.168.8.1\"]"), 1);
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(ask([192, 168, 7, 1]).await, 200);
    assert_eq!(lines.with("trusted_proxies = [\"192.168.7.1\"]"), 2);

    // A network has more addresses than the one that came.
    assert_eq!(ask([104, 16, 1, 1]).await, 200);
    assert_eq!(lines.with("trusted_proxies = [\"cloudflare\"]"), 1);

    // A stranger who sends the header is a client like any other.
    assert_eq!(ask([203, 0, 113, 1]).await, 200);
    assert_eq!(ask([203, 0, 113, 1]).await, 429);
    assert_eq!(lines.with("203.0.113.1 sends"), 0);
}

#[tokio::test]
async fn where_nobody_says_who_asks_nobody_is_blocked() {
    let (lines, _guard) = Log::listening();
    let app = app(Shield::bare().rate_limit(RateLimit::of("1/day".parse().unwrap())));
    for _ in 0..3 {
        let request = Request::new(Body::empty());
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), 200);
    }
    assert_eq!(lines.with("address is not known"), 1);
    // The first passes, the second is news, and the third is not.
    assert_eq!(lines.with("would refuse"), 1);

    let proxies = TrustedProxies::new(["10.0.0.1"]).unwrap();
    let app = self::app(
        Shield::bare().rate_limit(RateLimit::of("1/day".parse().unwrap())).trusted_proxies(proxies),
    );
    for _ in 0..3 {
        assert_eq!(app.clone().oneshot(from([10, 0, 0, 1], &[])).await.unwrap().status(), 200);
    }
    assert_eq!(lines.with("the trusted proxy 10.0.0.1 names no visitor"), 1);
}

/// A disk is not to be filled by asking, and who came once is still found in the log.
#[tokio::test]
async fn of_a_client_that_is_refused_again_and_again_the_log_has_ten_lines_and_a_count() {
    let (lines, _guard) = Log::listening();
    let clock = Clock::manual();
    let world = Arc::new(World::new(clock.clone()));
    let shield = Shield::bare().world(Arc::clone(&world));
    let app = app(shield.rate_limit(RateLimit::of("1/day".parse().unwrap())));
    let ask = |peer| {
        let app = app.clone();
        async move { app.oneshot(from(peer, &[])).await.unwrap().status() }
    };
    for _ in 0..1_000 {
        ask([192, 0, 2, 1]).await;
    }
    assert_eq!(ask([192, 0, 2, 9]).await, 200);
    assert_eq!(ask([192, 0, 2, 9]).await, 429);
    let refused = |client: &str| {
        let all = lines.events();
        let of = |event: &&std::collections::BTreeMap<_, String>| {
            event.get("message").is_some_and(|line| line == "refused") && event["client"] == client
        };
        all.iter().filter(of).count()
    };
    assert_eq!((refused("192.0.2.1"), refused("192.0.2.9")), (10, 1));
    assert_eq!(lines.with("left out"), 0, "not yet");
    clock.advance(Duration::from_secs(10));
    ask([192, 0, 2, 1]).await;
    let told = lines.events().into_iter().find(|event| event["message"].starts_with("left out")).unwrap();
    assert_eq!((&*told["practice"], &*told["lines"]), ("rate_limit", "989"));
    assert_eq!(refused("192.0.2.1"), 11);
    world.tell_of_lines_left_out();
    assert_eq!(lines.with("left out"), 1, "there is nothing more to tell");
    assert_eq!(world.metrics().of(Some(panoply::Practice::RateLimit)).refused, 1_001, "all are counted");
}
