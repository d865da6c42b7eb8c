use std::fmt;
use std::net::IpAddr;

use instant_acme::Identifier;

/// What a certificate is for: one host's name, one wildcard, or one address.
///
/// Each has a certificate of its own, so that a name that cannot be proved keeps no other from being served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// `shop.example`, lower-case.
    Host(String),
    /// What follows `*.`.
    Wildcard(String),
    /// An address (RFC 8738).
    Address(IpAddr),
}

impl Name {
    /// Reads a site's host as the file of settings has it: lower-case, addresses of IPv6 in brackets.
    #[must_use]
    pub fn parse(host: &str) -> Self {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse() {
            return Self::Address(address);
        }
        match host.strip_prefix("*.") {
            Some(rest) => Self::Wildcard(rest.to_owned()),
            None => Self::Host(host.to_owned()),
        }
    }

    /// Whether it is that host, or a wildcard for its first label (RFC 6125 §6.4.3). `host` is lower-case.
    pub(crate) fn covers(&self, host: &str) -> bool {
        match self {
            Self::Host(name) => name == host,
            Self::Wildcard(rest) => {
                host.split_once('.').is_some_and(|(label, below)| label != "*" && below == rest)
            }
            Self::Address(_) => false,
        }
    }

    /// As an order names it.
    pub(super) fn identifier(&self) -> Identifier {
        match self {
            Self::Host(name) => Identifier::Dns(name.clone()),
            Self::Wildcard(rest) => Identifier::Dns(format!("*.{rest}")),
            Self::Address(address) => Identifier::Ip(*address),
        }
    }

    /// As it stands in a request for a certificate.
    pub(super) fn subject(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            other => other.to_string(),
        }
    }

    /// Without `*.`: where its proof stands in the DNS.
    pub(super) fn bare(&self) -> String {
        match self {
            Self::Wildcard(rest) => rest.clone(),
            other => other.to_string(),
        }
    }

    /// The name of its file: `+` stands in no host's name.
    pub(super) fn file(&self) -> String {
        self.subject().replace([':', '*'], "+")
    }

    /// What the authority calls it in a handshake: an address by its reverse name (RFC 8738 §6).
    pub(super) fn server_name(&self) -> String {
        match self {
            Self::Address(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            Self::Address(IpAddr::V6(address)) => {
                let octets = address.octets();
                let nibbles = octets.iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
                nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
            }
            other => other.to_string(),
        }
    }

    /// Why no public authority gives a certificate for it, where that is known beforehand.
    #[must_use]
    pub fn is_private(&self) -> Option<&'static str> {
        match self {
            Self::Address(address) if !is_public(*address) => {
                Some("nobody reaches this address from outside")
            }
            Self::Address(_) => None,
            Self::Host(name) | Self::Wildcard(name) => {
                let last = name.rsplit('.').next().unwrap_or_default();
                if !name.contains('.') {
                    Some("a name without a dot is known in one network alone")
                } else if RESERVED.contains(&last) || name.ends_with(".home.arpa") {
                    Some("names below this one are nobody's in public (RFC 6761, RFC 8375)")
                } else {
                    None
                }
            }
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Wildcard(rest) => write!(f, "*.{rest}"),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            let shared = a == 100 && b & 0b1100_0000 == 64;
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_documentation()
                || shared)
        }
        // Global unicast is 2000::/3; of it 2001:db8::/32 is for books.
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            first & 0xe000 == 0x2000 && !(first == 0x2001 && second == 0xdb8)
        }
    }
}

const RESERVED: [&str; 9] =
    ["localhost", "local", "internal", "lan", "test", "example", "invalid", "onion", "localdomain"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_a_wildcard_or_an_address() {
        for (host, file, server_name) in [
            ("shop.example", "shop.example", "shop.example"),
            ("*.shop.example", "+.shop.example", "*.shop.example"),
            ("192.0.2.1", "192.0.2.1", "1.2.0.192.in-addr.arpa"),
            (
                "[2001:db8::1]",
                "2001+db8++1",
                "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            ),
        ] {
            let name = Name::parse(host);
            assert_eq!(
                (name.to_string(), name.file(), name.server_name()),
                (host.into(), file.into(), server_name.into())
            );
        }
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        for (name, host, covered) in [
            ("shop.example", "shop.example", true),
            ("*.shop.example", "www.shop.example", true),
            ("*.shop.example", "a.www.shop.example", false),
            ("*.shop.example", "shop.example", false),
            ("*.shop.example", "*.shop.example", false),
            ("192.0.2.1", "192.0.2.1", false),
        ] {
            assert_eq!(Name::parse(name).covers(host), covered, "{name} {host}");
        }
    }

    #[test]
    fn what_no_public_authority_signs_is_known_beforehand() {
        for (host, private) in [
            ("shop.com", false),
            ("*.shop.com", false),
            ("8.8.8.8", false),
            ("[2606:4700::1]", false),
            ("localhost", true),
            ("shop", true),
            ("shop.internal", true),
            ("nas.home.arpa", true),
            ("shop.example", true),
            ("10.0.0.1", true),
            ("100.64.0.1", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("[fd00::1]", true),
            ("[2001:db8::1]", true),
        ] {
            assert_eq!(Name::parse(host).is_private().is_some(), private, "{host}");
        }
    }
}
