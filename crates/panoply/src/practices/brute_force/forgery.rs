//! Answers that say: your form was too old.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use http::header::COOKIE;
use http::request::Parts;
use percent_encoding::percent_decode;

use super::credentials::read;
use super::fields::Descent;

/// Whether a page says that the token against cross-site writes was missing or stale: the password was not looked at.
pub(super) fn says_stale(page: &[u8]) -> bool {
    PHRASES.is_match(page)
}

/// Whether a request has in it what could come back as such a page: an app that echoes a user name would else let
/// whoever is called `invalid csrf token` guess for ever.
///
/// A value, a header or the path needs only a word of it, since the app may say the others; a field's name has that
/// word in earnest, and must not have the phrase.
pub(super) fn could_be_echoed(request: &Parts, body: &[u8]) -> bool {
    let decoded = |text: &[u8]| {
        let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        percent_decode(&spaced).collect::<Vec<u8>>()
    };
    let query = request.uri.query();
    let mut found = WORDS.is_match(&decoded(request.uri.path().as_bytes()))
        || PHRASES.is_match(body)
        || PHRASES.is_match(&decoded(body))
        || PHRASES.is_match(&decoded(query.unwrap_or_default().as_bytes()))
        || request.headers.iter().any(|(name, value)| name != COOKIE && WORDS.is_match(value.as_bytes()));
    let _ = read(
        query,
        &request.headers,
        body,
        &Phrase(false),
        &mut |phrase: &Phrase, values: &[Cow<'_, str>]| {
            found |= phrase.0 || values.iter().any(|value| WORDS.is_match(&**value));
        },
    );
    found
}

/// Whether a name has a phrase in it.
#[derive(Clone, Copy)]
struct Phrase(bool);

impl Descent for Phrase {
    fn enter(&self, part: &str) -> Self {
        Self(self.0 || PHRASES.is_match(part))
    }
}

static PHRASES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    finder(&[
        "invalid csrf token", // csurf, csrf-csrf, Symfony
        "ebadcsrftoken",
        "csrf token mismatch", // lusca, Laravel
        "csrf token missing",
        "missing csrf",
        "csrf token invalid",
        "csrf verification failed", // Django
        "csrf token is missing",    // Flask-WTF
        "csrf session token is missing",
        "csrf token has expired",
        "csrf tokens do not match",
        "csrf token is invalid",
        "csrf protection",
        "invalidauthenticitytoken", // Rails
        "anti-forgery token",       // ASP.NET
        "antiforgery token",
        "misconfigured csrf",
    ])
});

/// One of them is in every phrase.
static WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| finder(&["csrf", "authenticitytoken", "forgery"]));

#[expect(clippy::expect_used, reason = "the words are above")]
fn finder(words: &[&str]) -> AhoCorasick {
    AhoCorasick::builder().ascii_case_insensitive(true).build(words).expect("a few words fit")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_stale_form_is_told_by_its_answer() {
        for (page, expected) in [
            ("<h1>ForbiddenError: invalid csrf token</h1>", true),
            (r#"{"code":"EBADCSRFTOKEN"}"#, true),
            ("CSRF verification failed. Request aborted.", true),
            ("ActionController::InvalidAuthenticityToken", true),
            ("invalid password", false),
            ("<input name=_csrf>", false),
            ("", false),
        ] {
            assert_eq!(says_stale(page.as_bytes()), expected, "{page}");
        }
    }

    #[test]
    fn what_the_visitor_said_himself_proves_nothing() {
        const FORM: &str = "application/x-www-form-urlencoded";
        const JSON: &str = "application/json";
        for (uri, kind, header, body, expected) in [
            ("/login", FORM, "", "_csrf=4f9c&username=tim&password=x", false),
            ("/login", JSON, "", r#"{"csrf_token":"4f9c","username":"tim"}"#, false),
            ("/login", FORM, "", "username=invalid+csrf+token&password=x", true),
            ("/login", FORM, "", "username=invalid+c%73rf&password=x", true),
            ("/login", FORM, "", "invalid%20csrf%20token=1&password=x", true),
            ("/login", JSON, "", r#"{"username":"invalid c\u0073rf token"}"#, true),
            ("/login", JSON, "", r#"{"invalid c\u0073rf token":1}"#, true),
            ("/login?e=invalid+csrf", FORM, "", "username=tim", true),
            ("/login/csrf", FORM, "", "username=tim", true),
            ("/login", FORM, "invalid csrf token", "username=tim", true),
            ("/login", "text/plain", "", "invalid csrf token", true),
        ] {
            let request = Request::post(uri).header("content-type", kind).header("user-agent", header);
            let (request, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(could_be_echoed(&request, body.as_bytes()), expected, "{uri} {body}");
        }
    }
}
