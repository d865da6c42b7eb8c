//! The real connect-redis and connect-pg-simple: Node writes and we read, and back.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use panoply::Clock;
use panoply::store::{Postgres, Redis, Replaced, Store};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::LONG;
use super::postgres_server::PostgresServer;
use super::server::RedisServer;

#[tokio::test]
async fn sessions_cross_both_ways_with_connect_redis() {
    let server = RedisServer::start();
    let mut node = Node::start("store.js", &server.url(), &[]);
    let store = Redis::connect(&server.url()).unwrap();
    exchange(&mut node, &store).await;

    store.create("id", &until("2099-01-01"), LONG).await.unwrap();
    node.ask("touch", "id", &until("2099-01-01"));
    let left: u64 = server.answers("TTL sess:id").parse().unwrap();
    assert!(left > 1_000_000, "Node's touch prolongs ours: {left}");
}

#[tokio::test]
async fn sessions_cross_both_ways_with_connect_pg_simple_in_every_zone() {
    let server = PostgresServer::start();
    Postgres::connect(&server.url()).unwrap().migrate().await.unwrap();
    for (servers, of_node, ours) in [
        ("UTC", None, None),
        ("America/New_York", None, None),
        ("Asia/Kolkata", Some("-c TimeZone=America/New_York"), Some("America/New_York")),
    ] {
        server.psql(&format!("alter role postgres set timezone to '{servers}'"));
        let environment: Vec<_> = of_node.map(|options| ("PGOPTIONS", options)).into_iter().collect();
        let mut node = Node::start("store.js", &server.url(), &environment);
        let mut store = Postgres::connect(&server.url()).unwrap();
        if let Some(zone) = ours {
            store = store.time_zone(zone).unwrap();
        }
        exchange(&mut node, &store).await;

        // The same moment is the same text in the table, whoever wrote it: hours apart would be a zone's fault.
        node.ask("set", "theirs", &until("2099-01-01T00:00:00.000Z"));
        let left = Duration::from_secs(END_OF_2098) - Clock::system().unix_time();
        store.create("ours", &until("2099-01-01T00:00:00.000Z"), left).await.unwrap();
        let apart = "select max(expire) - min(expire) <= interval '1 second' from session where sid in ('theirs', 'ours')";
        assert_eq!(server.psql(apart), "t", "{servers} {of_node:?}");
    }
}

/// 2099-01-01T00:00:00Z
const END_OF_2098: u64 = 4_070_908_800;

/// Hundreds of sessions, each written, read and changed by both.
async fn exchange(node: &mut Node, store: &dyn Store) {
    let mut runner = TestRunner::deterministic();
    for n in 0..150 {
        let (data, more) = (sessions(), values()).new_tree(&mut runner).unwrap().current();
        let id = format!("interop-{n}");
        node.ask("set", &id, &data.to_string());
        let theirs = node.print(&data.to_string());
        assert_eq!(store.load(&id).await.unwrap().as_ref(), Some(&theirs), "Node wrote, we read");

        let mut changed = data;
        changed["more"] = more;
        let ours = changed.to_string();
        assert_eq!(store.replace(&id, &theirs, &ours, LONG).await.unwrap(), Replaced::Done);
        let read = node.ask("get", &id, "");
        assert_eq!(read, Value::String(node.print(&ours)), "we wrote, Node reads");

        if n % 2 == 0 {
            node.ask("destroy", &id, "");
            assert_eq!(store.load(&id).await.unwrap(), None, "Node destroyed");
            assert_eq!(store.replace(&id, &ours, "{}", LONG).await.unwrap(), Replaced::Gone);
        } else {
            store.destroy(&id).await.unwrap();
            assert_eq!(node.ask("get", &id, ""), Value::String("null".to_owned()), "we destroyed");
        }
    }
}

/// What express-session puts into a store, and what apps put beside it.
fn sessions() -> impl Strategy<Value = Value> {
    let cookies = prop_oneof![
        Just(json!({"originalMaxAge": null, "expires": null, "httpOnly": true, "path": "/"})),
        Just(
            json!({"originalMaxAge": 60_000, "expires": "2099-01-01T00:00:00.000Z", "secure": true, "httpOnly": true,
                    "domain": "shop.example", "path": "/", "sameSite": "lax"})
        ),
        Just(json!({"originalMaxAge": false, "expires": false, "sameSite": true, "path": "/"})),
    ];
    (cookies, vec(("\\PC{0,12}", values()), 0..6)).prop_map(|(cookie, entries)| {
        let mut session: Value = entries.into_iter().collect::<serde_json::Map<_, _>>().into();
        session["cookie"] = cookie;
        session
    })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4)
                .prop_map(|entries| entries.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

fn until(expires: &str) -> String {
    json!({"cookie": {"originalMaxAge": 60_000, "expires": expires, "path": "/"}}).to_string()
}

/// A script of `tests/node` that answers a line of JSON with another.
pub(crate) struct Node {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Node {
    pub(crate) fn start(script: &str, url: &str, environment: &[(&str, &str)]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/node");
        assert!(
            folder.join("node_modules/rate-limiter-flexible").exists(),
            "the packages of tests/node are not installed: run scripts/test, or `npm ci` in {}",
            folder.display()
        );
        let mut child = Command::new("node")
            .arg(script)
            .current_dir(folder)
            .env("STORE", url)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed: run scripts/test");
        let (questions, answers) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, questions, answers }
    }

    fn ask(&mut self, verb: &str, id: &str, text: &str) -> Value {
        self.say(&json!({"verb": verb, "id": id, "text": text}))
    }

    pub(crate) fn say(&mut self, question: &Value) -> Value {
        writeln!(self.questions, "{question}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{question}: Node said {answer:?}"))
    }

    fn print(&mut self, text: &str) -> String {
        self.ask("print", "", text).as_str().unwrap().to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
