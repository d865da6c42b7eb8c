//! An error page shows a visitor what the app is made of, and where it breaks.
//!
//! **Stops** default pages (Express's `Cannot GET /x`, and those of some thirty other frameworks and servers),
//! Express's own answer to `OPTIONS`, and whatever holds stack frames, a debugger or a database's words. The
//! visitor gets the same status, with a page that says it and the request's id; the original goes to the log
//! under that id, at most 8 KiB of it and ten a second, without the secrets that can be told by their names.
//!
//! **Leaves** what the app wrote on purpose: only answers of 400 and above in HTML, text or JSON are read, and
//! a page is replaced only where it is a known default or holds what only a crash writes. A 4xx under a
//! `Content-Encoding` is not read. Nor has an answer to `HEAD` a body to judge, though its `Content-Length` may
//! tell. What follows the first 64 KiB, or comes more than a second after the head, is passed on unread: by then
//! it is a stream, and somebody waits for it. A neutral page is no secret either: it shows that panoply is there.
//!
//! **Defaults** are the same in an app and in front of one, since neither wants strangers to read its stacks.
//! A 5xx under a `Content-Encoding` is masked unread: the visitor chooses the coding, so that otherwise any
//! stack would be one `Accept-Encoding` away. An answer that breaks off while it is read is masked too.
//!
//! ```
//! use panoply::{Errors, Shield};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let app = service_fn(|_: http::Request<panoply::RequestBody<String>>| async {
//!     let stack = "Error: boom\n    at till (/srv/shop/till.js:12:9)";
//!     http::Response::builder().status(500).body(stack.to_owned())
//! });
//! let app = Shield::bare().errors(Errors::default()).layer(app);
//!
//! let response = app.oneshot(http::Request::new(String::new())).await.unwrap();
//! assert_eq!(response.status(), 500);
//! assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
//! # }
//! ```

mod marks;
mod original;
mod pages;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use http::response::Parts;
use http::{Method, StatusCode};
use http_body::Body as HttpBody;
use serde::Deserialize;

use crate::{Body, Policy, Practice, Rejection, Visit, World};

use crate::ahead::Ahead;

/// Replaces error pages that show the software or its inside.
///
/// ```toml
/// [shield.errors]
/// pass_compressed = false   # the default
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Errors {
    pass_compressed: bool,
}

impl Errors {
    /// Passes a 5xx under a `Content-Encoding` unread; where the app compresses its stacks, strangers read them.
    ///
    /// For an app that compresses error pages of its own. Better: do not compress them, then they are read.
    #[must_use]
    pub fn pass_compressed(mut self) -> Self {
        self.pass_compressed = true;
        self
    }

    /// Whether the answer is one to look at; the others pass without a word more.
    pub(crate) fn suspects<B: HttpBody<Data = Bytes>>(
        &self,
        visit: &Visit,
        response: &Parts,
        body: &Body<B>,
    ) -> bool {
        body.is_apps() && !body.is_end_stream() && is_suspect(visit, response)
    }

    /// Whether a [suspect](Self::suspects) shows what it should not; the body as far as it was read comes back
    /// whole.
    pub(crate) async fn finish<B>(
        &self,
        visit: &Visit,
        response: &Parts,
        body: Body<B>,
        world: &World,
    ) -> (Body<B>, Option<Rejection>)
    where
        B: HttpBody<Data = Bytes>,
    {
        if is_coded(&response.headers) {
            let unread = response.status.is_server_error() && !self.pass_compressed;
            let shown = unread.then_some("an error under a content coding");
            if let Some(shown) = shown {
                keep(visit, response.status, shown, b"", world);
            }
            return (body, shown.map(|shown| masked(response.status, shown)));
        }
        let ahead = Ahead::read(body).await;
        let text = ahead.text();
        let shown = if ahead.broken { Some("an answer that broke off") } else { shown(response, &text) };
        if let Some(shown) = shown {
            keep(visit, response.status, shown, &text, world);
        }
        drop(text);
        (ahead.replayed(), shown.map(|shown| masked(response.status, shown)))
    }
}

impl Policy for Errors {
    const PRACTICE: Practice = Practice::Errors;

    fn in_front() -> Self {
        Self::default()
    }

    fn summary(&self) -> String {
        String::new()
    }
}

/// Whether an answer is of the sort that frameworks make by themselves.
fn is_suspect(visit: &Visit, response: &Parts) -> bool {
    let error = response.status.is_client_error() || response.status.is_server_error();
    let options = visit.method == Method::OPTIONS
        && response.status == StatusCode::OK
        && response.headers.contains_key(ALLOW);
    (error || options) && visit.method != Method::HEAD && is_text(&response.headers)
}

/// HTML, text or JSON; an answer that does not say may be any of them, such as a bare `res.end(error.stack)`.
fn is_text(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    match kind.split_once('/') {
        Some(("text", kind)) => kind != "event-stream",
        Some(("application", kind)) => kind == "json" || kind == "xhtml+xml" || kind.ends_with("+json"),
        _ => false,
    }
}

fn is_coded(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// What `text` shows that is nobody's business. Marks come first: in development a default page holds a stack.
fn shown(response: &Parts, text: &[u8]) -> Option<&'static str> {
    if response.status.is_success() {
        // Express answers OPTIONS by itself: the list of methods, as in `Allow`, again as text.
        let allow = response.headers.get(ALLOW)?;
        return (text.trim_ascii() == allow.as_bytes()).then_some(AUTOMATIC_OPTIONS);
    }
    marks::found(text).or_else(|| pages::named(text))
}

fn masked(status: StatusCode, shown: &'static str) -> Rejection {
    Rejection::by(Practice::Errors, status, shown)
}

/// Puts the original in the log. A scanner meets a 404 with every request, and nobody needs to read it.
fn keep(visit: &Visit, status: StatusCode, shown: &'static str, text: &[u8], world: &World) {
    let trace_id = visit.trace.map(tracing::field::display);
    let default_page = status.is_success() || (status.is_client_error() && pages::named(text) == Some(shown));
    if default_page {
        tracing::debug!(practice = "errors", id = %visit.id, trace_id, status = status.as_u16(), shown, "a default page");
        return;
    }
    if !world.lines.take(visit.client.key(), Some(Practice::Errors), world.now()) {
        return;
    }
    if world.originals.take(world.now().as_secs(), ORIGINALS) {
        let original = original::readable(text);
        tracing::warn!(
            practice = "errors", id = %visit.id, trace_id, status = status.as_u16(), path = visit.uri.path(), shown, original,
            "an error shows the inside of the app"
        );
    } else {
        tracing::info!(practice = "errors", id = %visit.id, trace_id, status = status.as_u16(), shown, "one more of many");
    }
}

/// A second: enough to see what is wrong; more of the same tells no more.
const ORIGINALS: u64 = 10;
const AUTOMATIC_OPTIONS: &str = "an automatic answer to OPTIONS";

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_text_is_read() {
        for (kind, read) in [
            (None, true),
            (Some("text/html; charset=utf-8"), true),
            (Some("TEXT/HTML"), true),
            (Some("text/plain"), true),
            (Some("application/json"), true),
            (Some("application/problem+json"), true),
            (Some("application/xhtml+xml"), true),
            (Some("text/event-stream"), false),
            (Some("application/grpc"), false),
            (Some("image/png"), false),
            (Some("application/octet-stream"), false),
            (Some(""), false),
        ] {
            let headers: Vec<_> = kind.map(|kind| ("content-type", kind)).into_iter().collect();
            assert_eq!(is_text(&answer(404, &headers).headers), read, "{kind:?}");
        }
    }

    #[test]
    fn identity_is_no_coding() {
        for (coding, coded) in
            [(None, false), (Some("identity"), false), (Some("gzip"), true), (Some("br"), true)]
        {
            let headers: Vec<_> = coding.map(|coding| ("content-encoding", coding)).into_iter().collect();
            assert_eq!(is_coded(&answer(500, &headers).headers), coded, "{coding:?}");
        }
    }

    #[test]
    fn expresss_answer_to_options_is_what_repeats_allow() {
        for (allow, body, express) in [
            ("GET, HEAD", "GET, HEAD", true),
            ("GET,HEAD", "GET,HEAD", true),
            ("GET, HEAD", "We read here.", false),
        ] {
            let shown = shown(&answer(200, &[("allow", allow)]), body.as_bytes());
            assert_eq!(shown.is_some(), express, "{allow}: {body}");
        }
    }

    #[test]
    fn settings_parse_on_the_way_in() {
        for (text, errors) in [
            ("", Errors::in_front()),
            ("pass_compressed = true", Errors::default().pass_compressed()),
            ("pass_compressed = false", Errors::default()),
        ] {
            assert_eq!(toml::from_str::<Errors>(text).unwrap(), errors, "{text}");
        }
        let error = toml::from_str::<Errors>("pass_gzip = true").unwrap_err().to_string();
        assert!(error.contains("unknown field `pass_gzip`"), "{error}");
    }

    #[test]
    fn any_bytes_are_judged() {
        proptest::proptest!(|(body: Vec<u8>, pieces in proptest::collection::vec(0..PIECES.len(), 0..40))| {
            let crafted: Vec<u8> = pieces.iter().flat_map(|piece| PIECES[*piece].bytes()).collect();
            for body in [body, crafted] {
                let _ = shown(&answer(500, &[]), &body);
            }
        });
    }

    /// What marks and pages are made of, in any order.
    const PIECES: [&str; 22] = [
        "at ",
        "/a.js",
        ":",
        "1",
        "File ",
        ", line ",
        ", in ",
        ".java:",
        "(",
        ")",
        "goroutine ",
        " [",
        ".php",
        "in ",
        "\n",
        "<br>",
        "&nbsp;",
        "\\",
        "\"",
        "Cannot GET /",
        "{\"timestamp\":",
        "ORA-",
    ];
}
