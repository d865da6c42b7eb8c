use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::SettingError;

/// A length of time in a setting: `500ms`, `30s`, `5min`, `24h`, `7day`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

impl Period {
    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u32) -> Self {
        Self(Duration::from_secs(seconds as u64))
    }

    /// The same as the standard library has it.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let (number, name) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let unit = UNITS.iter().find(|(unit, _)| *unit == name.trim_start());
        match (number.parse::<u32>(), unit) {
            // The longest, 2^32 days, is 2^59 milliseconds.
            (Ok(number @ 1..), Some((_, unit))) => Ok(Self(Duration::from_millis(u64::from(number) * unit))),
            _ => Err(SettingError::new(
                format!("`{text}` is no length of time"),
                "write a whole number from 1 and ms, s, min, h or day, such as `30s`",
            )),
        }
    }
}

/// In the largest unit that leaves a whole number.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let whole = |&(_, unit): &(&str, u64)| milliseconds.is_multiple_of(unit.into()) && milliseconds > 0;
        let (name, unit) = UNITS.into_iter().rfind(whole).unwrap_or(("ms", 1));
        write!(f, "{}{name}", milliseconds / u128::from(unit))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(SettingError::into_serde)
    }
}

/// In milliseconds, the smallest first.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("day", 86_400_000)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_period_has_a_unit() {
        for (text, printed) in [
            ("500ms", "500ms"),
            ("30s", "30s"),
            ("30 s", "30s"),
            ("90s", "90s"),
            ("60s", "1min"),
            ("24h", "1day"),
            ("4294967295day", "4294967295day"),
        ] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), printed);
        }
        for text in ["", "0s", "30", "s", "-1s", "1.5s", "30 seconds", "4294967296s", "30S"] {
            let error = text.parse::<Period>().unwrap_err();
            assert!(error.hint().contains("`30s`"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(number in 1..=u32::MAX, unit in 0_usize..5) {
            let period: Period = format!("{number}{}", UNITS[unit].0).parse().unwrap();
            prop_assert_eq!(period.to_string().parse(), Ok(period));
        }
    }
}
