use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use panoply::SettingError;
use serde::Deserializer;
use serde::de::{self, SeqAccess, Visitor};

use super::text::{Text, deserialize_text, shown};

/// Where an app is: `http://` and a host, with a port unless it is 80.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    host: String,
    port: u16,
}

impl Upstream {
    /// The name or address, lower-case; an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 80 unless it is written.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address, where the host is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "http://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "http://{}:{}", self.host, self.port)
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
        let authority = scheme_removed(text)?;
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
                format!("write `http://{}`: the visitor's own path is passed on", shown(authority)),
            ));
        }
        host_and_port(authority).ok_or_else(|| {
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

/// What follows `http://`.
fn scheme_removed(text: &str) -> Result<&str, SettingError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let unix = text.starts_with("unix:") || text.starts_with('/');
        return Err(if unix {
            not_yet(text, "a socket file")
        } else {
            let authority = text.trim_start_matches("http:").trim_start_matches('/');
            let hint = match host_and_port(authority) {
                Some(_) if authority.bytes().all(|byte| byte.is_ascii_digit()) => {
                    format!("write `http://127.0.0.1:{}`", shown(authority))
                }
                Some(_) => format!("write `http://{}`", shown(authority)),
                None => "write it as `http://127.0.0.1:3000`".to_owned(),
            };
            SettingError::new(
                format!("an upstream begins with http://, but `{}` does not", shown(text)),
                hint,
            )
        });
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok(rest),
        "https" => Err(not_yet(text, "TLS")),
        "unix" | "http+unix" => Err(not_yet(text, "a socket file")),
        _ => Err(SettingError::new(
            format!("an upstream begins with http://, but `{}` does not", shown(text)),
            "write it as `http://127.0.0.1:3000`",
        )),
    }
}

fn not_yet(text: &str, what: &str) -> SettingError {
    // What may be a password stays out of the message.
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    SettingError::new(
        format!("an upstream is reached over http, but `{}` asks for {what}", shown(text)),
        "let the app listen on this machine or a private network and write `http://` with its address and port",
    )
}

fn host_and_port(text: &str) -> Option<Upstream> {
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
        None => Some(80).filter(|_| port.is_empty())?,
    };
    (port != 0).then_some(Upstream { host, port })
}

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
        ] {
            let error = text.parse::<Upstream>().expect_err(text);
            assert_eq!(error.hint(), hint, "{text:?}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        for text in ["https://app:3000", "https://me:secret@app", "unix:/run/app.sock", "/run/app.sock"] {
            let error = text.parse::<Upstream>().unwrap_err().to_string();
            assert!(error.contains("asks for") && !error.contains("secret"), "{text}: {error}");
        }
    }
}
