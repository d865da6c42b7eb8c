//! Whether a login succeeded, told from the app's answer.
//!
//! | answer | outcome |
//! |---|---|
//! | one of the route's own [`Signs`] | failure |
//! | 401 | failure |
//! | 400, 403, 422 | failure; no guess where the page says that its CSRF token was stale |
//! | 419 | no guess: Laravel's stale token |
//! | a redirect back to the form, or that says `error` | failure |
//! | a redirect to the page before, or from `/` to `/` | success where it sets a session, else unclear: many forms stand on any page and lead back to it, and only that tells |
//! | a redirect elsewhere | success |
//! | a page with a password field | failure |
//! | a page that could not be read | unclear |
//! | JSON that says `"success": false`, `"error": …` or the like | failure |
//! | a few words, in JSON or alone, that the password was wrong | failure |
//! | another 2xx | success |
//! | 404, 409, 500 and words that the password was wrong | failure |
//! | all else: 404, 405, 429, 5xx | unclear |
//!
//! A success is sure where a session cookie is set that the visitor had not, or JSON holds a token.
//!
//! **Stops** an attacker who has a part in the answer: a new session cookie makes no success of a 4xx, since
//! express-session by its defaults (`saveUninitialized: true`) gives one to every visitor without cookies, and so to
//! every guess; a page that says what the request said proves no stale token. **Leaves** apps whose failure looks like
//! others' success, such as a redirect to the front page, or a sentence in a language that is not known here: name the
//! route and its signs.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HOST, LOCATION, REFERER, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use url::Url;

use super::answer::{has_password_field, has_wrong, said_in_json, says_wrong};
use super::redirect::{Led, led, resolved};
use super::{Signs, forgery};
use crate::cookie_header;
use crate::practices::cookies::SetCookie;
use crate::practices::cookies::session::{is_session, signs};

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The password was wrong.
    Failure,
    /// It was right, as far as can be seen.
    Success {
        /// Whether the answer gives the visitor something to be known by: a session, a token.
        sure: bool,
    },
    /// The answer does not say.
    Unclear,
    /// The password was not looked at.
    NoGuess,
}

/// What is remembered of a request that brings a password until its answer comes. No password is.
#[derive(Clone, Default)]
pub struct Asked {
    pub(super) path: String,
    /// The host that the visitor asked for, without its port.
    pub(super) host: Option<String>,
    /// The path of the page before, where it is of the same host.
    pub(super) referer: Option<String>,
    /// The `Cookie` fields, as the app gets them.
    pub(super) cookies: HeaderMap,
    pub(super) could_be_echoed: bool,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Asked {
    /// `request` as the app gets it, with its own names of cookies; `body`: all of it, or what is there.
    #[must_use]
    pub fn of(request: &Parts, body: &[u8]) -> Self {
        let host = request.uri.host().map(ToOwned::to_owned).or_else(|| {
            let host = request.headers.get(HOST)?.to_str().ok()?;
            Url::parse(&format!("http://{host}")).ok()?.host_str().map(ToOwned::to_owned)
        });
        let referer =
            request.headers.get(REFERER).and_then(|referer| Url::parse(referer.to_str().ok()?).ok());
        let referer = referer
            .filter(|referer| match (referer.host_str(), &host) {
                (Some(referer), Some(host)) => referer.eq_ignore_ascii_case(host),
                _ => false,
            })
            .map(|referer| referer.path().to_owned());
        let cookies = request.headers.get_all(COOKIE).iter().map(|field| (COOKIE, field.clone())).collect();
        Self {
            path: request.uri.path().to_owned(),
            host,
            referer,
            cookies,
            could_be_echoed: forgery::could_be_echoed(request, body),
        }
    }

    /// Whether an answer gives the visitor a session that he did not show.
    fn is_given_a_session(&self, answer: &HeaderMap) -> bool {
        let lines = || answer.get_all(SET_COOKIE).iter().filter_map(|line| SetCookie::parse(line.as_bytes()));
        lines().any(|cookie| {
            let is_signed = lines().any(|other| signs(other.name()) == Some(cookie.name()));
            let is_as_shown = || {
                cookie_header::pairs(&self.cookies)
                    .any(|shown| shown.name() == cookie.name() && shown.value() == cookie.value())
            };
            is_session(&cookie, is_signed) && !is_removal(&cookie) && !is_as_shown()
        })
    }
}

/// How many bytes of the answer's body are needed to tell; `None`: none of them.
#[must_use]
pub fn wants_page(signs: &Signs, status: StatusCode, headers: &HeaderMap) -> Option<usize> {
    let kind = Kind::of(headers);
    let is_named = signs.are_in_the_page() && kind != Kind::Other;
    match (status.as_u16(), kind) {
        _ if kind == Kind::Compressed => None,
        _ if is_named => Some(LONGEST_PAGE),
        (200..=299, Kind::Page) => Some(LONGEST_PAGE),
        (200..=299, Kind::Json | Kind::Text)
        | (400 | 403 | 404 | 409 | 422 | 500, Kind::Page | Kind::Json | Kind::Text) => Some(LONGEST_NOTE),
        _ => None,
    }
}

/// Tells by the table above. `page`: the beginning of the body, where [`wants_page`] asked for it and it could be read.
#[must_use]
pub fn of(
    asked: &Asked,
    signs: &Signs,
    status: StatusCode,
    headers: &HeaderMap,
    page: Option<&[u8]>,
) -> Outcome {
    let location = headers.get(LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()));
    let sets_session = asked.is_given_a_session(headers);
    let led_to = spellings(asked, location.as_deref());
    if signs.are_in(status, &led_to, page, sets_session) {
        return Outcome::Failure;
    }
    let success = Outcome::Success { sure: sets_session };
    match status.as_u16() {
        401 => Outcome::Failure,
        400 | 403 | 422 if is_stale(asked, page) => Outcome::NoGuess,
        400 | 403 | 422 => Outcome::Failure,
        419 => Outcome::NoGuess,
        301 | 302 | 303 | 307 | 308 if signs.settle(status) => success,
        301 | 302 | 303 | 307 | 308 => match location.map(|to| led(asked, &to)) {
            Some(Led::Back) => Outcome::Failure,
            Some(Led::On) => success,
            Some(Led::ToWhereHeWas) if sets_session => Outcome::Success { sure: false },
            Some(Led::ToWhereHeWas | Led::Nowhere) | None => Outcome::Unclear,
        },
        // A text that is looked for and cannot be read may be there.
        200..=299 if signs.are_in_the_page() && page.is_none() => Outcome::Unclear,
        200..=299 if signs.settle(status) => success,
        200..=299 => of_page(Kind::of(headers), page, sets_session),
        // `throw new Error('Invalid password')`, and `No such user`.
        404 | 409 | 500 if page.is_some_and(has_wrong) => Outcome::Failure,
        _ => Outcome::Unclear,
    }
}

fn of_page(kind: Kind, page: Option<&[u8]>, sets_session: bool) -> Outcome {
    match (kind, page) {
        (Kind::Page, Some(page)) if has_password_field(page) => Outcome::Failure,
        (Kind::Json, Some(page)) => {
            let said = said_in_json(page);
            if said.failed {
                Outcome::Failure
            } else {
                Outcome::Success { sure: sets_session || said.has_token }
            }
        }
        (Kind::Page | Kind::Text, Some(page)) if says_wrong(page) => Outcome::Failure,
        (Kind::Page | Kind::Json | Kind::Compressed, None) => Outcome::Unclear,
        _ => Outcome::Success { sure: sets_session },
    }
}

fn is_stale(asked: &Asked, page: Option<&[u8]>) -> bool {
    let page = page.map(|page| page.get(..LONGEST_NOTE).unwrap_or(page));
    !asked.could_be_echoed && page.is_some_and(|page| forgery::says_stale(page) && !has_password_field(page))
}

/// All that an operator may have written for where an answer leads.
fn spellings(asked: &Asked, location: Option<&str>) -> Vec<String> {
    let Some(location) = location else { return Vec::new() };
    let mut spellings = vec![location.to_owned()];
    if let Some(to) = resolved(asked, location) {
        let query = to.query().map(|query| format!("?{query}")).unwrap_or_default();
        spellings.extend([to.path().to_owned(), format!("{}{query}", to.path()), to.to_string()]);
    }
    spellings
}

/// Whether a line takes a cookie away.
fn is_removal(cookie: &SetCookie<'_>) -> bool {
    let is_past = |age: &[u8]| age == b"0" || age.starts_with(b"-");
    let is_ancient = |expires: &[u8]| expires.windows(4).any(|year| year == b"1970");
    cookie.value().is_empty()
        || cookie.attribute("max-age").is_some_and(is_past)
        || cookie.attribute("expires").is_some_and(is_ancient)
}

/// What an answer's body is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// HTML, or untold: browsers look.
    Page,
    Json,
    Text,
    Compressed,
    Other,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Self {
        let is_plain = |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
        let declared = headers.get(CONTENT_TYPE).map_or(&b"text/html"[..], |kind| kind.as_bytes());
        let media = declared.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let media = media.to_ascii_lowercase();
        let kind = match &*media {
            b"text/html" | b"application/xhtml+xml" => Self::Page,
            b"text/event-stream" => Self::Other,
            media if media.ends_with(b"json") => Self::Json,
            media if media.starts_with(b"text/") => Self::Text,
            _ => Self::Other,
        };
        let codings = headers.get_all(CONTENT_ENCODING).iter();
        let is_compressed = !codings.map(|coding| coding.as_bytes().trim_ascii()).all(is_plain);
        match kind {
            Self::Page | Self::Json | Self::Text if is_compressed => Self::Compressed,
            kind => kind,
        }
    }
}

/// A form stands within the first of a page, behind its styles. In bytes.
const LONGEST_PAGE: usize = 64 * 1024;

/// What an error or an API says is short. In bytes.
const LONGEST_NOTE: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Request};

    use super::*;

    const FAILURE: Outcome = Outcome::Failure;
    const SUCCESS: Outcome = Outcome::Success { sure: false };
    const SURE: Outcome = Outcome::Success { sure: true };
    const UNCLEAR: Outcome = Outcome::Unclear;
    const NO_GUESS: Outcome = Outcome::NoGuess;

    const HTML: &str = "content-type: text/html; charset=utf-8";
    const JSON: &str = "content-type: application/json";
    const FORM_AGAIN: &str = "<form><input name=p type=password></form>";

    /// Lines of a head.
    fn headers(lines: &[&str]) -> HeaderMap {
        let fields = lines.iter().map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap())
        });
        fields.collect()
    }

    fn asked(path: &str, lines: &[&str], body: &str) -> Asked {
        let (mut request, ()) = Request::post(path).body(()).unwrap().into_parts();
        request.headers = headers(lines);
        request.headers.insert(HOST, HeaderValue::from_static("shop.example:8443"));
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        Asked::of(&request, body.as_bytes())
    }

    /// The answer as the practice would see it: with its page only where that is wanted.
    fn told(asked: &Asked, signs: &Signs, status: u16, lines: &[&str], page: &str) -> Outcome {
        let (status, headers) = (StatusCode::from_u16(status).unwrap(), headers(lines));
        let page = wants_page(signs, status, &headers)
            .map(|most| page.as_bytes().get(..most).unwrap_or(page.as_bytes()));
        of(asked, signs, status, &headers, page)
    }

    #[test]
    fn an_answer_tells_how_a_login_ended() {
        let asked = asked(
            "/enter",
            &["cookie: connect.sid=s%3Aold", "referer: https://shop.example/shoes"],
            "username=tim&password=x",
        );
        let late = format!("{}{FORM_AGAIN}", "x".repeat(60_000));
        let too_late = format!("{}{FORM_AGAIN}", "x".repeat(70_000));
        for (status, lines, page, expected) in [
            (401, &["set-cookie: connect.sid=s%3Anew"][..], "", FAILURE),
            (400, &["set-cookie: connect.sid=s%3Anew"], "", FAILURE),
            (403, &[HTML], "no", FAILURE),
            (422, &[JSON], r#"{"error":"no"}"#, FAILURE),
            (403, &[HTML], "ForbiddenError: invalid csrf token", NO_GUESS),
            (403, &[JSON], r#"{"code":"EBADCSRFTOKEN"}"#, NO_GUESS),
            (403, &[HTML, "content-encoding: gzip"], "invalid csrf token", FAILURE),
            (403, &[HTML], &format!("invalid csrf token {FORM_AGAIN}"), FAILURE),
            (403, &[HTML], &format!("{}invalid csrf token", " ".repeat(9_000)), FAILURE),
            (419, &[HTML], "Page Expired", NO_GUESS),
            (302, &["location: /login"], "", FAILURE),
            (303, &["location: https://shop.example/enter/"], "", FAILURE),
            (302, &["location: /welcome?error=1"], "", FAILURE),
            (302, &["location: /login", "set-cookie: connect.sid=s%3Anew"], "", FAILURE),
            (302, &["location: /account"], "", SUCCESS),
            (302, &["location: /account", "set-cookie: connect.sid=s%3Anew; HttpOnly"], "", SURE),
            (302, &["location: /account", "set-cookie: connect.sid=s%3Aold"], "", SUCCESS),
            (302, &["location: /account", "set-cookie: connect.sid=; Max-Age=0"], "", SUCCESS),
            (
                302,
                &["location: /account", "set-cookie: sid=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT"],
                "",
                SUCCESS,
            ),
            (302, &["location: /account", "set-cookie: theme=dark"], "", SUCCESS),
            (302, &["location: /account", "set-cookie: user=tim", "set-cookie: user.sig=abc"], "", SURE),
            (302, &["location: /shoes"], "", UNCLEAR),
            (302, &["location: /shoes", "set-cookie: connect.sid=s%3Anew"], "", SUCCESS),
            (302, &[], "", UNCLEAR),
            (304, &[], "", UNCLEAR),
            (200, &[HTML], FORM_AGAIN, FAILURE),
            (200, &[], FORM_AGAIN, FAILURE),
            (200, &[HTML], &late, FAILURE),
            (200, &[HTML], &too_late, SUCCESS),
            (200, &[HTML, "set-cookie: connect.sid=s%3Anew"], FORM_AGAIN, FAILURE),
            (200, &[HTML], "welcome", SUCCESS),
            (200, &[HTML, "content-encoding: br"], "welcome", UNCLEAR),
            (200, &[JSON], "{\"user\":1}", SUCCESS),
            (200, &[JSON], r#"{"token":"eyJhbGciOi"}"#, SURE),
            (200, &[JSON, "content-encoding: br"], "{}", UNCLEAR),
            (200, &[JSON], r#"{"success":false}"#, FAILURE),
            (200, &["content-type: text/plain"], FORM_AGAIN, SUCCESS),
            (200, &["content-type: text/plain"], "Wrong password", FAILURE),
            (200, &[HTML, "set-cookie: connect.sid=s%3Anew"], "Incorrect Username and/or Password!", FAILURE),
            (200, &[JSON], r#"{"message":"Invalid credentials"}"#, FAILURE),
            (204, &["set-cookie: session=1"], "", SURE),
            (404, &[HTML], FORM_AGAIN, UNCLEAR),
            (404, &[JSON], r#"{"message":"User not found"}"#, FAILURE),
            (404, &[JSON], r#"{"message":"Not found"}"#, UNCLEAR),
            (500, &[HTML], &format!("<pre>Error: Invalid password<br>{}", "at x".repeat(900)), FAILURE),
            (405, &[], "", UNCLEAR),
            (429, &[], "", UNCLEAR),
            (500, &[HTML], "invalid csrf token", UNCLEAR),
        ] {
            let shown = page.get(..60).unwrap_or(page);
            assert_eq!(
                told(&asked, &Signs::default(), status, lines, page),
                expected,
                "{status} {lines:?} {shown}"
            );
        }
    }

    #[test]
    fn an_echo_proves_no_stale_token() {
        let stale = |body| {
            let asked = asked("/login", &[], body);
            told(&asked, &Signs::default(), 403, &[HTML], "no user `invalid csrf token`")
        };
        assert_eq!(stale("_csrf=4f9c&username=tim&password=x"), NO_GUESS);
        assert_eq!(stale("username=invalid+csrf+token&password=x"), FAILURE);
    }

    #[test]
    fn a_routes_own_signs_settle_what_they_speak_of() {
        let asked = asked("/enter", &[], "username=tim&password=x");
        let signs = Signs::default;
        let new = "set-cookie: connect.sid=s%3Anew";
        for (signs, status, lines, page, expected) in [
            (signs().status(200).unwrap(), 200, &[HTML][..], "welcome", FAILURE),
            (signs().status(200).unwrap(), 302, &["location: /login"], "", FAILURE),
            (signs().status(200).unwrap(), 302, &["location: /account"], "", SUCCESS),
            (signs().status(200).unwrap(), 204, &[], "", SUCCESS),
            (signs().status(500).unwrap(), 500, &[], "", FAILURE),
            (signs().redirect("/").unwrap(), 302, &["location: /"], "", FAILURE),
            (signs().redirect("/").unwrap(), 302, &["location: https://shop.example"], "", FAILURE),
            (signs().redirect("/").unwrap(), 302, &["location: /enter"], "", SUCCESS),
            (signs().redirect("/").unwrap(), 200, &[HTML], FORM_AGAIN, FAILURE), // it speaks of redirects
            (signs().redirect("/sorry*").unwrap(), 302, &["location: /sorry?why=1"], "", FAILURE),
            (signs().redirect("/sorry*").unwrap(), 302, &["location: sorry"], "", FAILURE),
            (signs().body("Wrong").unwrap(), 200, &[HTML], "<p>Wrong", FAILURE),
            (signs().body("Wrong").unwrap(), 200, &[JSON], r#"{"message":"Wrong"}"#, FAILURE),
            (signs().body("Wrong").unwrap(), 200, &["content-type: text/plain"], "Wrong", FAILURE),
            (signs().body("Wrong").unwrap(), 200, &[HTML], FORM_AGAIN, SUCCESS), // it may change passwords
            (signs().body("Wrong").unwrap(), 200, &[HTML, "content-encoding: gzip"], "x", UNCLEAR),
            (signs().body("Wrong").unwrap(), 302, &["location: /login"], "", FAILURE),
            (signs().no_session_cookie(), 302, &["location: /account"], "", FAILURE),
            (signs().no_session_cookie(), 302, &["location: /enter", new], "", SURE),
            (signs().no_session_cookie(), 200, &[HTML, new], FORM_AGAIN, SURE),
            (signs().no_session_cookie(), 401, &[new], "", FAILURE),
            (signs().status(200).unwrap(), 403, &[HTML], "invalid csrf token", NO_GUESS),
            (signs().status(200).unwrap(), 401, &[], "", FAILURE),
            (signs().status(200).unwrap(), 503, &[], "", UNCLEAR),
        ] {
            assert_eq!(
                told(&asked, &signs, status, lines, page),
                expected,
                "{signs:?} {status} {lines:?} {page}"
            );
        }
    }

    #[test]
    fn only_what_is_needed_of_a_page_is_wanted() {
        let body = Signs::default().body("Wrong").unwrap();
        for (signs, status, lines, expected) in [
            (Signs::default(), 200, &[HTML][..], Some(LONGEST_PAGE)),
            (Signs::default(), 200, &[JSON], Some(LONGEST_NOTE)),
            (Signs::default(), 200, &["content-type: text/event-stream"], None),
            (Signs::default(), 200, &["content-type: image/png"], None),
            (Signs::default(), 200, &[HTML, "content-encoding: gzip"], None),
            (Signs::default(), 403, &["content-type: text/plain"], Some(LONGEST_NOTE)),
            (Signs::default(), 401, &[HTML], None),
            (Signs::default(), 302, &[HTML], None),
            (Signs::default(), 500, &[HTML], Some(LONGEST_NOTE)),
            (Signs::default(), 502, &[HTML], None),
            (body.clone(), 302, &[HTML], Some(LONGEST_PAGE)),
            (body.clone(), 200, &["content-type: text/event-stream"], None),
            (body, 200, &["content-type: text/plain"], Some(LONGEST_PAGE)),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(wants_page(&signs, status, &headers(lines)), expected, "{signs:?} {status} {lines:?}");
        }
    }

    #[test]
    fn nothing_of_the_visitor_is_shown() {
        let asked = asked("/login", &["cookie: sid=s3cret"], "username=tim&password=x");
        assert_eq!(format!("{asked:?}"), r#"Asked { path: "/login", .. }"#);
    }
}
