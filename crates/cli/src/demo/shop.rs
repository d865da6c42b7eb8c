//! A shop as one finds them: it works, and it does everything wrong that a gateway can put right.
//!
//! It behaves like an Express app that nobody hardened, down to the bytes of its default pages, so that what is seen
//! of it is what is seen of the real thing. Each of its sins is marked with the word of the practice that answers it.
//! To be served on loopback only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Serves the shop to whoever connects to `listener`, until it is dropped.
pub(crate) async fn shop(listener: TcpListener) {
    loop {
        // Out of file descriptors, say: the next visitor may have more luck, once others have left.
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        tokio::spawn(async move {
            // What goes wrong on a connection is its visitor's to notice.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(visit)).await;
        });
    }
}

async fn visit(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (request, body) = request.into_parts();
    // limits: a body as large as the visitor likes, all of it in memory before anybody asks what for.
    let body = body.collect().await?.to_bytes();
    Ok(answer(&Request::from_parts(request, body)))
}

fn answer(request: &Request<Bytes>) -> Response<Full<Bytes>> {
    // hosts: whatever a visitor says the shop is called ends up in its links, and so in its caches and mails.
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let mut response = match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => page(host, "Your cart is empty"),
        (&Method::GET, "/product") => product(host, request.uri().query().unwrap_or_default()),
        (&Method::GET, "/go") => go(request.uri().query().unwrap_or_default()),
        // csrf: nobody asks which site's page sent the visitor's browser here.
        (&Method::POST, "/cart") => page(host, "Added to your cart"),
        (&Method::POST, "/review") => page(host, &format!("Thank you: {} bytes read", request.body().len())),
        // As many guesses a second as a visitor can send.
        (&Method::POST, "/login") => page(host, "No such account, or another password"),
        (method, path) => default_page(StatusCode::NOT_FOUND, &format!("Cannot {method} {}", escaped(path))),
    };
    // fingerprint: which list of known holes to try first.
    response.headers_mut().insert(X_POWERED_BY, HeaderValue::from_static("Express"));
    if !request.headers().contains_key(http::header::COOKIE) {
        response.headers_mut().insert(SET_COOKIE, session());
    }
    // headers: none that tells a browser what else to beware of.
    response
}

/// The whole shop is one page.
fn page(host: &str, notice: &str) -> Response<Full<Bytes>> {
    let page =
        include_str!("shop.html").replace("{host}", &escaped(host)).replace("{notice}", &escaped(notice));
    html(StatusCode::OK, page)
}

/// Throws for what is not on the shelves, as code does that never met an id of somebody else's making.
fn product(host: &str, query: &str) -> Response<Full<Bytes>> {
    match query {
        "id=1" => page(host, "Sencha, 9.50"),
        "id=2" => page(host, "Assam, 7.00"),
        _ => default_page(StatusCode::INTERNAL_SERVER_ERROR, STACK),
    }
}

/// redirects: a link to this shop that leads wherever its author likes.
fn go(query: &str) -> Response<Full<Bytes>> {
    let target = query.split('&').find_map(|pair| pair.strip_prefix("to=")).unwrap_or("/");
    let target = HeaderValue::from_str(target).unwrap_or_else(|_| HeaderValue::from_static("/"));
    let mut response = html(StatusCode::FOUND, "Found. Redirecting".into());
    response.headers_mut().insert(LOCATION, target);
    response
}

/// cookies: readable by every script, sent in the clear and along with other sites' requests; and its ids count up.
fn session() -> HeaderValue {
    static VISITORS: AtomicU64 = AtomicU64::new(1000);
    let visitor = VISITORS.fetch_add(1, Ordering::Relaxed);
    HeaderValue::from_str(&format!("connect.sid=s%3A{visitor:08}.bm90IGEgc2lnbmF0dXJl; Path=/"))
        .unwrap_or_else(|_| HeaderValue::from_static("connect.sid=0; Path=/"))
}

/// errors: what Express answers where nobody wrote a page, and what it shows of a throw outside of production.
fn default_page(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let mut response = html(
        status,
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n\
             <body>\n<pre>{message}</pre>\n</body>\n</html>\n"
        ),
    );
    // Express is more careful with its own pages than with those of the app.
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn html(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// The one thing it does right: no gateway can tell a shop's own markup from a visitor's.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const X_POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");

const STACK: &str = "TypeError: Cannot read properties of undefined (reading &#39;price&#39;)\
    <br> &nbsp; &nbsp;at /srv/shop/routes/product.js:17:31\
    <br> &nbsp; &nbsp;at Layer.handleRequest (/srv/shop/node_modules/router/lib/layer.js:152:17)\
    <br> &nbsp; &nbsp;at next (/srv/shop/node_modules/router/lib/route.js:157:13)\
    <br> &nbsp; &nbsp;at Route.dispatch (/srv/shop/node_modules/router/lib/route.js:117:3)\
    <br> &nbsp; &nbsp;at process.processTicksAndRejections (node:internal/process/task_queues:95:5)";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_shop_sells_tea_and_sins() {
        for (method, target, status, shown) in [
            ("GET", "/", 200, "Sencha"),
            ("GET", "/product?id=1", 200, "Sencha, 9.50"),
            ("GET", "/product?id=99", 500, "at /srv/shop/routes/product.js:17:31"),
            ("GET", "/product", 500, "node_modules"),
            ("GET", "/nope?x", 404, "<pre>Cannot GET /nope</pre>"),
            ("DELETE", "/cart", 404, "<pre>Cannot DELETE /cart</pre>"),
            ("POST", "/cart", 200, "Added to your cart"),
            ("POST", "/review", 200, "Thank you: 8 bytes read"),
            ("POST", "/login", 200, "No such account"),
            ("GET", "/go?to=https://evil.example/", 302, ""),
        ] {
            let request = Request::builder().method(method).uri(target).header(HOST, "shop.example");
            let response = answer(&request.body(Bytes::from_static(b"review=x")).unwrap());
            assert_eq!(response.status(), status, "{method} {target}");
            assert_eq!(response.headers()[X_POWERED_BY], "Express", "{method} {target}");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body = String::from_utf8(body.into()).unwrap();
            assert!(body.contains(shown), "{method} {target}: {body}");
            assert!(!body.contains("{host}") && !body.contains("{notice}"), "{method} {target}: {body}");
        }
    }

    #[test]
    fn a_redirect_goes_where_the_link_says() {
        for (query, target) in [
            ("to=https://evil.example/", "https://evil.example/"),
            ("x=1&to=//evil.example", "//evil.example"),
            ("to=/teas", "/teas"),
            ("", "/"),
            ("to=a\tb", "a\tb"),
            ("to=a\nb", "/"), // the one header that cannot be written
        ] {
            assert_eq!(go(query).headers()[LOCATION], target, "{query:?}");
        }
    }

    #[test]
    fn a_visitor_gets_one_bare_cookie() {
        let bare = answer(&Request::builder().uri("/").body(Bytes::new()).unwrap());
        let cookie = bare.headers()[SET_COOKIE].to_str().unwrap();
        assert!(cookie.starts_with("connect.sid=s%3A") && cookie.ends_with("; Path=/"), "{cookie}");
        let known =
            Request::builder().uri("/").header("cookie", "connect.sid=s%3A1").body(Bytes::new()).unwrap();
        assert!(!answer(&known).headers().contains_key(SET_COOKIE));
    }

    #[tokio::test]
    async fn markup_in_a_name_stays_text() {
        for (target, host) in [("/", "\"><script>"), ("/<script>", "shop.example")] {
            // Not every version of a URI lets such a path through; then there is nothing to escape.
            let Ok(request) = Request::builder().uri(target).header(HOST, host).body(Bytes::new()) else {
                continue;
            };
            let body = answer(&request).into_body().collect().await.unwrap().to_bytes();
            assert!(!String::from_utf8(body.into()).unwrap().contains("<script>"), "{target} {host}");
        }
    }
}
