//! `sessions` through the layer: what visitors get, what stores hold.

mod endings;

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
use panoply::store::{Answer, Memory, Replaced, Store, StoreError};
use panoply::{
    Clock, Connection, CookieSession, Keys, Practice, Session, SessionError, Sessions, Shield, Size, World,
};
use serde_json::{Value, json};
use tower::ServiceExt;

fn keys() -> Keys {
    Keys::new(["a ring for tests: 7Jq2xYw9LrT4vKs8"]).unwrap()
}

/// An app that keeps what it is told.
fn app(shield: &Shield) -> Router {
    async fn read(session: Session, Path(key): Path<String>) -> Result<Json<Value>, SessionError> {
        Ok(Json(session.get(&key)?.unwrap_or_default()))
    }
    async fn write(session: Session, Path((key, value)): Path<(String, String)>) -> Result<(), SessionError> {
        session.insert(&key, &value)
    }
    Router::new()
        .route("/", get(async || "hello"))
        .route("/{key}", get(read))
        .route("/{key}/{value}", post(write))
        .route("/sign_in", post(async |session: Session| session.sign_in("tim")))
        .route("/sign_out", post(async |session: Session| session.destroy()))
        .route(
            "/everywhere",
            post(async |session: Session| {
                Ok::<_, SessionError>(session.sign_out_everywhere().await?.to_string())
            }),
        )
        .route(
            "/elsewhere",
            post(async |session: Session| {
                Ok::<_, SessionError>(session.sign_out_elsewhere().await?.to_string())
            }),
        )
        .layer(shield.clone())
}

/// A browser at one host.
#[derive(Clone)]
struct Visitor {
    app: Router,
    connection: Connection,
    cookies: Vec<(String, String)>,
}

impl Visitor {
    fn of(shield: &Shield) -> Self {
        Self {
            app: app(shield),
            connection: Connection::tls(([192, 0, 2, 1], 4000).into()),
            cookies: Vec::new(),
        }
    }

    fn in_the_clear(shield: &Shield) -> Self {
        Self { connection: Connection::plain(([192, 0, 2, 1], 4000).into()), ..Self::of(shield) }
    }

    async fn ask(&mut self, method: &str, path: &str) -> Response<Body> {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "us.example")
            .header(COOKIE, cookies.join("; "))
            .extension(self.connection)
            .body(Body::empty())
            .unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        for line in lines(&response) {
            let (name, rest) = line.split_once('=').unwrap();
            self.cookies.retain(|(kept, _)| kept != name);
            if !line.contains("1970") {
                self.cookies.push((name.to_owned(), rest.split(';').next().unwrap().to_owned()));
            }
        }
        response.map(Body::new)
    }

    async fn post(&mut self, path: &str) -> StatusCode {
        self.ask("POST", path).await.status()
    }

    async fn get(&mut self, path: &str) -> String {
        let response = self.ask("GET", path).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }
}

fn lines<B>(response: &Response<B>) -> Vec<String> {
    response.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
}

fn stored(sessions: Sessions) -> (Shield, Arc<Memory>, Clock) {
    let clock = Clock::manual();
    let store = Arc::new(Memory::with_clock(clock.clone()));
    let shield =
        Shield::bare().sessions(sessions.store(store.clone())).world(Arc::new(World::new(clock.clone())));
    (shield, store, clock)
}

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
fn slow_app(shield: &Shield, gate: &Arc<tokio::sync::Barrier>) -> Router {
    async fn write(
        session: Session,
        gate: Extension<Arc<tokio::sync::Barrier>>,
        Path((key, value)): Path<(String, String)>,
    ) -> Result<(), SessionError> {
        gate.wait().await;
        session.insert(&key, &value)
    }
    app(shield).merge(
        Router::new()
            .route("/slow/{key}/{value}", post(write))
            .layer(shield.clone())
            .layer(Extension(gate.clone())),
    )
}

#[tokio::test]
async fn requests_at_once_lose_no_value_of_each_other() {
    const MANY: usize = 8;
    let (shield, ..) = stored(Sessions::new(&keys()));
    let gate = Arc::new(tokio::sync::Barrier::new(MANY));
    let mut visitor = Visitor { app: slow_app(&shield, &gate), ..Visitor::of(&shield) };
    visitor.post("/cart/teapot").await;
    let requests = (0..MANY).map(|n| {
        let mut visitor = visitor.clone();
        tokio::spawn(async move { visitor.post(&format!("/slow/key{n}/{n}")).await })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap(), 200);
    }
    for n in 0..MANY {
        assert_eq!(visitor.get(&format!("/key{n}")).await, format!("\"{n}\""));
    }
    assert_eq!(visitor.get("/cart").await, "\"teapot\"");
}

#[tokio::test]
async fn of_two_that_change_the_same_value_the_later_counts_or_is_refused() {
    for (conflict, statuses) in [(Conflict::LastWins, [200, 200]), (Conflict::Refuse, [200, 409])] {
        let (shield, ..) = stored(Sessions::new(&keys()).conflict(conflict));
        let gate = Arc::new(tokio::sync::Barrier::new(2));
        let mut visitor = Visitor { app: slow_app(&shield, &gate), ..Visitor::of(&shield) };
        visitor.post("/cart/teapot").await;
        let (mut one, mut two) = (visitor.clone(), visitor.clone());
        let (one, two) = tokio::join!(one.post("/slow/cart/one"), two.post("/slow/cart/two"));
        let mut found = [one.as_u16(), two.as_u16()];
        found.sort_unstable();
        assert_eq!(found, statuses);
        let left = visitor.get("/cart").await;
        match conflict {
            Conflict::LastWins => assert!(["\"one\"", "\"two\""].contains(&left.as_str())),
            Conflict::Refuse => assert_eq!(left, if one == 200 { "\"one\"" } else { "\"two\"" }),
        }
    }
}

#[tokio::test]
async fn a_slow_request_does_not_bring_a_session_back() {
    let (shield, store, _) = stored(Sessions::new(&keys()));
    let gate = Arc::new(tokio::sync::Barrier::new(2));
    let mut visitor = Visitor { app: slow_app(&shield, &gate), ..Visitor::of(&shield) };
    visitor.post("/sign_in").await;
    let mut slow = visitor.clone();
    let slow = tokio::spawn(async move {
        let status = slow.post("/slow/cart/anvil").await;
        (status, slow)
    });
    let mut other = visitor.clone();
    tokio::task::yield_now().await;
    other.post("/sign_out").await;
    gate.wait().await;
    let (status, mut slow) = slow.await.unwrap();
    assert_eq!((status, store.len()), (StatusCode::OK, 0));
    assert!(slow.cookies.is_empty(), "the browser forgets the id");
    assert_eq!((slow.get("/user").await, visitor.get("/user").await), ("null".into(), "null".into()));
}

/// A store that fails as it is told.
#[derive(Debug)]
struct Failing {
    inner: Memory,
    load: bool,
    save: bool,
}

impl Failing {
    fn fail<'a, T: Send + 'a>(&self, fails: bool, answer: Answer<'a, T>) -> Answer<'a, T> {
        match fails {
            true => Box::pin(async { Err(StoreError::Slow(Duration::from_millis(500))) }),
            false => answer,
        }
    }
}

impl Store for Failing {
    fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>> {
        self.fail(self.load, self.inner.load(id))
    }
    fn create<'a>(&'a self, id: &'a str, text: &'a str, time: Duration) -> Answer<'a, ()> {
        self.fail(self.save, self.inner.create(id, text, time))
    }
    fn replace<'a>(
        &'a self,
        id: &'a str,
        was: &'a str,
        text: &'a str,
        time: Duration,
    ) -> Answer<'a, Replaced> {
        self.fail(self.save, self.inner.replace(id, was, text, time))
    }
    fn touch<'a>(&'a self, id: &'a str, time: Duration) -> Answer<'a, bool> {
        self.fail(self.save, self.inner.touch(id, time))
    }
    fn destroy<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        self.fail(self.save, self.inner.destroy(id))
    }
    fn bind<'a>(&'a self, user: &'a str, id: &'a str, time: Duration) -> Answer<'a, ()> {
        self.fail(self.save, self.inner.bind(user, id, time))
    }
    fn destroy_all<'a>(&'a self, user: &'a str, except: Option<&'a str>) -> Answer<'a, usize> {
        self.fail(self.save, self.inner.destroy_all(user, except))
    }
}

#[tokio::test]
async fn where_the_store_fails_a_page_does_too_but_only_one_that_needs_it() {
    let (healthy, ..) = stored(Sessions::new(&keys()));
    let mut visitor = Visitor::of(&healthy);
    visitor.post("/cart/teapot").await;
    for (load, save, sessions, page, read, write) in [
        (true, true, Sessions::new(&keys()), 200, 503, 503),
        (true, true, Sessions::new(&keys()).when_store_is_down(Outage::Anonymous), 200, 200, 503),
        (false, true, Sessions::new(&keys()), 200, 200, 500),
        (false, true, Sessions::new(&keys()).when_not_saved(NotSaved::Log), 200, 200, 200),
    ] {
        let store = Arc::new(Failing { inner: Memory::new(), load, save });
        let shield = Shield::for_hosts(["us.example"]).unwrap().sessions(sessions.store(store));
        for (method, path, status) in
            [("GET", "/", page), ("GET", "/cart", read), ("POST", "/cart/teapot", write)]
        {
            let mut visitor = Visitor { cookies: visitor.cookies.clone(), ..Visitor::of(&shield) };
            let response = visitor.ask(method, path).await;
            assert_eq!(response.status(), status, "{load} {save} {method} {path}");
            assert!(
                response.headers().contains_key("content-security-policy"),
                "every answer leaves through finish"
            );
            assert!(status == 200 || lines(&response).is_empty(), "no cookie for what was not saved");
            assert_eq!(response.headers().contains_key("retry-after"), status == 503, "{path}");
        }
    }
}

#[tokio::test]
async fn a_stored_session_that_is_none_is_no_error() {
    let (shield, store, _) = stored(Sessions::express("sid", &keys()).unwrap());
    let mut visitor = Visitor::of(&shield);
    visitor.post("/cart/teapot").await;
    let id = urlencoded_id(&visitor.cookies[0].1);
    for text in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"cookie":null}"#,
        r#"{"cookie":7,"a":1}"#,
        "\u{0}",
        &"[".repeat(5000),
    ] {
        store.create(&id, text, Duration::from_secs(60)).await.unwrap();
        let mut victim = visitor.clone();
        assert_eq!(victim.get("/cart").await, "null", "{text:?}");
        assert_eq!(victim.post("/cart/anvil").await, 200);
        assert_eq!(victim.get("/cart").await, "\"anvil\"", "and it goes on with a new one");
    }
    store.create(&id, r#"{"cookie":{},"cart":"x"}"#, Duration::from_secs(60)).await.unwrap();
    assert_eq!(visitor.get("/cart").await, "\"x\"");
}

fn urlencoded_id(value: &str) -> String {
    value.strip_prefix("s%3A").unwrap().split('.').next().unwrap().to_owned()
}

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
async fn a_request_that_is_given_up_still_logs_out() {
    /// Answers only the second time that it is asked.
    #[derive(Debug)]
    struct Slow(Memory, tokio::sync::Semaphore);
    impl Store for Slow {
        fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>> {
            self.0.load(id)
        }
        fn create<'a>(&'a self, id: &'a str, text: &'a str, time: Duration) -> Answer<'a, ()> {
            self.0.create(id, text, time)
        }
        fn replace<'a>(
            &'a self,
            id: &'a str,
            was: &'a str,
            text: &'a str,
            time: Duration,
        ) -> Answer<'a, Replaced> {
            self.0.replace(id, was, text, time)
        }
        fn touch<'a>(&'a self, id: &'a str, time: Duration) -> Answer<'a, bool> {
            self.0.touch(id, time)
        }
        fn destroy<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
            Box::pin(async move {
                let _permit = self.1.acquire().await.unwrap();
                self.0.destroy(id).await
            })
        }
        fn bind<'a>(&'a self, user: &'a str, id: &'a str, time: Duration) -> Answer<'a, ()> {
            self.0.bind(user, id, time)
        }
        fn destroy_all<'a>(&'a self, user: &'a str, except: Option<&'a str>) -> Answer<'a, usize> {
            self.0.destroy_all(user, except)
        }
    }
    let store = Arc::new(Slow(Memory::new(), tokio::sync::Semaphore::new(0)));
    let shield = Shield::bare().sessions(Sessions::new(&keys()).store(store.clone()));
    let mut visitor = Visitor::of(&shield);
    visitor.post("/cart/teapot").await;
    let mut leaving = visitor.clone();
    let given_up = tokio::time::timeout(Duration::from_millis(50), leaving.post("/sign_out")).await;
    assert!(given_up.is_err());
    assert_eq!(store.0.len(), 1);
    store.1.add_permits(1);
    for _ in 0..100 {
        if store.0.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(store.0.len(), 0);
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
