//! The open redirect of Express's page on security, done right.
//!
//! The page compares `new URL(req.query.url).host` with a name and then redirects to what came in. That check
//! refuses every path, takes `http:` for `https:`, and sends the input, which is not what was checked. Here the
//! target is read as browsers read it, and what was read is sent.
//!
//! ```text
//! cargo run --example redirect_target
//! curl -i 'http://127.0.0.1:3000/go?url=/account'        303, location: /account
//! curl -i 'http://127.0.0.1:3000/go?url=//evil.example'  400
//! ```

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Redirect;
use axum::routing::get;
use http::StatusCode;
use panoply::practices::redirects;
use panoply::{Origin, OriginError};
use serde::Deserialize;

#[derive(Deserialize)]
struct Go {
    url: String,
}

async fn go(State(ours): State<Arc<[Origin]>>, Query(Go { url }): Query<Go>) -> Result<Redirect, StatusCode> {
    let target = redirects::target(&url, &ours).ok_or(StatusCode::BAD_REQUEST)?;
    Ok(Redirect::to(target.as_str()))
}

fn app() -> Result<Router, OriginError> {
    let ours = ["https://shop.example".parse()?, "https://pay.example".parse()?];
    Ok(Router::new().route("/go", get(go)).with_state(Arc::from(ours)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    eprintln!("http://{}", listener.local_addr()?);
    axum::serve(listener, app()?.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http::header::LOCATION;
    use tower::ServiceExt;

    #[tokio::test]
    async fn only_paths_and_our_own_sites_are_gone_to() {
        for (url, location) in [
            ("/account?tab=2", Some("/account?tab=2")),
            ("https://shop.example/a", Some("https://shop.example/a")),
            ("https://pay.example", Some("https://pay.example/")),
            ("http://shop.example/a", None),
            ("https://evil.example", None),
            ("//evil.example", None),
            ("/\\evil.example", None),
            ("\\\\evil.example", None),
            ("http://good\\@evil.example", None),
            ("https://shop.example@evil.example", None),
            ("javascript:alert(1)", None),
            ("/\t/evil.example", None),
        ] {
            let query: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
            let request = Request::get(format!("/go?url={query}")).body(Body::empty()).unwrap();
            let answer = super::app().unwrap().oneshot(request).await.unwrap();
            let went = answer.headers().get(LOCATION).map(|location| location.to_str().unwrap());
            assert_eq!(went, location, "{url}");
        }
    }
}
