//! What a stranger asks, one row a question: what is sent, and how the answer is to be seen.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, REFERRER_POLICY, SERVER,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use panoply::Practice;

use super::visit::{Answer, Payload, Sight};

/// One row.
pub(super) struct Question {
    pub(super) practice: &'static str,
    pub(super) what: &'static str,
    /// How often it is asked; the last answer counts.
    pub(super) times: u32,
    pub(super) ask: fn() -> Request<Payload>,
    pub(super) judge: fn(&Answer) -> Sight,
}

/// In the order in which a request meets the practices.
pub(super) const QUESTIONS: [Question; 15] = [
    Question {
        practice: "tls", // of the gateway's, so not among the shield's
        what: "read along on the way",
        times: 1,
        ask: || get("/"),
        judge: |answer| match &answer.privacy {
            Some(privacy) => Sight::safe(privacy),
            None => Sight::exposed("all in the clear"),
        },
    },
    Question {
        practice: Practice::Hosts.name(),
        what: "call it evil.example",
        times: 1,
        ask: || with(get("/"), HOST, "evil.example"),
        judge: |answer| match answer.status {
            StatusCode::OK if answer.body.contains("http://evil.example/") => {
                Sight::exposed("200, and its links lead to evil.example")
            }
            status => refused(status),
        },
    },
    Question {
        practice: Practice::Limits.name(),
        what: "send a form of 11 MiB",
        times: 1,
        ask: || {
            let form = Payload::after(TIME_TO_REFUSE, vec![b'a'; 11 << 20].into());
            form_to("/review", form)
        },
        judge: |answer| refused(answer.status),
    },
    Question {
        practice: Practice::Limits.name(),
        what: "send a header of 32 KiB",
        times: 1,
        ask: || with(get("/"), HeaderName::from_static("x-padding"), &"a".repeat(32 << 10)),
        judge: |answer| refused(answer.status),
    },
    Question {
        practice: Practice::Csrf.name(),
        what: "fill a visitor's cart from another site's script",
        times: 1,
        ask: || {
            let request = form_to("/cart", Payload::at_once(Bytes::from_static(b"id=1")));
            let request = with(request, COOKIE, "connect.sid=s%3A00001000.bm90IGEgc2lnbmF0dXJl");
            let request = with(request, ORIGIN, "https://evil.example");
            // As `fetch(…, { mode: "no-cors", credentials: "include" })` sends it (Fetch Metadata).
            let request = with(request, HeaderName::from_static("sec-fetch-site"), "cross-site");
            let request = with(request, HeaderName::from_static("sec-fetch-mode"), "no-cors");
            with(request, HeaderName::from_static("sec-fetch-dest"), "empty")
        },
        judge: |answer| refused(answer.status),
    },
    Question {
        practice: Practice::BruteForce.name(),
        what: "guess a password fifty times",
        times: 50,
        ask: || {
            let form = Payload::at_once(Bytes::from_static(b"email=ann%40shop.example&password=guess"));
            form_to("/login", form)
        },
        judge: |answer| match answer.status {
            StatusCode::OK => Sight::exposed("200, and another guess is welcome"),
            status => refused(status),
        },
    },
    Question {
        practice: Practice::Redirects.name(),
        what: "link to it, and lead to evil.example",
        times: 1,
        ask: || get("/go?to=https://evil.example/"),
        judge: |answer| match answer.header(LOCATION) {
            Some(target) if target.contains("evil.example") => {
                Sight::exposed(format!("{} to {target}", answer.status.as_u16()))
            }
            _ => refused(answer.status),
        },
    },
    Question {
        practice: Practice::Cookies.name(),
        what: "read, steal or send the session cookie",
        times: 1,
        ask: || get("/"),
        judge: |answer| match answer.header(SET_COOKIE) {
            Some(cookie) => flags(cookie),
            None => Sight::exposed("no cookie at all"),
        },
    },
    Question {
        practice: Practice::Errors.name(),
        what: "ask for a page that is not there",
        times: 1,
        ask: || get("/nope"),
        judge: |answer| match answer.body.contains("<pre>Cannot GET ") {
            true => Sight::exposed("404, and Express's own page"),
            false => neutral(answer.status),
        },
    },
    Question {
        practice: Practice::Errors.name(),
        what: "make its code fail",
        times: 1,
        ask: || get("/product?id=99"),
        judge: |answer| match answer.body.split("at ").find(|frame| frame.starts_with("/srv/")) {
            Some(frame) => {
                let frame = frame.split('<').next().unwrap_or_default();
                Sight::exposed(format!("500, and a stack trace: {frame}"))
            }
            None => neutral(answer.status),
        },
    },
    Question {
        practice: Practice::Fingerprint.name(),
        what: "learn what it runs on",
        times: 1,
        ask: || get("/"),
        judge: |answer| {
            let powered_by = HeaderName::from_static("x-powered-by");
            match [powered_by, SERVER].map(|name| answer.header(name.clone()).map(|value| (name, value))) {
                [Some((name, value)), _] | [None, Some((name, value))] => {
                    Sight::exposed(format!("{name}: {value}"))
                }
                [None, None] => Sight::safe("it does not say"),
            }
        },
    },
    Question {
        practice: Practice::Headers.name(),
        what: "plant a plugin, or another base for its links",
        times: 1,
        ask: || get("/"),
        judge: |answer| match answer.header(CONTENT_SECURITY_POLICY) {
            Some(policy) if !(policy.contains("object-src") && policy.contains("base-uri")) => {
                Sight::exposed(policy)
            }
            _ => told(answer, CONTENT_SECURITY_POLICY),
        },
    },
    Question {
        practice: Practice::Headers.name(),
        what: "show it in a frame, under other buttons",
        times: 1,
        ask: || get("/"),
        judge: |answer| told(answer, X_FRAME_OPTIONS),
    },
    Question {
        practice: Practice::Headers.name(),
        what: "have an upload run as a script",
        times: 1,
        ask: || get("/"),
        judge: |answer| told(answer, X_CONTENT_TYPE_OPTIONS),
    },
    Question {
        practice: Practice::Headers.name(),
        what: "see which page a visitor came from",
        times: 1,
        ask: || get("/"),
        judge: |answer| told(answer, REFERRER_POLICY),
    },
];

fn get(target: &'static str) -> Request<Payload> {
    let mut request = Request::new(Payload::at_once(Bytes::new()));
    *request.uri_mut() = http::Uri::from_static(target);
    request
}

fn form_to(target: &'static str, form: Payload) -> Request<Payload> {
    let mut request = get(target).map(|_| form);
    *request.method_mut() = Method::POST;
    with(request, CONTENT_TYPE, "application/x-www-form-urlencoded")
}

fn with(mut request: Request<Payload>, name: HeaderName, value: &str) -> Request<Payload> {
    let value = HeaderValue::from_str(value).expect("what is asked here is written here, in visible ASCII");
    request.headers_mut().insert(name, value);
    request
}

/// A refusal is what should come; a redirect or an answer is not.
fn refused(status: StatusCode) -> Sight {
    if status.is_client_error() {
        Sight::safe(status.to_string())
    } else {
        Sight::exposed(status.to_string())
    }
}

/// An error page that tells nothing.
fn neutral(status: StatusCode) -> Sight {
    if status.is_success() {
        Sight::exposed(status.to_string())
    } else {
        Sight::safe(format!("{}, and nothing else", status.as_u16()))
    }
}

/// What keeps a cookie from scripts, from the wire, and from requests of other sites (RFC 6265bis §4.1.2).
fn flags(cookie: &str) -> Sight {
    let attributes: Vec<_> = cookie.split(';').skip(1).map(str::trim).collect();
    let has = |flag: &str| {
        attributes.iter().find(|attribute| {
            attribute.get(..flag.len()).is_some_and(|start| start.eq_ignore_ascii_case(flag))
        })
    };
    let found: Vec<_> = ["HttpOnly", "Secure", "SameSite="].into_iter().filter_map(has).copied().collect();
    match found.len() {
        0 => Sight::exposed("HttpOnly, Secure and SameSite are missing"),
        3 => Sight::safe(found.join("; ")),
        _ => Sight::exposed(format!("only {}", found.join("; "))),
    }
}

/// Whether browsers are told by the header of this name.
fn told(answer: &Answer, name: HeaderName) -> Sight {
    match answer.header(name.clone()) {
        Some(value) => Sight::safe(value),
        None => Sight::exposed(format!("no {name}")),
    }
}

/// How long a server may take to refuse a body by its length.
const TIME_TO_REFUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_practice_that_one_question_can_show_is_asked_about() {
        for practice in Practice::ALL {
            let asked = QUESTIONS.iter().any(|question| question.practice == practice.name());
            // A flood from this machine is none. Sessions are the app's own.
            assert_eq!(asked, !matches!(practice, Practice::RateLimit | Practice::Sessions), "{practice:?}");
        }
    }

    #[test]
    fn a_cookie_is_safe_with_all_three_flags() {
        for (cookie, safe, said) in [
            ("a=b; Path=/", false, "HttpOnly, Secure and SameSite are missing"),
            ("a=b; Path=/; secure", false, "only secure"),
            ("a=b;HttpOnly;Secure;SameSite=Lax", true, "HttpOnly; Secure; SameSite=Lax"),
            ("a=b; SameSite=Strict; secure; httponly", true, "httponly; secure; SameSite=Strict"),
            ("secure=httponly", false, "HttpOnly, Secure and SameSite are missing"),
            ("a=b; é", false, "HttpOnly, Secure and SameSite are missing"),
        ] {
            assert_eq!(flags(cookie), Sight { said: said.into(), safe }, "{cookie}");
        }
    }
}
