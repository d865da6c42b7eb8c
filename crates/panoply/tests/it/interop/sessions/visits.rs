use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderValue, Request};
use http_body_util::BodyExt;
use panoply::practices::sessions::Kept;
use panoply::store::Store;
use panoply::{Clock, Connection, CookieSession, Keys, Sessions, Shield, World};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::super::node;
use super::recorder::Recorder;
use super::shop::Shop;
use super::{SECRETS, keys};

/// One request of a visitor.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// Milliseconds after the one before.
    pub(super) advance: u64,
    pub(super) https: bool,
    pub(super) path: &'static str,
    /// The fields of `Cookie`, a character a byte; `{jar}` is what the visitor was given. `None`: that alone.
    pub(super) cookies: Option<Vec<String>>,
    /// What the app does; `None`: it looks at no session.
    pub(super) operations: Option<Vec<Value>>,
}

impl Visit {
    pub(super) fn of<const N: usize>(operations: [Value; N]) -> Self {
        Self { advance: 1_000, https: true, path: "/", cookies: None, operations: Some(operations.into()) }
    }

    pub(super) fn with_cookies(cookies: Vec<String>) -> Self {
        Self { cookies: Some(cookies), ..Self::of([]) }
    }

    fn told(&self) -> Value {
        let Self { advance, https, path, cookies, operations } = self;
        json!({ "advance": advance, "https": https, "path": path, "cookies": cookies, "operations": operations })
    }
}

/// Which package, and how it is set up.
#[derive(Clone, Debug)]
pub(super) enum Shared {
    InStore { ours: Sessions, theirs: Value },
    InCookie { ours: CookieSession, theirs: Value },
}

/// A visitor of two apps that are set up alike.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) shared: Shared,
    /// What both stores hold at first.
    pub(super) stored: Vec<(String, String)>,
    pub(super) visits: Vec<Visit>,
    /// What the stores do is not compared.
    pub(super) is_told_by_cookies: bool,
    /// The values that a visit reports.
    pub(super) looks_at: &'static [&'static str],
}

impl Row {
    pub(super) fn told(&self) -> Value {
        let (middleware, options) = match &self.shared {
            Shared::InStore { theirs, .. } => ("express-session", theirs),
            Shared::InCookie { theirs, .. } => ("cookie-session", theirs),
        };
        let visits: Vec<Value> = self.visits.iter().map(Visit::told).collect();
        json!({ "middleware": middleware, "options": options, "keys": SECRETS, "looksAt": self.looks_at,
            "now": Clock::manual().unix_time().as_millis(), "stored": self.stored, "visits": visits })
    }

    /// What came of each visit here.
    pub(super) async fn ours(&self) -> Vec<Value> {
        let clock = Clock::manual();
        let recorder = Arc::new(Recorder::new(clock.clone()));
        for (id, text) in &self.stored {
            recorder.create(id, text, Duration::from_secs(86_400)).await.unwrap();
        }
        let kept: Kept = match &self.shared {
            Shared::InStore { ours, .. } => ours.clone().store(recorder.clone()).into(),
            Shared::InCookie { ours, .. } => ours.clone().into(),
        };
        let shield = Shield::bare().sessions(kept).world(Arc::new(World::new(clock.clone())));
        let app = Shop { recorder: Some(recorder.clone()), ..Shop::new(self.looks_at) }.behind(&shield);
        let mut jar: Vec<(String, String)> = Vec::new();
        let mut outcomes = Vec::new();
        for Visit { advance, https, path, cookies, operations } in &self.visits {
            clock.advance(Duration::from_millis(*advance));
            recorder.calls();
            let kept =
                jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            let jar_alone = ["{jar}".to_owned()];
            let fields = cookies.as_deref().unwrap_or(&jar_alone).iter();
            let fields: Vec<String> = fields.map(|field| field.replacen("{jar}", &kept, 1)).collect();
            let (status, lines, saw) = ask(&app, *https, path, &fields, operations.as_deref()).await;
            for line in &lines {
                let (name, rest) = line.split_once('=').unwrap();
                jar.retain(|(kept, _)| kept != name);
                if !line.contains("1970") {
                    jar.push((name.to_owned(), rest.split(';').next().unwrap().to_owned()));
                }
            }
            outcomes.push(json!({ "status": status, "lines": lines, "saw": saw, "calls": recorder.calls(),
                "texts": recorder.list().await }));
        }
        outcomes
    }
}

/// What an axum app answers to one request: the status, the lines of `Set-Cookie`, and what it saw.
pub(super) async fn ask(
    app: &Router,
    https: bool,
    path: &str,
    cookies: &[String],
    operations: Option<&[Value]>,
) -> (u16, Vec<String>, Value) {
    let peer = ([192, 0, 2, 1], 4000).into();
    let mut request = Request::post(path)
        .extension(if https { Connection::tls(peer) } else { Connection::plain(peer) })
        .header("host", "us.example")
        .header(CONTENT_TYPE, "application/json");
    for field in cookies.iter().filter(|field| !field.is_empty()) {
        let bytes: Vec<u8> = field.chars().map(|byte| u8::try_from(byte).unwrap()).collect();
        request = request.header(COOKIE, HeaderValue::from_bytes(&bytes).unwrap());
    }
    let request = request.body(Body::from(json!(operations).to_string())).unwrap();
    let (head, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let lines = head.headers.get_all(SET_COOKIE).iter();
    let lines = lines.map(|line| line.to_str().unwrap().to_owned()).collect();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), lines, serde_json::from_slice(&body).unwrap_or(json!("")))
}

/// What came of each row's visits, here and at the real package, with the ids that each side drew made alike.
pub(super) async fn both(rows: &[Row]) -> Vec<(Vec<Value>, Vec<Value>)> {
    let theirs = node::told("visits.js", rows.iter().map(Row::told));
    let keys = keys();
    let mut outcomes = Vec::new();
    for (row, theirs) in rows.iter().zip(theirs) {
        let mut ours = row.ours().await;
        let mut theirs = theirs.as_array().unwrap().clone();
        theirs.iter_mut().for_each(without_needless_gets);
        if row.is_told_by_cookies {
            ours.iter_mut().chain(&mut theirs).for_each(|outcome| {
                outcome["calls"] = json!([]);
                outcome["texts"] = json!([]);
            });
        }
        outcomes.push((masked(ours, &keys), masked(theirs, &keys)));
    }
    outcomes
}

/// A new session is looked for in the store there when it is reloaded. It cannot be there.
fn without_needless_gets(outcome: &mut Value) {
    let failed = outcome["saw"]["failed"].as_array();
    let needless =
        failed.map_or(0, |failed| failed.iter().filter(|operation| *operation == "reload").count());
    let calls = outcome["calls"].as_array_mut().unwrap();
    for _ in 0..needless {
        let get = calls.iter().rposition(|call| call[0] == "get").expect("a reload asks the store");
        calls.remove(get);
    }
}

/// Each id by its number, in the order in which they turn up: that they are others is all that differs.
fn masked(mut outcomes: Vec<Value>, keys: &Keys) -> Vec<Value> {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut number = |id: &str| {
        let next = numbers.len();
        format!("id {}", numbers.entry(id.to_owned()).or_insert(next))
    };
    for outcome in &mut outcomes {
        for call in outcome["calls"].as_array_mut().unwrap() {
            call[1] = number(call[1].as_str().unwrap()).into();
        }
        for line in outcome["lines"].as_array_mut().unwrap() {
            if let Some((id, attributes)) = signed_id(line.as_str().unwrap(), keys) {
                *line = format!("{} signed{attributes}", number(&id)).into();
            }
        }
        for text in outcome["texts"].as_array_mut().unwrap() {
            text[0] = number(text[0].as_str().unwrap()).into();
        }
    }
    outcomes
}

/// The id in a line of express-session's, which the first key must have signed, and what stands behind it.
fn signed_id<'l>(line: &'l str, keys: &Keys) -> Option<(String, &'l str)> {
    let value = line.strip_prefix("connect.sid=s%3A")?;
    let end = value.find(';').unwrap_or(value.len());
    let (value, attributes) = value.split_at(end);
    let value = value.replace("%2B", "+").replace("%2F", "/");
    let (id, key) = keys.unsign_cookie(&value).unwrap_or_else(|| panic!("{line} is signed"));
    assert!(key.is_first(), "{line} is signed by the first key");
    Some((id.to_owned(), attributes))
}

/// The values that a visit reports, unless there may be some in it that are no text in Rust.
pub(super) const LOOKS_AT: &[&str] = &["a", "b", "10", "9", "cart", "user"];
