//! "Don't use the default session cookie name", and what else makes a session safe.
//!
//! Express's page on security gives express-session a name that does not tell the software, and trusts one proxy:
//!
//! ```js
//! app.set('trust proxy', 1)
//! app.use(session({ secret: 's3Cur3', name: 'sessionId' }))
//! ```
//!
//! What that leaves is other here: a secret of 32 bytes at least, a cookie that is `Secure` and `SameSite=Lax`, no
//! session for whoever only looks, and proxies that are trusted by address and not by number, so that nobody else
//! can claim to have come over TLS.
//!
//! ```text
//! SESSION_KEYS="$(openssl rand -base64 32)" cargo run -p panoply --example session
//! curl -i http://127.0.0.1:3000/ -H 'X-Forwarded-Proto: https'     as a proxy on this machine asks
//! ```

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use panoply::{Keys, Session, SessionError, Sessions, SettingError, Shield, TrustedProxies};

fn app(keys: &Keys) -> Result<Router, SettingError> {
    let sessions = Sessions::new(keys).name("sessionId")?;
    let shield = Shield::bare().trusted_proxies(TrustedProxies::new(["127.0.0.1"])?).sessions(sessions);
    Ok(Router::new().route("/", get(count)).route("/about", get(async || "a shop")).layer(shield))
}

async fn count(session: Session) -> Result<String, SessionError> {
    let visits = session.get::<u32>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", &visits)?;
    Ok(format!("visit {visits}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = app(&Keys::from_env("SESSION_KEYS")?)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    // Who is a proxy is told by the peer's address.
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::extract::{ConnectInfo, Request};
    use tower::ServiceExt;

    use super::*;

    struct Answer {
        cookie: Option<String>,
        text: String,
    }

    async fn ask(app: &Router, peer: [u8; 4], path: &str, cookie: &str) -> Answer {
        let request = Request::get(path).header("x-forwarded-proto", "https").header("cookie", cookie);
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 50_000))));
        let (head, body) = app.clone().oneshot(request).await.unwrap().into_parts();
        let cookie = head.headers.get("set-cookie").map(|line| line.to_str().unwrap().to_owned());
        let text = to_bytes(body, 4096).await.unwrap();
        Answer { cookie, text: String::from_utf8(text.to_vec()).unwrap() }
    }

    #[tokio::test]
    async fn a_visitor_is_known_again_by_a_cookie_that_names_no_software() {
        let app = app(&Keys::new([Keys::generate()]).unwrap()).unwrap();
        let first = ask(&app, PROXY, "/", "").await;
        let cookie = first.cookie.unwrap();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert!(pair.starts_with("__Host-sessionId="), "{cookie}");
        assert_eq!(attributes, "Path=/; HttpOnly; Secure; SameSite=Lax");

        assert_eq!(ask(&app, PROXY, "/", pair).await.text, "visit 2");
        assert_eq!(
            ask(&app, PROXY, "/", &pair.replace('=', "=x")).await.text,
            "visit 1",
            "not one we signed"
        );
    }

    #[tokio::test]
    async fn only_the_proxy_says_that_it_was_tls() {
        let app = app(&Keys::new([Keys::generate()]).unwrap()).unwrap();
        let cookie = ask(&app, [192, 0, 2, 1], "/", "").await.cookie.unwrap();
        assert!(cookie.starts_with("sessionId=") && !cookie.contains("Secure"), "{cookie}");
    }

    #[tokio::test]
    async fn who_only_looks_gets_no_session() {
        let app = app(&Keys::new([Keys::generate()]).unwrap()).unwrap();
        assert_eq!(ask(&app, PROXY, "/about", "").await.cookie, None);
    }

    const PROXY: [u8; 4] = [127, 0, 0, 1];
}
