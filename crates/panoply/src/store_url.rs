//! Where a store is, as its URL says. The URL may hold a password: so it is read here alone, and nothing shows it whole.

use std::fmt;

use crate::SettingError;

/// What a store's URL says.
///
/// ```
/// use panoply::StoreUrl;
///
/// # fn main() -> Result<(), panoply::SettingError> {
/// let url = StoreUrl::parse("rediss://:hunter2@cache.example:6380")?;
/// assert_eq!((url.kind(), format!("{url:?}")), ("redis", "redis [secret]".to_owned()));
/// let error = StoreUrl::parse("mysql://root:hunter2@db.example").unwrap_err();
/// assert_eq!(error.to_string(), "there is no store for `mysql`");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl<'u> {
    /// `memory`: this process's.
    Memory,
    /// `file:PATH`, without the scheme.
    File(&'u str),
    /// `redis://…` and its like, whole: one server's, or those of a cluster with commas between.
    Redis(&'u str),
    /// `postgres://…`, whole.
    Postgres(&'u str),
}

impl<'u> StoreUrl<'u> {
    /// Reads the scheme; what stands behind it is for who connects.
    ///
    /// # Errors
    /// When there is no store for it.
    pub fn parse(url: &'u str) -> Result<Self, SettingError> {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "file" => Ok(Self::File(rest)),
            "redis" | "rediss" | "redis+unix" | "valkey" | "valkeys" | "valkey+unix" => Ok(Self::Redis(url)),
            "postgres" | "postgresql" => Ok(Self::Postgres(url)),
            _ => Err(no_store(url, scheme)),
        }
    }

    /// What kind of store it is, in one word.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::File(_) => "file",
            Self::Redis(_) => "redis",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// What lets one in is left out, and with it all the rest.
impl fmt::Debug for StoreUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Redis(_) | Self::Postgres(_) => write!(f, "{} [secret]", self.kind()),
        }
    }
}

/// The servers of one cluster stand one behind the other, with commas between.
#[cfg(feature = "redis")]
pub(crate) fn nodes(urls: &str) -> Vec<&str> {
    // A password may hold a comma, but hardly one with a scheme behind it.
    let more = ["redis://", "rediss://", "valkey://", "valkeys://"];
    if more.iter().any(|scheme| urls.contains(&format!(",{scheme}"))) {
        urls.split(',').collect()
    } else {
        vec![urls]
    }
}

fn no_store(url: &str, scheme: &str) -> SettingError {
    // What stands before the colon is a scheme only where it looks like one.
    let named = url.contains(':') && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let what = if named { format!("`{scheme}`") } else { "this URL".to_owned() };
    SettingError::new(
        format!("there is no store for {what}"),
        "write memory, file:PATH, redis://…, rediss://… or postgres://…",
    )
}

#[cfg(not(all(feature = "file", feature = "redis", feature = "postgres")))]
pub(crate) fn not_compiled_in(feature: &str) -> SettingError {
    SettingError::new(
        format!("this program was built without the store `{feature}`"),
        format!("build it with panoply's cargo feature `{feature}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_of_one_kind_or_an_error_and_neither_shows_a_password() {
        for (url, found) in [
            ("memory", "memory"),
            ("file:sessions.redb", "file:sessions.redb"),
            ("redis://ann:hunter2@127.0.0.1:6379/1", "redis [secret]"),
            ("valkeys://:hunter2@cache.example", "redis [secret]"),
            ("redis+unix:///run/redis.sock?pass=hunter2", "redis [secret]"),
            ("postgresql://ann:hunter2@127.0.0.1/shop", "postgres [secret]"),
            ("", "no store for this URL"),
            ("memory:hunter2", "no store for `memory`"),
            ("hunter2", "no store for this URL"),
            ("an hunter2://x", "no store for this URL"),
            ("mongodb://ann:hunter2@127.0.0.1", "no store for `mongodb`"),
            ("Redis://:hunter2@127.0.0.1", "no store for `Redis`"),
        ] {
            let text = match StoreUrl::parse(url) {
                Ok(url) => format!("{url:?}"),
                Err(error) => format!("{error} {error:?} {}", error.hint()),
            };
            assert!(text.contains(found) && !text.contains("hunter2"), "{url}: {text}");
        }
    }

    #[cfg(feature = "redis")]
    #[test]
    fn a_comma_of_a_password_parts_no_servers() {
        for (urls, count) in [
            ("redis://:hunter2@127.0.0.1:1,redis://:hunter2@127.0.0.1:2", 2),
            ("redis://:hunter2,more@127.0.0.1:1", 1),
            ("rediss://a,rediss://b,rediss://c", 3),
        ] {
            assert_eq!(nodes(urls).len(), count, "{urls}");
        }
    }
}
