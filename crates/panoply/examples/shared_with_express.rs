//! An axum app that shares its logins with an Express app: docs/migration.md has both, and the way from one to
//! the other.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Form, Router};
use panoply::practices::cookies::SameSite;
use panoply::practices::sessions::{Attributes, CrossSite, Secure};
use panoply::store::Redis;
use panoply::{Keys, Session, SessionError, Sessions, SettingError, Shield, TrustedProxies};
use serde::Deserialize;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let redis = Arc::new(Redis::connect(&env::var("REDIS_URL")?)?);
    let app = app(sessions(&env::var("SESSION_SECRETS")?)?.store(redis))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, env::var("PORT")?.parse()?));
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// What the Express app says of its sessions, once more.
fn sessions(secrets: &str) -> Result<Sessions, SettingError> {
    let keys = Keys::danger_short(secrets.split(','))?;
    let attributes = Attributes::express()
        .secure(Secure::Always)
        .same_site(CrossSite::Is(SameSite::Lax))
        .max_age(Duration::from_secs(7 * 24 * 60 * 60));
    Ok(Sessions::express("sessionId", &keys)?.attributes(attributes).user_key("userId"))
}

fn app(sessions: Sessions) -> Result<Router, SettingError> {
    // The gateway runs on this machine: what it says of the visitor's TLS is believed.
    let shield = Shield::bare().trusted_proxies(TrustedProxies::new(["127.0.0.1"])?).sessions(sessions);
    Ok(Router::new()
        .route("/account", get(account))
        .route("/account/log-out-everywhere", post(log_out_everywhere))
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .layer(shield))
}

async fn account(session: Session) -> Result<(StatusCode, String), SessionError> {
    Ok(match session.user::<String>()? {
        Some(user) => (StatusCode::OK, format!("the account of {user}, says Rust\n")),
        None => (StatusCode::UNAUTHORIZED, "log in first, says Rust\n".to_owned()),
    })
}

#[derive(Deserialize)]
struct Login {
    email: String,
    password: String,
}

async fn log_in(session: Session, Form(login): Form<Login>) -> Result<(StatusCode, String), SessionError> {
    if login.password != "correct horse" {
        return Ok((StatusCode::UNAUTHORIZED, "wrong password, says Rust\n".to_owned()));
    }
    session.clear()?; // with the next line it is what `req.session.regenerate` does
    session.sign_in(&login.email)?;
    Ok((StatusCode::OK, format!("welcome {}, says Rust\n", login.email)))
}

async fn log_out(session: Session) -> Result<&'static str, SessionError> {
    session.destroy()?;
    Ok("goodbye, says Rust\n")
}

async fn log_out_everywhere(session: Session) -> Result<String, SessionError> {
    let ended = session.sign_out_everywhere().await?;
    Ok(format!("logged out of {ended} browsers, says Rust\n"))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::extract::{ConnectInfo, Request};
    use tower::ServiceExt;

    use super::*;

    /// Status, text, and the cookie as a browser would send it back.
    async fn ask(app: &Router, request: Request<Body>) -> (u16, String, String) {
        let (head, body) = app.clone().oneshot(request).await.unwrap().into_parts();
        let text = to_bytes(body, 4096).await.unwrap();
        let cookie = head.headers.get("set-cookie").map_or("", |line| line.to_str().unwrap());
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        (head.status.as_u16(), String::from_utf8(text.to_vec()).unwrap(), cookie)
    }

    fn request(method: &str, path: &str, cookie: &str, form: &'static str) -> Request<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-forwarded-proto", "https")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", cookie)
            .body(Body::from(form))
            .unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 50_000))));
        request
    }

    async fn logged_in(app: &Router) -> String {
        let form = "email=ann%40shop.example&password=correct+horse";
        let (status, text, cookie) = ask(app, request("POST", "/login", "", form)).await;
        assert_eq!((status, text.as_str()), (200, "welcome ann@shop.example, says Rust\n"));
        assert!(cookie.starts_with("sessionId=s%3A"), "{cookie}");
        cookie
    }

    // In memory here; docs/migration.md is walked with Redis and Express.
    fn app_alone() -> Router {
        app(sessions("keyboard cat").unwrap()).unwrap()
    }

    #[tokio::test]
    async fn who_logs_in_is_known_until_they_log_out() {
        let app = app_alone();
        let account = async |cookie: &str| ask(&app, request("GET", "/account", cookie, "")).await.0;
        assert_eq!(account("").await, 401);
        let wrong = ask(&app, request("POST", "/login", "", "email=ann&password=guess")).await;
        assert_eq!((wrong.0, wrong.2.as_str()), (401, ""));
        let cookie = logged_in(&app).await;
        assert_eq!(account(&cookie).await, 200);
        assert_eq!(ask(&app, request("POST", "/logout", &cookie, "")).await.0, 200);
        assert_eq!(account(&cookie).await, 401);
    }

    #[tokio::test]
    async fn log_out_everywhere_ends_every_browser() {
        let app = app_alone();
        let (phone, laptop) = (logged_in(&app).await, logged_in(&app).await);
        let answer = ask(&app, request("POST", "/account/log-out-everywhere", &phone, "")).await;
        assert_eq!(answer.1, "logged out of 2 browsers, says Rust\n");
        for cookie in [phone, laptop] {
            assert_eq!(ask(&app, request("GET", "/account", &cookie, "")).await.0, 401);
        }
    }
}
