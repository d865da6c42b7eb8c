use serde::Deserialize;

use crate::Period;
use crate::counters::Limiter;

/// How many failed logins are too many: `failures` in a `window` are let pass, and one more begins the block.
///
/// The window begins at the first failure and does not move; the block, where there is none, is the rest of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    failures: u32,
    window: Period,
    #[serde(default)]
    block: Option<Period>,
}

impl Metric {
    /// So many failures in this time.
    #[must_use]
    pub const fn new(failures: u32, window: Period) -> Self {
        Self { failures, window, block: None }
    }

    /// How long who has one more is kept out, from then on.
    #[must_use]
    pub const fn block(mut self, time: Period) -> Self {
        self.block = Some(time);
        self
    }

    /// How many failures are let pass.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) const fn block_time(&self) -> Option<Period> {
        self.block
    }

    pub(super) fn limiter(&self, prefix: String) -> Limiter {
        let limiter = Limiter::new(prefix, self.failures, self.window.duration());
        match self.block {
            Some(time) => limiter.block_time(time.duration()),
            None => limiter,
        }
    }
}
