use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Clock;
use crate::store::StoreError;

/// Says whether the store is to be asked. It opens when the store fails, and then lets one attempt through after each
/// pause, until one succeeds.
pub(super) struct Breaker {
    clock: Clock,
    /// What every request looks at.
    open: AtomicBool,
    /// Each failure weighs as much as [`FAILURE`] answers.
    failures: AtomicU32,
    times: Mutex<Times>,
}

#[derive(Default)]
struct Times {
    opened: Duration,
    closed: Option<Duration>,
    next: Duration,
    pause: Duration,
    attempting: bool,
}

impl Breaker {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, open: AtomicBool::default(), failures: AtomicU32::default(), times: Mutex::default() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    pub(super) fn open_for(&self) -> Option<Duration> {
        self.is_open().then(|| self.clock.now().saturating_sub(self.times().opened))
    }

    /// The store did what it was asked.
    pub(super) fn worked(&self) {
        let failures = self.failures.load(Relaxed);
        if failures > 0 {
            self.failures.store(failures - 1, Relaxed);
        }
    }

    /// It did not. Whether that was once too often.
    pub(super) fn failed(&self, error: &StoreError) -> bool {
        let failures = self.failures.fetch_add(FAILURE, Relaxed).saturating_add(FAILURE);
        // Who cannot be reached was asked twice already, and on a new connection.
        (matches!(error, StoreError::Down(_)) || failures >= MOST_FAILURES) && self.open()
    }

    /// Whether it was closed before.
    pub(super) fn open(&self) -> bool {
        let (now, mut times) = (self.clock.now(), self.times());
        if self.open.swap(true, Relaxed) {
            return false;
        }
        times.opened = now;
        let was_calm = times.closed.is_none_or(|closed| now.saturating_sub(closed) >= CALM);
        times.pause = if was_calm { FIRST_PAUSE } else { longer(times.pause) };
        times.next = now.saturating_add(times.pause);
        true
    }

    /// Whether it is time for an attempt: for one alone, which ends with what it returns.
    pub(super) fn attempt(&self) -> bool {
        let mut times = self.times();
        let due = self.is_open() && !times.attempting && self.clock.now() >= times.next;
        times.attempting |= due;
        due
    }

    pub(super) fn attempt_failed(&self) {
        let mut times = self.times();
        times.attempting = false;
        times.pause = longer(times.pause);
        times.next = self.clock.now().saturating_add(times.pause);
    }

    /// Asks the store again from now on; says how long it was not.
    pub(super) fn close(&self) -> Duration {
        let (now, mut times) = (self.clock.now(), self.times());
        times.attempting = false;
        times.closed = Some(now);
        self.failures.store(0, Relaxed);
        self.open.store(false, Relaxed);
        now.saturating_sub(times.opened)
    }

    /// A thread that panicked under the lock leaves times that are a pause too long, and nothing worse.
    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE)
}

/// Where more than one in seventeen fails, it adds up: one of a cluster's servers, say.
const FAILURE: u32 = 16;
/// Three in a row: one slow answer may be a hiccup, and each of these has cost somebody its whole time.
const MOST_FAILURES: u32 = 3 * FAILURE;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Who fails again before this time has not recovered: his pause goes on to grow.
const CALM: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn down() -> StoreError {
        StoreError::Down("closed".into())
    }

    #[test]
    fn it_opens_at_once_for_who_is_gone_and_at_the_third_failure_in_a_row_for_who_is_slow() {
        let breaker = Breaker::new(Clock::manual());
        let slow = StoreError::Slow(Duration::from_secs(1));
        assert!(!breaker.failed(&slow) && !breaker.failed(&slow));
        (0..32).for_each(|_| breaker.worked());
        assert!(!breaker.failed(&slow) && !breaker.failed(&slow) && !breaker.is_open());
        assert!(breaker.failed(&slow) && breaker.is_open());
        assert!(!breaker.failed(&slow), "it was open already");
        breaker.worked();
        assert!(breaker.is_open(), "an answer that comes late does not close it");
        breaker.close();
        assert!(breaker.failed(&down()));
        for (of, opens) in [(4, true), (16, true), (17, false), (100, false)] {
            let breaker = Breaker::new(Clock::manual());
            let failed = (1..10_000).any(|n| {
                if n % of > 0 {
                    breaker.worked();
                }
                n % of == 0 && breaker.failed(&slow)
            });
            assert_eq!(failed, opens, "one of {of} fails");
        }
    }

    #[test]
    fn one_attempt_is_let_through_after_each_pause_which_grows_until_it_was_calm() {
        let clock = Clock::manual();
        let breaker = Breaker::new(clock.clone());
        assert!(!breaker.attempt(), "nothing to attempt");
        breaker.failed(&down());
        let mut open = Duration::ZERO;
        for pause in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000].map(Duration::from_millis) {
            clock.advance(pause - Duration::from_millis(1));
            assert!(!breaker.attempt(), "{pause:?}");
            clock.advance(Duration::from_millis(1));
            assert!(breaker.attempt() && !breaker.attempt(), "one at a time: {pause:?}");
            breaker.attempt_failed();
            open += pause;
            assert_eq!(breaker.open_for(), Some(open));
        }
        clock.advance(LONGEST_PAUSE);
        assert!(breaker.attempt());
        assert_eq!(breaker.close(), open + LONGEST_PAUSE);
        assert!(!breaker.attempt() && breaker.open_for().is_none());

        breaker.failed(&down());
        clock.advance(LONGEST_PAUSE - Duration::from_millis(1));
        assert!(!breaker.attempt(), "it was not calm");
        clock.advance(Duration::from_millis(1));
        assert!(breaker.attempt());
        breaker.close();
        clock.advance(CALM);
        breaker.failed(&down());
        clock.advance(FIRST_PAUSE);
        assert!(breaker.attempt());
    }
}
