//! What strangers send and other programs store: no session at worst, and never an error.

use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use panoply::practices::sessions::Kept;
use panoply::store::Store;
use panoply::{Clock, CookieSession, Keys, Sessions, Shield, World};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::table;
use super::in_store::{Options, known};
use super::keys;
use super::recorder::Recorder;
use super::shop::Shop;
use super::visits::{LOOKS_AT, Row, Shared, Visit, ask, both};

#[tokio::test]
async fn express_believes_the_same_cookies() {
    let plain = Options::default();
    let stored =
        r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"a":"found"}"#;
    let rows: Vec<Row> = table(ROWS, fields())
        .into_iter()
        .map(|fields| Row {
            shared: Shared::InStore { ours: plain.ours(), theirs: plain.theirs() },
            stored: vec![("known".to_owned(), stored.to_owned())],
            visits: vec![Visit::with_cookies(fields), Visit::of([json!(["set", "b", 1])]), Visit::of([])],
            is_told_by_cookies: false,
            looks_at: LOOKS_AT,
        })
        .collect();
    let mut believed = 0;
    for ((ours, theirs), row) in both(&rows).await.into_iter().zip(&rows) {
        assert_eq!(ours, theirs, "{}", row.told());
        assert!(ours.iter().all(|visit| visit["status"] == 200), "{}", row.told());
        believed += usize::from(ours[0]["saw"]["before"][0] == "found");
    }
    assert!((rows.len() / 5..rows.len() * 4 / 5).contains(&believed), "{believed} of {}", rows.len());
}

#[tokio::test]
async fn what_was_cut_or_altered_on_its_way_is_no_session_and_its_visitor_goes_on() {
    let rows = table(ALTERED, (any::<prop::sample::Index>(), 0..40usize, "[ -:<-~\u{a0}-\u{ff}]{0,6}"));
    for kept in every_kind() {
        let (app, _) = app(kept.clone());
        let (_, lines, _) = ask(&app, true, "/", &[], Some(&[json!(["set", "a", "found"])])).await;
        let good = jar(&lines);
        let (_, _, saw) = ask(&app, true, "/", from_ref(&good), Some(&[])).await;
        assert_eq!(saw["before"][0], "found", "{kept:?}");
        let value = good.find('=').unwrap() + 1;
        for (at, gone, new) in &rows {
            let mut bad: Vec<char> = good.chars().collect();
            let at = value + at.index(bad.len() - value);
            bad.splice(at..(at + gone).min(bad.len()), new.chars());
            let bad: String = bad.into_iter().collect::<String>().trim().to_owned();
            let (status, lines, saw) = ask(&app, true, "/", from_ref(&bad), Some(&[])).await;
            assert_eq!(status, 200, "{bad}");
            // A character that was exchanged for itself, or stands behind the cookie.
            let is_whole = saw["before"][0] == "found";
            assert!(
                is_whole || lines.iter().all(|line| line.contains("=; ") && line.contains("1970")),
                "{lines:?}"
            );
            goes_on(&app, bad, is_whole).await;
        }
    }
}

#[tokio::test]
async fn a_cookie_of_any_size_and_kind_is_no_error() {
    let huge = "A".repeat(60_000);
    for kept in every_kind() {
        let (app, _) = app(kept);
        for name in ["connect.sid", "session", "__Host-id", "__Host-session"] {
            for value in [
                "",
                "=",
                "\"",
                "\"\"",
                "%",
                "%00",
                "s%3A",
                "s:",
                "s:.",
                "s:..",
                ".",
                "..",
                "v1.",
                "\u{ff}\u{fe}",
                "{}",
                "e30=",
                "e30",
                &huge,
                &format!("s:{huge}.{huge}"),
                &format!("s%3A{}", "%C3".repeat(9_000)),
                &".".repeat(60_000),
                &"[".repeat(60_000),
                &format!("{huge}.{huge}.{huge}"),
                &"\"".repeat(60_000),
            ] {
                let fields = [format!("{name}={value}; {name}.sig={value}"), format!("{name}={value}")];
                let (status, _, saw) = ask(&app, true, "/", &fields, Some(&[])).await;
                assert_eq!(
                    (status, &saw["before"][0]),
                    (200, &Value::Null),
                    "{name} {}",
                    &value[..value.len().min(20)]
                );
            }
        }
    }
}

#[tokio::test]
async fn what_was_altered_in_the_store_is_read_or_is_no_session_and_never_an_error() {
    let alien = prop_oneof![
        "[\\[\\]{}\":,0-9a-z\\\\ ]{0,8}",
        "\\PC{0,3}",
        Just("null".to_owned()),
        Just("\u{0}".to_owned())
    ];
    let rows = table(ALTERED, (any::<prop::sample::Index>(), 0..60usize, alien));
    let express = Sessions::express("connect.sid", &keys()).unwrap();
    for sessions in [Sessions::new(&keys()), express.clone(), express.rolling().resave()] {
        let (app, recorder) = app(Kind::InStore(sessions));
        for (at, gone, new) in &rows {
            let (_, lines, _) = ask(&app, true, "/", &[], Some(&[json!(["set", "a", "found"])])).await;
            let (id, text) = recorder.list().await.pop().unwrap();
            let mut bad: Vec<char> = text.chars().collect();
            let at = at.index(bad.len());
            bad.splice(at..(at + gone).min(bad.len()), new.chars());
            let bad: String = bad.into_iter().collect();
            recorder.create(&id, &bad, Duration::from_secs(600)).await.unwrap();
            let cookie = jar(&lines);
            let (status, ..) = ask(&app, true, "/", from_ref(&cookie), Some(&[])).await;
            assert_eq!(status, 200, "{bad}");
            goes_on(&app, cookie, true).await;
        }
    }
}

/// Who changes something has a session from then on, this one or another.
async fn goes_on(app: &Router, cookie: String, may_be_kept: bool) {
    let (status, lines, _) = ask(app, true, "/", from_ref(&cookie), Some(&[json!(["set", "b", "on"])])).await;
    assert_eq!(status, 200, "{cookie}");
    assert!(may_be_kept || !lines.is_empty(), "{cookie}");
    let cookie = if lines.is_empty() { cookie } else { jar(&lines) };
    let (status, _, saw) = ask(app, true, "/", &[cookie], Some(&[])).await;
    assert_eq!((status, &saw["before"][1]), (200, &json!("on")));
}

#[derive(Clone, Debug)]
enum Kind {
    InStore(Sessions),
    InCookie(CookieSession),
}

fn every_kind() -> [Kind; 5] {
    let keys = Keys::new(["a ring for tests: 7Jq2xYw9LrT4vKs8"]).unwrap();
    [
        Kind::InStore(Sessions::express("connect.sid", &keys).unwrap()),
        Kind::InStore(Sessions::new(&keys)),
        Kind::InCookie(CookieSession::express("session", &keys).unwrap()),
        Kind::InCookie(CookieSession::new(&keys)),
        Kind::InCookie(CookieSession::new(&keys).readable(&keys)),
    ]
}

fn app(kind: Kind) -> (Router, Arc<Recorder>) {
    let clock = Clock::manual();
    let recorder = Arc::new(Recorder::new(clock.clone()));
    let kept: Kept = match kind {
        Kind::InStore(sessions) => sessions.store(recorder.clone()).into(),
        Kind::InCookie(session) => session.into(),
    };
    let shield = Shield::bare().sessions(kept).world(Arc::new(World::new(clock)));
    (Shop::new(LOOKS_AT).behind(&shield), recorder)
}

fn jar(lines: &[String]) -> String {
    let pairs: Vec<&str> = lines.iter().map(|line| line.split(';').next().unwrap()).collect();
    pairs.join("; ")
}

/// The fields of `Cookie`, with the one that is good among others and not always whole.
fn fields() -> impl Strategy<Value = Vec<String>> {
    let (name, value) =
        known(0).split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
    let plain = value.replace("%3A", ":").replace("%2B", "+").replace("%2F", "/");
    let (id, mac) = plain.rsplit_once('.').unwrap();
    let value = prop::sample::select(vec![
        value.clone(),
        value.clone(),
        plain.clone(),
        format!("\"{plain}\""),
        format!("\"{value}\""),
        format!(" {value}\t"),
        format!("%73%3a{}", value.trim_start_matches("s%3A")),
        value.replace("known", "%6bnown"),
        plain.to_lowercase(),
        plain[2..].to_owned(),
        format!("{id}.{}", &mac[..mac.len() - 1]),
        format!("{id}.{mac}="),
        format!("{id}.{mac}%"),
        format!("{id}.{mac}%00"),
        format!("{id}..{mac}"),
        format!("{id}x.{mac}"),
        format!("{id} .{mac}"),
        format!("{id}\u{e9}.{mac}"),
        format!("s%253A{}", &plain[2..]),
        format!("s:{}", plain.repeat(200)),
        String::new(),
        "s:.".to_owned(),
        "s:known.".to_owned(),
        "\u{ff}\u{fe}%ff".to_owned(),
    ]);
    let other = prop::sample::select(vec![
        "",
        "a=1",
        "connect.sid",
        "connect.sid=",
        "=",
        ";",
        "connect.sid=x",
        "Connect.sid=s:x",
        "connect.sid2=x",
        "a=\"connect.sid=x\"",
        "connect.sid=s:known.AAAA",
        "\u{e9}=1",
        "\"",
    ]);
    let separator = prop::sample::select(vec!["; ", ";", " ;\t", "\n"]);
    let equals = prop::sample::select(vec!["=", "=", "=", " = "]);
    (other.clone(), separator.clone(), equals, value, separator, other).prop_map(
        move |(before, one, equals, value, two, behind)| {
            let said = format!("{before}{one}{name}{equals}{value}{two}{behind}");
            said.split('\n').map(|field| field.trim_matches([' ', '\t']).to_owned()).collect()
        },
    )
}

const ROWS: u32 = 400;
const ALTERED: u32 = 150;
