use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use panoply::{Period, SettingError};
use serde::{Deserialize, Deserializer};

use super::text::{Text, deserialize_text, shown};
use super::{HostName, file_path};

/// `[site.upstreams]`: how the places of an app are asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Upstreams {
    /// Which of them a request goes to; [`Balance::RoundRobin`] unless told.
    pub balance: Balance,
    /// What each is asked to see whether it is well; `None`: nothing, and visitors' requests show it.
    pub health: Option<HealthPath>,
    /// How often; every five seconds unless told.
    pub check_every: Period,
    /// How long the answer may take; two seconds unless told.
    pub check_deadline: Period,
    /// After so many good answers in a row one that was sick is asked again; 2 unless told.
    pub healthy_after: Times,
    /// After so many bad ones in a row it is left out; 2 unless told.
    pub unhealthy_after: Times,
    /// How long a connection may take; five seconds unless told: a machine that is near answers at once or is gone.
    pub connect: Period,
    /// How long the head of an answer may take once the request is sent; two minutes unless told, for long polls. A body,
    /// a stream and a WebSocket take what time they like.
    pub answer: Period,
    /// How many requests may wait for one of them at once; 4096 unless told. All that wait for an app never have more
    /// than half of the connections that there may be, three quarters where it is the only one; and of one client never
    /// more than five eighths wait.
    pub waiting: Times,
    /// The authority, in PEM, whose certificates the apps at `https://` have; `None`: those that the machine trusts. That
    /// nobody is asked for is not to be had.
    #[serde(deserialize_with = "file_path::some")]
    pub ca: Option<PathBuf>,
    /// The name that their certificates are for; `None`: the host of each.
    pub server_name: Option<HostName>,
}

impl Default for Upstreams {
    fn default() -> Self {
        Self {
            balance: Balance::default(),
            health: None,
            check_every: Period::seconds(5),
            check_deadline: Period::seconds(2),
            healthy_after: Times(2),
            unhealthy_after: Times(2),
            connect: Period::seconds(5),
            answer: Period::seconds(120),
            waiting: Times(4096),
            ca: None,
            server_name: None,
        }
    }
}

/// Which of several upstreams a request goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Balance {
    /// They take turns.
    #[default]
    RoundRobin,
    /// The one that has the fewest requests under way, streams and WebSockets too.
    LeastConnections,
    /// The one that the visitor had before, told by a cookie; a new visitor's by turns.
    Sticky,
}

/// How many: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times(u32);

impl Times {
    /// The number.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for Times {
    type Error = SettingError;

    fn try_from(number: i64) -> Result<Self, SettingError> {
        match u32::try_from(number) {
            Ok(number @ 1..=MOST) => Ok(Self(number)),
            _ => Err(SettingError::new(
                format!("a number from 1 to {MOST} was expected, but found `{number}`"),
                "write such a number, or leave the setting out",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer)?.try_into().map_err(SettingError::into_serde)
    }
}

/// More than any machine has connections.
const MOST: u32 = 1_000_000;

/// What is asked for, to see whether an app is well: `/health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthPath(http::Uri);

impl HealthPath {
    pub(crate) const fn uri(&self) -> &http::Uri {
        &self.0
    }
}

impl FromStr for HealthPath {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        match text.parse::<http::Uri>() {
            Ok(uri) if text.starts_with('/') && !text.starts_with("//") => Ok(Self(uri)),
            _ => Err(SettingError::new(
                format!("what is asked for begins with `/`, but `{}` is no such path", shown(text)),
                "write it as `/health`",
            )),
        }
    }
}

impl fmt::Display for HealthPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Text for HealthPath {
    const EXPECTED: &'static str = "a path, such as \"/health\"";
}

deserialize_text!(HealthPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_asks_for_a_path() {
        for (text, taken) in [
            ("/health", true),
            ("/health?deep=1", true),
            ("/", true),
            ("health", false),
            ("http://app/health", false),
            ("//app/health", false),
            ("/a b", false),
            ("/a\r\nx: y", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<HealthPath>().is_ok(), taken, "{text:?}");
        }
        for (number, taken) in [(0, false), (1, true), (1_000_000, true), (1_000_001, false), (-1, false)] {
            assert_eq!(Times::try_from(number).is_ok(), taken, "{number}");
        }
    }
}
