//! `cookies` through the layer.

mod jar;
mod round_trip;

use axum::Router;
use axum::body::Body;
use axum::response::AppendHeaders;
use axum::routing::get;
use http::{Request, header::SET_COOKIE};
use panoply::practices::cookies::{SameSite, SetCookie};
use panoply::{Connection, Cookies, Guard, Policy, Shield};
use proptest::prelude::*;
use tower::ServiceExt;

/// The lines that leave an app behind `cookies`, over TLS.
async fn lines(cookies: impl Into<Guard<Cookies>>, set: &[String]) -> Vec<Vec<u8>> {
    let set: Vec<_> = set.iter().map(|line| (SET_COOKIE, line.clone())).collect();
    let app = Router::new()
        .route("/", get(move || async move { (AppendHeaders(set), "") }))
        .layer(Shield::bare().cookies(cookies));
    let tls = Connection::tls(([192, 0, 2, 1], 4000).into());
    let request = Request::get("/").header("host", "us.example").extension(tls).body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    response.headers().get_all(SET_COOKIE).iter().map(|line| line.as_bytes().to_vec()).collect()
}

#[tokio::test]
async fn every_line_is_hardened_and_keeps_its_place() {
    let set =
        ["connect.sid=s%3Aabc; Path=/; HttpOnly", "theme=dark; Path=/; Priority=Low", "XSRF-TOKEN=t; Path=/"];
    let set = set.map(str::to_owned);
    for (cookies, expected) in [
        (
            Guard::On(Cookies::default()),
            [
                "connect.sid=s%3Aabc; Path=/; HttpOnly; Secure; SameSite=Lax",
                "theme=dark; Path=/; Priority=Low; Secure; HttpOnly; SameSite=Lax",
                "XSRF-TOKEN=t; Path=/; Secure; SameSite=Lax",
            ],
        ),
        (
            Guard::On(Cookies::in_front()),
            [
                "connect.sid=s%3Aabc; Path=/; HttpOnly; Secure; SameSite=Lax",
                "theme=dark; Path=/; Priority=Low; Secure; SameSite=Lax",
                "XSRF-TOKEN=t; Path=/; Secure; SameSite=Lax",
            ],
        ),
        (
            Guard::Observe(Cookies::default()),
            [
                "connect.sid=s%3Aabc; Path=/; HttpOnly",
                "theme=dark; Path=/; Priority=Low",
                "XSRF-TOKEN=t; Path=/",
            ],
        ),
    ] {
        assert_eq!(
            lines(cookies.clone(), &set).await,
            expected.map(|line| line.as_bytes().to_vec()),
            "{cookies:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_cookie_leaves_unhardened(set in proptest::collection::vec("[ -~]{0,12}(; ?(Path=/|secure|HttpOnly|SameSite=[a-zA-Z]{0,6}|[ -~]{0,8}))*", 0..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let left = runtime.block_on(lines(Cookies::default(), &set));
        prop_assert_eq!(left.len(), set.len());
        for (before, after) in set.iter().zip(&left) {
            let Some(cookie) = SetCookie::parse(after) else {
                prop_assert_eq!(before.as_bytes(), after);
                continue;
            };
            let is_for_scripts = cookie.name().to_ascii_lowercase().windows(4).any(|part| part == b"csrf" || part == b"xsrf");
            prop_assert!(cookie.is_secure(), "{:?}", cookie);
            prop_assert!(cookie.is_http_only() || is_for_scripts, "{:?}", cookie);
            prop_assert!(cookie.same_site().is_some() || cookie.attribute("Partitioned").is_some(), "{:?}", cookie);
            let chosen = SetCookie::parse(before.as_bytes()).and_then(|cookie| cookie.same_site());
            prop_assert_eq!(cookie.same_site(), chosen.or(cookie.same_site().filter(|added| *added == SameSite::Lax)));
        }
    }
}
