//! Helmet's headers, and nothing else, in an axum app: what `app.use(helmet())` is in Express.
//!
//! `cargo run -p panoply --example helmet`, then `curl -i http://127.0.0.1:3000/`.

use axum::response::Html;
use axum::routing::get;
use axum::{Extension, Router};
use panoply::practices::headers::Csp;
use panoply::{Headers, Nonce, SettingError, Shield};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app()?).await?)
}

fn app() -> Result<Router, SettingError> {
    // Helmet's policy, but for scripts in the page itself, which run when they carry the answer's nonce.
    let csp = Csp::default().directive("script-src", ["'self'", "'nonce'"])?;
    Ok(Router::new()
        .route("/", get(async || "hello"))
        .route("/page", get(page))
        .layer(Shield::bare().headers(Headers::default().csp(csp))))
}

async fn page(Extension(nonce): Extension<Nonce>) -> Html<String> {
    Html(format!("<!doctype html><title>page</title><script nonce=\"{nonce}\">console.log('runs')</script>"))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{HeaderMap, Request};
    use tower::ServiceExt;

    use super::*;

    async fn get(path: &str) -> (HeaderMap, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let (head, body) = app().unwrap().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 4096).await.unwrap();
        (head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn every_route_has_helmets_headers_even_the_missing_one() {
        for path in ["/", "/page", "/missing"] {
            let (headers, _) = get(path).await;
            assert_eq!(headers["x-frame-options"], "SAMEORIGIN", "{path}");
            assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
            assert_eq!(headers["strict-transport-security"], "max-age=31536000; includeSubDomains", "{path}");
        }
    }

    #[tokio::test]
    async fn the_script_in_the_page_carries_the_nonce_of_the_policy() {
        let (headers, page) = get("/page").await;
        let policy = headers["content-security-policy"].to_str().unwrap();
        let (_, rest) = policy.split_once("script-src 'self' 'nonce-").unwrap();
        let (nonce, _) = rest.split_once('\'').unwrap();
        assert!(page.contains(&format!("<script nonce=\"{nonce}\">")), "{policy}\n{page}");
    }
}
