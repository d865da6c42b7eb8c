use std::time::Duration;

use crate::counters::Count;
use crate::store::LONGEST;

/// One key's count. Moments are nanoseconds of the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) id: u64,
    pub(super) points: i64,
    /// Its end, and in the highest bit whether its last hit, which knew the line, was refused.
    until: u64,
}

impl Slot {
    /// Nobody's.
    pub(super) const FREE: Self = Self { id: 0, points: 0, until: 0 };

    pub(super) fn new(id: u64, count: Count, now: u64, refused: bool) -> Self {
        let until = count
            .left
            .map_or(NEVER, |left| now.saturating_add(nanoseconds(left.min(LONGEST))).min(NEVER - 1));
        Self { id, points: count.points, until: if refused { until | REFUSED } else { until } }
    }

    /// It ended when time began; its place is not [free](Self::is_free).
    pub(super) const fn ended(self) -> Self {
        Self { points: 0, until: REFUSED, ..self }
    }

    /// With an end and a highest bit that come from elsewhere.
    pub(super) const fn at(id: u64, points: i64, until: u64) -> Self {
        Self { id, points, until }
    }

    /// The same key with so many points and the same end.
    pub(super) const fn with(self, points: i64, refused: bool) -> Self {
        let until = self.until();
        Self { points, until: if refused { until | REFUSED } else { until }, ..self }
    }

    /// The end, and in the highest bit whether it is refused.
    pub(super) const fn end(&self) -> u64 {
        self.until
    }

    /// Its end by another clock, on which it is `there` when it is `here` on its own.
    pub(super) fn moved(&self, here: u64, there: u64) -> u64 {
        let until = match self.until() {
            NEVER => NEVER,
            until => there.saturating_add(until.saturating_sub(here)).min(NEVER - 1),
        };
        until | self.until & REFUSED
    }

    /// The same by another clock.
    pub(super) fn since(self, here: u64, there: u64) -> Self {
        Self { until: self.moved(here, there), ..self }
    }

    pub(super) const fn until(&self) -> u64 {
        self.until & !REFUSED
    }

    pub(super) const fn is_refused(&self) -> bool {
        self.until & REFUSED != 0
    }

    /// Whether its end has not come.
    pub(super) const fn stands(&self, now: u64) -> bool {
        self.until() > now
    }

    /// The smallest is driven out first.
    pub(super) const fn worth(&self) -> (i64, u64) {
        (self.points, self.until())
    }

    pub(super) fn count(&self, now: u64) -> Count {
        let until = self.until();
        let left = (until != NEVER).then(|| Duration::from_nanos(until.saturating_sub(now)));
        Count { points: self.points, left }
    }

    pub(super) const fn is_free(&self) -> bool {
        self.until == 0
    }
}

/// A clock's time; after 292 years it stands still.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).map_or(NEVER - 1, |time| time.min(NEVER - 1))
}

const REFUSED: u64 = 1 << 63;

const NEVER: u64 = REFUSED - 1;
