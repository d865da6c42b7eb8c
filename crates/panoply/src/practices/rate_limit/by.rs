//! Who is counted together.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Deserializer};

use crate::buckets::Key;
use crate::practices::cookies;
use crate::{SettingError, Visit, World, cookie_header};

/// Who is counted together by one limit.
///
/// Whoever lacks what a limit counts by, or brings it several times, so that apps could see one or the other, is
/// counted by address. What a visitor sends may be another each time, so that these limits bound only who wants
/// something of his own: a key's quota, a session's pace. The rate of [`RateLimit`](super::RateLimit) itself always
/// counts by address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum By {
    /// One address: IPv4's own, IPv6's /64, of which every household has at least one. `client` in the file.
    #[default]
    Client,
    /// One neighbourhood: IPv4's /24, IPv6's /48. `network` in the file.
    Network,
    /// All together. `everyone` in the file.
    Everyone,
    /// One value of a header, such as an API key. `header:x-api-key` in the file.
    Header(HeaderName),
    /// One value of a cookie, called as the browser sends it. `cookie:sid` in the file.
    Cookie(String),
    /// One user: the name in `Authorization: Basic`, letters of either case alike; other credentials there, whole;
    /// else the cookie that is called like a session; else the address. `user` in the file.
    User,
}

/// Whom one request is counted with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner<'r> {
    Client,
    Network,
    Everyone,
    /// Who brings this.
    Bearer(Cow<'r, [u8]>),
}

impl By {
    /// Refuses what no request could bring.
    pub(super) fn check(&self) -> Result<(), SettingError> {
        let is_in_names = |byte: u8| byte.is_ascii_graphic() && !b"=;,\"\\".contains(&byte);
        match self {
            Self::Cookie(name) if name.is_empty() || name.len() > 256 || !name.bytes().all(is_in_names) => {
                let message = format!("`{}` is no name of a cookie", name.escape_debug());
                Err(SettingError::new(message, "write letters, digits and such as `-`, `_` and `.`"))
            }
            _ => Ok(()),
        }
    }

    /// Whether it is something that visitors send, and not where they are.
    pub(super) const fn is_sent(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Cookie(_) | Self::User)
    }

    pub(super) fn owner<'r>(&self, headers: &'r HeaderMap) -> Owner<'r> {
        let bearer = match self {
            Self::Client => None,
            Self::Network => return Owner::Network,
            Self::Everyone => return Owner::Everyone,
            Self::Header(name) => only(headers, name).map(Cow::Borrowed),
            Self::Cookie(name) => cookie(headers, name),
            Self::User => user(headers),
        };
        bearer.map_or(Owner::Client, Owner::Bearer)
    }
}

impl Owner<'_> {
    /// Whether it is an address, which may be a proxy's.
    pub(super) const fn is_address(&self) -> bool {
        matches!(self, Self::Client | Self::Network)
    }

    /// Whose debt it is. Who shares a word when none is free shares it with his neighbours, a bearer with other
    /// bearers: by the address, one key would have as many debts as it has addresses.
    pub(super) fn key(&self, scope: u64, visit: &Visit, world: &World) -> Key {
        match self {
            Self::Client => Key::of(scope, &visit.client),
            Self::Network => Key::new(scope, visit.client.network(), visit.client.network()),
            Self::Everyone => Key::new(scope, 0, 0),
            Self::Bearer(value) => {
                // No client's address begins with 64 ones.
                let key = u128::MAX << 64 | u128::from(world.buckets.hash(value));
                Key::new(scope, key, key)
            }
        }
    }

    /// As an operator writes it; of what a visitor has sent, the log has a hash that means nothing elsewhere.
    pub(super) fn shown(&self, by: &By, visit: &Visit, world: &World) -> String {
        match self {
            Self::Client => shown_network(visit.client.key(), 64, None),
            Self::Network => shown_network(visit.client.network(), 48, Some(24)),
            Self::Everyone => By::Everyone.to_string(),
            Self::Bearer(value) => format!("{by} {:016x}", world.buckets.hash(value)),
        }
    }
}

impl FromStr for By {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let by = match text.split_once(':') {
            None if text == "client" => Some(Self::Client),
            None if text == "network" => Some(Self::Network),
            None if text == "everyone" => Some(Self::Everyone),
            None if text == "user" => Some(Self::User),
            Some(("header", name)) => name.parse().ok().map(Self::Header),
            Some(("cookie", name)) => Some(Self::Cookie(name.to_owned())),
            _ => None,
        };
        let by = by.ok_or_else(|| {
            SettingError::new(
                format!("`{}` is nothing to count by", text.escape_debug()),
                "write `client`, `network`, `everyone`, `user`, `header:x-api-key` or `cookie:sid`",
            )
        })?;
        by.check()?;
        Ok(by)
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Network => f.write_str("network"),
            Self::Everyone => f.write_str("everyone"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::User => f.write_str("user"),
        }
    }
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(SettingError::into_serde)
    }
}

/// The value of a field that stands there once and says something.
fn only<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Option<&'r [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.as_bytes().trim_ascii();
    (values.next().is_none() && !value.is_empty()).then_some(value)
}

/// As an app reads it: one session is not several by being written in several ways.
fn cookie<'r>(headers: &'r HeaderMap, name: &str) -> Option<Cow<'r, [u8]>> {
    let mut found = cookie_header::pairs(headers).filter(|pair| pair.name() == name.as_bytes());
    let value = found.next()?.text();
    (found.next().is_none() && !value.is_empty()).then(|| match value {
        Cow::Borrowed(text) => text.as_bytes().into(),
        Cow::Owned(text) => text.into_bytes().into(),
    })
}

/// What stands before the zero keeps a user called like a session from being counted with it.
fn user(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    if headers.contains_key(AUTHORIZATION) {
        let credentials = only(headers, &AUTHORIZATION)?;
        return Some(match basic(credentials) {
            Some(name) => [b"basic\0", name.to_lowercase().as_bytes()].concat().into(),
            None => [b"other\0", credentials].concat().into(),
        });
    }
    let session = cookie_header::pairs(headers).find(|pair| cookies::names_a_session(pair.name()))?;
    Some([b"cookie\0", session.name(), b"\0", session.text().as_bytes()].concat().into())
}

/// The user's name in Basic credentials (RFC 7617 §2): all before the first colon.
fn basic(credentials: &[u8]) -> Option<String> {
    let (scheme, encoded) = credentials.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let name = pair.split(|byte| *byte == b':').next().unwrap_or_default();
    Some(String::from_utf8_lossy(name).trim().to_owned())
}

fn shown_network(bits: u128, v6: u8, v4: Option<u8>) -> String {
    let ip = Ipv6Addr::from_bits(bits).to_canonical();
    match (ip.is_ipv4(), v4) {
        (true, None) => ip.to_string(),
        (true, Some(prefix)) => format!("{ip}/{prefix}"),
        (false, _) => format!("{ip}/{v6}"),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn who_brings_nothing_of_his_own_is_counted_by_address() {
        const KEY: &str = "x-api-key";
        const AUTH: &str = "authorization";
        for (by, fields, bearer) in [
            ("header:x-api-key", &[(KEY, "abc")][..], Some("abc")),
            ("header:X-Api-Key", &[(KEY, " abc ")], Some("abc")),
            ("header:x-api-key", &[], None),
            ("header:x-api-key", &[(KEY, "")], None),
            ("header:x-api-key", &[(KEY, "abc"), (KEY, "other")], None),
            ("cookie:sid", &[("cookie", "a=1; sid=abc")], Some("abc")),
            ("cookie:sid", &[("cookie", "sid=\"%61bc\"")], Some("abc")), // one session, written otherwise
            ("cookie:sid", &[("cookie", "SID=abc")], None),
            ("cookie:sid", &[("cookie", "sid=abc"), ("cookie", "sid=def")], None),
            ("user", &[(AUTH, "Basic QW5uOnNlY3JldA==")], Some("basic\0ann")),
            ("user", &[(AUTH, "bASIC  QU5OOm90aGVy")], Some("basic\0ann")), // another password, another case
            ("user", &[(AUTH, "Basic ?")], Some("other\0Basic ?")),
            ("user", &[(AUTH, "Bearer abc"), ("cookie", "sid=abc")], Some("other\0Bearer abc")),
            ("user", &[(AUTH, "Bearer abc"), (AUTH, "Bearer def")], None),
            ("user", &[("cookie", "theme=dark; connect.sid=abc")], Some("cookie\0connect.sid\0abc")),
            ("user", &[("cookie", "theme=dark")], None),
            ("user", &[], None),
            ("client", &[(KEY, "abc")], None),
        ] {
            let headers = headers(fields);
            let owner = by.parse::<By>().unwrap().owner(&headers);
            let expected =
                bearer.map_or(Owner::Client, |bearer| Owner::Bearer(bearer.as_bytes().to_owned().into()));
            assert_eq!(owner, expected, "{by} {fields:?}");
        }
        let session = headers(&[("cookie", "sid=abc")]);
        assert_eq!(By::Network.owner(&session), Owner::Network);
        assert_eq!(By::Everyone.owner(&session), Owner::Everyone);
    }

    #[test]
    fn an_address_is_shown_as_an_operator_writes_it() {
        for (ip, client, network) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ] {
            let of = crate::Client::from(ip.parse::<std::net::IpAddr>().unwrap());
            assert_eq!(shown_network(of.key(), 64, None), client);
            assert_eq!(shown_network(of.network(), 48, Some(24)), network);
        }
    }

    #[test]
    fn what_can_be_counted_by_is_printed_as_it_is_read() {
        for text in ["client", "network", "everyone", "user", "header:x-api-key", "cookie:connect.sid"] {
            assert_eq!(text.parse::<By>().unwrap().to_string(), text);
        }
        for (text, hint) in [
            ("ip", "`header:x-api-key`"),
            ("header:", "`header:x-api-key`"),
            ("header:x y", "`header:x-api-key`"),
            ("cookie:", "letters, digits"),
            ("cookie:a=b", "letters, digits"),
        ] {
            let error = text.parse::<By>().unwrap_err();
            assert!(error.hint().contains(hint), "{text}: {error}");
        }
    }
}
