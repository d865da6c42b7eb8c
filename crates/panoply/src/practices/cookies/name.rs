use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::SettingError;

/// The name of a cookie, as a setting: visible ASCII without `=`, `;`, `,`, quotes and backslashes. Apps use more than
/// RFC 6265 allows (`express:sess`), and browsers take it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CookieName(Box<str>);

impl CookieName {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CookieName {
    type Err = SettingError;

    fn from_str(name: &str) -> Result<Self, SettingError> {
        let is_in_names = |byte: u8| byte.is_ascii_graphic() && !b"=;,\"\\".contains(&byte);
        if name.is_empty() {
            return Err(SettingError::new("a cookie has a name, but this one is empty", "write its name"));
        }
        if name.len() > LONGEST {
            let message = format!("a name of {} bytes is more than the {LONGEST} that are taken", name.len());
            return Err(SettingError::new(message, "write a shorter one"));
        }
        if !name.bytes().all(is_in_names) {
            let message = format!("`{}` is no name of a cookie", name.escape_debug());
            return Err(SettingError::new(
                message,
                "write letters, digits and such as `-`, `_`, `.` and `:`",
            ));
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CookieName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(SettingError::into_serde)
    }
}

/// Whether some app could take what stands between two semicolons of a `Cookie` header for the cookie `name`.
///
/// Express compares bytes, others do not: ASP.NET takes names in any case, PHP makes `_` of dots, spaces and brackets,
/// old Rack and PHP decode names, Django trims what Unicode calls white space, and old readers part cookies at commas.
pub(super) fn is_like(name: &str, part: &[u8]) -> bool {
    part.split(|byte| *byte == b',').any(|part| {
        let end = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
        folded(part.get(..end).unwrap_or_default()).eq(folded(name.as_bytes()))
    })
}

/// A name as the most lenient of readers compares it.
fn folded(name: &[u8]) -> impl Iterator<Item = u8> {
    let visible = |byte: &u8| byte.is_ascii_graphic();
    let start = name.iter().position(visible).unwrap_or(name.len());
    let end = name.iter().rposition(visible).map_or(start, |last| last + 1);
    let mut rest = name.get(start..end).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&first, behind) = rest.split_first()?;
        let (byte, behind) = escaped(first, behind).unwrap_or((first, behind));
        rest = behind;
        Some(if b". [".contains(&byte) { b'_' } else { byte.to_ascii_lowercase() })
    })
}

fn escaped(first: u8, behind: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], behind) = behind.split_first_chunk().filter(|_| first == b'%')?;
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(high)? << 4 | digit(low)?, behind))
}

/// In bytes. A browser keeps 4,096 of name and value together.
const LONGEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_browsers_and_apps_take() {
        for (name, taken) in [
            ("connect.sid", true),
            ("express:sess", true),
            ("__Host-id", true),
            (".ASPXAUTH", true),
            ("", false),
            ("a b", false),
            ("a=b", false),
            ("a;b", false),
            ("a,b", false),
            ("\"a\"", false),
            ("größe", false),
            ("a\n", false),
        ] {
            assert_eq!(name.parse::<CookieName>().is_ok(), taken, "{name:?}");
        }
        assert!("x".repeat(LONGEST + 1).parse::<CookieName>().is_err());
    }

    #[test]
    fn what_some_app_takes_for_a_name_is_like_it() {
        for (name, part, is_it) in [
            ("connect.sid", &b"connect.sid=x"[..], true),
            ("connect.sid", b" connect.sid = x", true),
            ("connect.sid", b"Connect.SID=x", true),
            ("connect.sid", b"connect_sid=x", true),
            ("connect.sid", b"connect%2esid=x", true),
            ("connect.sid", b"%63onnect.sid=x", true),
            ("connect.sid", b"\xa0connect.sid\xc2\x85=x", true),
            ("my_sess", b"my sess=x", true),
            ("my_sess", b"my[sess=x", true),
            ("sid", b"a=1,sid=x", true),
            ("sid", b"a, sid=x", true),
            ("sid", b"sid", true),
            ("sid", b"a=sid", false),
            ("sid", b"sid2=x", false),
            ("sid", b"a=sid=x", false),
            ("sid", b"__Host-sid=x", false),
            ("sid", b"si%64", true),
            ("sid", b"si%6", false),
            ("sid", b"", false),
            ("session", b"session.sig=x", false),
        ] {
            assert_eq!(is_like(name, part), is_it, "{name} {}", part.escape_ascii());
        }
    }
}
