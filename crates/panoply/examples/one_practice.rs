//! One practice of the shield and nothing else: writes come from our own pages, or from those of the bank.
//!
//! ```text
//! cargo run --example one_practice
//! curl -i -X POST http://127.0.0.1:3000/order                                  200
//! curl -i -X POST http://127.0.0.1:3000/order -H 'Origin: https://evil.example'  403
//! ```

use std::net::SocketAddr;

use axum::Router;
use axum::routing::post;
use panoply::{Csrf, OriginError, Shield};

fn app() -> Result<Router, OriginError> {
    let csrf = Csrf::default().trust("https://pay.example".parse()?);
    Ok(Router::new().route("/order", post(|| async { "ordered\n" })).layer(Shield::bare().csrf(csrf)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    eprintln!("http://{}", listener.local_addr()?);
    // The peer's address reaches the shield as `ConnectInfo`.
    axum::serve(listener, app()?.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, StatusCode};
    use tower::ServiceExt;

    #[tokio::test]
    async fn only_our_own_pages_and_the_banks_may_order() {
        for (origin, status) in [
            (Some("http://127.0.0.1:3000"), StatusCode::OK),
            (Some("https://pay.example"), StatusCode::OK),
            (Some("https://evil.example"), StatusCode::FORBIDDEN),
            (Some("null"), StatusCode::FORBIDDEN),
            (None, StatusCode::OK), // no browser
        ] {
            let mut order = Request::post("/order").header("host", "127.0.0.1:3000");
            if let Some(origin) = origin {
                order = order.header("origin", origin);
            }
            let answer = super::app().unwrap().oneshot(order.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), status, "{origin:?}");
        }
    }
}
