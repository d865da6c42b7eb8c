//! In an app of one's own: a handler asks, looks at the password, and says how it ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use panoply::practices::brute_force::{Attempt, Metric};
use panoply::{BruteForce, Clock, Connection, Guard, Keys, Period, Rejection, Shield, TrustedProxies, World};
use tokio::sync::Semaphore;
use tower::ServiceExt;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// An app with a login, whose password is `right`, and what it saw.
#[derive(Clone)]
struct Shop {
    app: Router,
    /// How many passwords were looked at.
    checked: Arc<AtomicU32>,
    /// Without permits a login waits before it looks.
    gate: Arc<Semaphore>,
    clock: Clock,
}

impl Shop {
    fn new(brute_force: impl Into<Guard<BruteForce>>) -> Self {
        Self::behind(Shield::bare().brute_force(brute_force))
    }

    fn behind(shield: Shield) -> Self {
        let clock = Clock::manual();
        let checked = Arc::new(AtomicU32::new(0));
        let gate = Arc::new(Semaphore::new(1_000));
        let shield = shield.world(Arc::new(World::new(clock.clone())));
        let app = Router::new()
            .route("/login", post(login))
            .route("/by-status", post(by_status))
            .with_state((Arc::clone(&checked), Arc::clone(&gate)))
            .layer(shield);
        Self { app, checked, gate, clock }
    }

    async fn post(&self, path: &str, ip: &str, user: &str, password: &str, cookie: Option<&str>) -> Response {
        let mut request = Request::post(path)
            .header("host", "shop.example")
            .header("x-user", user.to_owned().into_bytes())
            .header("x-password", password)
            .body(Body::empty())
            .unwrap();
        if let Some(cookie) = cookie {
            request.headers_mut().insert(COOKIE, cookie.parse().unwrap());
        }
        request.extensions_mut().insert(Connection::tls(SocketAddr::new(ip.parse().unwrap(), 1)));
        self.app.clone().oneshot(request).await.unwrap()
    }

    async fn login(&self, ip: &str, user: &str, password: &str) -> u16 {
        self.post("/login", ip, user, password, None).await.status().as_u16()
    }

    /// Wrong passwords one after the other: the statuses, each with how often it came in a row.
    async fn guess(&self, ip: &str, user: &str, times: usize) -> Vec<(u16, usize)> {
        let mut runs: Vec<(u16, usize)> = Vec::new();
        for _ in 0..times {
            let status = self.login(ip, user, "wrong").await;
            match runs.last_mut() {
                Some((last, count)) if *last == status => *count += 1,
                _ => runs.push((status, 1)),
            }
        }
        runs
    }

    fn checked(&self) -> u32 {
        self.checked.swap(0, Relaxed)
    }
}

type Shared = (Arc<AtomicU32>, Arc<Semaphore>);

async fn login(
    attempt: Attempt,
    State((checked, gate)): State<Shared>,
    headers: HeaderMap,
) -> Result<StatusCode, Rejection> {
    let user = String::from_utf8(headers["x-user"].as_bytes().to_vec()).unwrap();
    let guess = attempt.by(&user).await?;
    let _permit = gate.acquire().await.unwrap();
    checked.fetch_add(1, Relaxed);
    if headers["x-password"] == "right" {
        guess.succeeded().await?;
        return Ok(StatusCode::OK);
    }
    guess.failed().await?;
    Ok(StatusCode::UNAUTHORIZED)
}

/// Says nothing of the outcome but by its status.
async fn by_status(
    attempt: Attempt,
    State((checked, _)): State<Shared>,
    headers: HeaderMap,
) -> Result<StatusCode, Rejection> {
    let _guess = attempt.by(headers["x-user"].to_str().unwrap()).await?;
    checked.fetch_add(1, Relaxed);
    Ok(headers["x-password"].to_str().unwrap().parse().unwrap())
}

fn retry_after(response: &Response) -> u64 {
    response.headers()["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_user_name_at_an_address_has_ten_failures_and_each_block_is_twice_the_last() {
    let never = Metric::new(1_000_000, Period::seconds(86_400));
    let shop = Shop::new(BruteForce::default().by_username(never));
    for hours in [1, 2, 4, 8, 16, 24, 24] {
        assert_eq!(shop.guess("192.0.2.1", "ann", 13).await, [(401, 10), (429, 3)], "{hours} h");
        assert_eq!(shop.checked(), 11, "the eleventh is looked at, and refused for what it was");
        let refused = shop.post("/login", "192.0.2.1", "ann", "right", None).await;
        assert_eq!((refused.status().as_u16(), retry_after(&refused)), (429, hours * 3_600));
        assert_eq!(shop.login("192.0.2.2", "ann", "right").await, 200, "its owner is elsewhere");
        assert_eq!(shop.login("192.0.2.1", "bob", "right").await, 200, "another user is let in");
        assert_eq!(shop.checked(), 2);
        shop.clock.advance(HOUR * u32::try_from(hours).unwrap());
    }
    assert_eq!(shop.login("192.0.2.1", "ann", "right").await, 200);
    assert_eq!(shop.guess("192.0.2.1", "ann", 12).await, [(401, 10), (429, 2)]);
    let refused = shop.post("/login", "192.0.2.1", "ann", "right", None).await;
    assert_eq!(retry_after(&refused), 3_600, "who got in begins anew");
}

#[tokio::test]
async fn a_right_password_forgives_what_failed_before() {
    let shop = Shop::new(BruteForce::default());
    for _ in 0..20 {
        assert_eq!(shop.guess("192.0.2.1", "ann", 10).await, [(401, 10)]);
        shop.clock.advance(DAY); // or the address would have had too many
        assert_eq!(shop.login("192.0.2.1", "ann", "right").await, 200);
    }
}

#[tokio::test]
async fn an_address_has_a_hundred_failures_a_day_whatever_it_guesses() {
    let shop = Shop::new(BruteForce::default());
    let mut statuses = Vec::new();
    for n in 0..105 {
        statuses.push(shop.login("192.0.2.1", &format!("user{n}"), "wrong").await);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 100);
    assert_eq!(shop.checked(), 101);
    let refused = shop.post("/login", "192.0.2.1", "somebody new", "right", None).await;
    assert_eq!((refused.status().as_u16(), retry_after(&refused)), (429, 86_400));
    assert_eq!(shop.login("192.0.2.2", "user7", "right").await, 200);
    shop.clock.advance(DAY);
    assert_eq!(shop.login("192.0.2.1", "user7", "right").await, 200);
}

#[tokio::test]
async fn a_user_name_under_attack_has_two_tries_an_address_and_its_own_browser_does_not_suffer() {
    let shop = Shop::new(BruteForce::default().by_ip(Metric::new(1_000, Period::seconds(86_400))));
    let welcome = shop.post("/login", "198.51.100.1", "ann", "right", None).await;
    let cookie = welcome.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    for attribute in
        ["__Host-device=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Max-Age=7776000"]
    {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap();

    for n in 0..51 {
        assert_eq!(shop.login(&format!("192.0.2.{n}"), "ann", "wrong").await, 401, "{n}");
    }
    assert_eq!(shop.guess("203.0.113.1", "ann", 4).await, [(401, 1), (429, 3)], "a new address");
    assert_eq!(shop.guess("203.0.113.1", "bob", 4).await, [(401, 4)], "another user");
    assert_eq!(shop.login("203.0.113.2", "ann", "right").await, 200, "the owner on a new browser");
    shop.checked();
    for _ in 0..10 {
        let status = shop.post("/login", "203.0.113.3", "ann", "wrong", Some(cookie)).await.status();
        assert_eq!(status, 401, "the owner's browser has its ten");
    }
    let own = shop.post("/login", "203.0.113.4", "ann", "right", Some(cookie)).await;
    assert_eq!(own.status(), 200);
    assert!(!own.headers().contains_key(SET_COOKIE), "its cookie is good for a while");
    for forged in ["__Host-device=abc", &cookie.replace("__Host-device=", "__Host-device=A")] {
        shop.post("/login", "203.0.113.5", "ann", "wrong", Some(forged)).await;
    }
    let forged = shop.post("/login", "203.0.113.5", "ann", "wrong", Some("__Host-device=abc")).await;
    assert_eq!(forged.status(), 429, "what nobody sealed is no browser of hers");
}

#[tokio::test]
async fn a_trusted_browser_is_trusted_for_its_user_and_not_for_ever() {
    let shop = Shop::new(BruteForce::default());
    let welcome = shop.post("/login", "192.0.2.1", "ann", "right", None).await;
    let cookie = welcome.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(shop.guess("192.0.2.1", "bob", 11).await, [(401, 10), (429, 1)]);
    let bob = shop.post("/login", "192.0.2.1", "bob", "right", Some(&cookie)).await;
    assert_eq!(bob.status(), 429, "bob never logged in there");
    for n in 0..101 {
        shop.login("192.0.2.1", &format!("user{n}"), "wrong").await;
    }
    let ann = shop.post("/login", "192.0.2.1", "ann", "right", Some(&cookie)).await;
    assert_eq!(ann.status(), 200, "her browser is not its office");

    shop.clock.advance(46 * DAY);
    let renewed = shop.post("/login", "192.0.2.1", "ann", "right", Some(&cookie)).await;
    assert!(renewed.headers().contains_key(SET_COOKIE), "half of its time is over");
    shop.clock.advance(45 * DAY);
    let again = shop.post("/login", "192.0.2.1", "ann", "right", Some(&cookie)).await;
    assert!(again.headers().contains_key(SET_COOKIE), "the old one is worth nothing any more");
}

#[tokio::test]
async fn ten_good_logins_at_once_block_nobody_and_one_too_many_waits_a_second() {
    let shop = Shop::new(BruteForce::default());
    shop.gate.forget_permits(1_000);
    let logins: Vec<_> = (0..11)
        .map(|_| {
            let shop = shop.clone();
            tokio::spawn(async move { shop.login("192.0.2.1", "ann", "right").await })
        })
        .collect();
    tokio::task::yield_now().await;
    let twelfth = shop.post("/login", "192.0.2.1", "ann", "right", None).await;
    assert_eq!((twelfth.status().as_u16(), retry_after(&twelfth)), (429, 1));
    shop.gate.add_permits(1_000);
    for login in logins {
        assert_eq!(login.await.unwrap(), 200);
    }
    assert_eq!(shop.login("192.0.2.1", "ann", "right").await, 200, "nothing stays behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn guesses_at_once_are_as_many_as_guesses_in_turn() {
    let shop = Shop::new(BruteForce::default());
    for (round, threads) in [1, 4, 64].into_iter().enumerate() {
        let guesses: Vec<_> = (0..threads)
            .map(|_| {
                let shop = shop.clone();
                let ip = format!("192.0.2.{round}");
                tokio::spawn(async move {
                    for _ in 0..400 / threads {
                        shop.login(&ip, "ann", "wrong").await;
                    }
                })
            })
            .collect();
        for guess in guesses {
            guess.await.unwrap();
        }
        assert_eq!(shop.checked(), 11, "{threads} at once");
    }
}

#[tokio::test]
async fn who_hangs_up_has_tried() {
    let shop = Shop::new(BruteForce::default().by_ip(Metric::new(3, Period::seconds(86_400))));
    shop.gate.forget_permits(1_000);
    for _ in 0..4 {
        let waiting = {
            let shop = shop.clone();
            tokio::spawn(async move { shop.login("192.0.2.1", "ann", "wrong").await })
        };
        tokio::task::yield_now().await;
        waiting.abort();
        let _ = waiting.await;
        tokio::task::yield_now().await;
    }
    shop.gate.add_permits(1_000);
    assert_eq!(shop.login("192.0.2.1", "ann", "right").await, 429);
}

#[tokio::test]
async fn where_a_handler_says_nothing_its_status_does() {
    for (status, refused_after) in [(401, 11), (403, 11), (400, 11), (422, 11), (200, 0), (302, 0)] {
        let shop = Shop::new(BruteForce::default());
        let mut refused = 0;
        for n in 1..=15 {
            let answer = shop.post("/by-status", "192.0.2.1", "ann", &status.to_string(), None).await;
            if answer.status() == 429 {
                refused = n;
                break;
            }
        }
        assert_eq!(refused, refused_after, "{status}");
    }
}

#[tokio::test]
async fn one_user_is_one_however_the_name_is_written() {
    let shop = Shop::new(BruteForce::default());
    for name in ["ann", "ANN", " ann ", "Ann", "ann\u{200b}", "ａｎｎ", "aNN", "anN", "ann", "Ann"] {
        assert_eq!(shop.login("192.0.2.1", name, "wrong").await, 401, "{name}");
    }
    assert_eq!(shop.guess("192.0.2.1", "ann", 2).await, [(429, 2)]);
}

#[tokio::test]
async fn a_household_is_one_address_and_a_proxy_that_nobody_declared_is_none() {
    let few = || BruteForce::default().by_ip(Metric::new(3, Period::seconds(86_400)));
    let shop = Shop::new(few());
    for n in 0..4 {
        shop.login(&format!("2001:db8::{n}"), &format!("user{n}"), "wrong").await;
    }
    assert_eq!(shop.login("2001:db8::ffff", "ann", "right").await, 429);
    assert_eq!(shop.login("2001:db8:0:1::1", "ann", "right").await, 200);

    let trusting =
        Shield::bare().brute_force(few()).trusted_proxies(TrustedProxies::new(["192.0.2.1"]).unwrap());
    let shop = Shop::behind(trusting);
    for n in 0..6 {
        let status = shop.login("192.0.2.1", &format!("user{n}"), "wrong").await;
        assert_eq!(status, 401, "the proxy names no visitor: {n}");
    }
    assert_eq!(shop.guess("192.0.2.1", "ann", 12).await, [(401, 10), (429, 2)], "one user has no more tries");
}

#[tokio::test]
async fn whoever_is_exempt_is_not_counted_and_what_is_observed_is_not_refused() {
    let shop = Shop::new(BruteForce::default().exempt("192.0.2.0/24".parse().unwrap()));
    assert_eq!(shop.guess("192.0.2.1", "ann", 30).await, [(401, 30)]);
    assert_eq!(shop.guess("198.51.100.1", "ann", 12).await, [(401, 10), (429, 2)]);

    let shop = Shop::new(Guard::Observe(BruteForce::default()));
    assert_eq!(shop.guess("192.0.2.1", "ann", 30).await, [(401, 30)]);
}

#[tokio::test]
async fn keys_make_user_names_the_same_for_all_who_have_them() {
    let keys = Keys::new([Keys::generate()]).unwrap();
    let clock = Clock::manual();
    let world = Arc::new(World::new(clock));
    let shop = |brute_force: BruteForce| {
        let shield = Shield::bare().brute_force(brute_force).world(Arc::clone(&world));
        let state: Shared = (Arc::default(), Arc::new(Semaphore::new(1_000)));
        let app = Router::new().route("/login", post(login)).with_state(state).layer(shield);
        Shop { app, checked: Arc::default(), gate: Arc::new(Semaphore::new(0)), clock: Clock::manual() }
    };
    let one = shop(BruteForce::default().keys(&keys));
    let same = shop(BruteForce::default().keys(&keys));
    let other_site = shop(BruteForce::default().keys(&keys).scope("other.example"));
    assert_eq!(one.guess("192.0.2.1", "ann", 11).await, [(401, 10), (429, 1)]);
    assert_eq!(same.login("192.0.2.1", "ann", "right").await, 429);
    assert_eq!(other_site.login("192.0.2.1", "ann", "right").await, 200);
}
