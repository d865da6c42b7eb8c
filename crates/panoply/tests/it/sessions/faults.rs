//! Stores that fail, and requests that are given up.

use panoply::store::{Answer, Replaced, Store, StoreError};
use tokio::sync::Semaphore;

use super::*;

/// A store with faults.
#[derive(Debug)]
struct Faulty {
    inner: Memory,
    /// What happens to what is asked of it.
    load: Fault,
    save: Fault,
}

#[derive(Clone, Debug)]
enum Fault {
    No,
    Slow,
    /// It waits for a permit.
    Waits(Arc<Semaphore>),
}

impl Fault {
    fn before<'a, T: Send + 'a>(&self, answer: Answer<'a, T>) -> Answer<'a, T> {
        match self.clone() {
            Self::No => answer,
            Self::Slow => Box::pin(async { Err(StoreError::Slow(Duration::from_millis(500))) }),
            Self::Waits(permits) => Box::pin(async move {
                let _permit = permits.acquire().await.unwrap();
                answer.await
            }),
        }
    }
}

impl Store for Faulty {
    fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>> {
        self.load.before(self.inner.load(id))
    }
    fn create<'a>(&'a self, id: &'a str, text: &'a str, time: Duration) -> Answer<'a, ()> {
        self.save.before(self.inner.create(id, text, time))
    }
    fn replace<'a>(
        &'a self,
        id: &'a str,
        was: &'a str,
        text: &'a str,
        time: Duration,
    ) -> Answer<'a, Replaced> {
        self.save.before(self.inner.replace(id, was, text, time))
    }
    fn touch<'a>(&'a self, id: &'a str, time: Duration) -> Answer<'a, bool> {
        self.save.before(self.inner.touch(id, time))
    }
    fn destroy<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        self.save.before(self.inner.destroy(id))
    }
    fn bind<'a>(&'a self, user: &'a str, id: &'a str, time: Duration) -> Answer<'a, ()> {
        self.save.before(self.inner.bind(user, id, time))
    }
    fn destroy_all<'a>(&'a self, user: &'a str, except: Option<&'a str>) -> Answer<'a, usize> {
        self.save.before(self.inner.destroy_all(user, except))
    }
}

#[tokio::test]
async fn where_the_store_fails_a_page_does_too_but_only_one_that_needs_it() {
    let (healthy, ..) = stored(Sessions::new(&keys()));
    let mut visitor = Visitor::of(&healthy);
    visitor.post("/cart/teapot").await;
    for (load, save, sessions, page, read, write) in [
        (Fault::Slow, Fault::Slow, Sessions::new(&keys()), 200, 503, 503),
        (
            Fault::Slow,
            Fault::Slow,
            Sessions::new(&keys()).when_store_is_down(Outage::Anonymous),
            200,
            200,
            503,
        ),
        (Fault::No, Fault::Slow, Sessions::new(&keys()), 200, 200, 500),
        (Fault::No, Fault::Slow, Sessions::new(&keys()).when_not_saved(NotSaved::Log), 200, 200, 200),
    ] {
        let store = Arc::new(Faulty { inner: Memory::new(), load: load.clone(), save: save.clone() });
        let shield = Shield::for_hosts(["us.example"]).unwrap().sessions(sessions.store(store));
        for (method, path, status) in
            [("GET", "/", page), ("GET", "/cart", read), ("POST", "/cart/teapot", write)]
        {
            let mut visitor = Visitor { cookies: visitor.cookies.clone(), ..Visitor::of(&shield) };
            let response = visitor.ask(method, path).await;
            assert_eq!(response.status(), status, "{load:?} {save:?} {method} {path}");
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
async fn who_logs_out_while_the_store_fails_is_forgotten_by_the_browser_or_told() {
    for (not_saved, status, is_forgotten) in [(NotSaved::Fail, 500, false), (NotSaved::Log, 200, true)] {
        let sessions = Sessions::express("sid", &keys()).unwrap().when_not_saved(not_saved);
        let (healthy, ..) = stored(sessions.clone());
        let mut visitor = Visitor::of(&healthy);
        visitor.post("/sign_in").await;
        let store = Arc::new(Faulty { inner: Memory::new(), load: Fault::No, save: Fault::Slow });
        let (id, text) = (urlencoded_id(&visitor.cookies[0].1), r#"{"cookie":{},"user":"tim"}"#);
        store.inner.create(&id, text, Duration::from_secs(60)).await.unwrap();
        let shield = Shield::bare().sessions(sessions.store(store));
        let mut visitor = Visitor { cookies: visitor.cookies, ..Visitor::of(&shield) };
        assert_eq!(visitor.post("/sign_out").await, status, "{not_saved:?}");
        assert_eq!(visitor.cookies.is_empty(), is_forgotten, "{not_saved:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_still_logs_out() {
    let permits = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    let save = Fault::Waits(permits.clone());
    let store = Arc::new(Faulty { inner: Memory::new(), load: Fault::No, save });
    let shield = Shield::bare().sessions(Sessions::new(&keys()).store(store.clone()));
    let mut visitor = Visitor::of(&shield);
    visitor.post("/cart/teapot").await;

    permits.forget_permits(Semaphore::MAX_PERMITS);
    let given_up = tokio::time::timeout(Duration::from_millis(50), visitor.post("/sign_out")).await;
    assert!(given_up.is_err());
    assert_eq!(store.inner.len(), 1);
    permits.add_permits(1);
    for _ in 0..6_000 {
        if store.inner.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the visitor is still logged in");
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
