//! The recipe of rate-limiter-flexible for logins, run by Node: it and we count in one Redis, and refuse alike.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use panoply::counters::Redis;
use panoply::practices::brute_force::{Attempt, Metric, Naming};
use panoply::{BruteForce, Clock, Connection, Period, Rejection, Shield, World};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::table;
use crate::store::node::Node;
use crate::store::server::RedisServer;

#[derive(Clone, Copy, Debug)]
struct Try {
    username: &'static str,
    ip: &'static str,
    right: bool,
    /// Which of the two apps of one site is asked.
    by_node: bool,
}

fn tries() -> impl Strategy<Value = Try> {
    let username = prop::sample::select(vec!["ann", "Bob", "d_e", "zoë"]);
    let ip = prop::sample::select(vec!["192.0.2.1", "198.51.100.7", "2001:db8::1"]);
    (username, ip, prop::bool::weighted(0.03), any::<bool>()).prop_map(|(username, ip, right, by_node)| Try {
        username,
        ip,
        right,
        by_node,
    })
}

/// A login in Rust that counts as the recipe does.
fn ours(url: &str) -> Router {
    async fn login(attempt: Attempt, headers: HeaderMap) -> Result<StatusCode, Rejection> {
        let username = String::from_utf8(headers["x-user"].as_bytes().to_vec()).unwrap();
        let guess = attempt.by(&username).await?;
        if headers["x-right"] == "true" {
            guess.succeeded().await?;
            return Ok(StatusCode::OK);
        }
        guess.failed().await?;
        Ok(StatusCode::UNAUTHORIZED)
    }
    let counters = Arc::new(Redis::connect(url).unwrap());
    let world = Arc::new(World::new(Clock::system()).counters(counters));
    // What the recipe does not have is out of reach.
    let never = Metric::new(1_000_000, Period::seconds(86_400));
    let brute_force = BruteForce::default().naming(Naming::Node).by_username(never).trust_no_browser();
    let shield = Shield::bare().world(world).brute_force(brute_force);
    Router::new().route("/login", post(login)).layer(shield)
}

async fn ask_us(app: &Router, attempt: Try) -> (u64, u64) {
    let mut request = Request::post("/login")
        .header("x-user", attempt.username.as_bytes())
        .header("x-right", attempt.right.to_string())
        .body(Body::empty())
        .unwrap();
    let peer = SocketAddr::new(attempt.ip.parse().unwrap(), 1);
    request.extensions_mut().insert(Connection::plain(peer));
    let answer = app.clone().oneshot(request).await.unwrap();
    let retry_after =
        answer.headers().get("retry-after").map_or(0, |wait| wait.to_str().unwrap().parse().unwrap());
    (answer.status().as_u16().into(), retry_after)
}

fn ask_node(node: &mut Node, attempt: Try) -> (u64, u64) {
    let question = json!({"username": attempt.username, "ip": attempt.ip, "right": attempt.right});
    let answer: Value = node.say(&question);
    (answer["status"].as_u64().unwrap(), answer["retryAfter"].as_u64().unwrap())
}

/// Of the counters that both have: the key, what stands there, and whether it ends in its time.
fn counts(server: &RedisServer) -> Vec<(String, String, u64)> {
    let keys = server.answers("KEYS login_fail_[ic]*");
    let mut counts: Vec<_> = keys
        .lines()
        .filter(|key| !key.is_empty())
        .map(|key| {
            let left: u64 = server.answers_to(&["TTL", key]).trim().parse().unwrap();
            // To within a minute: the test takes its time.
            (key.to_owned(), server.answers_to(&["GET", key]), left.div_ceil(60))
        })
        .collect();
    counts.sort();
    counts
}

#[tokio::test]
async fn node_and_we_refuse_the_same_tries_and_leave_the_same_counts() {
    let (alone, shared) = (RedisServer::start(), RedisServer::start());
    let mut recipe = Node::start("recipe.js", &alone.url(), &[]);
    let mut node = Node::start("recipe.js", &shared.url(), &[]);
    let app = ours(&shared.url());
    let mut refused = 0;
    for (n, attempt) in table(600, tries()).into_iter().enumerate() {
        let (expected, wait) = ask_node(&mut recipe, attempt);
        let (status, waits) =
            if attempt.by_node { ask_node(&mut node, attempt) } else { ask_us(&app, attempt).await };
        assert_eq!(status, expected, "{n}: {attempt:?}");
        // Rounded here and up there, and a moment apart.
        assert!(waits.abs_diff(wait) <= 5, "{n}: {attempt:?} waits {waits} and {wait}");
        refused += u32::from(expected == 429);
    }
    assert_eq!(counts(&shared), counts(&alone));
    assert!(refused > 100, "the table refuses enough to tell: {refused}");
    assert!(counts(&alone).iter().any(|(.., left)| *left == 60), "a pair is blocked for an hour");
}
