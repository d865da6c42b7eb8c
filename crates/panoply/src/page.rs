//! The one page that visitors see in place of an answer: the status, the request's id, and nothing else.
//!
//! It loads nothing and styles nothing, so that it looks the same under `default-src 'none'`. It is HTML for
//! people, and reads as well in a terminal; a client that would rather have JSON gets RFC 9457's problem
//! details.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, EXPIRES,
    HeaderName, LAST_MODIFIED, PRAGMA, TRAILER, TRANSFER_ENCODING, VARY,
};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::{RequestId, Visit};

/// Makes `response` a page that says its status and the request's id, and nothing else.
///
/// What the headers say of the body it had goes; all else stays, such as `Set-Cookie`, `Allow`,
/// `WWW-Authenticate`, `Retry-After` and CORS. A success has nothing to explain: its body becomes empty.
pub(crate) fn neutral(visit: &Visit, response: &mut Parts) -> Bytes {
    let was_json = is_json(&response.headers);
    for name in &OF_THE_BODY {
        response.headers.remove(name);
    }
    // With each of its default pages, and hardly anywhere else: it tells Express by a page that is not shown, and keeps
    // the site's own policy off.
    if response.headers.get(CONTENT_SECURITY_POLICY).is_some_and(|policy| policy == FINALHANDLERS) {
        response.headers.remove(CONTENT_SECURITY_POLICY);
    }
    if has_no_body(response.status) {
        return Bytes::new();
    }
    if response.status.is_success() {
        response.headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        return Bytes::new();
    }
    let (kind, page) = if prefers_json(visit.accept.as_ref(), was_json) {
        (HeaderValue::from_static("application/problem+json"), problem(response.status, visit.id))
    } else {
        (HeaderValue::from_static("text/html; charset=utf-8"), html(response.status, visit.id))
    };
    response.headers.insert(CONTENT_TYPE, kind);
    response.headers.insert(CONTENT_LENGTH, HeaderValue::from(page.len()));
    response.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    vary_by_accept(&mut response.headers);
    if visit.method == Method::HEAD { Bytes::new() } else { Bytes::from(page) }
}

/// What finalhandler says of its pages.
const FINALHANDLERS: &str = "default-src 'none'";

/// RFC 9110 §6.4.1; such an answer has no Content-Length either (§8.6), but for 304, where it would be wrong.
fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn html(status: StatusCode, id: RequestId) -> String {
    let (number, reason) = (status.as_u16(), reason(status));
    format!(
        "<!doctype html>\n\
         <html lang=\"en\">\n\
         <meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{number} {reason}</title>\n\
         <h1>{number} {reason}</h1>\n\
         <p>Request <code>{id}</code></p>\n\
         </html>\n"
    )
}

/// RFC 9457; the request's id is an extension member, since `instance` would have to be a URI.
fn problem(status: StatusCode, id: RequestId) -> String {
    let (number, reason) = (status.as_u16(), reason(status));
    format!(
        "{{\"type\":\"about:blank\",\"title\":\"{reason}\",\"status\":{number},\"request_id\":\"{id}\"}}\n"
    )
}

/// Letters and blanks only, so that neither HTML nor JSON needs escaping; `'` in "I'm a teapot" needs none here.
fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
}

/// Whether the client ranks JSON over HTML (RFC 9110 §12.5.1); `undecided` where it ranks them equal.
///
/// Of two with one quality the one named more precisely is meant: many a JSON client sends
/// `application/json, */*`. One that sends only `*/*` gets the kind that it would have got from the app.
fn prefers_json(accept: Option<&HeaderValue>, undecided: bool) -> bool {
    let (mut json, mut html) = (Rank::default(), Rank::default());
    for range in accept.and_then(|accept| accept.to_str().ok()).unwrap_or("*/*").split(',') {
        let mut parameters = range.split(';').map(str::trim);
        let range = parameters.next().unwrap_or_default();
        let quality = parameters.find_map(quality).unwrap_or(1000);
        json.hear(range, &["application/problem+json", "application/json"], "application/*", quality);
        html.hear(range, &["text/html", "application/xhtml+xml"], "text/*", quality);
    }
    if json.weight() == html.weight() { undecided } else { json.weight() > html.weight() }
}

/// What a client thinks of one kind: what its most precise range says.
#[derive(Default)]
struct Rank {
    precision: u8,
    /// In thousandths.
    quality: u16,
}

impl Rank {
    fn hear(&mut self, range: &str, names: &[&str], any: &str, quality: u16) {
        let precision = if names.iter().any(|name| range.eq_ignore_ascii_case(name)) {
            3
        } else if range.eq_ignore_ascii_case(any) {
            2
        } else if range == "*/*" {
            1
        } else {
            return;
        };
        if (precision, quality) > (self.precision, self.quality) {
            *self = Self { precision, quality };
        }
    }

    /// However precisely it is refused, it is refused.
    fn weight(&self) -> (u16, u8) {
        (self.quality, if self.quality == 0 { 0 } else { self.precision })
    }
}

/// `q=0.8` in thousandths; a weight that is none counts as not sent.
fn quality(parameter: &str) -> Option<u16> {
    let (name, weight) = parameter.split_once('=')?;
    if !name.eq_ignore_ascii_case("q") {
        return None;
    }
    let weight: f32 = weight.parse().ok()?;
    (0.0..=1.0).contains(&weight).then_some((weight * 1000.0) as u16)
}

fn vary_by_accept(headers: &mut HeaderMap) {
    let named = headers.get_all(VARY).iter().any(|value| {
        let mut names = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.any(|name| name == b"*" || name.eq_ignore_ascii_case(ACCEPT.as_str().as_bytes()))
    });
    if !named {
        headers.append(VARY, HeaderValue::from_static("Accept"));
    }
}

/// What describes the representation that is replaced, or how it was sent.
static OF_THE_BODY: [HeaderName; 21] = [
    CONTENT_TYPE,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    CONTENT_DISPOSITION,
    ACCEPT_RANGES,
    ETAG,
    LAST_MODIFIED,
    TRANSFER_ENCODING,
    TRAILER,
    AGE,
    EXPIRES,
    PRAGMA,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("sourcemap"),
    HeaderName::from_static("x-sourcemap"),
];

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;
    use crate::{Connection, Scheme, TrustedProxies};

    fn visit(method: Method, accept: Option<&'static str>) -> Visit {
        let mut request = Request::builder().method(method);
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        let (request, ()) = request.body(()).unwrap().into_parts();
        let connection = Connection::unknown();
        let (client, _) = TrustedProxies::default().client(&connection, &request.headers);
        Visit::new(&request, connection, client, Scheme::Http, RequestId(0xfeed))
    }

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    #[test]
    fn json_is_for_those_who_would_rather_have_it() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
        for (accept, was_json, json) in [
            (None, false, false),
            (None, true, true),
            (Some("*/*"), false, false),
            (Some("*/*"), true, true), // fetch() without a header, on an API
            (Some(browser), false, false),
            (Some(browser), true, false), // a person who opens an API's address
            (Some("application/json"), false, true),
            (Some("application/problem+json"), false, true),
            (Some("application/json, text/plain, */*"), false, true), // axios
            (Some("Application/JSON;charset=utf-8"), false, true),
            (Some("application/json;q=0.5, text/html"), false, false),
            (Some("application/json, text/html;q=0.9"), false, true),
            (Some("application/json, text/html"), false, false),
            (Some("text/html;q=0, */*"), false, true), // everything but HTML
            (Some("application/json;q=0"), false, false),
            (Some("application/*"), false, true),
            (Some("text/*, application/json;q=0.1"), true, false),
            (Some("image/png"), false, false), // neither: it gets what people get
            (Some("application/json;q=none"), false, true),
            (Some(",;q=,/;;=,"), false, false),
        ] {
            let accept_value = accept.map(HeaderValue::from_static);
            assert_eq!(prefers_json(accept_value.as_ref(), was_json), json, "{accept:?} {was_json}");
        }
    }

    #[test]
    fn what_described_the_body_goes_and_all_else_stays() {
        let kept: [(&str, &str); 8] = [
            ("set-cookie", "a=1"),
            ("allow", "GET"),
            ("www-authenticate", "Basic"),
            ("retry-after", "9"),
            ("location", "/x"),
            ("access-control-allow-origin", "*"),
            ("content-security-policy", "default-src 'self'"),
            ("x-request-id", "7"),
        ];
        let mut response = answer(500, &kept);
        for name in &OF_THE_BODY {
            response.headers.insert(name, HeaderValue::from_static("old"));
        }
        neutral(&visit(Method::GET, None), &mut response);
        for (name, value) in kept {
            assert_eq!(response.headers[name], value);
        }
        for name in &OF_THE_BODY {
            assert!(response.headers.get(name).is_none_or(|value| value != "old"), "{name}");
        }
        assert_eq!(response.headers[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers[VARY], "Accept");

        let mut express = answer(404, &[("content-security-policy", "default-src 'none'")]);
        neutral(&visit(Method::GET, None), &mut express);
        assert!(!express.headers.contains_key("content-security-policy"), "it tells who wrote the page");
    }

    #[test]
    fn the_length_is_that_of_the_page_also_where_the_page_stays_away() {
        let whole = html(StatusCode::NOT_FOUND, RequestId(0xfeed)).len();
        for (method, status, length) in [
            (Method::GET, 404, Some(whole)),
            (Method::HEAD, 404, Some(whole)),
            (Method::OPTIONS, 200, Some(0)),
            (Method::GET, 204, None),
            (Method::GET, 304, None),
        ] {
            let mut response = answer(status, &[("content-length", "999"), ("content-type", "text/html")]);
            let page = neutral(&visit(method.clone(), None), &mut response);
            let said = response.headers.get(CONTENT_LENGTH).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(said, length.map(|length: usize| length.to_string()), "{method} {status}");
            let sent = if method == Method::HEAD { 0 } else { length.unwrap_or(0) };
            assert_eq!(page.len(), sent, "{method} {status}");
        }
    }

    #[test]
    fn the_page_says_status_and_id_and_loads_nothing() {
        for (accept, starts) in [("text/html", "<!doctype html>"), ("application/json", "{\"type\":\"about:")]
        {
            let mut response = answer(421, &[]);
            let page = neutral(&visit(Method::GET, Some(accept)), &mut response);
            let page = std::str::from_utf8(&page).unwrap();
            assert!(page.starts_with(starts), "{page}");
            for said in ["421", "Misdirected Request", "0000000000000000000000000000feed"] {
                assert!(page.contains(said), "{said} is missing in {page}");
            }
            for loads in ["src=", "href=", "style", "script", "//"] {
                assert!(!page.contains(loads), "{loads} in {page}");
            }
        }
    }

    #[test]
    fn problem_details_are_json() {
        let problem: serde_json::Value =
            serde_json::from_str(&problem(StatusCode::IM_A_TEAPOT, RequestId(1))).unwrap();
        assert_eq!(problem["status"], 418);
        assert_eq!(problem["title"], "I'm a teapot");
    }

    #[test]
    fn vary_is_added_once() {
        for (before, after) in [
            (None, vec!["Accept"]),
            (Some("Origin"), vec!["Origin", "Accept"]),
            (Some("Origin, accept"), vec!["Origin, accept"]),
            (Some("*"), vec!["*"]),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(before.map(|value| (VARY, HeaderValue::from_static(value))));
            vary_by_accept(&mut headers);
            let values: Vec<_> = headers.get_all(VARY).iter().collect();
            assert_eq!(values, after, "{before:?}");
        }
    }
}
