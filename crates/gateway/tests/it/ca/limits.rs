//! What one account may ask for. The figures are Let's Encrypt's (letsencrypt.org/docs/rate-limits); it refills a
//! little all the time, while here a window slides: who never meets this limit never meets that one.

use std::time::{Duration, SystemTime};

use super::clock::{DAY, HOUR};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Orders of one account.
    pub(crate) orders: Limit,
    /// Certificates for exactly these names.
    pub(crate) duplicates: Limit,
    /// Failed validations of one name.
    pub(crate) failures: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            orders: Limit { most: 300, within: HOUR.saturating_mul(3) },
            duplicates: Limit { most: 5, within: DAY.saturating_mul(7) },
            failures: Limit { most: 5, within: HOUR },
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) most: usize,
    pub(crate) within: Duration,
}

impl Limit {
    /// How long to wait until one more is admitted, when these have been, oldest first.
    pub(crate) fn wait(self, earlier: impl Iterator<Item = SystemTime>, now: SystemTime) -> Option<Duration> {
        let counted: Vec<_> = earlier.filter(|&at| at <= now && at + self.within > now).collect();
        let first_to_leave = counted.len().checked_sub(self.most)?;
        counted
            .get(first_to_leave)
            .map_or(Some(self.within), |&at| (at + self.within).duration_since(now).ok())
    }
}

#[test]
fn one_more_is_admitted_when_the_oldest_that_counts_has_left() {
    let limit = Limit { most: 2, within: HOUR };
    let at = |minutes: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + minutes * 60);
    for (earlier, now, wait) in [
        (vec![], 0, None),
        (vec![0], 1, None),
        (vec![0, 10], 20, Some(40)),
        (vec![0, 10], 60, None),
        (vec![0, 10, 20], 30, Some(40)),
        (vec![40], 30, None), // the clock went back
    ] {
        let found = limit.wait(earlier.iter().copied().map(at), at(now));
        assert_eq!(found, wait.map(|minutes| Duration::from_secs(minutes * 60)), "{earlier:?} at {now}");
    }
}
