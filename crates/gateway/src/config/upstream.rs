use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;

use panoply::SettingError;
use serde::Deserializer;
use serde::de::{self, SeqAccess, Visitor};

use super::text::{Text, deserialize_text, shown};

/// Where an app is: `http://`, `https://`, or for HTTP/2 `h2c://` or `h2://` (TLS), and a host, with a port unless it is
/// 80 or 443; or `unix:` and a socket file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    scheme: Scheme,
    /// The path, where it is a socket file.
    host: String,
    port: u16,
}

/// How an app is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
    /// In the clear, through a socket file.
    Unix,
    /// HTTP/2 in the clear, without asking first (RFC 9113 §3.3).
    H2c,
    /// HTTP/2 over TLS.
    H2,
}

impl Upstream {
    /// The name or address, lower-case; an IPv6 address without its brackets. Empty for a socket file.
    #[must_use]
    pub fn host(&self) -> &str {
        if self.scheme == Scheme::Unix { "" } else { &self.host }
    }

    /// The port; 80 or 443 unless it is written. 0 for a socket file.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How it is spoken to.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The socket file, where it is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        (self.scheme == Scheme::Unix).then(|| Path::new(&self.host))
    }

    /// Host and port, as `Host` names them. A socket file has none, and is called as this machine.
    pub(crate) fn authority(&self) -> String {
        match self.scheme {
            Scheme::Unix => "localhost".to_owned(),
            _ if self.host.contains(':') => format!("[{}]:{}", self.host, self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// The address, where the host is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }
}

impl From<SocketAddr> for Upstream {
    fn from(address: SocketAddr) -> Self {
        Self { scheme: Scheme::Http, host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            Scheme::Unix => write!(f, "unix:{}", self.host),
            scheme => write!(f, "{}{}", scheme.written(), self.authority()),
        }
    }
}

impl Text for Upstream {
    const EXPECTED: &'static str = "an upstream, such as \"http://127.0.0.1:3000\"";
}

deserialize_text!(Upstream);

impl FromStr for Upstream {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_file(path);
        }
        let (scheme, authority) = scheme_removed(text)?;
        // The one message without the text itself: it may hold a password.
        if authority.contains('@') {
            return Err(SettingError::new(
                "an upstream ends at the port and has no user name or password",
                "take out what stands before the `@`",
            ));
        }
        if let Some((authority, _)) = authority.split_once(['/', '?', '#']) {
            return Err(SettingError::new(
                format!("an upstream ends at the port, but `{}` has a path", shown(text)),
                format!(
                    "write `{}{}`: the visitor's own path is passed on",
                    scheme.written(),
                    shown(authority)
                ),
            ));
        }
        host_and_port(scheme, authority).ok_or_else(|| {
            SettingError::new(
                format!("an upstream is a host and a port, but `{}` is not", shown(text)),
                "write it as `http://127.0.0.1:3000`",
            )
        })
    }
}

/// Reads one upstream or a list of them.
pub(super) fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Upstream>, D::Error> {
    deserializer.deserialize_any(OneOrSeveral)
}

struct OneOrSeveral;

impl<'de> Visitor<'de> for OneOrSeveral {
    type Value = Vec<Upstream>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an upstream or a list of them, such as \"http://127.0.0.1:3000\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<Upstream>, E> {
        text.parse().map(|upstream| vec![upstream]).map_err(SettingError::into_serde)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Upstream>, A::Error> {
        let mut upstreams = Vec::new();
        while let Some(upstream) = list.next_element()? {
            upstreams.push(upstream);
        }
        if upstreams.is_empty() {
            return Err(SettingError::new(
                "the list of upstreams is empty",
                "write one, or leave the setting out",
            )
            .into_serde());
        }
        Ok(upstreams)
    }
}

impl Scheme {
    /// Whether it is TLS.
    pub(crate) const fn is_secured(self) -> bool {
        matches!(self, Self::Https | Self::H2)
    }

    /// Whether it is HTTP/2, of which one connection has many requests.
    pub(crate) const fn is_shared(self) -> bool {
        matches!(self, Self::H2c | Self::H2)
    }

    const fn written(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::Https => "https://",
            Self::Unix => "unix:",
            Self::H2c => "h2c://",
            Self::H2 => "h2://",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http | Self::H2c => 80,
            Self::Https | Self::H2 => 443,
            Self::Unix => 0,
        }
    }
}

/// What stands before `://`, and what follows.
fn scheme_removed(text: &str) -> Result<(Scheme, &str), SettingError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        if text.starts_with('/') {
            return Err(SettingError::new(
                format!("an upstream begins with http://, https:// or unix:, but `{}` does not", shown(text)),
                format!("write `unix:{}`", shown(text)),
            ));
        }
        let authority = text.trim_start_matches("http:").trim_start_matches('/');
        let hint = match host_and_port(Scheme::Http, authority) {
            Some(_) if authority.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("write `http://127.0.0.1:{}`", shown(authority))
            }
            Some(_) => format!("write `http://{}`", shown(authority)),
            None => "write it as `http://127.0.0.1:3000`".to_owned(),
        };
        return Err(SettingError::new(
            format!("an upstream begins with http://, https:// or unix:, but `{}` does not", shown(text)),
            hint,
        ));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((Scheme::Http, rest)),
        "https" => Ok((Scheme::Https, rest)),
        "h2c" => Ok((Scheme::H2c, rest)),
        "h2" => Ok((Scheme::H2, rest)),
        _ => Err(SettingError::new(
            // What may be a password stays out of the message.
            format!(
                "an upstream begins with http://, https:// or unix:, but not with `{}://`",
                shown(scheme)
            ),
            "write it as `http://127.0.0.1:3000`",
        )),
    }
}

fn socket_file(path: &str) -> Result<Upstream, SettingError> {
    let fits = path.starts_with('/') && !path.starts_with("//") && path.len() <= LONGEST_SOCKET;
    if fits && !path.ends_with('/') && !path.contains('\0') {
        return Ok(Upstream { scheme: Scheme::Unix, host: path.to_owned(), port: Scheme::Unix.port() });
    }
    Err(SettingError::new(
        format!(
            "a socket file has a path from `/` of at most {LONGEST_SOCKET} bytes, but `{}` is none",
            shown(path)
        ),
        "write it as `unix:/run/app.sock`",
    ))
}

fn host_and_port(scheme: Scheme, text: &str) -> Option<Upstream> {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((ip, rest))) => (ip.parse::<Ipv6Addr>().ok()?.to_string(), rest),
        Some(None) => return None,
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (Some(host).filter(|host| is_name(host))?.to_ascii_lowercase(), port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
        None => Some(scheme.port()).filter(|_| port.is_empty())?,
    };
    (port != 0).then_some(Upstream { scheme, host, port })
}

/// What an address of a socket file has room for, on Linux: 108 bytes with the NUL behind (unix(7)).
const LONGEST_SOCKET: usize = 107;

/// Names of machines and containers, underscores included, and IPv4 addresses.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("http://127.0.0.1:3000", "127.0.0.1", 3000),
            ("http://[::1]:3000", "::1", 3000),
            ("http://[::1]", "::1", 80),
            ("http://app", "app", 80),
            ("https://app", "app", 443),
            ("HTTPS://[::1]:8443", "::1", 8443),
            ("unix:/run/app.sock", "", 0),
            ("h2c://app", "app", 80),
            ("h2://app", "app", 443),
            ("HTTP://My_App.internal:8080", "my_app.internal", 8080),
        ] {
            let upstream = text.parse::<Upstream>().unwrap();
            assert_eq!((upstream.host(), upstream.port()), (host, port), "{text}");
            assert_eq!(upstream.to_string().parse(), Ok(upstream), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_hint() {
        for (text, hint) in [
            ("127.0.0.1:3000", "write `http://127.0.0.1:3000`"),
            ("http:127.0.0.1:3000", "write `http://127.0.0.1:3000`"),
            ("3000", "write `http://127.0.0.1:3000`"),
            (":3000", "write it as `http://127.0.0.1:3000`"),
            ("localhost:3000", "write `http://localhost:3000`"),
            ("http://app:3000/", "write `http://app:3000`: the visitor's own path is passed on"),
            ("http://app:3000/api?x", "write `http://app:3000`: the visitor's own path is passed on"),
            ("http://me:secret@app:3000", "take out what stands before the `@`"),
            ("http://", "write it as `http://127.0.0.1:3000`"),
            ("http://app:", "write it as `http://127.0.0.1:3000`"),
            ("http://app:0", "write it as `http://127.0.0.1:3000`"),
            ("http://app:70000", "write it as `http://127.0.0.1:3000`"),
            ("http://::1:3000", "write it as `http://127.0.0.1:3000`"),
            ("http://[::1]x", "write it as `http://127.0.0.1:3000`"),
            ("http://a b:3000", "write it as `http://127.0.0.1:3000`"),
            ("ftp://app", "write it as `http://127.0.0.1:3000`"),
            ("", "write it as `http://127.0.0.1:3000`"),
            ("https://app/api", "write `https://app`: the visitor's own path is passed on"),
            ("https://me:secret@app", "take out what stands before the `@`"),
            ("ws://me:secret@app", "write it as `http://127.0.0.1:3000`"),
            ("/run/app.sock", "write `unix:/run/app.sock`"),
            ("unix:app.sock", "write it as `unix:/run/app.sock`"),
            ("unix:///run/app.sock", "write it as `unix:/run/app.sock`"),
            ("unix:", "write it as `unix:/run/app.sock`"),
            ("unix:/run/", "write it as `unix:/run/app.sock`"),
        ] {
            let error = text.parse::<Upstream>().expect_err(text);
            assert_eq!(error.hint(), hint, "{text:?}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let long = format!("unix:/{}", "a".repeat(107));
        assert!(long.parse::<Upstream>().is_err() && long.get(..112).unwrap().parse::<Upstream>().is_ok());
    }
}
