use std::fmt;
use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, StatusCode};
use panoply::SettingError;

use super::Trouble;

/// Who may ask.
pub(crate) struct Gate {
    address: SocketAddr,
    token: Option<String>,
}

impl Gate {
    pub(super) fn new(address: SocketAddr, token: Option<String>) -> Result<Self, SettingError> {
        let is_short = token.as_ref().is_some_and(|token| token.chars().count() < SHORTEST_TOKEN);
        let is_plain = token.as_ref().is_none_or(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
        if is_short || !is_plain {
            return Err(SettingError::new(
                format!("the admin token is to be one line of {SHORTEST_TOKEN} printable characters or more"),
                "make one with `openssl rand -base64 32`",
            ));
        }
        if token.is_none() && !address.ip().to_canonical().is_loopback() {
            return Err(SettingError::new(
                format!("other machines reach {address}, and whoever does could lift every ban"),
                format!("give operators 127.0.0.1:{}, or a token: `admin_token` in the file", address.port()),
            ));
        }
        Ok(Self { address, token })
    }

    /// No page that a browser shows may ask, wherever it is from: it says its origin with each write, and its site
    /// with each request. Nor may one whose own name was made to lead here (DNS rebinding): then `Host` has that name.
    /// A token makes the latter needless, since no browser has it, and any name may lead here.
    pub(super) fn admit(&self, head: &Parts) -> Result<(), Trouble> {
        let is_page = head.headers.contains_key(ORIGIN)
            || head.headers.get(SEC_FETCH_SITE).is_some_and(|site| site != "none");
        if is_page {
            return Err(Trouble::new(
                StatusCode::FORBIDDEN,
                "a page in a browser asks",
                "ask with `panoply bans`, `panoply explain` or curl",
            ));
        }
        match &self.token {
            Some(token) => shows(&head.headers, token).then_some(()).ok_or_else(Trouble::no_token)?,
            None if is_here(head) => {}
            None => {
                return Err(Trouble::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "another host was asked for",
                    format!("ask http://{}/", self.address),
                ));
            }
        }
        let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if head.method != Method::GET && !kind.eq_ignore_ascii_case(b"application/json") {
            return Err(Trouble::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "a change that could be a page's form",
                "send `Content-Type: application/json`",
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "[secret]");
        f.debug_struct("Gate").field("address", &self.address).field("token", &token).finish()
    }
}

/// The name that was asked for, in every place where it stands, is this machine's.
fn is_here(head: &Parts) -> bool {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let target = head.uri.authority();
    Authority::try_from(host.as_bytes()).is_ok_and(|host| is_this_machine(&host))
        && target.is_none_or(is_this_machine)
}

fn is_this_machine(authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    host.eq_ignore_ascii_case("localhost")
        || host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether the token is there (RFC 6750 §2.1), compared in a time that does not tell how much of it was right.
fn shows(headers: &HeaderMap, token: &str) -> bool {
    let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let (scheme, shown) = shown.split_at_checked(BEARER.len()).unwrap_or_default();
    scheme.eq_ignore_ascii_case(BEARER)
        && verify_slices_are_equal(shown.trim_ascii(), token.as_bytes()).is_ok()
}

/// In characters: 128 bits in hexadecimal digits.
pub const SHORTEST_TOKEN: usize = 32;

const BEARER: &[u8] = b"bearer ";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn admit(gate: &Gate, method: &str, target: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        gate.admit(&head).map_or_else(|trouble| trouble.status().as_u16(), |()| 200)
    }

    #[test]
    fn without_a_token_only_programs_that_ask_this_machine_by_its_name_may() {
        let gate = Gate::new("127.0.0.1:9900".parse().unwrap(), None).unwrap();
        for (method, target, headers, status) in [
            ("GET", "/bans", &[("host", "127.0.0.1:9900")][..], 200),
            ("GET", "/bans", &[("host", "localhost:9900")], 200),
            ("GET", "/bans", &[("host", "LocalHost")], 200),
            ("GET", "/bans", &[("host", "[::1]:9900")], 200),
            ("GET", "http://127.0.0.1:9900/bans", &[("host", "127.0.0.1:9900")], 200),
            ("GET", "/bans", &[], 421),
            ("GET", "/bans", &[("host", "")], 421),
            ("GET", "/bans", &[("host", "rebound.evil.example")], 421),
            ("GET", "/bans", &[("host", "127.0.0.1.evil.example")], 421),
            ("GET", "/bans", &[("host", "localhost.evil.example")], 421),
            ("GET", "/bans", &[("host", "localhost@evil.example")], 421),
            ("GET", "/bans", &[("host", "192.0.2.6:9900")], 421),
            ("GET", "/bans", &[("host", "127.0.0.1"), ("host", "evil.example")], 421),
            ("GET", "http://evil.example/bans", &[("host", "127.0.0.1:9900")], 421),
            ("GET", "/bans", &[("host", "127.0.0.1"), ("origin", "http://127.0.0.1:9900")], 403),
            ("GET", "/bans", &[("host", "127.0.0.1"), ("origin", "null")], 403),
            ("GET", "/bans", &[("host", "127.0.0.1"), ("sec-fetch-site", "cross-site")], 403),
            ("GET", "/bans", &[("host", "127.0.0.1"), ("sec-fetch-site", "none")], 200),
            ("POST", "/bans", &[("host", "127.0.0.1")], 415),
            ("POST", "/bans", &[("host", "127.0.0.1"), ("content-type", "text/plain")], 415),
            ("POST", "/bans", &[("host", "127.0.0.1"), ("content-type", "application/json;a=b")], 200),
            ("DELETE", "/bans/x", &[("host", "127.0.0.1")], 415),
            ("DELETE", "/bans/x", &[("host", "127.0.0.1"), ("content-type", "Application/JSON")], 200),
        ] {
            assert_eq!(admit(&gate, method, target, headers), status, "{method} {target} {headers:?}");
        }
    }

    #[test]
    fn with_a_token_whoever_has_it_may_under_any_name() {
        let token = "9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymA=";
        let gate = Gate::new("0.0.0.0:9900".parse().unwrap(), Some(token.to_owned())).unwrap();
        for (authorization, status) in [
            (format!("Bearer {token}"), 200),
            (format!("bearer {token}"), 200),
            (format!("Bearer {}", token.to_lowercase()), 401),
            (format!("Bearer {token}x"), 401),
            (format!("Basic {token}"), 401),
            (token.to_owned(), 401),
            ("Bearer ".to_owned(), 401),
            ("Bearer".to_owned(), 401),
            (String::new(), 401),
        ] {
            let headers = [("host", "gateway.internal:9900"), ("authorization", authorization.as_str())];
            assert_eq!(admit(&gate, "GET", "/bans", &headers), status, "{authorization}");
        }
        let page = [("authorization", &*format!("Bearer {token}")), ("origin", "https://evil.example")];
        assert_eq!(admit(&gate, "GET", "/bans", &page), 403);
        assert!(!format!("{gate:?}").contains(token));
    }

    #[test]
    fn other_machines_need_a_token() {
        for (address, is_open) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
        ] {
            assert_eq!(Gate::new(address.parse().unwrap(), None).is_ok(), is_open, "{address}");
            assert!(Gate::new(address.parse().unwrap(), Some("x".repeat(32))).is_ok(), "{address}");
        }
    }

    #[test]
    fn a_token_that_could_be_guessed_is_none() {
        let address = "127.0.0.1:9900".parse().unwrap();
        for token in ["letmein", &"x".repeat(31), "two words, and some more of the like", &"ü".repeat(40)] {
            let error = Gate::new(address, Some(token.to_owned())).unwrap_err();
            assert!(error.hint().contains("openssl") && !error.to_string().contains(token));
        }
    }
}
