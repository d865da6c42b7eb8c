//! Scheme, host and port: what a browser calls a site.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use url::Url;

use crate::{Scheme, SettingError, Visit};

/// Scheme, host and port: what a browser calls a site (RFC 6454), written exactly as browsers send it.
///
/// ```
/// use panoply::Origin;
///
/// let pay: Origin = "https://pay.example".parse()?;
/// assert!(pay.is(b"https://pay.example"));
/// assert!(!pay.is(b"http://pay.example"), "the scheme is part of it");
///
/// let slip = "https://pay.example:443".parse::<Origin>().unwrap_err();
/// assert_eq!(slip.hint(), "write `https://pay.example`");
/// # Ok::<(), panoply::OriginError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(Box<str>);

impl Origin {
    /// As browsers send it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `sent`, the value of an `Origin` header, names this origin.
    ///
    /// Bytes are compared: browsers send one spelling only, and that is the one held here.
    #[must_use]
    pub fn is(&self, sent: &[u8]) -> bool {
        self.0.as_bytes() == sent
    }

    /// Whether `url` is a page of this origin. A `blob:` has the origin of its maker too, and is no page.
    pub(crate) fn holds(&self, url: &Url) -> bool {
        matches!(url.scheme(), "http" | "https") && *self.0 == url.origin().ascii_serialization()
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(written: &str) -> Result<Self, OriginError> {
        let (scheme, rest) = written.split_once("://").unwrap_or(("", written));
        if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
            return Err(OriginError::Scheme(written.to_owned()));
        }
        if rest.contains('@') {
            return Err(OriginError::UserInfo(written.to_owned()));
        }
        if rest.contains('*') {
            return Err(OriginError::Wildcard(written.to_owned()));
        }
        let url = Url::parse(written).map_err(|_| OriginError::Host(written.to_owned()))?;
        let sent = url.origin().ascii_serialization();
        if rest.contains(['/', '\\', '?', '#']) {
            return Err(OriginError::Path { written: written.to_owned(), sent });
        }
        if sent != written {
            return Err(OriginError::NeverSent { written: written.to_owned(), sent });
        }
        Ok(Self(sent.into()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        written.parse().map_err(|error| SettingError::from(error).into_serde())
    }
}

/// Why a text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// No scheme that a page can have.
    #[error("an origin begins with https:// or http://, but `{0}` does not")]
    Scheme(String),
    /// A name or password, which is never part of an origin.
    #[error("an origin has no user name, but `{0}` has an `@`")]
    UserInfo(String),
    /// A pattern; every origin that is trusted has to be known.
    #[error("an origin is one host, but `{0}` has a `*`")]
    Wildcard(String),
    /// No host that could be resolved, or no port.
    #[error("an origin is a scheme, a host and perhaps a port, but `{0}` is not")]
    Host(String),
    /// A path, query or fragment, be it a single slash.
    #[error("an origin ends at the port, but `{written}` has a path")]
    Path {
        /// What was found.
        written: String,
        /// What browsers send for it.
        sent: String,
    },
    /// A spelling that no browser sends: capitals, a default port, letters beyond ASCII.
    #[error("browsers send this origin as `{sent}`, so `{written}` would never match")]
    NeverSent {
        /// What was found.
        written: String,
        /// What browsers send for it.
        sent: String,
    },
}

impl OriginError {
    /// How to mend it, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Scheme(written) if written == "null" => {
                "`null` is sent by every page that hides where it is from: it cannot be trusted".to_owned()
            }
            Self::Scheme(written) => {
                let host = written.split_once("://").map_or(written.as_str(), |(_, host)| host);
                format!("write `https://{host}`")
            }
            Self::UserInfo(_) => "leave out everything between `//` and `@`, and the `@`".to_owned(),
            Self::Wildcard(_) => "name each origin that is trusted".to_owned(),
            Self::Host(_) => "write it like `https://pay.example` or `http://localhost:3000`".to_owned(),
            Self::Path { sent, .. } | Self::NeverSent { sent, .. } => format!("write `{sent}`"),
        }
    }
}

impl From<OriginError> for SettingError {
    fn from(error: OriginError) -> Self {
        Self::new(error.to_string(), error.hint())
    }
}

/// Whether `sent`, the value of an `Origin` header, is the site that `visit` goes to.
///
/// An http page is foreign to https, since whoever sits on the wire can write it. An https page is not foreign
/// to http under the same name: nobody writes that page but us, and behind a TLS terminator that nobody
/// declared every own page looks like this.
pub(crate) fn is_own(visit: &Visit, sent: &[u8]) -> bool {
    let Some((scheme, host, port)) = split(sent) else { return false };
    let Some(authority) = &visit.authority else { return false };
    (scheme == Scheme::Https || visit.scheme == Scheme::Http)
        && authority.host().eq_ignore_ascii_case(host)
        && authority.port_u16().unwrap_or(scheme.default_port()) == port
}

/// The origin part of `url`, as far as it has one: all before the path.
pub(crate) fn of_url(url: &[u8]) -> &[u8] {
    let slashes = url.windows(3).position(|three| three == b"://").map_or(0, |colon| colon + 3);
    let host = url.get(slashes..).unwrap_or_default();
    let end = host.iter().position(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#')).unwrap_or(host.len());
    url.get(..slashes + end).unwrap_or_default()
}

fn split(sent: &[u8]) -> Option<(Scheme, &str, u16)> {
    let sent = std::str::from_utf8(sent).ok()?;
    let (scheme, rest) = match sent.split_once("://")? {
        ("https", rest) => (Scheme::Https, rest),
        ("http", rest) => (Scheme::Http, rest),
        _ => return None,
    };
    // The colons inside of an IPv6 address are followed by its bracket sooner or later.
    match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => Some((scheme, host, port.parse().ok()?)),
        _ => Some((scheme, rest, scheme.default_port())),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::{Connection, RequestId, TrustedProxies};

    #[test]
    fn an_origin_is_what_browsers_send() {
        for written in [
            "https://pay.example",
            "http://pay.example",
            "https://pay.example:8443",
            "http://localhost:3000",
            "http://127.0.0.1",
            "http://[::1]:3000",
            "https://xn--bcher-kva.example",
        ] {
            assert_eq!(written.parse::<Origin>().map(|origin| origin.to_string()), Ok(written.to_owned()));
        }
    }

    #[test]
    fn an_error_names_what_was_found_and_says_what_to_write() {
        for (written, message, hint) in [
            ("pay.example", "begins with https:// or http://, but `pay.example`", "`https://pay.example`"),
            ("ftp://pay.example", "but `ftp://pay.example` does not", "write `https://pay.example`"),
            ("null", "but `null` does not", "cannot be trusted"),
            ("", "but `` does not", "write"),
            (
                "https://pay.example/app",
                "`https://pay.example/app` has a path",
                "write `https://pay.example`",
            ),
            ("https://pay.example/", "has a path", "write `https://pay.example`"),
            ("https://Pay.example/?q", "has a path", "write `https://pay.example`"),
            ("https://pay.example\\app", "has a path", "write `https://pay.example`"),
            ("https://pay.example:443", "send this origin as `https://pay.example`", "write"),
            ("http://pay.example:80", "send this origin as `http://pay.example`", "write"),
            ("HTTPS://pay.example", "send this origin as `https://pay.example`", "write"),
            ("https://Pay.Example", "so `https://Pay.Example` would never match", "`https://pay.example`"),
            (
                "https://bücher.example",
                "as `https://xn--bcher-kva.example`",
                "`https://xn--bcher-kva.example`",
            ),
            (" https://pay.example", "but ` https://pay.example` does not", "write"),
            ("https://pay.example\n", "as `https://pay.example`", "write"),
            ("https://me@pay.example", "has an `@`", "leave out"),
            ("https://*.pay.example", "has a `*`", "name each"),
            ("https://", "is not", "like `https://pay.example`"),
            ("https://pay.example:http", "is not", "like"),
        ] {
            let error = written.parse::<Origin>().expect_err(written);
            assert!(error.to_string().contains(message), "{written:?}: {error}");
            assert!(error.hint().contains(hint), "{written:?}: {}", error.hint());
        }
    }

    #[test]
    fn our_own_origin_is_scheme_host_and_port_of_the_visit() {
        use Scheme::{Http, Https};
        for (scheme, host, sent, own) in [
            (Https, "us.example", "https://us.example", true),
            (Https, "US.example", "https://us.example", true),
            (Https, "us.example:443", "https://us.example", true),
            (Https, "us.example:8443", "https://us.example:8443", true),
            (Https, "us.example:8443", "https://us.example", false),
            (Https, "us.example", "http://us.example", false), // anyone on the wire writes that page
            (Http, "us.example", "http://us.example", true),
            (Http, "us.example", "https://us.example", true), // a TLS terminator that nobody declared
            (Http, "us.example:80", "https://us.example", false),
            (Http, "us.example:3000", "http://us.example:3000", true),
            (Http, "[::1]:3000", "http://[::1]:3000", true),
            (Http, "[::1]", "http://[::1]", true),
            (Https, "us.example", "https://evil.example", false),
            (Https, "us.example", "https://us.example.evil.example", false),
            (Https, "us.example", "https://evil.us.example", false),
            (Https, "us.example", "null", false),
            (Https, "us.example", "https://us.example:x", false),
            (Https, "us.example", "chrome-extension://us.example", false),
            (Https, "us.example", "", false),
        ] {
            assert_eq!(is_own(&visit(scheme, host), sent.as_bytes()), own, "{scheme:?} {host} {sent}");
        }
    }

    #[test]
    fn a_url_is_of_the_origin_before_its_path() {
        for (url, origin) in [
            ("https://us.example/a/b", "https://us.example"),
            ("https://us.example", "https://us.example"),
            ("https://us.example:8443?q", "https://us.example:8443"),
            ("https://us.example#x://y/", "https://us.example"),
            ("https://us.example\\@evil.example", "https://us.example"),
            ("about:blank", "about:blank"),
            ("/path", ""),
        ] {
            assert_eq!(of_url(url.as_bytes()), origin.as_bytes(), "{url}");
        }
    }

    fn visit(scheme: Scheme, host: &str) -> Visit {
        let (request, ()) = Request::get("/").header("host", host).body(()).unwrap().into_parts();
        let connection = Connection { scheme, ..Connection::unknown() };
        let (client, scheme) = TrustedProxies::default().client(&connection, &request.headers);
        Visit::new(&request, connection, client, scheme, RequestId(0))
    }

    proptest! {
        #[test]
        fn what_parses_prints_as_it_was_written(written in "https?://[a-zA-Z0-9.:\\[\\]-]{1,20}") {
            if let Ok(origin) = written.parse::<Origin>() {
                prop_assert_eq!(origin.to_string(), written.clone());
                prop_assert!(origin.is(written.as_bytes()));
            }
        }

        #[test]
        fn no_header_makes_the_comparison_panic(sent in proptest::collection::vec(any::<u8>(), 0..64)) {
            is_own(&visit(Scheme::Https, "us.example"), of_url(&sent));
        }
    }
}
