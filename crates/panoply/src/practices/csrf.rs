//! A page of another site makes a visitor's browser act here, with the visitor's cookies.
//!
//! **Stops** cross-site writes and cross-site WebSockets, told by three headers that no page can forge:
//! `Sec-Fetch-Site` (Fetch Metadata), else `Origin` (scheme included; `null` is foreign), else the origin of
//! `Referer`. A request with none of the three passes: browsers send at least one with every write, so it is
//! no browser's, and nothing was forged in a visitor's name. No token is needed in any form.
//!
//! **Leaves** scripts injected into our own pages (`headers` has the Content-Security-Policy); `GET`s that
//! write; client certificates, which a request's head does not show; what a router makes of `_method` in a
//! query, unless the method on the wire is a write too, which it is with Express's `method-override`.
//!
//! **Defaults.** In an app that panoply is part of, *every write* from another origin is refused, and every
//! WebSocket that carries credentials (without, it shows what anybody may see). `same-site` is another origin:
//! a sibling subdomain has other owners, other holes and other dangling DNS records.
//!
//! In front of an app that panoply does not know, fewer requests are refused, since each of these is daily
//! business of honest sites:
//! - Only requests with *ambient credentials*, which browsers add by themselves, are judged. Without them the
//!   other site's page can do no more than its own server could: public APIs, webhooks, beacons.
//! - What needed a CORS preflight passes: the app itself has allowed it to that origin.
//! - A form that takes the visitor here from another site is only observed: OAuth's `form_post`, SAML and 3-D
//!   Secure come like this. The classic attack looks the same, but the `SameSite=Lax` that `cookies` adds
//!   takes the session from it. Where a browser sends no Fetch Metadata (before 2023, or over plain http), a
//!   form in a hidden frame cannot be told from that; `SameSite` takes the session from it there as well.
//!   `text/plain` forms have no honest use and are refused.
//!
//! ```
//! use panoply::{Csrf, Exemption, Origin, Shield};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let csrf = Csrf::default()
//!     .trust("https://pay.example".parse::<Origin>()?)
//!     .exempt("/saml/acs".parse::<Exemption>()?); // checks the signature of what it gets
//! let shield = Shield::bare().csrf(csrf);
//! assert_eq!(shield.state(panoply::Practice::Csrf), ("on", "every write".to_owned()));
//! # Ok(())
//! # }
//! ```

mod cors;

use http::header::{AUTHORIZATION, COOKIE, ORIGIN, REFERER, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;

use crate::{Exemption, Origin, Policy, Practice, Rejection, Visit, origin};

/// Refuses writes that another site's page started, with 403.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Csrf {
    judges: Judges,
    trusted_origins: Vec<Origin>,
    exempt: Vec<Exemption>,
}

/// Which writes have to come from our own pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judges {
    /// All of them, and WebSockets with credentials. The default in an app that panoply is part of.
    #[default]
    EveryWrite,
    /// Those with credentials that browsers add by themselves, except what a CORS preflight has allowed;
    /// a form that takes the visitor here is only logged. The default in front of an unknown app.
    CredentialedWrites,
}

impl Csrf {
    /// Chooses which writes are judged.
    #[must_use]
    pub fn judges(mut self, judges: Judges) -> Self {
        self.judges = judges;
        self
    }

    /// Lets pages of `origin` write here too.
    #[must_use]
    pub fn trust(mut self, origin: Origin) -> Self {
        self.trusted_origins.push(origin);
        self
    }

    /// Lets every page write to this path; the app there has to know by itself who sent what it gets.
    #[must_use]
    pub fn exempt(mut self, path: Exemption) -> Self {
        self.exempt.push(path);
        self
    }

    /// Refuses what a foreign page started.
    pub(crate) fn admit(&self, visit: &Visit, request: &Parts) -> Result<(), Rejection> {
        if !self.is_judged(request) {
            return Ok(());
        }
        let Some(page) = self.foreign_page(visit, &request.headers) else { return Ok(()) };
        let rejection = || Rejection::by(Practice::Csrf, StatusCode::FORBIDDEN, reason(page, request));
        match self.judges {
            Judges::EveryWrite => Err(rejection()),
            Judges::CredentialedWrites if is_upgrade(request) => Err(rejection()),
            Judges::CredentialedWrites if cors::needed_preflight(request) => Ok(()),
            Judges::CredentialedWrites if cors::is_form_of_a_page(request) => {
                Err(rejection().only_observed())
            }
            Judges::CredentialedWrites => Err(rejection()),
        }
    }

    fn is_judged(&self, request: &Parts) -> bool {
        // Not `Method::is_safe`: for that, TRACE is safe, though it sends credentials back.
        let writes = !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let judged = match self.judges {
            _ if is_upgrade(request) => has_ambient_credentials(&request.headers),
            Judges::EveryWrite => writes,
            Judges::CredentialedWrites => writes && has_ambient_credentials(&request.headers),
        };
        judged && !self.exempt.iter().any(|path| path.covers(request.uri.path()))
    }

    /// The foreign page that started this, as far as it is named; `None` where it was one of ours, or no page.
    fn foreign_page<'r>(&self, visit: &Visit, headers: &'r HeaderMap) -> Option<Page<'r>> {
        let may_write = |origin: &[u8]| self.trusted_origins.iter().any(|trusted| trusted.is(origin));
        let origin = said(headers, &ORIGIN);
        if let Some(site) = said(headers, &SEC_FETCH_SITE) {
            // Ours, or the visitor's own doing: a bookmark, the address bar.
            let ours = matches!(site, b"same-origin" | b"none") || origin.is_some_and(may_write);
            return (!ours).then_some(Page(origin));
        }
        let origin = origin.or_else(|| said(headers, &REFERER).map(origin::of_url))?;
        let ours = origin::is_own(visit, origin) || may_write(origin);
        (!ours).then_some(Page(Some(origin)))
    }
}

impl Policy for Csrf {
    const PRACTICE: Practice = Practice::Csrf;

    fn in_front() -> Self {
        Self::default().judges(Judges::CredentialedWrites)
    }

    fn summary(&self) -> String {
        match self.judges {
            Judges::EveryWrite => "every write".to_owned(),
            Judges::CredentialedWrites => "writes with credentials".to_owned(),
        }
    }
}

/// A page of another origin, by that name.
#[derive(Clone, Copy, Debug)]
struct Page<'r>(Option<&'r [u8]>);

/// For the log: enough to write the line of `trusted_origins` that is missing.
fn reason(Page(origin): Page<'_>, request: &Parts) -> String {
    let what = if is_upgrade(request) { "WebSocket" } else { request.method.as_str() };
    match origin {
        None => format!("a page of another site started this {what}"),
        Some(b"null") => format!("a page that hides its origin (`null`) started this {what}"),
        Some(origin) => {
            let shown = origin.get(..LONGEST_NAME).unwrap_or(origin).escape_ascii();
            format!("a page of {shown} started this {what}")
        }
    }
}

/// A WebSocket's handshake: an upgrade in HTTP/1.1 (RFC 6455 §4.1), an extended CONNECT in HTTP/2 (RFC 8441).
/// Browsers let any page open one anywhere, cookies included, and ask nobody before.
fn is_upgrade(request: &Parts) -> bool {
    let asks_for_websocket = || {
        request.headers.get_all(UPGRADE).iter().any(|value| {
            let mut protocols = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            protocols.any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        })
    };
    request.method == Method::CONNECT || (request.method == Method::GET && asks_for_websocket())
}

/// Whether there are credentials that browsers add by themselves, whoever's page it is.
fn has_ambient_credentials(headers: &HeaderMap) -> bool {
    headers.contains_key(COOKIE)
        || headers.get_all(AUTHORIZATION).iter().any(|value| {
            let scheme = value.as_bytes().trim_ascii().split(|byte| *byte == b' ').next().unwrap_or_default();
            AMBIENT_SCHEMES.iter().any(|ambient| scheme.eq_ignore_ascii_case(ambient.as_bytes()))
        })
}

/// What a header says; one that is empty says nothing.
fn said<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    headers.get(name).map(HeaderValue::as_bytes).filter(|value| !value.is_empty())
}

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Schemes whose credentials browsers remember and send again; `Bearer` and its kin come from scripts only.
const AMBIENT_SCHEMES: [&str; 4] = ["Basic", "Digest", "Negotiate", "NTLM"];

/// How many bytes of an origin the log shows; a DNS name has at most 253 (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 272;

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::{Connection, RequestId, Scheme, TrustedProxies};

    #[derive(Debug, PartialEq)]
    enum Verdict {
        Admitted,
        Observed,
        Refused,
    }
    use Verdict::{Admitted, Observed, Refused};

    /// `request` as method and path, then lines of headers; it comes over https to us.example.
    fn verdict(csrf: &Csrf, request: &str) -> Verdict {
        verdict_over(Scheme::Https, csrf, request)
    }

    fn verdict_over(scheme: Scheme, csrf: &Csrf, request: &str) -> Verdict {
        let mut lines = request.split(" | ");
        let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path).header("host", "us.example");
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
            request = request.header(name, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let connection = Connection { scheme, ..Connection::unknown() };
        let (client, scheme) = TrustedProxies::default().client(&connection, &parts.headers);
        match csrf.admit(&Visit::new(&parts, connection, client, scheme, RequestId(0)), &parts) {
            Ok(()) => Admitted,
            Err(rejection) => {
                assert_eq!(
                    (rejection.status(), rejection.practice()),
                    (StatusCode::FORBIDDEN, Some(Practice::Csrf))
                );
                if rejection.only_observed { Observed } else { Refused }
            }
        }
    }

    #[test]
    fn the_first_of_three_headers_that_is_there_decides() {
        for (request, expected) in [
            // Sec-Fetch-Site
            ("POST / | sec-fetch-site: same-origin", Admitted),
            ("POST / | sec-fetch-site: none", Admitted),
            ("POST / | sec-fetch-site: cross-site", Refused),
            ("POST / | sec-fetch-site: same-site", Refused), // a sibling subdomain is not us
            ("POST / | sec-fetch-site: Same-Origin", Refused), // no browser's spelling
            ("POST / | sec-fetch-site: same-origin | origin: https://us.example", Admitted),
            ("POST / | sec-fetch-site: same-origin | origin: null", Admitted), // Referrer-Policy: no-referrer
            ("POST / | sec-fetch-site: cross-site | origin: https://us.example", Refused),
            // Origin
            ("POST / | origin: https://us.example", Admitted),
            ("POST / | origin: http://us.example", Refused), // the scheme is part of it
            ("POST / | origin: https://us.example:8443", Refused),
            ("POST / | origin: https://evil.us.example", Refused),
            ("POST / | origin: https://us.example.evil.example", Refused),
            ("POST / | origin: null", Refused), // a sandboxed frame
            ("POST / | origin: null | referer: https://us.example/", Refused),
            ("POST / | origin: https://us.example | referer: https://evil.example/", Admitted),
            ("POST / | origin: chrome-extension://abcdef", Refused),
            // Referer
            ("POST / | referer: https://us.example/form?x", Admitted),
            ("POST / | referer: https://evil.example/https://us.example/", Refused),
            ("POST / | referer: http://us.example/", Refused),
            ("POST / | referer: https://us.example.evil.example/", Refused),
            ("POST / | referer: https://us.example@evil.example/", Refused),
            // none of the three: no browser
            ("POST /", Admitted),
            ("POST / | cookie: sid=1", Admitted),
            ("POST / | origin: | referer:", Admitted),
        ] {
            assert_eq!(verdict(&Csrf::default(), request), expected, "{request}");
        }
    }

    #[test]
    fn in_an_app_of_ours_every_write_is_judged() {
        for (request, expected) in [
            ("GET / | sec-fetch-site: cross-site | cookie: sid=1", Admitted), // a link
            ("HEAD / | sec-fetch-site: cross-site", Admitted),
            ("OPTIONS / | origin: https://evil.example", Admitted), // a CORS preflight
            ("TRACE / | origin: https://evil.example", Refused),
            ("POST / | origin: https://evil.example", Refused),
            ("PUT / | origin: https://evil.example", Refused),
            ("PATCH / | origin: https://evil.example", Refused),
            ("DELETE / | origin: https://evil.example", Refused),
            ("PURGE / | origin: https://evil.example", Refused),
            ("POST / | origin: https://evil.example | upgrade: websocket", Refused),
            ("POST / | origin: https://evil.example | content-type: application/json", Refused),
        ] {
            assert_eq!(verdict(&Csrf::default(), request), expected, "{request}");
        }
    }

    #[test]
    fn a_websocket_with_credentials_is_for_our_pages_alone() {
        for csrf in [Csrf::default(), Csrf::in_front()] {
            for (request, expected) in [
                ("GET / | upgrade: websocket | origin: https://evil.example | cookie: sid=1", Refused),
                ("GET / | upgrade: h2c, WebSocket | origin: https://evil.example | cookie: sid=1", Refused),
                (
                    "GET / | upgrade: websocket | origin: https://evil.example | authorization: Basic eA==",
                    Refused,
                ),
                ("GET / | upgrade: websocket | origin: https://evil.example", Admitted), // a public feed
                ("GET / | upgrade: websocket | origin: https://us.example | cookie: sid=1", Admitted),
                ("POST / | upgrade: websocket | origin: https://evil.example | cookie: sid=1", Refused), // a write
                ("GET / | upgrade: websocket | cookie: sid=1", Admitted), // no browser
                ("GET / | upgrade: h2c | origin: https://evil.example | cookie: sid=1", Admitted),
                ("CONNECT us.example:443 | origin: https://evil.example | cookie: sid=1", Refused),
                ("CONNECT us.example:443 | origin: https://evil.example", Admitted),
                ("CONNECT us.example:443 | origin: https://us.example | cookie: sid=1", Admitted),
            ] {
                assert_eq!(verdict(&csrf, request), expected, "{request} {csrf:?}");
            }
        }
    }

    #[test]
    fn in_front_of_an_unknown_app_only_ambient_credentials_are_guarded() {
        for (credentials, expected) in [
            ("cookie: sid=1", Refused),
            ("authorization: Basic dXM6dXM=", Refused),
            ("authorization: basic dXM6dXM=", Refused),
            ("authorization: Negotiate YII=", Refused),
            ("authorization: NTLM TlRM", Refused),
            ("authorization: Digest username=\"u\"", Refused),
            ("authorization: Bearer abc", Admitted), // a script sent it, with a token it knows
            ("x-api-key: abc", Admitted),
            ("accept: */*", Admitted),
        ] {
            let request = format!("POST / | sec-fetch-site: cross-site | {credentials}");
            assert_eq!(verdict(&Csrf::in_front(), &request), expected, "{request}");
        }
    }

    #[test]
    fn in_front_of_an_unknown_app_foreign_pages_may_do_what_honest_sites_do() {
        const FORM: &str = "content-type: application/x-www-form-urlencoded";
        for (headers, expected) in [
            // its preflight was answered by the app
            ("sec-fetch-mode: cors | content-type: application/json", Admitted),
            ("content-type: application/json", Admitted),
            // a fetch that needs no preflight
            (&format!("sec-fetch-mode: cors | sec-fetch-dest: empty | {FORM}"), Refused),
            ("sec-fetch-mode: no-cors | sec-fetch-dest: empty | content-type: text/plain", Refused),
            // a form that takes the visitor here: OAuth form_post, SAML, 3-D Secure
            (&format!("sec-fetch-mode: navigate | sec-fetch-dest: document | {FORM}"), Observed),
            // a form in a frame, and one without an honest use
            (&format!("sec-fetch-mode: navigate | sec-fetch-dest: iframe | {FORM}"), Refused),
            ("sec-fetch-mode: navigate | sec-fetch-dest: document | content-type: text/plain", Refused),
        ] {
            for site in ["sec-fetch-site: cross-site", "sec-fetch-site: same-site"] {
                let request =
                    format!("POST / | cookie: sid=1 | {site} | origin: https://idp.example | {headers}");
                assert_eq!(verdict(&Csrf::in_front(), &request), expected, "{request}");
            }
        }
        // Without Fetch Metadata a form is a form.
        let old = format!("POST / | cookie: sid=1 | origin: https://idp.example | {FORM}");
        assert_eq!(verdict(&Csrf::in_front(), &old), Observed);
        let own = format!("POST / | cookie: sid=1 | origin: https://us.example | {FORM}");
        assert_eq!(verdict(&Csrf::in_front(), &own), Admitted);
    }

    #[test]
    fn trusted_origins_and_exempt_paths_match_exactly() {
        let csrf = Csrf::default()
            .trust("https://pay.example".parse().unwrap())
            .exempt("/saml/acs".parse().unwrap());
        for (request, expected) in [
            ("POST / | sec-fetch-site: cross-site | origin: https://pay.example", Admitted),
            ("POST / | origin: https://pay.example", Admitted),
            ("POST / | referer: https://pay.example/done", Admitted),
            ("POST / | origin: http://pay.example", Refused),
            ("POST / | origin: https://www.pay.example", Refused),
            ("POST / | sec-fetch-site: cross-site | referer: https://pay.example/", Refused),
            ("POST /saml/acs | origin: https://idp.example", Admitted),
            ("POST /saml/acs?a=b | origin: https://idp.example", Admitted),
            ("POST /saml/acs/ | origin: https://idp.example", Refused),
            ("POST /SAML/acs | origin: https://idp.example", Refused),
            ("POST /saml/%61cs | origin: https://idp.example", Refused),
            ("POST /saml/acs/../../admin | origin: https://idp.example", Refused),
            ("GET /saml/acs | upgrade: websocket | cookie: a=b | origin: https://idp.example", Admitted),
        ] {
            assert_eq!(verdict(&csrf, request), expected, "{request}");
        }
    }

    #[test]
    fn behind_an_undeclared_tls_terminator_our_pages_are_ours() {
        for (origin, expected) in [
            ("https://us.example", Admitted),
            ("http://us.example", Admitted),
            ("https://evil.example", Refused),
        ] {
            let request = format!("GET / | upgrade: websocket | cookie: sid=1 | origin: {origin}");
            assert_eq!(verdict_over(Scheme::Http, &Csrf::in_front(), &request), expected, "{origin}");
        }
    }

    #[test]
    fn the_log_names_the_page_and_cannot_be_written_by_it() {
        let (parts, ()) = Request::post("/").body(()).unwrap().into_parts();
        for (origin, logged) in [
            (Some(&b"https://evil.example"[..]), "a page of https://evil.example started this POST"),
            (Some(b"null"), "a page that hides its origin (`null`) started this POST"),
            (Some(b"\x1b[2J\xff"), "a page of \\x1b[2J\\xff started this POST"),
            (None, "a page of another site started this POST"),
        ] {
            assert_eq!(reason(Page(origin), &parts), logged);
        }
        assert!(reason(Page(Some(&[b'a'; 60_000])), &parts).len() < 400);
    }

    #[test]
    fn a_table_of_settings_starts_from_the_gateways_defaults() {
        for (toml, csrf) in [
            ("", Csrf::in_front()),
            ("judges = 'every_write'", Csrf::default()),
            (
                "trusted_origins = ['https://pay.example']\nexempt = ['/hook']",
                Csrf::in_front()
                    .trust("https://pay.example".parse().unwrap())
                    .exempt("/hook".parse().unwrap()),
            ),
        ] {
            assert_eq!(toml::from_str::<Csrf>(toml).unwrap(), csrf, "{toml}");
        }
        let error =
            toml::from_str::<Csrf>("trusted_origins = ['https://pay.example/app']").unwrap_err().to_string();
        assert!(
            error.contains("an origin ends at the port, but `https://pay.example/app` has a path"),
            "{error}"
        );
        assert!(error.contains("hint: write `https://pay.example`"), "{error}");
    }
}
