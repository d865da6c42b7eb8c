//! How much of something may come: so much at once, and so much a second.

use tokio::time::Instant;

/// What a budget holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) most: u64,
    pub(super) a_second: u64,
}

#[derive(Debug)]
pub(super) struct Budget {
    size: Size,
    left: u64,
    filled: Instant,
}

impl Budget {
    pub(super) fn new(size: Size, now: Instant) -> Self {
        Self { size, left: size.most, filled: now }
    }

    /// Takes one, if there is one.
    pub(super) fn spend(&mut self, now: Instant) -> Option<()> {
        if self.left == 0 {
            self.fill(now);
        }
        self.left = self.left.checked_sub(1)?;
        Some(())
    }

    /// Adds some, up to the most.
    pub(super) fn earn(&mut self, some: u64) {
        self.left = (self.left + some).min(self.size.most);
    }

    /// Time is looked at only when nothing is left, so that a frame costs a subtraction.
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_millis();
        let earned = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(self.size.a_second) / 1000;
        if earned > 0 {
            self.left = earned.min(self.size.most);
            self.filled = now;
        }
    }
}
