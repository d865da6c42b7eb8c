//! One request that is larger or slower than any visitor's takes the memory or the sockets of all.
//!
//! **Stops** oversize requests (431 for the head, 414 for the URI, 413 for the body), and bodies that drip in
//! to hold a connection open (408). A body that says its size is refused at once; one that does not is cut
//! where it grows over the limit, the app's reading of it fails, and the visitor gets 413 whatever the app
//! answers.
//!
//! **Leaves** the time before a request's head is complete and the pace at which an answer is taken, which are
//! the server's (`[connections]` of the gateway); what a body of legal size unpacks to; the pace of gRPC over
//! HTTP/2, whose streams rest for hours. Where it only observes, it judges what a request says of itself, and
//! measures no body.
//!
//! **Defaults** 16 KiB of head and 8 KiB of URI, as much as Node and nginx read; 100 headers, of which
//! browsers send some 20; 10 MiB of body, more than any form and any photograph. In front of an app that
//! panoply does not know, forms and JSON, which apps hold in memory whole, have the 10 MiB, and other bodies,
//! uploads among them, as much as the app takes. Pace: a visitor may keep us waiting for 30 s, and every
//! 500 bytes give one of these seconds back. So an upload through a tunnel finishes, one of 1 KB/s for three
//! days too, and one byte every ten seconds does not. The time in which the app does not read is not counted,
//! and there is no limit on the whole.
//!
//! ```
//! use axum::{Router, body::{Body, Bytes}, extract::Request, routing::post};
//! use panoply::{Limits, Shield, Size};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let shield = Shield::bare().limits(Limits::default().form_body(Size::kib(1)).body(Size::kib(1)));
//! let app = Router::new().route("/", post(|body: Bytes| async move { body })).layer(shield);
//!
//! for (bytes, status) in [(1024, 200), (1025, 413)] {
//!     let request = Request::post("/").body(Body::from(vec![b'x'; bytes]))?;
//!     assert_eq!(app.clone().oneshot(request).await?.status(), status);
//! }
//! # Ok(())
//! # }
//! ```

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, Version};
use http_body::Body as HttpBody;
use serde::Deserialize;

use crate::request_body::{Cut, Pace};
use crate::{Period, Policy, Practice, Rejection, RequestBody, Size, Visit, size};

/// Refuses a request that is too large or too slow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Limits {
    head: Size,
    headers: usize,
    uri: Size,
    form_body: Size,
    #[serde(deserialize_with = "size::or_unlimited")]
    body: Option<Size>,
    idle: Period,
    min_rate: Size,
}

impl Limits {
    /// The request line and all headers together, as HTTP/1.1 writes them.
    #[must_use]
    pub const fn head(mut self, most: Size) -> Self {
        self.head = most;
        self
    }

    /// How many headers; the pieces of a cookie that HTTP/2 sends apart are one (RFC 9113 §8.2.3).
    #[must_use]
    pub const fn headers(mut self, most: usize) -> Self {
        self.headers = most;
        self
    }

    /// The target of the request line.
    #[must_use]
    pub const fn uri(mut self, most: Size) -> Self {
        self.uri = most;
        self
    }

    /// Bodies that apps hold in memory whole: URL-encoded forms and JSON.
    #[must_use]
    pub const fn form_body(mut self, most: Size) -> Self {
        self.form_body = most;
        self
    }

    /// All other bodies.
    #[must_use]
    pub const fn body(mut self, most: Size) -> Self {
        self.body = Some(most);
        self
    }

    /// Lets other bodies than forms and JSON be of any size; in `panoply.toml` this is `body = "unlimited"`.
    #[must_use]
    pub const fn unlimited_body(mut self) -> Self {
        self.body = None;
        self
    }

    /// How long a visitor may keep us waiting for a body before it has to make up for it.
    #[must_use]
    pub const fn idle(mut self, most: Period) -> Self {
        self.idle = most;
        self
    }

    /// How many bytes a second are steady enough.
    #[must_use]
    pub const fn min_rate(mut self, bytes_a_second: Size) -> Self {
        self.min_rate = bytes_a_second;
        self
    }

    pub(crate) const fn most_headers(&self) -> usize {
        self.headers
    }

    pub(crate) fn admit(&self, _visit: &Visit, request: &Parts) -> Result<(), Rejection> {
        let uri = length(&request.uri);
        if uri > self.uri.in_bytes() {
            return Err(refusal(StatusCode::URI_TOO_LONG, "the URI is too long"));
        }
        let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        if count(request) > self.headers {
            return Err(refusal(too_large, "too many headers"));
        }
        if uri.saturating_add(head_size(request)) > self.head.in_bytes() {
            return Err(refusal(too_large, "the head is too large"));
        }
        let most = self.most(&request.headers);
        if declared(&request.headers).zip(most).is_some_and(|(declared, most)| declared > most) {
            return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body says that it is too large"));
        }
        Ok(())
    }

    /// The body as the app will read it.
    pub(crate) fn body_of<B: HttpBody>(&self, visit: &mut Visit, request: &Parts, body: B) -> RequestBody<B> {
        if body.is_end_stream() {
            return RequestBody::unlimited(body);
        }
        visit.cut = Cut::armed();
        let pace = Pace { idle: self.idle.duration(), bytes_a_second: self.min_rate.in_bytes() };
        let pace = Some(pace).filter(|_| !is_grpc(request));
        RequestBody::limited(body, self.most(&request.headers), pace, visit.cut.clone())
    }

    fn most(&self, headers: &HeaderMap) -> Option<u64> {
        let most = if is_form(headers) { Some(self.form_body) } else { self.body };
        most.map(Size::in_bytes)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Size::kib(16),
            headers: 100,
            uri: Size::kib(8),
            form_body: Size::mib(10),
            body: Some(Size::mib(10)),
            idle: Period::seconds(30),
            min_rate: Size::bytes(500),
        }
    }
}

impl Policy for Limits {
    const PRACTICE: Practice = Practice::Limits;

    fn in_front() -> Self {
        Self::default().unlimited_body()
    }

    fn summary(&self) -> String {
        match self.body {
            Some(body) if body == self.form_body => format!("body {body}"),
            Some(body) => format!("form {}, body {body}", self.form_body),
            None => format!("form {}", self.form_body),
        }
    }
}

fn refusal(status: StatusCode, reason: &'static str) -> Rejection {
    Rejection::by(Practice::Limits, status, reason)
}

/// As sent: a `Uri` has no fragment.
fn length(uri: &Uri) -> u64 {
    let scheme = uri.scheme_str().map_or(0, |scheme| scheme.len() + "://".len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    (scheme + authority + path) as u64
}

/// The rest of the head: method, version, and a line `name: value` for each header.
fn head_size(request: &Parts) -> u64 {
    let line = request.method.as_str().len() + "  HTTP/1.1\r\n\r\n".len();
    let lines =
        request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    (line + lines.sum::<usize>()) as u64
}

fn count(request: &Parts) -> usize {
    let crumbs = match request.version {
        Version::HTTP_2 | Version::HTTP_3 => request.headers.get_all(COOKIE).iter().skip(1).count(),
        _ => 0,
    };
    request.headers.len().saturating_sub(crumbs)
}

/// The server has seen to it that there is only one, and that the body keeps to it.
fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A stream of messages in both directions, in which a long silence is nothing unusual.
fn is_grpc(request: &Parts) -> bool {
    let content_type = request.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    request.version == Version::HTTP_2
        && content_type.is_some_and(|content_type| content_type.starts_with(b"application/grpc"))
}

/// Whether apps read a body of this type into memory whole. A multipart form is mostly an upload, which they
/// stream.
fn is_form(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return false };
    let media_type =
        content_type.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let ends = |end: &[u8]| {
        media_type.len() >= end.len()
            && media_type
                .get(media_type.len() - end.len()..)
                .is_some_and(|last| last.eq_ignore_ascii_case(end))
    };
    ends(b"/x-www-form-urlencoded") || ends(b"/json") || ends(b"+json")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn judge(limits: &Limits, request: http::request::Builder) -> u16 {
        let (request, ()) = request.body(()).unwrap().into_parts();
        let connection = crate::Connection::unknown();
        let (client, scheme) = crate::TrustedProxies::default().client(&connection, &request.headers);
        let visit = Visit::new(&request, connection, client, scheme, crate::RequestId(0));
        limits.admit(&visit, &request).map_or_else(|rejection| rejection.status().as_u16(), |()| 200)
    }

    #[test]
    fn the_head_has_its_measure() {
        let limits = Limits::default();
        let with = |count: usize, name: &str, value: &str| {
            (0..count).fold(Request::get("/"), |request, _| request.header(name, value))
        };
        for (name, request, status) in [
            ("nothing", Request::get("/"), 200),
            ("8 KiB of URI", Request::get(format!("/{}", "a".repeat(8191))), 200),
            ("a byte more", Request::get(format!("/{}", "a".repeat(8192))), 414),
            ("100 headers", with(100, "a", "b"), 200),
            ("101 headers", with(101, "a", "b"), 431),
            ("101 pieces of a cookie", with(101, "cookie", "a=b").version(Version::HTTP_2), 200),
            ("101 cookies", with(101, "cookie", "a=b"), 431),
            // 3 + 1 + 14 for the line, and 1 + 4 for a header with an empty value
            ("16 KiB of head", with(1, "a", &"b".repeat(16 * 1024 - 23)), 200),
            ("a byte more", with(1, "a", &"b".repeat(16 * 1024 - 22)), 431),
        ] {
            assert_eq!(judge(&limits, request), status, "{name}");
        }
    }

    #[test]
    fn a_body_that_says_its_size_is_judged_at_once() {
        let ten = 10 << 20;
        for (limits, content_type, bytes, status) in [
            (Limits::default(), "text/plain", ten, 200),
            (Limits::default(), "text/plain", ten + 1, 413),
            (Limits::default(), "application/json", ten + 1, 413),
            (Limits::in_front(), "text/plain", u64::MAX, 200),
            (Limits::in_front(), "multipart/form-data; boundary=x", ten + 1, 200),
            (Limits::in_front(), "application/json; charset=utf-8", ten + 1, 413),
            (Limits::in_front(), "Application/Problem+JSON", ten + 1, 413),
            (Limits::in_front(), "application/x-www-form-urlencoded", ten + 1, 413),
            (Limits::in_front(), "application/x-www-form-urlencoded", ten, 200),
        ] {
            let request = Request::post("/").header(CONTENT_TYPE, content_type).header(CONTENT_LENGTH, bytes);
            assert_eq!(judge(&limits, request), status, "{content_type} {bytes}");
        }
    }

    #[test]
    fn the_file_and_the_builder_say_the_same() {
        let written = r#"
            head = "32 KiB"
            headers = 50
            uri = 1000
            form_body = "1 MiB"
            body = "2 MiB"
            idle = "5s"
            min_rate = "1 KiB"
        "#;
        let built = Limits::default()
            .head(Size::kib(32))
            .headers(50)
            .uri(Size::bytes(1000))
            .form_body(Size::mib(1))
            .body(Size::mib(2))
            .idle(Period::seconds(5))
            .min_rate(Size::kib(1));
        assert_eq!(toml::from_str::<Limits>(written).unwrap(), built);
        assert_eq!(toml::from_str::<Limits>("").unwrap(), Limits::in_front());
        assert_eq!(toml::from_str::<Limits>("body = \"unlimited\"").unwrap(), Limits::in_front());
        for (policy, summary) in [
            (Limits::default(), "body 10 MiB"),
            (Limits::in_front(), "form 10 MiB"),
            (built, "form 1 MiB, body 2 MiB"),
        ] {
            assert_eq!(policy.summary(), summary);
        }
        for (written, message) in [
            ("body = \"ten\"", "hint: write a whole number"),
            ("body = -1", "expected a number of bytes, a size such as \"10 MiB\", or \"unlimited\""),
            ("idle = 30", "invalid type: integer"),
            ("total = \"30s\"", "unknown field `total`"),
        ] {
            let error = toml::from_str::<Limits>(written).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
