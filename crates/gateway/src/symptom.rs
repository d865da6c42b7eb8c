//! A login that is answered without its cookie: the app thinks it is spoken to in the clear.
//!
//! Behind any TLS terminator express-session drops a `secure` cookie without a word unless the app trusts the proxy
//! (cookie-session likewise), and its users are sent back to the login for ever. `panoply run` mends that itself;
//! `panoply serve` can only see it, and say what to write.

use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode, request};
use panoply::practices::brute_force::is_login;

/// A form that looks like a login, sent by a browser without any cookie.
#[derive(Debug)]
pub(crate) struct Login {
    path: String,
}

impl Login {
    /// Only forms: an API may answer a login with a token, and then a missing cookie says nothing.
    pub(crate) fn of(request: &request::Parts) -> Option<Self> {
        if request.method != Method::POST || request.headers.contains_key(COOKIE) {
            return None;
        }
        let form =
            request.headers.get(CONTENT_TYPE)?.as_bytes().starts_with(b"application/x-www-form-urlencoded");
        let path = request.uri.path();
        (form && is_login(path)).then(|| Self { path: path.to_owned() })
    }

    /// Whether it was welcomed (led elsewhere than back to the form) and yet got no cookie to show next time.
    fn lost_its_cookie(&self, status: StatusCode, answer: &HeaderMap) -> bool {
        let elsewhere = || {
            let location = answer.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or(&self.path);
            let to = location.split(['?', '#']).next().unwrap_or_default();
            !to.ends_with(&self.path)
        };
        matches!(status, StatusCode::FOUND | StatusCode::SEE_OTHER)
            && !answer.contains_key(SET_COOKIE)
            && elsewhere()
    }

    /// Says so, once a run: the mend is the same for all of them.
    pub(crate) fn check(&self, status: StatusCode, answer: &HeaderMap) {
        static SAID: AtomicBool = AtomicBool::new(false);
        if self.lost_its_cookie(status, answer) && !SAID.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                path = self.path,
                "a login was answered without a cookie: the app may be dropping it, since it does not know that its \
                 visitors use TLS\nhint: with Express, write `app.set('trust proxy', 'loopback')` (or the address of \
                 this gateway), or start the app with `panoply run -- …`, which needs no change"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_that_leads_on_without_a_cookie_is_noticed() {
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (method, path, header, status, answer, lost) in [
            ("POST", "/login", form, 302, ("location", "/account"), true),
            ("POST", "/users/Sign-In/", form, 303, ("location", "https://shop.example/"), true),
            ("POST", "/login", form, 302, ("location", "/login?failed=1"), false), // a wrong password
            ("POST", "/login", form, 302, ("set-cookie", "sid=1"), false),
            ("POST", "/login", form, 401, ("location", "/"), false),
            ("POST", "/login", form, 200, ("x-token", "1"), false),
            ("POST", "/login", ("content-type", "application/json"), 302, ("location", "/"), false),
            ("POST", "/login", ("cookie", "sid=1"), 302, ("location", "/"), false),
            ("POST", "/search", form, 302, ("location", "/"), false),
            ("GET", "/login", form, 302, ("location", "/"), false),
        ] {
            let request = http::Request::builder()
                .method(method)
                .uri(path)
                .header(header.0, header.1)
                .body(())
                .unwrap();
            let answer =
                http::Response::builder().status(status).header(answer.0, answer.1).body(()).unwrap();
            let noticed = Login::of(&request.into_parts().0)
                .is_some_and(|login| login.lost_its_cookie(answer.status(), answer.headers()));
            assert_eq!(noticed, lost, "{method} {path} {header:?} {status}");
        }
    }
}
