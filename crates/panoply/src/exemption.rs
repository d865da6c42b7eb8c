use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::SettingError;

/// A path that a practice leaves alone. It matches byte for byte, without query: what takes protection away
/// must not match more than was meant.
///
/// ```
/// use panoply::Exemption;
///
/// let callback: Exemption = "/oauth/callback".parse()?;
/// assert!(callback.covers("/oauth/callback"));
/// assert!(!callback.covers("/oauth/callback/") && !callback.covers("/OAuth/callback"));
/// # Ok::<(), panoply::SettingError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exemption(Box<str>);

impl Exemption {
    /// Whether `path`, as sent, is this one.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        *self.0 == *path
    }
}

impl FromStr for Exemption {
    type Err = SettingError;

    fn from_str(written: &str) -> Result<Self, SettingError> {
        if !written.starts_with('/') {
            let message = format!("a path begins with a slash, but `{written}` does not");
            return Err(SettingError::new(message, format!("write `/{written}`")));
        }
        if let Some((path, _)) = written.split_once(['?', '#']) {
            let message = format!("a path ends before the query, but `{written}` has one");
            return Err(SettingError::new(message, format!("write `{path}`")));
        }
        if written.contains('*') {
            let message = format!("an exemption is one path, but `{written}` has a `*`");
            return Err(SettingError::new(message, "name each path that is exempt"));
        }
        if !written.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = format!("a path is sent in visible ASCII, but `{}` is not", written.escape_debug());
            return Err(SettingError::new(message, "write it percent-encoded, as in the access log"));
        }
        Ok(Self(written.into()))
    }
}

impl fmt::Display for Exemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Exemption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(SettingError::into_serde)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exemption_that_could_never_match_is_an_error() {
        for (written, message, hint) in [
            ("hook", "begins with a slash, but `hook`", "write `/hook`"),
            ("", "begins with a slash", "write `/`"),
            ("/hook?a=1", "`/hook?a=1` has one", "write `/hook`"),
            ("/hooks/*", "has a `*`", "name each"),
            ("/über", "visible ASCII", "percent-encoded"),
            ("/a\nb", "`/a\\nb` is not", "percent-encoded"),
        ] {
            let error = written.parse::<Exemption>().expect_err(written);
            assert!(error.to_string().contains(message), "{written:?}: {error}");
            assert!(error.hint().contains(hint), "{written:?}: {}", error.hint());
        }
        assert_eq!("/%C3%BCber".parse::<Exemption>().unwrap().to_string(), "/%C3%BCber");
    }
}
