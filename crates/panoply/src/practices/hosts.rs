//! A visitor makes up a `Host`, and the app writes it into links, redirects, password mails and caches.
//!
//! **Stops** Host-header attacks, DNS rebinding, and the probes that ask every address for whatever answers
//! there. Another name than those of the list gets 421, and costs the client ten requests of its
//! [`rate_limit`](crate::practices::rate_limit). A request that names two hosts, none, or something that is no
//! host, gets 400 (RFC 9112 §3.2), whatever the list says and at the same price: two programs would read two
//! different names in it.
//!
//! **Leaves** names that all lead here: what an app does with one of its own names is its own affair. The port
//! is not looked at. `X-Forwarded-Host` is the app's to distrust.
//!
//! **Defaults** any name, since only you know yours; [`Shield::for_hosts`](crate::Shield::for_hosts) asks for
//! them. From this machine `localhost` always passes, so that its health checks do.
//!
//! ```
//! use axum::{Router, body::Body, extract::Request, routing::get};
//! use panoply::{Hosts, Shield};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let shield = Shield::bare().hosts(Hosts::named(["shop.example", "*.shop.example"])?);
//! let app = Router::new().route("/", get("hello")).layer(shield);
//!
//! for (host, status) in [("shop.example", 200), ("www.Shop.example:8080", 200), ("evil.example", 421)] {
//!     let request = Request::builder().header("host", host).body(Body::empty())?;
//!     assert_eq!(app.clone().oneshot(request).await?.status(), status, "{host}");
//! }
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, StatusCode, Version};
use serde::{Deserialize, Deserializer};

use crate::{Policy, Practice, Rejection, SettingError, Visit};

/// Refuses a name that is not served here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Hosts {
    /// Never of `[shield.hosts]`: a site has its names where it has its app.
    #[serde(skip)]
    names: Vec<Name>,
    health_path: Option<Path>,
}

impl Hosts {
    /// What a name that is not served costs, in requests: one typo is nothing, a hundred a second is a scan.
    pub(crate) const MISS: u32 = 10;

    /// These names and no others: `shop.example`, `*.shop.example` for all names that end so, at any depth,
    /// or an IP address.
    ///
    /// # Errors
    /// When one of them is no host name.
    pub fn named<H: AsRef<str>>(hosts: impl IntoIterator<Item = H>) -> Result<Self, SettingError> {
        Self::default().names(hosts)
    }

    /// These names in place of those before.
    ///
    /// # Errors
    /// When one of them is no host name.
    pub fn names<H: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = H>) -> Result<Self, SettingError> {
        self.names = hosts.into_iter().map(|host| host.as_ref().parse()).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Lets a path be asked for under any name, as load balancers do that check by address.
    ///
    /// # Errors
    /// When `path` does not begin with a slash, or is more than a path.
    pub fn health_path(mut self, path: &str) -> Result<Self, SettingError> {
        self.health_path = Some(path.parse()?);
        Ok(self)
    }

    pub(crate) fn admit(&self, visit: &Visit, request: &Parts) -> Result<(), Rejection> {
        if let Some(fault) = fault(visit, request) {
            return Err(Rejection::by(Practice::Hosts, StatusCode::BAD_REQUEST, fault));
        }
        let is_served = || {
            let host = without_root(visit.host().unwrap_or_default());
            self.names.iter().any(|name| name.is(host)) || is_this_machine(visit, host)
        };
        let is_health = || self.health_path.as_ref().is_some_and(|path| path.0 == request.uri.path());
        if self.names.is_empty() || is_served() || is_health() {
            return Ok(());
        }
        Err(Rejection::by(Practice::Hosts, StatusCode::MISDIRECTED_REQUEST, "this name is not served here"))
    }
}

impl Policy for Hosts {
    const PRACTICE: Practice = Practice::Hosts;

    fn in_front() -> Self {
        Self::default()
    }

    fn summary(&self) -> String {
        if self.names.is_empty() {
            return "any name".to_owned();
        }
        self.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// A name that is served; in lower case, without the root's dot.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Exact(String),
    /// Every name that ends in this one, which begins with a dot.
    Under(String),
    Ip(IpAddr),
}

impl Name {
    fn is(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name.eq_ignore_ascii_case(host),
            Self::Under(suffix) => {
                let (host, suffix) = (host.as_bytes(), suffix.as_bytes());
                host.len() > suffix.len()
                    && host
                        .get(host.len() - suffix.len()..)
                        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
            Self::Ip(ip) => literal(host) == Some(*ip),
        }
    }
}

impl FromStr for Name {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let error = |message: &str, hint: &str| {
            SettingError::new(format!("a host is a name, but `{text}` {message}"), hint.to_owned())
        };
        if let Some(ip) = literal(text).or_else(|| text.parse().ok()) {
            return Ok(Self::Ip(ip));
        }
        if let Some((_, rest)) = text.split_once("://") {
            let host = rest.split(['/', ':']).next().unwrap_or_default();
            return Err(error("has a scheme", &format!("write `{host}`")));
        }
        if let Some((host, _)) = text.split_once('/') {
            return Err(error("has a path", &format!("write `{host}`")));
        }
        if let Some((host, _)) = text.rsplit_once(':') {
            return Err(error("has a port", &format!("write `{host}`: every port is meant")));
        }
        let name = without_root(text).to_ascii_lowercase();
        let (suffix, bare) = match name.strip_prefix('*') {
            Some(suffix) => (Some(suffix), suffix.strip_prefix('.').unwrap_or(suffix)),
            None => (None, name.as_str()),
        };
        if bare.contains('*') || suffix.is_some_and(|suffix| !suffix.starts_with('.')) {
            return Err(error("has a star that is no whole label in front", "write `*.shop.example`"));
        }
        if !text.is_ascii() {
            let hint = match url::Host::parse(bare) {
                Ok(host) => format!("write `{}{host}`", if suffix.is_some() { "*." } else { "" }),
                Err(_) => "write the name as it is registered, beginning with `xn--`".to_owned(),
            };
            return Err(error("is not in the letters that browsers send", &hint));
        }
        if !is_name(bare) {
            return Err(error("is none", "write letters, digits and hyphens between dots: `shop.example`"));
        }
        Ok(suffix.map_or_else(|| Self::Exact(name.clone()), |suffix| Self::Under(suffix.to_owned())))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Under(suffix) => write!(f, "*{suffix}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(SettingError::into_serde)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Path(String);

impl FromStr for Path {
    type Err = SettingError;

    fn from_str(path: &str) -> Result<Self, SettingError> {
        if path.starts_with('/') && !path.contains(['?', '#']) {
            return Ok(Self(path.to_owned()));
        }
        Err(SettingError::new(
            format!("`{path}` is no path"),
            "begin with a slash and leave the query out, as in `/health`",
        ))
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(SettingError::into_serde)
    }
}

/// Why a request does not say clearly which host it is for.
fn fault(visit: &Visit, request: &Parts) -> Option<&'static str> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Some("more than one Host");
    }
    let Some(authority) = &visit.authority else {
        return match first {
            Some(_) => Some("a Host that is none"),
            // HTTP/1.0 knows no Host.
            None if request.version < Version::HTTP_11 => None,
            None => Some("no Host"),
        };
    };
    if authority.as_str().as_bytes().contains(&b'@') {
        return Some("a Host with a user name");
    }
    // RFC 9113 §8.3.1; in HTTP/1.1 an absolute target simply wins (RFC 9112 §3.2.2).
    let port = |of: &Authority| of.port_u16().unwrap_or(visit.scheme.default_port());
    let is_same = |host: Authority| {
        host.host().eq_ignore_ascii_case(authority.host()) && port(&host) == port(authority)
    };
    let differs = |host: &HeaderValue| !Authority::try_from(host.as_bytes()).is_ok_and(is_same);
    if request.version >= Version::HTTP_2 && first.is_some_and(differs) {
        return Some("a Host that differs from :authority");
    }
    None
}

/// A check that runs on this machine, and asks for `localhost`.
fn is_this_machine(visit: &Visit, host: &str) -> bool {
    let is_local =
        || host.eq_ignore_ascii_case("localhost") || literal(host).is_some_and(|ip| ip.is_loopback());
    // The client too: behind a proxy on this machine the peer is always loopback.
    visit.is_from_loopback() && visit.client.is_loopback() && is_local()
}

/// An address as it stands in a URL: IPv6 in brackets.
fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(ip) => ip.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok().filter(IpAddr::is_ipv4),
    }
}

/// `shop.example.` is `shop.example`.
fn without_root(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// Labels of letters, digits, hyphens and, as Docker names have them, underscores (RFC 1123 §2.1).
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_name_in_either_case_with_any_port() {
        for (name, host, is) in [
            ("shop.example", "shop.example", true),
            ("shop.example", "SHOP.Example", true),
            ("Shop.Example.", "shop.example", true),
            ("shop.example", "shop.example.evil.example", false),
            ("shop.example", "evilshop.example", false),
            ("shop.example", "", false),
            ("*.shop.example", "www.SHOP.example", true),
            ("*.shop.example", "a.b.shop.example", true),
            ("*.shop.example", "shop.example", false),
            ("*.shop.example", ".shop.example", false),
            ("*.shop.example", "evilshop.example", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.10", false),
            ("2001:db8::1", "[2001:DB8:0::1]", true),
            ("[2001:db8::1]", "[2001:db8::2]", false),
            ("app_1", "app_1", true),
        ] {
            assert_eq!(name.parse::<Name>().unwrap().is(host), is, "{name} {host}");
        }
    }

    #[test]
    fn what_is_no_name_says_what_to_write() {
        for (name, message, hint) in [
            ("https://shop.example/", "has a scheme", "write `shop.example`"),
            ("shop.example/app", "has a path", "write `shop.example`"),
            ("shop.example:8080", "has a port", "write `shop.example`: every port is meant"),
            ("*", "a star", "write `*.shop.example`"),
            ("*shop.example", "a star", "write `*.shop.example`"),
            ("www.*.example", "a star", "write `*.shop.example`"),
            ("b\u{fc}cher.example", "letters that browsers send", "write `xn--bcher-kva.example`"),
            ("*.b\u{fc}cher.example", "letters that browsers send", "write `*.xn--bcher-kva.example`"),
            ("", "is none", "`shop.example`"),
            ("shop..example", "is none", "`shop.example`"),
            ("shop example", "is none", "`shop.example`"),
        ] {
            let error = Hosts::named([name]).unwrap_err();
            assert!(error.to_string().contains(message), "{name}: {error}");
            assert!(error.hint().contains(hint), "{name}: {}", error.hint());
        }
    }

    #[test]
    fn the_file_and_the_builder_say_the_same() {
        let built = Hosts::default().health_path("/health").unwrap();
        assert_eq!(toml::from_str::<Hosts>("health_path = \"/health\"").unwrap(), built);
        assert!(toml::from_str::<Hosts>("names = []").is_err(), "a site has its names where it has its app");
        let named = built.names(["shop.example", "*.shop.example"]).unwrap();
        assert_eq!(named.summary(), "shop.example, *.shop.example");
        assert_eq!(Hosts::default().summary(), "any name");
        let error = toml::from_str::<Hosts>("health_path = \"health\"").unwrap_err();
        assert!(error.to_string().contains("hint: begin with a slash"));
    }
}
