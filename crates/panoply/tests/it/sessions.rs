//! `sessions` through the layer: what visitors get, what stores hold.

mod at_once;
mod endings;
mod faults;
mod visitor;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use http::header::{COOKIE, SET_COOKIE};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use panoply::practices::sessions::{Attributes, Conflict, NotSaved, Outage, Ticket};
use panoply::store::{Memory, Store};
use panoply::{
    Clock, Connection, CookieSession, Keys, Practice, Session, SessionError, Sessions, Shield, Size, World,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use self::visitor::{Visitor, app, keys, lines, stored};

#[tokio::test]
async fn what_is_kept_is_there_again_and_who_keeps_nothing_leaves_no_trace() {
    for shield in [
        stored(Sessions::new(&keys())).0,
        stored(Sessions::express("sid", &keys()).unwrap()).0,
        Shield::bare().sessions(CookieSession::new(&keys())),
        Shield::bare().sessions(CookieSession::new(&keys()).readable(&keys())),
        Shield::bare().sessions(CookieSession::express("session", &keys()).unwrap()),
    ] {
        let mut visitor = Visitor::of(&shield);
        assert_eq!(visitor.get("/").await, "hello");
        assert_eq!(visitor.get("/cart").await, "null");
        assert!(visitor.cookies.is_empty(), "{shield:?}");

        assert_eq!(visitor.post("/cart/teapot").await, 200);
        assert_eq!(visitor.get("/cart").await, "\"teapot\"");
        assert_eq!(visitor.post("/colour/red").await, 200);
        assert_eq!(
            (visitor.get("/cart").await, visitor.get("/colour").await),
            ("\"teapot\"".into(), "\"red\"".into())
        );
        assert_eq!(Visitor::of(&shield).get("/cart").await, "null", "another visitor");

        assert_eq!(visitor.post("/sign_out").await, 200);
        assert!(visitor.cookies.is_empty(), "the browser was told to forget it: {:?}", visitor.cookies);
        assert_eq!(visitor.get("/cart").await, "null");
    }
}

#[tokio::test]
async fn the_cookie_names_no_software_and_is_bound_to_https() {
    let (shield, ..) = stored(Sessions::new(&keys()));
    let narrow = Attributes::default().path("/cart").unwrap();
    let shared = Attributes::default().domain("us.example").unwrap().max_age(Duration::from_secs(60));
    for (shield, over_https, in_the_clear) in [
        (
            shield,
            "__Host-id=…; Path=/; HttpOnly; Secure; SameSite=Lax",
            "id=…; Path=/; HttpOnly; SameSite=Lax",
        ),
        (
            stored(Sessions::new(&keys()).name("s").unwrap().attributes(narrow)).0,
            "__Secure-s=…; Path=/cart; HttpOnly; Secure; SameSite=Lax",
            "s=…; Path=/cart; HttpOnly; SameSite=Lax",
        ),
        (
            stored(Sessions::new(&keys()).attributes(shared)).0,
            "__Secure-id=…; Domain=us.example; Path=/; Expires=Thu, 31 Dec 2026 00:01:00 GMT; HttpOnly; Secure; SameSite=Lax",
            "id=…; Domain=us.example; Path=/; Expires=Thu, 31 Dec 2026 00:01:00 GMT; HttpOnly; SameSite=Lax",
        ),
        (
            Shield::bare().sessions(CookieSession::new(&keys())),
            "__Host-session=…; Path=/; HttpOnly; Secure; SameSite=Lax",
            "session=…; Path=/; HttpOnly; SameSite=Lax",
        ),
    ] {
        for (mut visitor, expected) in
            [(Visitor::of(&shield), over_https), (Visitor::in_the_clear(&shield), in_the_clear)]
        {
            let response = visitor.ask("POST", "/cart/teapot").await;
            let [line] = lines(&response).try_into().unwrap();
            let (name, rest) = line.split_once('=').unwrap();
            let (_, attributes) = rest.split_once(';').unwrap();
            assert_eq!(format!("{name}=…;{attributes}"), expected);
        }
    }
}

#[tokio::test]
async fn who_signs_in_gets_a_new_id_and_the_old_one_is_worth_nothing() {
    let (shield, store, _) = stored(Sessions::new(&keys()));
    let mut visitor = Visitor::of(&shield);
    visitor.post("/cart/teapot").await;
    let mut thief = visitor.clone();
    assert_eq!(visitor.post("/sign_in").await, 200);
    assert_ne!(thief.cookies, visitor.cookies);
    assert_eq!(
        (visitor.get("/user").await, visitor.get("/cart").await),
        ("\"tim\"".into(), "\"teapot\"".into())
    );
    assert_eq!((thief.get("/user").await, thief.get("/cart").await), ("null".into(), "null".into()));
    assert_eq!(store.len(), 1, "the old one is gone from the store");
}

#[tokio::test]
async fn a_made_up_altered_or_foreign_id_is_nobodys() {
    let (shield, store, _) = stored(Sessions::new(&keys()));
    let mut visitor = Visitor::of(&shield);
    visitor.post("/cart/teapot").await;
    let value = visitor.cookies[0].1.clone();
    let (other, ..) = stored(Sessions::new(&Keys::new([Keys::generate()]).unwrap()));
    let mut stranger = Visitor::of(&other);
    stranger.post("/cart/teapot").await;
    for forged in [
        String::new(),
        "x".repeat(4000),
        format!("{value}x"),
        value[1..].to_owned(),
        value.replace('.', ""),
        value.split('.').next().unwrap().to_owned(),
        stranger.cookies[0].1.clone(),
        format!("{}.{}", "A".repeat(32), value.split('.').nth(1).unwrap()),
        "%00%ff%".to_owned(),
    ] {
        let mut thief = Visitor::of(&shield);
        thief.cookies = vec![("__Host-id".to_owned(), forged.clone())];
        assert_eq!(thief.get("/cart").await, "null", "{forged}");
        assert_eq!(thief.post("/cart/anvil").await, 200);
        assert_ne!(thief.cookies[0].1, forged, "never adopted");
    }
    assert_eq!(visitor.get("/cart").await, "\"teapot\"");
    assert!(store.len() > 1);
}

#[tokio::test]
async fn a_session_is_over_when_it_is_idle_or_old() {
    let day = Duration::from_secs(86_400);
    let (shield, _, clock) = stored(Sessions::new(&keys()).longest(3 * day));
    let mut visitor = Visitor::of(&shield);
    visitor.post("/cart/teapot").await;
    for hours in [23, 23, 23] {
        clock.advance(Duration::from_secs(hours * 3600));
        assert_eq!(visitor.get("/cart").await, "\"teapot\"", "who uses it keeps it");
    }
    clock.advance(Duration::from_secs(3 * 3600));
    assert_eq!(visitor.get("/cart").await, "null", "but not for ever");

    let mut visitor = Visitor::of(&shield);
    visitor.post("/cart/teapot").await;
    clock.advance(day + Duration::from_secs(1));
    assert_eq!(visitor.get("/cart").await, "null", "idle");

    let sealed = Shield::bare()
        .sessions(CookieSession::new(&keys()).longest(3 * day))
        .world(Arc::new(World::new(clock.clone())));
    let mut visitor = Visitor::of(&sealed);
    visitor.post("/cart/teapot").await;
    for hours in [23, 23, 23] {
        clock.advance(Duration::from_secs(hours * 3600));
        assert_eq!(visitor.get("/cart").await, "\"teapot\"", "who uses it keeps it");
    }
    let mut copy = visitor.clone();
    clock.advance(Duration::from_secs(3 * 3600));
    assert_eq!(visitor.get("/cart").await, "null", "but not for ever");
    clock.advance(day);
    assert_eq!(copy.get("/cart").await, "null", "an old copy is worth nothing");
}

#[tokio::test]
async fn a_user_signs_out_everywhere() {
    for sessions in [Sessions::new(&keys()), Sessions::express("sid", &keys()).unwrap()] {
        let (shield, store, _) = stored(sessions.clone());
        let mut browsers = [Visitor::of(&shield), Visitor::of(&shield), Visitor::of(&shield)];
        for browser in &mut browsers {
            browser.post("/sign_in").await;
        }
        let [one, two, three] = &mut browsers;
        assert_eq!(one.ask("POST", "/elsewhere").await.into_body().collect().await.unwrap().to_bytes(), "2");
        assert_eq!((one.get("/user").await, two.get("/user").await), ("\"tim\"".into(), "null".into()));
        three.post("/sign_in").await;
        assert_eq!(one.ask("POST", "/everywhere").await.into_body().collect().await.unwrap().to_bytes(), "2");
        assert_eq!((one.get("/user").await, three.get("/user").await), ("null".into(), "null".into()));
        assert!(one.cookies.is_empty());

        two.post("/sign_in").await;
        assert_eq!(sessions.store(store).sign_out("tim").await.unwrap(), 1, "by an administrator");
        assert_eq!(two.get("/user").await, "null");
    }
}

/// An app whose handlers wait for one another, as slow requests do.

#[tokio::test]
async fn a_session_has_an_end_to_its_size() {
    let (shield, ..) = stored(Sessions::new(&keys()).size(Size::bytes(100)));
    for (shield, fits, is_too_much) in
        [(shield, 80, 100), (Shield::bare().sessions(CookieSession::new(&keys())), 2900, 3100)]
    {
        let mut visitor = Visitor::of(&shield);
        assert_eq!(visitor.post(&format!("/a/{}", "x".repeat(fits))).await, 200);
        let before = visitor.cookies.clone();
        assert_eq!(visitor.post(&format!("/a/{}", "x".repeat(is_too_much))).await, 500);
        assert_eq!(visitor.cookies, before);
        assert_eq!(visitor.get("/a").await.len(), fits + 2, "what was there stays");
    }
}

#[tokio::test]
async fn what_is_changed_after_the_head_has_left_is_an_error() {
    let (shield, ..) = stored(Sessions::new(&keys()));
    let kept = Arc::new(std::sync::Mutex::new(None));
    let keep = kept.clone();
    let app = Router::new()
        .route(
            "/",
            get(async move |session: Session| {
                session.insert("a", &1)?;
                *keep.lock().unwrap() = Some(session);
                Ok::<_, SessionError>(())
            }),
        )
        .layer(shield);
    app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    let session = kept.lock().unwrap().take().unwrap();
    assert!(matches!(session.insert("a", &2), Err(SessionError::TooLate)));
    assert!(matches!(session.save().await, Err(SessionError::TooLate)));
    assert_eq!(session.get::<u8>("a").unwrap(), Some(1));
}

#[tokio::test]
async fn a_key_can_be_replaced_and_nobody_is_logged_out() {
    let [old, new] = ["the old one: 7Jq2xYw9LrT4vKs8bN6m", "the new one: pZ3hG8dF5sA1qW7eR2tY"];
    let [first, both, last] = [vec![old], vec![new, old], vec![new]].map(|ring| Keys::new(ring).unwrap());
    let store = Arc::new(Memory::new());
    let in_store = |keys: &Keys| Shield::bare().sessions(Sessions::new(keys).store(store.clone()));
    let sealed = |keys: &Keys| Shield::bare().sessions(CookieSession::new(keys));
    let signed = |keys: &Keys| Shield::bare().sessions(CookieSession::express("session", keys).unwrap());
    let forms: [&dyn Fn(&Keys) -> Shield; 3] = [&in_store, &sealed, &signed];
    for shield in forms {
        let mut visitor = Visitor::of(&shield(&first));
        visitor.post("/cart/teapot").await;
        for keys in [&both, &last] {
            visitor = Visitor { cookies: visitor.cookies, ..Visitor::of(&shield(keys)) };
            assert_eq!(visitor.get("/cart").await, "\"teapot\"");
        }
    }
}

#[tokio::test]
async fn a_user_may_stand_within_an_object() {
    let sessions = Sessions::express("sid", &keys()).unwrap().user_key("passport.user");
    let (shield, store, _) = stored(sessions.clone());
    let mut visitor = Visitor::of(&shield);
    visitor.post("/sign_in").await;
    assert_eq!(visitor.get("/passport").await, r#"{"user":"tim"}"#, "as Passport has it");
    assert_eq!(sessions.store(store).sign_out("tim").await.unwrap(), 1);
    assert_eq!(visitor.get("/passport").await, "null");
}

#[tokio::test]
async fn without_sessions_a_handler_that_wants_one_is_told_in_the_log() {
    let mut visitor = Visitor::of(&Shield::bare());
    assert_eq!(visitor.get("/").await, "hello");
    assert_eq!(visitor.ask("GET", "/cart").await.status(), 500);
    assert!(!Shield::default().has(Practice::Sessions), "there is none without keys");
    let admin = Attributes::default().path("/admin").unwrap();
    let (shield, ..) = stored(Sessions::new(&keys()).attributes(admin));
    let mut visitor = Visitor::of(&shield);
    assert_eq!(visitor.ask("GET", "/cart").await.status(), 500, "not on this path");
    visitor.app = Router::new().nest("/admin", app(&shield));
    assert_eq!(visitor.post("/admin/cart/teapot").await, 200);
    assert_eq!(visitor.get("/admin/cart").await, "\"teapot\"", "a nested app is where the browser finds it");
}

#[tokio::test]
async fn an_app_that_is_not_axums_takes_its_ticket() {
    let (shield, ..) = stored(Sessions::new(&keys()));
    let app = Router::new()
        .route(
            "/",
            get(async |Extension(ticket): Extension<Ticket>| {
                let (one, two) = (ticket.load().await?, ticket.load().await?);
                one.insert("n", &json!({"a": 1.0}))?;
                Ok::<_, SessionError>(two.get::<Value>("n")?.unwrap().to_string())
            }),
        )
        .layer(shield);
    let response = app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"a":1}"#, "one session, however often it is loaded");
}
