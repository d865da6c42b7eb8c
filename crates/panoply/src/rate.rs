use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::SettingError;
use crate::buckets::TICKS_A_SECOND;

/// So many in a time, and so many at once: `100/s, burst 2000`.
///
/// A client that asked for nothing in a while may ask `burst` times at once; then its allowance comes back
/// evenly. The time is `s`, `min`, `h` or `day`. Without a burst all of one time's may come at once, so
/// `300/min` is 300 at once and then five a second.
///
/// ```
/// use panoply::Rate;
///
/// let rate: Rate = "300/min".parse().unwrap();
/// assert_eq!(rate, "300/min, burst 300".parse().unwrap());
/// assert_eq!(rate.to_string(), "300/min");
/// assert!("300/hour".parse::<Rate>().unwrap_err().hint().contains("s, min, h or day"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    unit: Unit,
    burst: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

impl Rate {
    /// 100 a second and 2,000 at once.
    pub(crate) const FLOOD: Self = Self { count: 100, unit: Unit::Second, burst: 2000 };

    /// Once a minute.
    pub(crate) const MINUTELY: Self = Self { count: 1, unit: Unit::Minute, burst: 1 };

    /// Once a day.
    pub(crate) const DAILY: Self = Self { count: 1, unit: Unit::Day, burst: 1 };

    /// How many may come at once.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// How many come in one [`time`](Self::time), over time.
    pub(crate) const fn count(self) -> u32 {
        self.count
    }

    /// The second, minute, hour or day.
    pub(crate) const fn time(self) -> Duration {
        Duration::from_secs(self.unit.ticks() / TICKS_A_SECOND)
    }

    /// How long it takes until the whole burst has come back, in whole seconds, at least one.
    #[must_use]
    pub const fn window(self) -> Duration {
        Duration::from_secs(self.burst_ticks().div_ceil(TICKS_A_SECOND))
    }

    /// What one request owes. Rounded up, so that never more comes through than was said.
    pub(crate) const fn ticks(self) -> u64 {
        self.unit.ticks().div_ceil(self.count as u64)
    }

    /// What a client may owe.
    pub(crate) const fn burst_ticks(self) -> u64 {
        // At most 2^32 × 2^33, but `new` has bounded it to a month.
        self.ticks().saturating_mul(self.burst as u64)
    }

    fn new(count: u32, unit: Unit, burst: u32) -> Result<Self, SettingError> {
        if count == 0 || burst == 0 {
            return Err(SettingError::new(
                "a rate of none lets nobody in",
                "write a rate of at least one, such as `1/h`, or take the practice away with \"off\"",
            ));
        }
        let rate = Self { count, unit, burst };
        if u64::from(count) > unit.ticks() {
            return Err(SettingError::new(
                format!("`{rate}` is more than 100,000 a second"),
                "write a rate of at most `100000/s`",
            ));
        }
        if rate.burst_ticks() > LONGEST_WINDOW_TICKS {
            return Err(SettingError::new(
                format!("a burst of {burst} takes more than 31 days to come back at {count}/{}", unit.name()),
                "write a smaller burst or a higher rate",
            ));
        }
        Ok(rate)
    }
}

impl Unit {
    const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    const fn name(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
            Self::Day => "day",
        }
    }

    const fn ticks(self) -> u64 {
        TICKS_A_SECOND
            * match self {
                Self::Second => 1,
                Self::Minute => 60,
                Self::Hour => 3_600,
                Self::Day => 86_400,
            }
    }
}

impl FromStr for Rate {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let (rate, burst) = match text.split_once(',') {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (text, None),
        };
        let parts = || {
            let (count, unit) = rate.split_once('/')?;
            let count = whole(count.trim())?;
            let unit = Unit::ALL.into_iter().find(|known| known.name() == unit.trim())?;
            let burst = match burst {
                Some(burst) => whole(burst.trim_start().strip_prefix("burst ")?.trim())?,
                None => count,
            };
            Some((count, unit, burst))
        };
        let (count, unit, burst) = parts().ok_or_else(|| {
            SettingError::new(
                format!("`{text}` is no rate"),
                "write a rate such as `300/min` or `100/s, burst 2000`; the time is s, min, h or day",
            )
        })?;
        Self::new(count, unit, burst)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit.name())?;
        if self.burst != self.count {
            write!(f, ", burst {}", self.burst)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(SettingError::into_serde)
    }
}

/// Digits only: `str::parse` takes a plus sign as well.
fn whole(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

const LONGEST_WINDOW_TICKS: u64 = 31 * Unit::Day.ticks();

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_is_a_count_a_time_and_a_burst() {
        for (text, printed, burst, ticks, window) in [
            ("100/s", "100/s", 100, 1_000, 1),
            ("100/s, burst 2000", "100/s, burst 2000", 2000, 1_000, 20),
            ("100/s,burst 2000", "100/s, burst 2000", 2000, 1_000, 20),
            ("300/min", "300/min", 300, 20_000, 60),
            ("300 / min, burst 300", "300/min", 300, 20_000, 60),
            ("5/h", "5/h", 5, 72_000_000, 3_600),
            ("1000/day, burst 1", "1000/day, burst 1", 1, 8_640_000, 87),
            ("3/s", "3/s", 3, 33_334, 2), // rounded up, never down
            ("100000/s", "100000/s", 100_000, 1, 1),
        ] {
            let rate = text.parse::<Rate>().unwrap();
            assert_eq!(rate.to_string(), printed);
            assert_eq!(
                (rate.burst(), rate.ticks(), rate.window().as_secs()),
                (burst, ticks, window),
                "{text}"
            );
        }
        assert_eq!(Rate::FLOOD, "100/s, burst 2000".parse().unwrap());
        assert_eq!(Rate::DAILY, "1/day".parse().unwrap());
    }

    #[test]
    fn what_is_no_rate_says_what_to_write() {
        for (text, hint) in [
            ("", "`300/min`"),
            ("300", "`300/min`"),
            ("300/m", "s, min, h or day"),
            ("+3/s", "`300/min`"),
            ("3/s, 5", "burst 2000"),
            ("3/s burst 5", "burst 2000"),
            ("99999999999/s", "`300/min`"),
            ("0/s", "\"off\""),
            ("5/s, burst 0", "\"off\""),
            ("100001/s", "`100000/s`"),
            ("1/day, burst 32", "smaller burst"),
            ("1/day, burst 4294967295", "smaller burst"),
        ] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.hint().contains(hint), "{text}: {error}: {}", error.hint());
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(count in 1_u32..100_000, unit in 0_usize..4, burst in any::<u32>()) {
            if let Ok(rate) = Rate::new(count, Unit::ALL[unit], burst) {
                prop_assert_eq!(rate.to_string().parse(), Ok(rate));
            }
        }
    }
}
