use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use panoply::{Hosts, SettingError};

use super::text::{Text, deserialize_text, shown};

/// A name that a site is served under: `shop.example`, `*.shop.example`, `localhost`, `192.0.2.1` or `[2001:db8::1]`.
///
/// It is kept in the form in which names are compared: lower-case, without port or trailing dot. A leading `*`
/// stands for one label or more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName(String);

impl HostName {
    /// The name, lower-case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows `*.`, where the name has one.
    #[must_use]
    pub fn wildcard(&self) -> Option<&str> {
        self.0.strip_prefix("*.")
    }
}

impl AsRef<str> for HostName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Text for HostName {
    const EXPECTED: &'static str = "a host name, such as \"shop.example\"";
}

deserialize_text!(HostName);

impl FromStr for HostName {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        if text == "*" {
            return Err(SettingError::new(
                "`*` is no name: a site that answers to any name has no `hosts`",
                "leave `hosts` out, or write the names; `*.shop.example` is every name below",
            ));
        }
        let name = canonical(text).ok_or_else(|| explained(text))?;
        // The practice has the last word, and has it here, where the place is known.
        Hosts::named([&name])?;
        Ok(Self(name))
    }
}

/// Says what is wrong with a text that is no host name, and what was most likely meant.
fn explained(text: &str) -> SettingError {
    let found = shown(text);
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split(['/', '?', '#']).next().unwrap_or_default();
    let name = match bare.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => bare,
    };
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return SettingError::new(format!("browsers send `{ip}` in brackets"), format!("write `[{ip}]`"));
    }
    if name != text && canonical(name).is_some() {
        return SettingError::new(
            format!("a host is a name alone, but `{found}` has more"),
            format!("write `{name}`"),
        );
    }
    if !text.is_ascii() {
        return SettingError::new(
            format!("browsers send names in ASCII, but `{found}` is not"),
            "write the name as the address bar copies it: it begins with `xn--`",
        );
    }
    if text.contains('*') {
        return SettingError::new(
            format!("`*` stands for the first label alone, but `{found}` has it elsewhere"),
            "write it as `*.shop.example`",
        );
    }
    SettingError::new(format!("`{found}` is no host name"), "write it as `shop.example`")
}

/// The form in which browsers send `text`, if it is a name or address.
fn canonical(text: &str) -> Option<String> {
    if let Some(ip) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        // Names are compared as text, and this is the one that browsers send (RFC 5952).
        return ip.parse::<Ipv6Addr>().ok().map(|ip| format!("[{ip}]"));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let labels = name.strip_prefix("*.").unwrap_or(&name);
    let is_name = name.len() <= LONGEST && labels.split('.').all(is_label);
    // What ends in a number is an IPv4 address or nothing (WHATWG URL §3.5).
    let last = labels.rsplit('.').next().unwrap_or_default();
    let is_valid = if last.bytes().all(|byte| byte.is_ascii_digit()) {
        name.parse::<Ipv4Addr>().is_ok()
    } else {
        is_name
    };
    is_valid.then_some(name)
}

/// Underscores are no part of a host name (RFC 1123 §2.1), but browsers send them and names in use have them.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}

/// Bytes of the longest name in its text form (RFC 1035 §2.3.4: 255 octets on the wire).
pub(crate) const LONGEST: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_as_they_are_compared() {
        for (text, kept) in [
            ("shop.example", "shop.example"),
            ("Shop.EXAMPLE.", "shop.example"),
            ("*.shop.example", "*.shop.example"),
            ("localhost", "localhost"),
            ("my_app.internal", "my_app.internal"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8:0::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(text.parse::<HostName>().unwrap().as_str(), kept, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_was_meant() {
        for (text, hint) in [
            ("https://shop.example/", "write `shop.example`"),
            ("shop.example:443", "write `shop.example`"),
            ("shop.example/login", "write `shop.example`"),
            ("2001:db8::1", "write `[2001:db8::1]`"),
            ("bücher.example", "write the name as the address bar copies it: it begins with `xn--`"),
            ("shop.*", "write it as `*.shop.example`"),
            ("*.*.example", "write it as `*.shop.example`"),
            ("*shop.example", "write it as `*.shop.example`"),
            ("1.2.3", "write it as `shop.example`"),
            ("*.1.2.3.4", "write it as `*.shop.example`"),
            ("-shop.example", "write it as `shop.example`"),
            ("shop..example", "write it as `shop.example`"),
            (".", "write it as `shop.example`"),
            ("", "write it as `shop.example`"),
            ("a b", "write it as `shop.example`"),
        ] {
            assert_eq!(text.parse::<HostName>().unwrap_err().hint(), hint, "{text:?}");
        }
        assert!("a.".repeat(127).parse::<HostName>().is_ok());
        assert!(format!("{}aa", "a.".repeat(126)).parse::<HostName>().is_err());
        assert!("*".parse::<HostName>().is_err());
    }
}
