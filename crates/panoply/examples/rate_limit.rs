//! Brute force and floods: a limit for each client, and a tighter one where a password is guessed.
//!
//! `cargo run --example rate_limit`, then `curl -i -X POST http://127.0.0.1:3000/login` six times.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use panoply::{RateLimit, SettingError, Shield, World};

fn app() -> Result<Router, SettingError> {
    // One world, so that what a client owes is known to both shields.
    let world = Arc::<World>::default();
    let shield = || Shield::bare().world(Arc::clone(&world));
    let everywhere = shield().rate_limit(RateLimit::default());
    let at_login = shield().rate_limit(RateLimit::default().limit("login", "5/min".parse()?)?.scope("login"));

    Ok(Router::new()
        .route("/login", post(|| async { "wrong password" }).layer(at_login))
        .route("/", get(|| async { "hello" }))
        .layer(everywhere))
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
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn the_sixth_password_in_a_minute_waits_and_the_page_does_not() {
        let app = app().unwrap();
        let ask = async |method: &str, path: &str| {
            let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 50_000))));
            app.clone().oneshot(request).await.unwrap()
        };
        for _ in 0..5 {
            assert_eq!(ask("POST", "/login").await.status(), 200);
        }
        let refused = ask("POST", "/login").await;
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "12");
        assert_eq!(ask("GET", "/").await.status(), 200);
    }
}
