use std::time::Duration;

use super::Count;

/// How hits are counted: the line, the window that begins at the first hit, the block of who crosses the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    points: u32,
    window: Option<Duration>,
    block: Option<Duration>,
}

impl Rule {
    pub(super) fn new(points: u32, window: Duration) -> Self {
        Self { points, window: lasting(window), block: None }
    }

    pub(super) fn block_time(self, block: Duration) -> Self {
        Self { block: lasting(block), ..self }
    }

    /// The line: so many points may be consumed, and one more is too many.
    #[must_use]
    pub const fn points(&self) -> u32 {
        self.points
    }

    /// How long a count stands from the first hit; `None` is for ever.
    #[must_use]
    pub const fn window(&self) -> Option<Duration> {
        self.window
    }

    /// How long the count stands from the hit that crosses the line, if not to the end of its window.
    #[must_use]
    pub const fn block(&self) -> Option<Duration> {
        self.block
    }

    /// What stands under a key after `points` more.
    ///
    /// A hit never moves the end of a count, but for two: the one that crosses the line begins the block, and a count
    /// within the line that has no end is given the window. A count over the line that has none was blocked for ever.
    ///
    /// ```
    /// use std::time::Duration;
    /// use panoply::counters::{Count, Limiter};
    ///
    /// let minute = Duration::from_secs(60);
    /// let limiter = Limiter::new("login", 10, minute).block_time(60 * minute);
    /// let rule = limiter.rule();
    /// assert_eq!(rule.add(None, 1), Count { points: 1, left: Some(minute) });
    /// let tenth = Count { points: 10, left: Some(minute / 2) };
    /// let eleventh = rule.add(Some(tenth), 1);
    /// assert_eq!(eleventh, Count { points: 11, left: Some(60 * minute) });
    /// ```
    #[must_use]
    pub fn add(&self, was: Option<Count>, points: i64) -> Count {
        let before = was.map_or(0, |was| was.points);
        let after = before.saturating_add(points);
        let left = match was {
            _ if self.crosses(before, after) => self.block,
            None => self.window,
            Some(Count { left: None, .. }) if !self.is_over(before) => self.window,
            Some(was) => was.left,
        };
        Count { points: after, left }
    }

    /// Whether the hit between the two begins a block.
    fn crosses(&self, before: i64, after: i64) -> bool {
        self.block.is_some() && !self.is_over(before) && self.is_over(after)
    }

    pub(super) fn is_over(&self, points: i64) -> bool {
        points > i64::from(self.points)
    }
}

/// Zero is no end, as rate-limiter-flexible has it: a time that was left out lets nobody in.
pub(super) fn lasting(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_moves_an_end_only_to_begin_a_block_or_to_heal() {
        let seconds = |n| Some(Duration::from_secs(n));
        let plain = Rule::new(3, Duration::from_secs(60));
        let blocking = plain.block_time(Duration::from_secs(600));
        let endless = Rule::new(3, Duration::ZERO);
        for (rule, was, points, after, left) in [
            (plain, None, 1, 1, seconds(60)),
            (plain, Some((1, seconds(20))), 1, 2, seconds(20)),
            (plain, Some((3, seconds(20))), 1, 4, seconds(20)),
            (plain, Some((1, None)), 1, 2, seconds(60)), // healed
            (plain, Some((3, None)), 1, 4, seconds(60)), // healed by the hit that crosses
            (plain, Some((4, None)), 1, 5, None),        // blocked for ever
            (plain, Some((4, None)), -3, 1, None),
            (plain, None, -2, -2, seconds(60)),
            (blocking, Some((3, seconds(20))), 1, 4, seconds(600)),
            (blocking, Some((1, seconds(20))), 9, 10, seconds(600)),
            (blocking, Some((4, seconds(500))), 1, 5, seconds(500)), // later hits extend nothing
            (blocking, None, 4, 4, seconds(600)),
            (blocking, Some((5, seconds(20))), -1, 4, seconds(20)),
            (endless, None, 1, 1, None),
            (endless, Some((1, seconds(20))), 1, 2, seconds(20)),
            (plain, Some((i64::MAX, None)), 1, i64::MAX, None),
        ] {
            let was = was.map(|(points, left)| Count { points, left });
            assert_eq!(rule.add(was, points), Count { points: after, left }, "{rule:?} {was:?} {points}");
        }
    }
}
