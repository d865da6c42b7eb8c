//! From `http` to `https`.

use http::header::{HOST, LOCATION};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use panoply::Rejection;

use crate::proxy::Answer;

/// Sends the visitor to the same place over TLS. The shield has judged the host before.
pub(crate) fn to_https<B>(request: &Request<B>, port: u16) -> Result<Response<Answer>, Rejection> {
    let authority = request
        .uri()
        .authority()
        .cloned()
        .or_else(|| Authority::try_from(request.headers().get(HOST)?.as_bytes()).ok())
        .ok_or_else(|| Rejection::new(StatusCode::BAD_REQUEST, "no host to redirect to"))?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path } else { "/" };
    let host = authority.host();
    let location = match port {
        443 => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    };
    let location = HeaderValue::try_from(location)
        .map_err(|_| Rejection::new(StatusCode::BAD_REQUEST, "the target cannot stand in a header"))?;
    let mut answer = Response::new(Answer::None);
    // 308 keeps method and body; old clients know only 301, which is as good for a GET.
    *answer.status_mut() = match *request.method() {
        Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::PERMANENT_REDIRECT,
    };
    answer.headers_mut().insert(LOCATION, location);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_stays_the_same() {
        for (method, host, target, port, status, location) in [
            ("GET", "shop.example", "/a?b=c", 443, 301, "https://shop.example/a?b=c"),
            ("POST", "shop.example:80", "/", 443, 308, "https://shop.example/"),
            ("GET", "localhost:8080", "/x", 8443, 301, "https://localhost:8443/x"),
            ("GET", "[::1]:8080", "//evil.example", 8443, 301, "https://[::1]:8443//evil.example"),
            ("GET", "user@evil.example", "/", 443, 301, "https://evil.example/"),
            ("OPTIONS", "shop.example", "*", 443, 308, "https://shop.example/"),
        ] {
            let request = Request::builder().method(method).uri(target).header(HOST, host).body(()).unwrap();
            let answer = to_https(&request, port).unwrap();
            assert_eq!(answer.status(), status, "{method} {host} {target}");
            assert_eq!(answer.headers()[LOCATION], location, "{method} {host} {target}");
        }
        assert!(to_https(&Request::builder().uri("/").body(()).unwrap(), 443).is_err(), "no host");
    }
}
