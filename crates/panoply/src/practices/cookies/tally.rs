use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts what strangers can cause at will, and says when the log may be told: at once, then once a minute.
#[derive(Debug, Default)]
pub(super) struct Tally {
    count: AtomicU64,
    /// From when on the log may be told again, in seconds.
    next: AtomicU64,
}

impl Tally {
    /// Counts `events` more; the count since the log was last told, if it is time to tell it.
    pub(super) fn add(&self, events: u64, now: Duration) -> Option<u64> {
        self.count.fetch_add(events, Ordering::Relaxed);
        let (now, next) = (now.as_secs(), self.next.load(Ordering::Relaxed));
        let is_time = events > 0
            && now >= next
            && self.next.compare_exchange(next, now + PAUSE, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_time.then(|| self.count.swap(0, Ordering::Relaxed))
    }
}

/// In seconds.
const PAUSE: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_once_a_minute_and_loses_no_count() {
        let tally = Tally::default();
        for (second, events, told) in [
            (0, 1, Some(1)),
            (1, 2, None),
            (59, 3, None),
            (60, 1, Some(6)),
            (61, 1, None),
            (300, 0, None),
            (300, 1, Some(2)),
        ] {
            assert_eq!(tally.add(events, Duration::from_secs(second)), told, "second {second}");
        }
    }
}
