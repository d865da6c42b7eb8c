//! Brute force and floods: a rate for each client, a tighter one where a password is guessed, and a quota for each API
//! key, which is told to its owner.
//!
//! `cargo run --example rate_limit`, then `curl -i -X POST http://127.0.0.1:3000/login` six times, and
//! `curl -i -H 'X-Api-Key: abc' http://127.0.0.1:3000/api/orders`.

use std::net::SocketAddr;

use axum::Router;
use axum::http::{HeaderName, Method};
use axum::routing::{get, post};
use panoply::practices::rate_limit::{Announce, By, Limit};
use panoply::{RateLimit, SettingError, Shield};

fn app() -> Result<Router, SettingError> {
    let login = Limit::of("5/min".parse()?).path("/login".parse()?).method(Method::POST);
    let api = Limit::of("1000/h".parse()?)
        .by(By::Header(HeaderName::from_static("x-api-key")))
        .path("/api/*".parse()?);
    // Beside them stands the rate of every client: 100 a second, 2,000 at once. Whoever has no key, or makes up another
    // each time, is bound by that.
    let limits = RateLimit::default().limit("login", login)?.limit("api", api)?.headers(Announce::Always);

    Ok(Router::new()
        .route("/login", post(|| async { "wrong password" }))
        .route("/api/orders", get(|| async { "[]" }))
        .route("/", get(|| async { "hello" }))
        .layer(Shield::bare().rate_limit(limits)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    // The address of a client is known only to a server that is asked for it.
    axum::serve(listener, app()?.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::{ConnectInfo, Request};
    use axum::response::Response;
    use tower::ServiceExt;

    use super::*;

    async fn ask(app: &Router, method: &str, path: &str, key: Option<&str>) -> Response {
        let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        if let Some(key) = key {
            request.headers_mut().insert("x-api-key", key.parse().unwrap());
        }
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 50_000))));
        app.clone().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn the_sixth_password_in_a_minute_waits_and_the_page_does_not() {
        let app = app().unwrap();
        for _ in 0..5 {
            assert_eq!(ask(&app, "POST", "/login", None).await.status(), 200);
        }
        let refused = ask(&app, "POST", "/Login/", None).await;
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "12");
        assert_eq!(ask(&app, "GET", "/", None).await.status(), 200);
    }

    #[tokio::test]
    async fn each_key_has_its_quota_and_is_told_of_it() {
        let app = app().unwrap();
        for (key, path, limit) in [
            ("a", "/api/orders", "\"api\";r=999;t=4"),
            ("a", "/api/orders", "\"api\";r=998;t=4"),
            ("b", "/api/orders", "\"api\";r=999;t=4"),
        ] {
            let answer = ask(&app, "GET", path, Some(key)).await;
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["ratelimit"], limit, "{key}");
        }
    }
}
