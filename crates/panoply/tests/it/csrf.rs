//! `csrf` through the layer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use http::{Request, StatusCode};
use panoply::practices::csrf::Judges;
use panoply::{Connection, Csrf, Guard, Policy, Shield};
use tower::ServiceExt;

/// What an app behind `shield` answers to `request`, and whether it was asked.
async fn ask(shield: Shield, request: Request<Body>) -> (StatusCode, bool) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let count = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { "done" }
    };
    let app = Router::new().fallback(any(count)).layer(shield);
    let status = app.oneshot(request).await.unwrap().status();
    (status, calls.load(Ordering::Relaxed) == 1)
}

fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri).header("host", "us.example");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let tls = Connection::tls(([192, 0, 2, 1], 4000).into());
    request.extension(tls).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_refused_write_never_reaches_the_app() {
    let evil = ("origin", "https://evil.example");
    let cookie = ("cookie", "sid=1");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let upgrade = ("upgrade", "websocket");
    let within = || Shield::bare().csrf(Csrf::default());
    let in_front = || Shield::bare().csrf(Csrf::in_front());
    for (what, shield, method, headers, admitted) in [
        ("a page of ours writes", within(), "POST", &[("origin", "https://us.example"), cookie][..], true),
        ("another site's page writes", within(), "POST", &[evil], false),
        (
            "another site's page writes, told by the browser",
            within(),
            "DELETE",
            &[("sec-fetch-site", "cross-site")],
            false,
        ),
        ("another site links here", within(), "GET", &[evil, cookie], true),
        ("no browser writes", within(), "POST", &[cookie], true),
        ("another site's page opens a WebSocket", within(), "GET", &[evil, cookie, upgrade], false),
        (
            "a page of ours opens a WebSocket",
            within(),
            "GET",
            &[("origin", "https://us.example"), cookie, upgrade],
            true,
        ),
        ("a script elsewhere posts without credentials", in_front(), "POST", &[evil, form], true),
        (
            "a script elsewhere posts JSON that the app allowed",
            in_front(),
            "POST",
            &[evil, cookie, ("content-type", "application/json")],
            true,
        ),
        (
            "a script elsewhere posts a form",
            in_front(),
            "POST",
            &[evil, cookie, form, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "empty")],
            false,
        ),
        (
            "a frame elsewhere posts a form",
            in_front(),
            "POST",
            &[evil, cookie, form, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
            false,
        ),
        (
            "a login elsewhere sends its visitor back",
            in_front(),
            "POST",
            &[evil, cookie, form, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
            true,
        ),
        (
            "another site's page opens a WebSocket to an unknown app",
            in_front(),
            "GET",
            &[evil, cookie, upgrade],
            false,
        ),
    ] {
        let expected = if admitted { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(ask(shield, request(method, "/", headers)).await, (expected, admitted), "{what}");
    }
}

#[tokio::test]
async fn what_weakens_it_is_named() {
    let evil = [("origin", "https://evil.example"), ("cookie", "sid=1")];
    let strict = Csrf::in_front().judges(Judges::EveryWrite);
    for (what, csrf, path, admitted) in [
        ("trusted", Guard::On(strict.clone().trust("https://evil.example".parse().unwrap())), "/", true),
        ("exempt", Guard::On(strict.clone().exempt("/hook".parse().unwrap())), "/hook?a=1", true),
        ("near what is exempt", Guard::On(strict.clone().exempt("/hook".parse().unwrap())), "/hook/", false),
        ("observed", Guard::Observe(strict.clone()), "/", true),
        ("off", Guard::Off, "/", true),
        ("on", Guard::On(strict), "/", false),
    ] {
        let (_, reached) = ask(Shield::bare().csrf(csrf), request("POST", path, &evil)).await;
        assert_eq!(reached, admitted, "{what}");
    }
}
