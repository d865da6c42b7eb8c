//! Decisions in memory, one after the other.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use panoply::Clock;
use panoply::counters::{Counters, Limiter, Memory, Verdict};

/// So many decisions: `hot` are for one key, `new` each for another. All keys are made whichever side is run, so that only the decisions differ.
pub fn run(side: &str, decisions: usize) {
    // One set, so that it does not depend on the hash's key which keys meet.
    let counters = Memory::with_clock(Clock::manual()).capacity(1);
    let (limiter, keys) = (limiter(), Keys::new(4_096));
    let first = keys.of(0);
    for n in 0..decisions {
        match side {
            "hot" => drop(black_box(decide(&limiter, &counters, first))),
            "new" => drop(black_box(decide(&limiter, &counters, keys.of(n)))),
            _ => drop(black_box((keys.of(n), &counters))),
        }
    }
}

/// With a line that nobody comes to.
#[must_use]
pub fn limiter() -> Limiter {
    Limiter::new("login_fail", u32::MAX, Duration::from_secs(86_400))
}

/// Addresses as texts of one length, one after the other: a request's key is warm, its count is not.
#[derive(Debug)]
pub struct Keys(String);

impl Keys {
    /// So many.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Self((0..keys).map(|n| format!("2001:db8:{:04x}:{:04x}::", n >> 16, n & 0xffff)).collect())
    }

    /// The `n`th, and after the last the first again.
    #[inline]
    #[must_use]
    pub fn of(&self, n: usize) -> &str {
        let start = n * LENGTH % self.0.len();
        self.0.get(start..start + LENGTH).unwrap_or_default()
    }
}

const LENGTH: usize = "2001:db8:0000:0000::".len();

/// Memory answers at once, so one poll is enough and no runtime takes part.
///
/// # Panics
/// With counters that wait or fail.
#[inline]
pub fn decide(limiter: &Limiter, counters: &dyn Counters, key: &str) -> Verdict {
    match pin!(limiter.consume(counters, key, 1)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(verdict)) => verdict,
        answer => unreachable!("memory neither waits nor fails: {answer:?}"),
    }
}
