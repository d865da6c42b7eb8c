//! `redirects` through the layer.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::RawQuery;
use axum::response::Redirect;
use axum::routing::get;
use http::header::{LOCATION, SET_COOKIE};
use http::{Request, StatusCode};
use panoply::{Guard, Practice, Redirects, Shield};
use percent_encoding::percent_decode_str;
use tower::ServiceExt;

/// An app with a hole: it redirects wherever the query says.
async fn open(RawQuery(query): RawQuery) -> ([(http::HeaderName, &'static str); 1], Redirect) {
    let query = query.unwrap_or_default();
    let to = percent_decode_str(query.trim_start_matches("to=")).decode_utf8_lossy();
    ([(SET_COOKIE, "sid=1")], Redirect::to(&to))
}

async fn ask(shield: Shield, uri: &str) -> http::Response<panoply::Body<Body>> {
    let app = Router::new().route("/go", get(open));
    let app = tower::ServiceBuilder::new().layer(shield).service(app);
    app.oneshot(Request::get(uri).header("host", "us.example").body(Body::empty()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_link_cannot_lead_off_the_site() {
    for to in [
        "https://evil.example/",
        "https%3A%2F%2Fevil.example%2Fa%3Fb",
        "//evil.example",
        "/%5Cevil.example",
        "%5C%5Cevil.example",
        "http://good.example%5C@evil.example",
        "javascript:alert(1)",
    ] {
        let answer = ask(Shield::bare().redirects(Redirects::default()), &format!("/go?to={to}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{to}");
        assert_eq!((answer.headers().get(LOCATION), answer.headers().get(SET_COOKIE)), (None, None), "{to}");
        let page = to_bytes(Body::new(answer.into_body()), 4096).await.unwrap();
        let page = String::from_utf8(page.to_vec()).unwrap();
        assert!(!page.contains("evil") && !page.contains("alert"), "{to}: {page}");
    }
    for to in ["/account", "https://us.example/", "https://www.us.example/a"] {
        let answer = ask(Shield::bare().redirects(Redirects::default()), &format!("/go?to={to}")).await;
        assert_eq!(
            (answer.status(), &answer.headers()[LOCATION]),
            (StatusCode::SEE_OTHER, &to.parse().unwrap())
        );
    }
}

#[tokio::test]
async fn what_is_trusted_exempt_or_only_observed_passes() {
    let trusting = Redirects::default().trust("https://evil.example".parse().unwrap());
    let exempting = Redirects::default().exempt("/go".parse().unwrap());
    for redirects in
        [Guard::On(trusting), Guard::On(exempting), Guard::Observe(Redirects::default()), Guard::Off]
    {
        let answer = ask(Shield::bare().redirects(redirects.clone()), "/go?to=https://evil.example/").await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{redirects:?}");
    }
}

#[test]
fn in_front_of_an_unknown_app_redirects_are_only_observed() {
    assert_eq!(Shield::in_front().state(Practice::Redirects).0, "observe");
    assert_eq!(Shield::default().state(Practice::Redirects).0, "on");
}
