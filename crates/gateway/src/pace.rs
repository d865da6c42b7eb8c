//! How long a visitor may leave unread what waits for it.

use std::time::Duration;

use tokio::time::Instant;

/// The pace at which something is read. Only the time in which we wait for the visitor counts.
///
/// Windows and buffers open by large steps: who reads 10 KiB a second out of a window of 10 MiB is silent for minutes,
/// and steady all the same. So what was taken at once buys time to digest it, up to a ceiling.
#[derive(Debug)]
pub(crate) struct Pace {
    idle: Duration,
    /// What was taken at once and is still worth time; at most `ceiling`.
    credit: Duration,
    ceiling: Duration,
    waiting: Option<Instant>,
}

impl Pace {
    /// Of a stream with a window.
    pub(crate) fn of_stream(idle: Duration) -> Self {
        Self { idle, credit: Duration::ZERO, ceiling: idle.saturating_mul(CEILING), waiting: None }
    }

    /// Of a socket, which takes small steps: what it takes at once is in buffers, and read by nobody yet.
    pub(crate) fn of_socket(idle: Duration) -> Self {
        Self { ceiling: Duration::ZERO, ..Self::of_stream(idle) }
    }

    /// The visitor has something to take.
    pub(crate) fn wait(&mut self, now: Instant) {
        self.waiting.get_or_insert(now);
    }

    /// `bytes` more are there to take at once, and are worth their time.
    pub(crate) fn hand(&mut self, bytes: usize, now: Instant) {
        self.earn(bytes);
        self.wait(now);
    }

    /// It took `bytes`, and there is nothing to take for now.
    pub(crate) fn took(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.waiting.take() {
            let waited = now.saturating_duration_since(since);
            self.credit = self.credit.saturating_sub(waited.saturating_sub(self.idle));
        }
        self.earn(bytes);
    }

    fn earn(&mut self, bytes: usize) {
        let share = u32::try_from(bytes / STEADY_1000TH).unwrap_or(u32::MAX);
        let worth = (self.idle / 1000).saturating_mul(share);
        self.credit = self.credit.saturating_add(worth).min(self.ceiling);
    }

    pub(crate) const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether it had time enough.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.waiting.is_some_and(|since| now.saturating_duration_since(since) > self.idle + self.credit)
    }
}

/// Who takes 120 KiB in the time that he may be silent is steady: a slow line has several answers to carry at once.
const STEADY_1000TH: usize = 120 * 1024 / 1000;
/// In such times: who takes a megabyte or two and then nothing is waited for no longer.
const CEILING: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_slow_but_steady_is_never_cut_off_and_who_stops_is() {
        for (name, step, every, idle, steady) in [
            ("half a kilobyte a second", 32 << 10, 59, 60, true),
            ("a window of 10 MiB at 10 KiB/s", 5 << 20, 512, 60, true),
            ("a byte a minute", 1, 61, 60, false),
            ("large steps, but too far apart", 512 << 10, 400, 60, false),
            ("a ceiling for the largest", 1 << 30, 700, 60, false),
        ] {
            let mut now = crate::clock::now();
            let mut pace = Pace::of_stream(Duration::from_secs(idle));
            pace.took(step, now);
            let kept = (0..1000).all(|_| {
                pace.wait(now);
                now += Duration::from_secs(every);
                let over = pace.is_over(now);
                pace.took(step, now);
                !over
            });
            assert_eq!(kept, steady, "{name}");
            pace.wait(now);
            let stopped = now + Duration::from_secs(11 * idle + 1);
            assert!(pace.is_over(stopped), "{name}, and then nothing");
        }
    }

    #[test]
    fn while_there_is_nothing_to_take_no_time_passes() {
        let now = crate::clock::now();
        let mut pace = Pace::of_stream(Duration::from_secs(60));
        assert!(!pace.is_over(now + Duration::from_secs(100_000)), "nothing was ever sent");
        pace.wait(now);
        pace.took(1, now);
        assert!(!pace.is_over(now + Duration::from_secs(100_000)), "all was taken");
    }

    #[test]
    fn what_lies_in_the_buffers_of_a_socket_buys_no_time() {
        let now = crate::clock::now();
        let mut pace = Pace::of_socket(Duration::from_secs(60));
        pace.took(10 << 20, now);
        pace.wait(now);
        assert!(!pace.is_over(now + Duration::from_secs(60)));
        assert!(pace.is_over(now + Duration::from_secs(61)));
    }
}
