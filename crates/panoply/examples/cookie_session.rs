//! "Set cookie security options": a session that is kept in the cookie itself, for one part of a site, for an hour.
//!
//! Express's page on security shows cookie-session with these options:
//!
//! ```js
//! name: 'session',
//! keys: ['key1', 'key2'],
//! cookie: { secure: true, httpOnly: true, domain: 'example.com', path: 'foo/bar', expires: expiryDate }
//! ```
//!
//! cookie-session has no option `cookie`: the five that are in it belong one level up, and where the page has them
//! none does anything. Nor would two of them do what they look like: a path begins with `/`, and a date that is
//! worked out when the app starts is past an hour later. Here each is real, and a wrong one is an error at the
//! start. What is in the cookie is sealed, too: there, whoever has the cookie can read it.
//!
//! ```text
//! SESSION_KEYS="$(openssl rand -base64 32)" cargo run -p panoply --example cookie_session
//! curl -i http://127.0.0.1:3000/foo/bar/basket -H 'X-Forwarded-Proto: https'     as a proxy on this machine asks
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use panoply::practices::sessions::{Attributes, Secure};
use panoply::{CookieSession, Keys, Session, SessionError, SettingError, Shield, TrustedProxies};

fn app(keys: &Keys) -> Result<Router, SettingError> {
    // `HttpOnly` and `SameSite=Lax` are there unless they are taken away.
    let attributes = Attributes::default()
        .secure(Secure::Always)
        .domain("example.com")?
        .path("/foo/bar")?
        .max_age(Duration::from_secs(3600));
    let session = CookieSession::new(keys).name("session")?.attributes(attributes);
    let shield = Shield::bare().trusted_proxies(TrustedProxies::new(["127.0.0.1"])?).sessions(session);
    Ok(Router::new().route("/foo/bar/basket", get(basket)).layer(shield))
}

async fn basket(session: Session) -> Result<String, SessionError> {
    let teapots = session.get::<u32>("teapots")?.unwrap_or(0) + 1;
    session.insert("teapots", &teapots)?;
    Ok(format!("{teapots} in the basket"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // One key a line; the first seals, all open.
    let app = app(&Keys::from_env("SESSION_KEYS")?)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::extract::{ConnectInfo, Request};
    use tower::ServiceExt;

    use super::*;

    async fn ask(app: &Router, scheme: &str, cookie: &str) -> (Option<String>, String) {
        let request = Request::get("/foo/bar/basket").header("x-forwarded-proto", scheme);
        let mut request = request.header("cookie", cookie).body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 50_000))));
        let (head, body) = app.clone().oneshot(request).await.unwrap().into_parts();
        let cookie = head.headers.get("set-cookie").map(|line| line.to_str().unwrap().to_owned());
        let text = to_bytes(body, 4096).await.unwrap();
        (cookie, String::from_utf8(text.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn every_option_of_the_page_is_in_the_cookie() {
        let app = app(&Keys::new([Keys::generate()]).unwrap()).unwrap();
        let (cookie, _) = ask(&app, "https", "").await;
        let cookie = cookie.unwrap();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert!(pair.starts_with("__Secure-session=") && !pair.contains("teapots"), "{cookie}");
        for wanted in
            ["Secure", "HttpOnly", "SameSite=Lax", "Domain=example.com", "Path=/foo/bar", "Expires="]
        {
            assert!(attributes.split("; ").any(|found| found.starts_with(wanted)), "{wanted}: {attributes}");
        }
        assert_eq!(ask(&app, "https", pair).await.1, "2 in the basket");
    }

    #[tokio::test]
    async fn a_secure_cookie_is_not_sent_in_the_clear() {
        let app = app(&Keys::new([Keys::generate()]).unwrap()).unwrap();
        assert_eq!(ask(&app, "http", "").await.0, None);
    }

    #[tokio::test]
    async fn keys_are_replaced_without_emptying_a_basket() {
        let (old, new) = (Keys::generate(), Keys::generate());
        let before = app(&Keys::new([&old]).unwrap()).unwrap();
        let cookie = ask(&before, "https", "").await.0.unwrap();
        let after = app(&Keys::new([&new, &old]).unwrap()).unwrap();
        assert_eq!(ask(&after, "https", cookie.split(';').next().unwrap()).await.1, "2 in the basket");
    }

    #[test]
    fn the_pages_own_path_is_an_error_that_says_so() {
        let error = Attributes::default().path("foo/bar").unwrap_err();
        assert_eq!(error.to_string(), "`foo/bar` is no path for a cookie");
        assert_eq!(error.hint(), "begin with `/`, and write neither `;` nor control characters");
    }
}
