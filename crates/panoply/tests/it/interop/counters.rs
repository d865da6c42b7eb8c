//! The real rate-limiter-flexible: in one Redis or PostgreSQL it and we count together; in memory we count the same.
#![allow(clippy::disallowed_methods, reason = "a real server lives by the machine's clock")]

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use panoply::Clock;
use panoply::counters::{Count, Counters, Limiter, Memory, Postgres, Redis, Standing};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::table;
use crate::store::node::Node;
use crate::store::postgres_server::PostgresServer;
use crate::store::server::{PATIENCE, RedisServer};

/// Points and seconds; what both sides are told alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Options {
    prefix: &'static str,
    points: u32,
    window: u64,
    block: u64,
}

impl Options {
    fn limiter(self) -> Limiter {
        Limiter::new(self.prefix, self.points, seconds(self.window)).block_time(seconds(self.block))
    }

    fn json(self) -> Value {
        json!({"keyPrefix": self.prefix, "points": self.points, "duration": self.window, "blockDuration": self.block})
    }
}

#[derive(Clone, Copy, Debug)]
enum Verb {
    Consume(u32),
    Penalty(u32),
    Reward(u32),
    Set(u32, u64),
    Block(u64),
    Delete,
    Get,
    /// Time goes by, in milliseconds.
    Pass(u64),
}

#[derive(Clone, Copy, Debug)]
struct Step {
    by_node: bool,
    options: Options,
    key: &'static str,
    verb: Verb,
}

/// What either side says of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Said {
    refused: bool,
    consumed: i64,
    remaining: i64,
    milliseconds: i64,
    first: bool,
}

impl Said {
    fn by_us(standing: Standing, refused: bool) -> Self {
        Self {
            refused,
            consumed: standing.consumed(),
            remaining: standing.remaining(),
            milliseconds: standing.left().map_or(-1, |left| i64::try_from(left.as_millis()).unwrap()),
            first: standing.is_first(),
        }
    }

    fn by_node(answer: &Value) -> Option<Self> {
        assert!(answer.get("error").is_none(), "{answer}");
        Some(Self {
            refused: answer.get("refused")?.as_bool().unwrap(),
            consumed: answer["consumedPoints"].as_i64().unwrap(),
            remaining: answer["remainingPoints"].as_i64().unwrap(),
            milliseconds: answer["msBeforeNext"].as_i64().unwrap(),
            first: answer["isFirstInDuration"].as_bool().unwrap(),
        })
    }
}

#[tokio::test]
async fn node_and_we_count_together_in_redis() {
    let server = RedisServer::start();
    let node = Node::start("counters.js", &server.url(), &[]);
    let redis = Redis::connect(&server.url()).unwrap().timeout(PATIENCE);
    count_together(node, &redis, |key| server.answers(&format!("GET {key}"))).await;
    assert!(server.answers("KEYS *").lines().all(|key| key.contains(':')), "{}", server.answers("KEYS *"));
}

#[tokio::test]
async fn node_and_we_count_together_in_postgres() {
    let server = PostgresServer::start();
    let postgres = Postgres::connect(&server.url()).unwrap().timeout(PATIENCE);
    postgres.migrate().await.unwrap();
    let node = Node::start("counters.js", &server.url(), &[]);
    let points = |key: &str| server.psql(&format!("select points from rlflx where key = '{key}'"));
    count_together(node, &postgres, points).await;
}

/// In turns, in one store, of which `stands` says the points under a key.
async fn count_together(mut node: Node, counters: &dyn Counters, stands: impl Fn(&str) -> String) {
    // Each with the moment of its end, by the machine's clock.
    let mut counts: HashMap<(Options, &str), (i64, Instant)> = HashMap::new();
    let mut slowest = Duration::ZERO;
    for (n, step) in table(1_000, steps()).into_iter().enumerate() {
        let place = (step.options, step.key);
        let now = Instant::now();
        let was = counts
            .get(&place)
            .map(|&(points, end)| Count { points, left: Some(end.saturating_duration_since(now)) });
        if matches!(step.verb, Verb::Pass(_)) || is_a_trap(step, was) {
            continue;
        }
        let row = format!("step {n}, {step:?} on {was:?}");
        let said = if step.by_node { ask(&mut node, step) } else { do_it(counters, step).await };
        slowest = slowest.max(now.elapsed());
        let expected = after(step, was);
        match expected {
            Some(count) => counts.insert(place, (count.points, now + count.left.unwrap())),
            None => counts.remove(&place),
        };
        if matches!(step.verb, Verb::Delete) {
            assert_eq!(said, None, "{row}");
        } else {
            assert_eq!(said.map(|said| said.consumed), expected.map(|count| count.points), "{row}");
        }
        if let (Some(said), Some(count)) = (said, expected) {
            let over = count.points > i64::from(step.options.points);
            assert_eq!(said.refused, matches!(step.verb, Verb::Consume(_)) && over, "{row}");
            if let Verb::Consume(points) | Verb::Penalty(points) = step.verb {
                assert_eq!(said.first, count.points == i64::from(points), "{row}");
            }
            near(said.milliseconds, count, slowest, &row);
        }
        // And both read the same afterwards.
        let get = Step { verb: Verb::Get, ..step };
        let (theirs, ours) = (ask(&mut node, get), do_it(counters, get).await);
        slowest = slowest.max(now.elapsed());
        assert_eq!(theirs.is_some(), expected.is_some(), "{row}");
        let (Some(theirs), Some(ours), Some(count)) = (theirs, ours, expected) else {
            assert_eq!(ours, None, "{row}");
            continue;
        };
        assert_eq!((theirs.consumed, theirs.remaining), (ours.consumed, ours.remaining), "{row}");
        near(theirs.milliseconds, count, slowest, &row);
        near(ours.milliseconds, count, slowest, &row);
    }
    assert!(counts.len() > 4, "{counts:?}");
    for ((options, key), (points, _)) in counts {
        let name = format!("{}:{key}", options.prefix);
        assert_eq!(stands(&name), points.to_string(), "{name}");
    }
}

#[tokio::test]
async fn in_memory_we_count_as_node_does() {
    let mut node = Node::start("counters.js", "memory", &[("CLOCK", "still")]);
    let clock = Clock::manual();
    let memory = Memory::with_clock(clock.clone());
    let (mut refused, mut forgotten) = (0, 0);
    for (n, step) in table(4_000, steps()).into_iter().enumerate() {
        if let Verb::Pass(milliseconds) = step.verb {
            node.say(&json!({"verb": "pass", "milliseconds": milliseconds}));
            clock.advance(Duration::from_millis(milliseconds));
            continue;
        }
        let was = memory.peek(step.options.limiter().key(step.key)).await.unwrap();
        forgotten += usize::from(was.is_none());
        if is_a_trap(step, was) {
            continue;
        }
        let row = format!("step {n}, {step:?} on {was:?}");
        let (theirs, ours) = (ask(&mut node, step), do_it(&memory, step).await);
        let Some((theirs, ours)) = theirs.zip(ours) else {
            assert_eq!(theirs, ours, "{row}");
            continue;
        };
        refused += usize::from(ours.refused);
        assert_eq!(
            (theirs.refused, theirs.consumed, theirs.milliseconds),
            (ours.refused, ours.consumed, ours.milliseconds),
            "{row}"
        );
        if !matches!(step.verb, Verb::Set(..)) {
            assert_eq!(theirs.remaining, ours.remaining, "{row}");
        }
    }
    assert!(refused > 100 && forgotten > 100, "{refused} refused, {forgotten} forgotten");
}

/// The table in the documentation of `panoply::counters`, row by row.
#[tokio::test]
async fn where_we_differ_node_does_what_is_said_of_it() {
    let server = RedisServer::start();
    let mut node = Node::start("counters.js", &server.url(), &[]);
    let redis = Redis::connect(&server.url()).unwrap().timeout(PATIENCE);
    let options = Options { prefix: "p", points: 2, window: 60, block: 600 };
    let step = |by_node, key, verb| Step { by_node, options, key, verb };

    let half = json!({"options": {"keyPrefix": "half", "points": 2, "duration": 0.5}, "verb": "consume", "key": "node",
                      "values": [1]});
    assert_eq!(node.say(&half)["msBeforeNext"], -1);
    assert_eq!(server.answers("TTL half:node"), "-1", "floored to none");
    let limiter = Limiter::new("half", 2, Duration::from_millis(500));
    assert_eq!(limiter.penalty(&redis, "ours", 1).await.unwrap().left(), Some(seconds(1)), "rounded up");

    ask(&mut node, step(true, "node", Verb::Penalty(3)));
    let said = ask(&mut node, step(true, "node", Verb::Consume(1))).unwrap();
    assert!(said.refused && said.milliseconds <= 60_000, "the penalty lost the block: {said:?}");
    do_it(&redis, step(false, "ours", Verb::Penalty(3))).await;
    let said = do_it(&redis, step(false, "ours", Verb::Consume(1))).await.unwrap();
    assert!(said.refused && said.milliseconds > 590_000, "{said:?}");

    ask(&mut node, step(true, "ever", Verb::Block(0)));
    assert_eq!(server.answers("TTL p:ever"), "-1");
    assert_eq!(do_it(&redis, step(false, "ever", Verb::Consume(1))).await.unwrap().milliseconds, -1);
    let begun = SystemTime::now();
    assert_eq!(ask(&mut node, step(true, "ever", Verb::Consume(1))).unwrap().milliseconds, 60_000);
    assert!(server.ends("p:ever", begun, 60), "for ever is a minute");

    assert_eq!(ask(&mut node, step(true, "set", Verb::Set(1, 60))).unwrap().remaining, 0);
    assert_eq!(do_it(&redis, step(false, "set", Verb::Set(1, 60))).await.unwrap().remaining, 1);

    let mut node = Node::start("counters.js", "memory", &[]);
    let quarter = Options { window: 90 * 86_400, ..options };
    let consume = Step { by_node: true, options: quarter, key: "node", verb: Verb::Consume(1) };
    assert_eq!(ask(&mut node, consume).unwrap().milliseconds, 7_776_000_000);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        ask(&mut node, Step { verb: Verb::Get, ..consume }),
        None,
        "90 days are over in a millisecond"
    );
    ask(&mut node, step(true, "endless", Verb::Set(1, 0)));
    assert_eq!(ask(&mut node, step(true, "endless", Verb::Consume(1))).unwrap().milliseconds, -1);
}

fn steps() -> impl Strategy<Value = Step> {
    let verb = prop_oneof![
        8 => (1_u32..4).prop_map(Verb::Consume),
        2 => (1_u32..4).prop_map(Verb::Penalty),
        2 => (1_u32..4).prop_map(Verb::Reward),
        1 => (0_u32..9, 100_u64..200).prop_map(|(points, seconds)| Verb::Set(points, seconds)),
        1 => (200_u64..300).prop_map(Verb::Block),
        1 => Just(Verb::Delete),
        2 => Just(Verb::Get),
        4 => (0_u64..80_000).prop_map(Verb::Pass),
    ];
    let options = prop_oneof![
        Just(Options { prefix: "plain", points: 5, window: 60, block: 0 }),
        Just(Options { prefix: "blocking", points: 5, window: 60, block: 600 }),
        Just(Options { prefix: "none", points: 0, window: 30, block: 0 }),
    ];
    (any::<bool>(), options, prop_oneof![Just("ann"), Just("::1_bøb")], verb)
        .prop_map(|(by_node, options, key, verb)| Step { by_node, options, key, verb })
}

/// Where Node loses a block: that has a test of its own.
fn is_a_trap(step: Step, was: Option<Count>) -> bool {
    let (before, line) = (was.map_or(0, |was| was.points), i64::from(step.options.points));
    matches!(step.verb, Verb::Penalty(n) if step.options.block > 0 && before <= line && before + i64::from(n) > line)
}

/// What stands in Redis then; a test is too short for any end to come.
fn after(step: Step, was: Option<Count>) -> Option<Count> {
    let limiter = step.options.limiter();
    let put = |points: u32, left| Some(Count { points: points.into(), left: Some(seconds(left)) });
    match step.verb {
        Verb::Consume(n) | Verb::Penalty(n) => Some(limiter.rule().add(was, n.into())),
        Verb::Reward(n) => Some(limiter.rule().add(was, -i64::from(n))),
        Verb::Set(points, left) => put(points, left),
        Verb::Block(left) => put(step.options.points + 1, left),
        Verb::Delete => None,
        Verb::Get | Verb::Pass(_) => was,
    }
}

fn ask(node: &mut Node, step: Step) -> Option<Said> {
    let (verb, values) = match step.verb {
        Verb::Consume(n) => ("consume", json!([n])),
        Verb::Penalty(n) => ("penalty", json!([n])),
        Verb::Reward(n) => ("reward", json!([n])),
        Verb::Set(points, seconds) => ("set", json!([points, seconds])),
        Verb::Block(seconds) => ("block", json!([seconds])),
        Verb::Delete => ("delete", json!([])),
        Verb::Get => ("get", json!([])),
        Verb::Pass(_) => unreachable!("no limiter is asked"),
    };
    let question = json!({"options": step.options.json(), "verb": verb, "key": step.key, "values": values});
    Said::by_node(&node.say(&question))
}

async fn do_it(counters: &dyn Counters, step: Step) -> Option<Said> {
    let (limiter, key) = (step.options.limiter(), step.key);
    let standing = match step.verb {
        Verb::Consume(n) => {
            let verdict = limiter.consume(counters, key, n).await.unwrap();
            return Some(Said::by_us(verdict.standing(), verdict.is_refused()));
        }
        Verb::Penalty(n) => limiter.penalty(counters, key, n).await.unwrap(),
        Verb::Reward(n) => limiter.reward(counters, key, n).await.unwrap(),
        Verb::Set(points, left) => limiter.set(counters, key, points.into(), seconds(left)).await.unwrap(),
        Verb::Block(left) => limiter.block(counters, key, seconds(left)).await.unwrap(),
        Verb::Delete => {
            limiter.delete(counters, key).await.unwrap();
            return None;
        }
        Verb::Get => limiter.get(counters, key).await.unwrap()?,
        Verb::Pass(_) => unreachable!("no limiter is asked"),
    };
    Some(Said::by_us(standing, false))
}

/// To the second, since Node counts in seconds, and to what a step may take.
fn near(milliseconds: i64, count: Count, took: Duration, row: &str) {
    let expected = i64::try_from(count.left.unwrap().as_millis()).unwrap();
    let within = 1_000 + i64::try_from(took.as_millis()).unwrap();
    assert!((milliseconds - expected).abs() <= within, "{milliseconds} ms, and not {expected}: {row}");
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
