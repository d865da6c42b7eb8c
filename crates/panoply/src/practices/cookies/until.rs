use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};

use crate::SettingError;

/// The end of a change-over: a date, which counts to the end of that day in UTC, or a moment (RFC 3339).
///
/// ```
/// use panoply::practices::cookies::Until;
///
/// let day: Until = "2026-12-31".parse()?;
/// assert_eq!(day, "2027-01-01T00:00:00Z".parse()?);
/// assert_eq!(day.to_string(), "2027-01-01T00:00:00Z");
/// # Ok::<(), panoply::SettingError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Until(OffsetDateTime);

impl Until {
    /// Whether it is yet to come; `now` is the time since the beginning of 1970 UTC.
    pub(super) fn is_after(self, now: Duration) -> bool {
        self.0 > OffsetDateTime::UNIX_EPOCH + now
    }
}

impl FromStr for Until {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let date = Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
        let end = |date: Date| date.next_day().map(|next| next.with_time(Time::MIDNIGHT).assume_utc());
        date.and_then(end).or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok()).map(Self).ok_or_else(|| {
            SettingError::new(
                format!("`{}` is no date", text.escape_debug()),
                "write it as `2026-12-31`, or with a time as `2026-12-31T18:00:00Z`",
            )
        })
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Until({self})")
    }
}

impl<'de> Deserialize<'de> for Until {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(SettingError::into_serde)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_counts_to_its_end_and_a_moment_to_itself() {
        for (text, end) in [
            ("2026-12-31", Some(1_798_761_600)),
            ("2026-12-31T00:00:00Z", Some(1_798_675_200)),
            ("2026-12-31T01:00:00+01:00", Some(1_798_675_200)),
            ("2026-12-31t00:00:00z", Some(1_798_675_200)),
            ("2024-02-29", Some(1_709_251_200)),
            ("2026-02-29", None),
            ("31.12.2026", None),
            ("2026-12-31 00:00", None),
            ("2026-12-31T00:00:00", None), // whose midnight?
            ("", None),
        ] {
            let until = text.parse::<Until>().ok();
            let is_after = |second: u64| until.map(|until| until.is_after(Duration::from_secs(second)));
            assert_eq!(until.is_some(), end.is_some(), "{text}");
            if let Some(end) = end {
                assert_eq!((is_after(end - 1), is_after(end)), (Some(true), Some(false)), "{text}");
            }
        }
    }
}
