use std::time::Duration;

use crate::counters::Count;
use crate::store::LONGEST;

/// One key's count. Moments are milliseconds of the clock, as in Redis.
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
        let until = count.left.map_or(NEVER, |left| (now + rounded_up(left)).min(NEVER - 1));
        Self { id, points: count.points, until: if refused { until | REFUSED } else { until } }
    }

    /// It ended when time began; its place is not [free](Self::is_free).
    pub(super) const fn ended(self) -> Self {
        Self { points: 0, until: REFUSED, ..self }
    }

    /// With an [`end`](Self::end) that it had before.
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

    /// Its end in a file, by the time of day, with the same highest bit; both in nanoseconds. It is `day` when it is `now`.
    pub(super) fn kept(&self, now: u64, day: u64) -> u64 {
        let until = match self.until() {
            NEVER => KEPT_FOR_EVER,
            until => day.saturating_add(until.saturating_sub(now) * MILLISECOND).min(KEPT_FOR_EVER - 1),
        };
        until | self.until & REFUSED
    }

    /// From a file in which its end is `kept`.
    pub(super) fn found(id: u64, points: i64, kept: u64, now: u64, day: u64) -> Self {
        let until = match kept & !REFUSED {
            KEPT_FOR_EVER => NEVER,
            end => (now + end.saturating_sub(day).div_ceil(MILLISECOND)).min(NEVER - 1),
        };
        Self { id, points, until: until | kept & REFUSED }
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
        let left = (until != NEVER).then(|| Duration::from_millis(until.saturating_sub(now)));
        Count { points: self.points, left }
    }

    pub(super) const fn is_free(&self) -> bool {
        self.until == 0
    }
}

/// A clock's time; after 139 years it stands still.
pub(super) fn milliseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000).saturating_add(time.subsec_millis().into()).min(NEVER - 1)
}

/// No count ends too early.
fn rounded_up(left: Duration) -> u64 {
    milliseconds(left.min(LONGEST) + Duration::from_nanos(MILLISECOND - 1))
}

const REFUSED: u64 = 1 << 63;

/// It takes [`UNTIL_BITS`]: a hundred years from a hundred years on would not need more.
const NEVER: u64 = (1 << UNTIL_BITS) - 1;

/// 139 years.
pub(super) const UNTIL_BITS: u32 = 42;

/// In nanoseconds.
const MILLISECOND: u64 = 1_000_000;

const KEPT_FOR_EVER: u64 = REFUSED - 1;
