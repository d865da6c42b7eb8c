//! An Express app and an axum app in front of one store: to a visitor they are one site.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use panoply::practices::sessions::Attributes;
use panoply::store::{Postgres, Redis, Store};
use panoply::{Sessions, Shield};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{node, table};
use super::contents::value;
use super::shop::Shop;
use super::visits::{LOOKS_AT, ask};
use super::{SECRETS, keys};
use crate::store::postgres_server::PostgresServer;
use crate::store::server::RedisServer;

#[tokio::test]
async fn on_redis_two_apps_are_one_site() {
    let server = RedisServer::start();
    let site = Site::start(Kind::Redis, server.url()).await;
    everything_holds(site, |id| server.answers_to(&["TTL", &format!("sess:{id}")]).parse().unwrap()).await;
}

#[tokio::test]
async fn on_postgres_two_apps_are_one_site() {
    let server = PostgresServer::start();
    // Where a time without a zone is another one than in UTC.
    server.psql("alter role postgres set timezone to 'America/New_York'");
    let site = Site::start(Kind::Postgres, server.url()).await;
    let left = "select floor(extract(epoch from expire - localtimestamp)) from session where sid = ";
    everything_holds(site, |id| server.psql(&format!("{left}'{id}'")).parse().unwrap()).await;
}

async fn everything_holds(mut site: Site, time_left: impl Fn(&str) -> i64) {
    taking_turns(&site).await;
    one_login_and_one_logout(&site).await;
    a_new_id_is_new_on_both_sides(&site).await;
    everywhere_is_everywhere(&site).await;
    time_is_kept(&site, time_left).await;
    what_comes_at_once(&site).await;
    restarts(&mut site).await;
}

/// Whatever either of the two does to a session, the other one sees: random contents, in turns.
async fn taking_turns(site: &Site) {
    let key = || prop::sample::select(LOOKS_AT);
    let change = prop_oneof![
        5 => (key(), value()).prop_map(|(key, value)| json!(["set", key, value])),
        1 => key().prop_map(|key| json!(["delete", key])),
    ];
    let last = prop_oneof![
        12 => Just(None),
        1 => prop::sample::select(vec!["regenerate", "save", "clear", "destroy", "touch"]).prop_map(Some),
    ];
    let mut visitor = Visitor::default();
    let mut kept = BTreeMap::<String, Value>::new();
    for (n, (changes, last)) in
        table(TURNS, (prop::collection::vec(change, 1..4), last)).into_iter().enumerate()
    {
        let mut operations = changes;
        operations.extend(last.map(|operation| json!([operation])));
        let said = visitor.at(site, SIDES[n % 2], &operations).await;
        assert_eq!(plain(&said["before"]), seen(&kept), "visit {n}");
        for operation in &operations {
            let key = operation[1].as_str().unwrap_or_default().to_owned();
            match operation[0].as_str().unwrap() {
                "set" => drop(kept.insert(key, operation[2].clone())),
                "delete" => drop(kept.remove(&key)),
                "regenerate" | "clear" | "destroy" => kept.clear(),
                _ => {}
            }
        }
        assert_eq!(said["failed"], json!([]), "{operations:?}");
        assert_eq!(plain(&said["after"]), seen(&kept), "visit {n}: {operations:?}");
    }
}

async fn one_login_and_one_logout(site: &Site) {
    for (one, other) in [(Side::Express, Side::Axum), (Side::Axum, Side::Express)] {
        let mut visitor = Visitor::default();
        visitor.log_in(site, one).await;
        assert_eq!(visitor.user(site, other).await, "tim", "{one:?} logs in");
        let mut stolen = visitor.clone();
        visitor.at(site, other, &[json!(["destroy"])]).await;
        assert_eq!(visitor.user(site, one).await, Value::Null, "{other:?} logs out");
        assert_eq!(stolen.user(site, one).await, Value::Null);
        assert_eq!(stolen.user(site, other).await, Value::Null);
    }
}

async fn a_new_id_is_new_on_both_sides(site: &Site) {
    for (one, other) in [(Side::Express, Side::Axum), (Side::Axum, Side::Express)] {
        let mut visitor = Visitor::default();
        visitor.at(site, one, &[json!(["set", "cart", 1])]).await;
        let mut planted = visitor.clone();
        visitor.at(site, other, &[json!(["regenerate"]), json!(["set", "user", "tim"])]).await;
        assert_ne!(visitor.cookies, planted.cookies);
        assert_eq!(visitor.user(site, one).await, "tim");
        assert_eq!(planted.user(site, one).await, Value::Null);
    }
}

/// `sign_out_everywhere` ends what went through `sign_in`, and what began in Express once a Rust app has seen it.
async fn everywhere_is_everywhere(site: &Site) {
    let [mut here, mut there, mut unseen, mut stranger] = [(); 4].map(|()| Visitor::default());
    here.at(site, Side::Axum, &[json!(["sign_in", "ann"])]).await;
    for visitor in [&mut there, &mut unseen] {
        visitor.at(site, Side::Express, &[json!(["set", "user", "ann"])]).await;
    }
    stranger.log_in(site, Side::Express).await;
    assert_eq!(
        (there.user(site, Side::Axum).await, stranger.user(site, Side::Axum).await),
        ("ann".into(), "tim".into())
    );
    here.at(site, Side::Axum, &[json!(["sign_out_everywhere"])]).await;
    for side in SIDES {
        assert_eq!(there.user(site, side).await, Value::Null, "{side:?}");
        assert_eq!(stranger.user(site, side).await, "tim", "{side:?}");
    }
    assert_eq!(unseen.user(site, Side::Express).await, "ann", "no Rust app has seen it");
}

async fn time_is_kept(site: &Site, left: impl Fn(&str) -> i64) {
    for (one, other) in [(Side::Express, Side::Axum), (Side::Axum, Side::Express)] {
        let mut visitor = Visitor::default();
        visitor.log_in(site, one).await;
        let id = visitor.id();
        assert!((3580..=3600).contains(&left(&id)), "{one:?} gives {}", left(&id));
        let date = visitor.lines.clone();
        tokio::time::sleep(Duration::from_millis(5_600)).await;
        assert!((3500..=3595).contains(&left(&id)), "it passes");
        visitor.at(site, other, &[]).await;
        assert!((3596..=3600).contains(&left(&id)), "{other:?} leaves {}", left(&id));
        assert!(visitor.lines.is_empty(), "the cookie is not set for that");
        // What changes gets a new date, on either side.
        visitor.at(site, other, &[json!(["set", "cart", 1])]).await;
        assert_ne!(visitor.lines, date);
        assert_eq!((visitor.id(), visitor.lines.len()), (id, 1));
    }
}

async fn what_comes_at_once(site: &Site) {
    let slow = async |visitor: &Visitor, side, operations: &[Value], meanwhile: &[Value]| {
        let other = if side == Side::Axum { Side::Express } else { Side::Axum };
        let operations = [&[json!(["wait"])][..], operations].concat();
        let (mut slow, mut quick) = (visitor.clone(), visitor.clone());
        let first = slow.at(site, side, &operations);
        let second = async {
            site.meet(side).await;
            let said = quick.at(site, other, meanwhile).await;
            site.let_go(side).await;
            said
        };
        let (_, _) = tokio::join!(first, second);
    };
    let logged_in = async || {
        let mut visitor = Visitor::default();
        visitor.log_in(site, Side::Express).await;
        visitor
    };

    // Express wrote while a request was served here: both hold.
    let mut visitor = logged_in().await;
    slow(&visitor, Side::Axum, &[json!(["set", "a", "here"])], &[json!(["set", "b", "there"])]).await;
    let both = json!(["here", "there", null, null, null, "tim"]);
    assert_eq!(visitor.at(site, Side::Express, &[]).await["before"], both);

    // What was written here while Express served a request that writes is lost: it puts back the session that it
    // had read. Where its request only reads, it stays.
    let mut visitor = logged_in().await;
    slow(&visitor, Side::Express, &[json!(["set", "a", "there"])], &[json!(["set", "b", "here"])]).await;
    let theirs = json!(["there", null, null, null, null, "tim"]);
    assert_eq!(visitor.at(site, Side::Axum, &[]).await["before"], theirs);
    slow(&visitor, Side::Express, &[], &[json!(["set", "b", "here"])]).await;
    let both = json!(["there", "here", null, null, null, "tim"]);
    assert_eq!(visitor.at(site, Side::Axum, &[]).await["before"], both);

    // Who was logged out by Express stays so; who was logged out here too, unless Express writes.
    for (side, operations, user) in [
        (Side::Axum, &[json!(["set", "a", 1])][..], Value::Null),
        (Side::Axum, &[], Value::Null),
        (Side::Express, &[], Value::Null),
        (Side::Express, &[json!(["set", "a", 1])], "tim".into()),
    ] {
        let mut visitor = logged_in().await;
        slow(&visitor, side, operations, &[json!(["destroy"])]).await;
        assert_eq!(visitor.user(site, Side::Axum).await, user, "{side:?} {operations:?}");
    }
}

/// Neither app keeps anything that is not in the store.
async fn restarts(site: &mut Site) {
    let mut visitors = [Visitor::default(), Visitor::default()];
    for (visitor, side) in visitors.iter_mut().zip(SIDES) {
        visitor.log_in(site, side).await;
    }
    site.restart().await;
    for visitor in &mut visitors {
        for side in SIDES {
            assert_eq!(visitor.user(site, side).await, "tim", "{side:?}");
        }
    }
}

/// The two apps, and where they keep their sessions.
struct Site {
    kind: Kind,
    url: String,
    express: node::App,
    axum: Router,
    shop: Shop,
}

#[derive(Clone, Copy)]
enum Kind {
    Redis,
    Postgres,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Express,
    Axum,
}

impl Site {
    async fn start(kind: Kind, url: String) -> Self {
        let shop = Shop::new(LOOKS_AT);
        // First: it makes the table.
        let axum = kind.axum(&url, &shop).await;
        Self { express: kind.express(&url), kind, url, axum, shop }
    }

    async fn restart(&mut self) {
        self.express = self.kind.express(&self.url);
        self.axum = self.kind.axum(&self.url, &self.shop).await;
    }

    /// Waits until a slow visit has its session.
    async fn meet(&self, side: Side) {
        self.say(side, "met").await;
    }

    async fn let_go(&self, side: Side) {
        self.say(side, "go").await;
    }

    async fn say(&self, side: Side, word: &str) {
        if side == Side::Axum {
            self.shop.gate.wait().await;
        } else {
            Visitor::default().at(self, side, &[json!([word])]).await;
        }
    }
}

impl Kind {
    fn express(self, url: &str) -> node::App {
        let variable = match self {
            Self::Redis => "REDIS_URL",
            Self::Postgres => "DATABASE_URL",
        };
        let max_age = MAX_AGE.as_millis().to_string();
        node::App::start("one-login.js", &[("SECRET", SECRETS[0]), (variable, url), ("MAX_AGE", &max_age)])
    }

    async fn axum(self, url: &str, shop: &Shop) -> Router {
        let store: Arc<dyn Store> = match self {
            Self::Redis => Arc::new(Redis::connect(url).unwrap()),
            Self::Postgres => {
                let store = Postgres::connect(url).unwrap();
                store.migrate().await.unwrap();
                Arc::new(store)
            }
        };
        let attributes = Attributes::express().max_age(MAX_AGE);
        let sessions = Sessions::express("connect.sid", &keys()).unwrap().attributes(attributes).store(store);
        shop.clone().behind(&Shield::bare().sessions(sessions))
    }
}

/// A browser.
#[derive(Clone, Debug, Default, PartialEq)]
struct Visitor {
    cookies: Option<String>,
    /// What the last answer set.
    lines: Vec<String>,
}

impl Visitor {
    async fn at(&mut self, site: &Site, side: Side, operations: &[Value]) -> Value {
        let (lines, said) = match side {
            Side::Axum => {
                let cookies: Vec<String> = self.cookies.iter().cloned().collect();
                let (status, lines, said) = ask(&site.axum, false, "/", &cookies, Some(operations)).await;
                assert_eq!(status, 200, "{operations:?}");
                (lines, said)
            }
            Side::Express => {
                let asked = json!({ "looksAt": LOOKS_AT, "operations": operations }).to_string();
                let cookie = self.cookies.as_deref().unwrap_or_default();
                let (lines, body) = site.express.post("/", cookie, &asked).await;
                (lines, serde_json::from_str(&body).unwrap())
            }
        };
        for line in &lines {
            let pair = line.split(';').next().unwrap().to_owned();
            self.cookies = (!line.contains("1970")).then_some(pair);
        }
        self.lines = lines;
        said
    }

    async fn log_in(&mut self, site: &Site, side: Side) {
        self.at(site, side, &[json!(["set", "user", "tim"])]).await;
    }

    /// Who has logged in, as this side sees it.
    async fn user(&mut self, site: &Site, side: Side) -> Value {
        self.at(site, side, &[]).await["before"][5].clone()
    }

    fn id(&self) -> String {
        let value = self.cookies.as_deref().unwrap().strip_prefix("connect.sid=s%3A").unwrap();
        value.split('.').next().unwrap().to_owned()
    }
}

fn seen(kept: &BTreeMap<String, Value>) -> Value {
    LOOKS_AT.iter().map(|key| kept.get(*key).map(plain).unwrap_or_default()).collect()
}

/// With each number as JavaScript has it, so that 1 is 1.0.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => (number.as_f64().unwrap() + 0.0).into(),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        _ => value.clone(),
    }
}

const SIDES: [Side; 2] = [Side::Express, Side::Axum];
const TURNS: u32 = 300;
const MAX_AGE: Duration = Duration::from_secs(3600);
