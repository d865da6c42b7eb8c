//! What a browser lets the pages of other sites send (Fetch §2.2.2, §3.3 and §4.8).

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// Whether a browser sent this only after the app had allowed it, by a CORS preflight.
///
/// Fetch decides by every header that a page set; but which headers a proxy between has added cannot be told
/// here, so only those count that nothing but a script sets. A mode other than `cors` never has a preflight,
/// whatever the rest looks like: browsers have had holes there (Chromium's beacons sent JSON without asking).
pub(super) fn needed_preflight(request: &Parts) -> bool {
    let headers = &request.headers;
    if headers.get(&SEC_FETCH_MODE).is_some_and(|mode| mode != "cors") {
        return false;
    }
    !matches!(request.method, Method::GET | Method::HEAD | Method::POST)
        || headers.get(CONTENT_TYPE).is_some_and(|kind| !is_simple(kind))
        || has_header_of_a_script(headers)
}

/// Whether this is a form that takes its visitor here: the answer becomes the page.
///
/// Where the browser sends no Fetch Metadata, every form is taken for one.
pub(super) fn is_form_of_a_page(request: &Parts) -> bool {
    let said = |name| request.headers.get(name).map(HeaderValue::as_bytes);
    let takes_the_visitor_here = match (said(&SEC_FETCH_MODE), said(&SEC_FETCH_DEST)) {
        (Some(mode), Some(destination)) => mode == b"navigate" && destination == b"document",
        (None, None) => !request.headers.contains_key(&super::SEC_FETCH_SITE),
        _ => false,
    };
    let is_form = request.headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let essence = essence(kind);
        FORM_TYPES.iter().any(|form| essence.eq_ignore_ascii_case(form.as_bytes()))
    });
    request.method == Method::POST && takes_the_visitor_here && is_form
}

/// A content type that needs no preflight. A missing one needs none either.
fn is_simple(kind: &HeaderValue) -> bool {
    let essence = essence(kind);
    essence.eq_ignore_ascii_case(b"text/plain")
        || FORM_TYPES.iter().any(|form| essence.eq_ignore_ascii_case(form.as_bytes()))
}

/// Type and subtype, without parameters and without further types, which no browser sends unasked.
fn essence(kind: &HeaderValue) -> &[u8] {
    let end = |byte: &u8| matches!(byte, b';' | b',');
    kind.as_bytes().split(end).next().unwrap_or_default().trim_ascii()
}

fn has_header_of_a_script(headers: &HeaderMap) -> bool {
    let by_script = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"XMLHttpRequest");
    // Android's web views put their package's name into this header of every request.
    headers.get(&X_REQUESTED_WITH).is_some_and(by_script)
        || SCRIPT_HEADERS.iter().any(|name| headers.contains_key(*name))
        || headers.get(AUTHORIZATION).is_some_and(|value| {
            value.as_bytes().get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
        })
}

static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
static X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// What a `<form>` can send, but for `text/plain`.
const FORM_TYPES: [&str; 2] = ["application/x-www-form-urlencoded", "multipart/form-data"];

/// Where scripts put tokens: neither browsers nor proxies set these by themselves.
const SCRIPT_HEADERS: [&str; 4] = ["x-csrf-token", "x-xsrf-token", "csrf-token", "xsrf-token"];

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
        let request = Request::builder().method(method);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_preflight_was_needed_by_what_a_form_cannot_send() {
        for (method, headers, needed) in [
            ("POST", &[][..], false),
            ("PUT", &[], true),
            ("DELETE", &[], true),
            ("POST", &[("content-type", "application/x-www-form-urlencoded")], false),
            ("POST", &[("content-type", "multipart/form-data; boundary=a")], false),
            ("POST", &[("content-type", "text/plain")], false),
            ("POST", &[("content-type", "Text/Plain;charset=UTF-8")], false),
            ("POST", &[("content-type", "text/plain; application/json")], false),
            ("POST", &[("content-type", "text/plain, application/json")], false),
            ("POST", &[("content-type", "application/json")], true),
            ("POST", &[("content-type", "application/csp-report")], true),
            ("POST", &[("content-type", "application/json"), ("sec-fetch-mode", "cors")], true),
            ("POST", &[("content-type", "application/json"), ("sec-fetch-mode", "no-cors")], false),
            ("PUT", &[("sec-fetch-mode", "navigate")], false),
            ("POST", &[("x-csrf-token", "a")], true),
            ("POST", &[("x-requested-with", "XMLHttpRequest")], true),
            ("POST", &[("x-requested-with", "com.android.browser")], false),
            ("POST", &[("authorization", "Bearer a")], true),
            ("POST", &[("authorization", "Basic a")], false),
            ("POST", &[("x-request-id", "a"), ("x-forwarded-for", "::1"), ("cf-ray", "a")], false), // proxies
        ] {
            assert_eq!(needed_preflight(&request(method, headers)), needed, "{method} {headers:?}");
        }
    }

    #[test]
    fn a_form_of_a_page_takes_the_visitor_here() {
        const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
        let navigate = ("sec-fetch-mode", "navigate");
        for (method, headers, is_form) in [
            ("POST", &[FORM, navigate, ("sec-fetch-dest", "document")][..], true),
            ("POST", &[("content-type", "multipart/form-data; boundary=a")], true),
            ("POST", &[FORM], true),
            ("POST", &[("content-type", "text/plain"), navigate, ("sec-fetch-dest", "document")], false),
            ("POST", &[FORM, navigate, ("sec-fetch-dest", "iframe")], false),
            ("POST", &[FORM, ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")], false),
            ("POST", &[FORM, navigate], false),
            ("POST", &[FORM, ("sec-fetch-site", "cross-site")], false),
            ("POST", &[("content-type", "application/json")], false),
            ("POST", &[], false),
            ("PUT", &[FORM], false),
        ] {
            assert_eq!(is_form_of_a_page(&request(method, headers)), is_form, "{method} {headers:?}");
        }
    }
}
