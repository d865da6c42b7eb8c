//! What proxies say of a request's way: `Forwarded` (RFC 7239) and `X-Forwarded-For`, read from the right.
//!
//! Every proxy adds to the right what it saw itself; all that stands to the left was there before, and its
//! first author is whoever asked. So both headers are read backwards, hop by hop, and the reader stops where
//! trust ends: bytes to the left of that are not even parsed, and cannot spoil what is right of them. Nothing
//! here allocates.
//!
//! ```
//! use panoply::forwarded::{Element, Node, elements};
//!
//! let mut hops = elements(br#"for=unknown, for="[2001:db8::1]:4711";proto=https"#);
//! let nearest = hops.next().unwrap().unwrap();
//! assert_eq!(nearest.node, Node::Ip("2001:db8::1".parse().unwrap()));
//! assert_eq!(nearest.to_string(), r#"for="[2001:db8::1]";proto=https"#);
//! assert_eq!(hops.next(), Some(Ok(Element { node: Node::Unknown, proto: None })));
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::from_utf8;

use crate::Scheme;

/// One hop: whom a proxy spoke to, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Who asked the proxy (`for`).
    pub node: Node,
    /// What they spoke (`proto`), where it is said and is one of the two.
    pub proto: Option<Scheme>,
}

/// Who asked a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// An address; IPv4 as IPv4. A port may have been there.
    Ip(IpAddr),
    /// The proxy does not know, or does not say.
    Unknown,
    /// The proxy has a name of its own for it (RFC 7239 §6.3).
    Obfuscated,
}

/// A hop that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hop that cannot be read")]
pub struct Malformed;

/// The hops of one `Forwarded` line, the nearest first.
pub fn elements(line: &[u8]) -> impl Iterator<Item = Result<Element, Malformed>> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let (before, last) = split_last(rest?);
        rest = before;
        Some(last.trim_ascii())
    })
    // A list may have empty members (RFC 9110 §5.6.1.2).
    .filter(|element| !element.is_empty())
    .map(element)
}

/// The hops of one `X-Forwarded-For` line, the nearest first.
pub fn addresses(line: &[u8]) -> impl Iterator<Item = Result<Node, Malformed>> {
    line.rsplit(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|address| !address.is_empty())
        .map(|address| from_utf8(address).map_err(|_| Malformed)?.parse())
}

impl std::str::FromStr for Node {
    type Err = Malformed;

    /// Addresses as RFC 7239 §6 writes them, and IPv6 without its brackets, as many proxies do.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(ip.to_canonical()));
        }
        let (name, port) = if let Some(bracketed) = text.strip_prefix('[') {
            let (ip, port) = bracketed.split_once(']').ok_or(Malformed)?;
            let ip = ip.parse::<Ipv6Addr>().map_err(|_| Malformed)?;
            (Self::Ip(IpAddr::V6(ip).to_canonical()), port)
        } else {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (named(name)?, port)
        };
        match port.strip_prefix(':') {
            None if port.is_empty() => Ok(name),
            Some(port) if port.parse::<u16>().is_ok() && !port.starts_with('+') => Ok(name),
            Some(port) if is_obfuscated(port) => Ok(name),
            _ => Err(Malformed),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "\"[{ip}]\""),
            Self::Unknown => f.write_str("unknown"),
            Self::Obfuscated => f.write_str("_hidden"),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "for={}", self.node)?;
        match self.proto {
            Some(proto) => write!(f, ";proto={}", proto.as_str()),
            None => Ok(()),
        }
    }
}

/// `http` or `https`, in either case.
pub(crate) fn scheme(text: &[u8]) -> Option<Scheme> {
    [Scheme::Http, Scheme::Https]
        .into_iter()
        .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str().as_bytes()))
}

/// What is left of the last comma outside quotes, and what is right of it.
fn split_last(line: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    let comma = line.iter().enumerate().rev().find(|&(at, &byte)| {
        // Going backwards, the first quote closes a string, and only one without a backslash opens it.
        if byte == b'"' && !(quoted && is_escaped(line, at)) {
            quoted = !quoted;
        }
        byte == b',' && !quoted
    });
    match comma {
        Some((at, _)) => (line.get(..at), line.get(at + 1..).unwrap_or_default()),
        None => (None, line),
    }
}

/// Whether the byte at `at` has an odd number of backslashes before it.
fn is_escaped(line: &[u8], at: usize) -> bool {
    let before = line.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

fn element(element: &[u8]) -> Result<Element, Malformed> {
    let (mut node, mut proto) = (None, None);
    for pair in pairs(element) {
        let pair = pair.trim_ascii();
        let equals = pair.iter().position(|&byte| byte == b'=').ok_or(Malformed)?;
        let (name, value) = pair.split_at(equals);
        if name.is_empty() || name.iter().any(|byte| !byte.is_ascii_alphanumeric() && !b"-_.".contains(byte))
        {
            return Err(Malformed);
        }
        let mut buffer = [0; LONGEST_VALUE];
        let value = unquoted(value.get(1..).unwrap_or_default(), &mut buffer)?;
        // A parameter stands once in an element (RFC 7239 §4).
        if name.eq_ignore_ascii_case(b"for") {
            let text = from_utf8(value).map_err(|_| Malformed)?;
            if node.replace(text.parse()?).is_some() {
                return Err(Malformed);
            }
        } else if name.eq_ignore_ascii_case(b"proto") && proto.replace(scheme(value)).is_some() {
            return Err(Malformed);
        }
    }
    Ok(Element { node: node.unwrap_or(Node::Unknown), proto: proto.flatten() })
}

/// The parts between semicolons outside quotes.
fn pairs(element: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    element.split(move |&byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        byte == b';' && !quoted
    })
}

/// A value without quotes and backslashes. Unquoted it may hold what no token may, such as a colon: proxies
/// do write `for=192.0.2.7:4711`.
fn unquoted<'a>(value: &'a [u8], buffer: &'a mut [u8; LONGEST_VALUE]) -> Result<&'a [u8], Malformed> {
    let Some(quoted) = value.strip_prefix(b"\"") else {
        return if value.contains(&b'"') { Err(Malformed) } else { Ok(value) };
    };
    let mut bytes = quoted.iter();
    let mut length = 0;
    loop {
        let byte = match bytes.next().ok_or(Malformed)? {
            b'"' if bytes.as_slice().is_empty() => return buffer.get(..length).ok_or(Malformed),
            b'"' => return Err(Malformed),
            b'\\' => bytes.next().ok_or(Malformed)?,
            byte => byte,
        };
        // A longer value is no address; in a parameter that nobody reads it only costs the hop.
        *buffer.get_mut(length).ok_or(Malformed)? = *byte;
        length += 1;
    }
}

fn named(name: &str) -> Result<Node, Malformed> {
    if name.eq_ignore_ascii_case("unknown") {
        Ok(Node::Unknown)
    } else if is_obfuscated(name) {
        Ok(Node::Obfuscated)
    } else {
        name.parse().map(|ip| Node::Ip(IpAddr::V4(ip))).map_err(|_| Malformed)
    }
}

/// An underscore, then letters, digits, `.`, `_` and `-` (RFC 7239 §6.3).
fn is_obfuscated(name: &str) -> bool {
    name.strip_prefix('_').is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    })
}

/// Room for a host name in `host`, the longest value that is common.
const LONGEST_VALUE: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(line: &str) -> Vec<String> {
        elements(line.as_bytes())
            .map(|element| element.map_or_else(|_| "malformed".to_owned(), |element| element.to_string()))
            .collect()
    }

    #[test]
    fn forwarded_is_read_from_the_right() {
        for (line, hops) in [
            ("for=192.0.2.43, for=198.51.100.17", &["for=198.51.100.17", "for=192.0.2.43"][..]),
            ("For=\"[2001:db8:cafe::17]:4711\"", &["for=\"[2001:db8:cafe::17]\""]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", &["for=192.0.2.60;proto=http"]),
            ("for = 192.0.2.60", &["malformed"]), // no white space around `=` (§4)
            ("for=192.0.2.60 ; PROTO=HTTPS", &["for=192.0.2.60;proto=https"]),
            ("for=unknown", &["for=unknown"]),
            ("for=\"_gazonk\"", &["for=_hidden"]),
            ("for=_SEVKISEK:_port", &["for=_hidden"]),
            ("for=192.0.2.7:4711", &["for=192.0.2.7"]),
            ("for=\"192.0.2.7:47011\"", &["for=192.0.2.7"]),
            ("for=\"192.0.2.7:470110\"", &["malformed"]),
            ("for=\"192.0.2.7:+80\"", &["malformed"]),
            ("for=\"::ffff:192.0.2.7\"", &["for=192.0.2.7"]),
            ("for=\"192.0.2.\\7\"", &["for=192.0.2.7"]),
            ("by=203.0.113.43", &["for=unknown"]),
            ("for=192.0.2.1;for=192.0.2.2", &["malformed"]),
            ("for=192.0.2.1;host=\"a, b; c\\\"\"", &["for=192.0.2.1"]),
            (" , ,for=192.0.2.1, ", &["for=192.0.2.1"]),
            ("", &[]),
            // What the visitor began is not swallowed by, and does not swallow, what the proxy added.
            ("for=\"9.9.9.9, for=192.0.2.1", &["for=192.0.2.1", "malformed"]),
            ("for=9.9.9.9;x=\"\\, for=192.0.2.1", &["for=192.0.2.1", "malformed"]),
            ("x\", for=\"[::1]\"", &["for=\"[::1]\"", "malformed"]),
        ] {
            assert_eq!(printed(line), hops, "{line}");
        }
    }

    #[test]
    fn x_forwarded_for_is_read_from_the_right() {
        let ip = |text: &str| Ok(Node::Ip(text.parse().unwrap()));
        for (line, hops) in [
            ("192.0.2.1, 198.51.100.2", vec![ip("198.51.100.2"), ip("192.0.2.1")]),
            ("192.0.2.1:1234", vec![ip("192.0.2.1")]),
            ("[2001:db8::1]:99", vec![ip("2001:db8::1")]),
            ("[2001:db8::1]", vec![ip("2001:db8::1")]),
            ("2001:db8::1", vec![ip("2001:db8::1")]),
            ("::ffff:192.0.2.1", vec![ip("192.0.2.1")]),
            ("unknown", vec![Ok(Node::Unknown)]),
            ("192.0.2.1.", vec![Err(Malformed)]),
            ("[192.0.2.1]", vec![Err(Malformed)]),
            ("[::1", vec![Err(Malformed)]),
            ("\u{e9}, ,192.0.2.1,", vec![ip("192.0.2.1"), Err(Malformed)]),
        ] {
            assert_eq!(addresses(line.as_bytes()).collect::<Vec<_>>(), hops, "{line}");
        }
    }

    fn any_element() -> impl Strategy<Value = Element> {
        let node = prop_oneof![
            any::<IpAddr>().prop_map(|ip| Node::Ip(ip.to_canonical())),
            Just(Node::Unknown),
            Just(Node::Obfuscated),
        ];
        let proto = prop_oneof![Just(None), Just(Some(Scheme::Http)), Just(Some(Scheme::Https))];
        (node, proto).prop_map(|(node, proto)| Element { node, proto })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(hops in prop::collection::vec(any_element(), 1..5)) {
            let line = hops.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let mut read = elements(line.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
            read.reverse();
            prop_assert_eq!(read, hops);
        }

        #[test]
        fn nothing_on_the_left_changes_the_hop_on_the_right(left in hostile(), hop in any_element()) {
            let mut line = left;
            line.extend_from_slice(format!(", {hop}").as_bytes());
            prop_assert_eq!(elements(&line).next(), Some(Ok(hop)));
            // And all of it can be read, to whatever end.
            elements(&line).for_each(drop);
            addresses(&line).for_each(drop);
        }
    }

    /// What a visitor writes to confuse a parser.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(b"\",\\;=for[]:1_ \xff".to_vec()), 0..40)
    }
}
