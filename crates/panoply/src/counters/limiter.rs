use std::time::Duration;

use super::rule::lasting;
use super::{Count, Counters, Key, Rule, Who};
use crate::store::StoreError;

/// So many points in a window for each key, and where its counts are: under the prefix, a colon and the key.
///
/// It holds no counts: [`Counters`] does, and two limiters of one prefix share theirs. Every verb fails only where
/// the counters do, and what was asked may then have been done or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limiter {
    prefix: String,
    rule: Rule,
}

impl Limiter {
    /// `points` in each `window`, which begins at a key's first hit; a window of zero never ends. With an empty
    /// prefix a key stands alone; rate-limiter-flexible's own is `rlflx`.
    #[must_use]
    pub fn new(prefix: impl Into<String>, points: u32, window: Duration) -> Self {
        Self { prefix: prefix.into(), rule: Rule::new(points, window) }
    }

    /// How long who crosses the line is kept out from then on; zero, unless told, is the rest of the window.
    #[must_use]
    pub fn block_time(mut self, block: Duration) -> Self {
        self.rule = self.rule.block_time(block);
        self
    }

    /// Line, window and block.
    #[must_use]
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Under what the counters keep `who`: a name, or a [`Who`] that has a network too.
    #[must_use]
    pub fn key<'k>(&'k self, who: impl Into<Who<'k>>) -> Key<'k> {
        who.into().under(&self.prefix)
    }

    /// Charges `points`, and refuses who has consumed more than there are; refused hits count as well.
    ///
    /// # Errors
    /// When the counters fail: whoever asked is neither admitted nor refused.
    pub async fn consume(
        &self,
        counters: &dyn Counters,
        who: impl Into<Who<'_>>,
        points: u32,
    ) -> Result<Verdict, StoreError> {
        let standing = self.add(counters, who, points.into()).await?;
        Ok(if standing.is_over() { Verdict::Refused(standing) } else { Verdict::Admitted(standing) })
    }

    /// Charges `points` of what cannot be refused any more.
    ///
    /// # Errors
    /// When the counters fail.
    pub async fn penalty(
        &self,
        counters: &dyn Counters,
        who: impl Into<Who<'_>>,
        points: u32,
    ) -> Result<Standing, StoreError> {
        self.add(counters, who, points.into()).await
    }

    /// Gives `points` back; a key may so have more than at the beginning.
    ///
    /// # Errors
    /// When the counters fail.
    pub async fn reward(
        &self,
        counters: &dyn Counters,
        who: impl Into<Who<'_>>,
        points: u32,
    ) -> Result<Standing, StoreError> {
        self.add(counters, who, -i64::from(points)).await
    }

    /// How the key stands, if it was ever hit in this window: who [is over](Standing::is_over) would be refused.
    ///
    /// # Errors
    /// When the counters fail.
    pub async fn get(
        &self,
        counters: &dyn Counters,
        who: impl Into<Who<'_>>,
    ) -> Result<Option<Standing>, StoreError> {
        let count = counters.peek(who.into().under(&self.prefix)).await?;
        Ok(count.map(|count| self.standing(count, false)))
    }

    /// Keeps the key out for `time`, whatever it had consumed; zero is for ever.
    ///
    /// # Errors
    /// When the counters fail, or have no room.
    pub async fn block(
        &self,
        counters: &dyn Counters,
        who: impl Into<Who<'_>>,
        time: Duration,
    ) -> Result<Standing, StoreError> {
        let count = Count { points: i64::from(self.rule.points()) + 1, left: lasting(time) };
        counters.block(who.into().under(&self.prefix), count).await?;
        Ok(self.standing(count, false))
    }

    /// Lets the key have consumed `points`, for `time`; zero is for ever.
    ///
    /// # Errors
    /// When the counters fail, or have no room.
    pub async fn set(
        &self,
        counters: &dyn Counters,
        who: impl Into<Who<'_>>,
        points: i64,
        time: Duration,
    ) -> Result<Standing, StoreError> {
        let count = Count { points, left: lasting(time) };
        counters.set(who.into().under(&self.prefix), count).await?;
        Ok(self.standing(count, false))
    }

    /// Forgets the key, its block too, and says whether there was anything.
    ///
    /// # Errors
    /// When the counters fail.
    pub async fn delete(&self, counters: &dyn Counters, who: impl Into<Who<'_>>) -> Result<bool, StoreError> {
        counters.forget(who.into().under(&self.prefix)).await
    }

    /// Who is kept out now, at most [`MOST_LISTED`](super::MOST_LISTED) keys.
    ///
    /// # Errors
    /// When the counters fail.
    pub async fn over(&self, counters: &dyn Counters) -> Result<Vec<(String, Standing)>, StoreError> {
        let over = counters.over(&self.prefix, self.rule.points()).await?;
        Ok(over.into_iter().map(|(name, count)| (name, self.standing(count, false))).collect())
    }

    async fn add(
        &self,
        counters: &dyn Counters,
        who: impl Into<Who<'_>>,
        points: i64,
    ) -> Result<Standing, StoreError> {
        let count = counters.add(who.into().under(&self.prefix), points, &self.rule).await?;
        Ok(self.standing(count, count.points == points))
    }

    const fn standing(&self, count: Count, first: bool) -> Standing {
        Standing { count, points: self.rule.points(), first }
    }
}

/// Whether a hit is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "who is refused is to be refused"]
pub enum Verdict {
    /// The points sufficed.
    Admitted(Standing),
    /// They did not.
    Refused(Standing),
}

impl Verdict {
    /// Whether the points did not suffice.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// How the key stands in either case.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        match *self {
            Self::Admitted(standing) | Self::Refused(standing) => standing,
        }
    }
}

/// How a key stands with a limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    count: Count,
    points: u32,
    first: bool,
}

impl Standing {
    /// The points consumed, those of refused hits too.
    #[must_use]
    pub const fn consumed(&self) -> i64 {
        self.count.points
    }

    /// The points that are left, never below zero; after rewards they may be more than at the beginning.
    #[must_use]
    pub fn remaining(&self) -> i64 {
        i64::from(self.points).saturating_sub(self.count.points).max(0)
    }

    /// The time until all points are back; `None` is never.
    #[must_use]
    pub const fn left(&self) -> Option<Duration> {
        self.count.left
    }

    /// Whether the hit is all that was consumed: the first in its window.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.first
    }

    /// Whether more was consumed than there is.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.count.points > i64::from(self.points)
    }

    /// What `Retry-After` says (RFC 9110 §10.2.3): whole seconds, rounded up, at least one; none where waiting
    /// never helps.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        self.count.left.map(|left| (left.as_secs() + u64::from(left.subsec_nanos() > 0)).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;
    use crate::counters::Memory;

    #[test]
    fn retry_after_is_whole_seconds_and_at_least_one() {
        for (left, seconds) in [
            (Some(0), Some(1)),
            (Some(1), Some(1)),
            (Some(1_000), Some(1)),
            (Some(1_001), Some(2)),
            (Some(7_776_000_000), Some(7_776_000)),
            (None, None),
        ] {
            let count = Count { points: 4, left: left.map(Duration::from_millis) };
            let standing = Limiter::new("login", 3, Duration::ZERO).standing(count, false);
            assert_eq!(standing.retry_after(), seconds, "{left:?}");
        }
    }

    #[test]
    fn a_key_stands_under_its_prefix() {
        for (prefix, key) in [("rlflx", "rlflx:ann"), ("", "ann"), ("a:b", "a:b:ann")] {
            assert_eq!(Limiter::new(prefix, 1, Duration::ZERO).key("ann").to_string(), key);
        }
    }

    #[tokio::test]
    async fn the_recipes_login_is_refused_at_the_eleventh_failure_for_an_hour() {
        const HOUR: Duration = Duration::from_secs(3_600);
        let clock = Clock::manual();
        let memory = Memory::with_clock(clock.clone());
        let limiter =
            Limiter::new("login_fail_consecutive_username_and_ip", 10, 90 * 24 * HOUR).block_time(HOUR);
        for failure in 1..=10 {
            let verdict = limiter.consume(&memory, "ann_192.0.2.1", 1).await.unwrap();
            assert!(!verdict.is_refused(), "{failure}");
            assert_eq!(verdict.standing().is_first(), failure == 1, "{failure}");
        }
        clock.advance(89 * 24 * HOUR); // a timer of 32 bits would have overflowed
        assert_eq!(limiter.get(&memory, "ann_192.0.2.1").await.unwrap().unwrap().consumed(), 10);
        let verdict = limiter.consume(&memory, "ann_192.0.2.1", 1).await.unwrap();
        assert!(verdict.is_refused());
        assert_eq!(verdict.standing().left(), Some(HOUR));
        clock.advance(HOUR / 2);
        let verdict = limiter.consume(&memory, "ann_192.0.2.1", 1).await.unwrap();
        assert_eq!(verdict.standing().left(), Some(HOUR / 2), "a later hit does not extend the block");
        assert!(limiter.delete(&memory, "ann_192.0.2.1").await.unwrap());
        assert_eq!(limiter.get(&memory, "ann_192.0.2.1").await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_a_trap_elsewhere_is_none_here() {
        let second = Duration::from_secs(1);
        let clock = Clock::manual();
        let memory = Memory::with_clock(clock.clone());
        let brief = Limiter::new("brief", 1, second / 2);
        brief.penalty(&memory, "a", 2).await.unwrap();
        assert!(brief.consume(&memory, "a", 1).await.unwrap().is_refused());
        clock.advance(second / 2);
        assert!(!brief.consume(&memory, "a", 1).await.unwrap().is_refused(), "the window is over");

        let blocking = Limiter::new("blocking", 1, second).block_time(60 * second);
        assert_eq!(blocking.penalty(&memory, "a", 2).await.unwrap().left(), Some(60 * second));
        clock.advance(59 * second);
        assert!(blocking.consume(&memory, "a", 1).await.unwrap().is_refused(), "the penalty began the block");

        blocking.block(&memory, "b", Duration::ZERO).await.unwrap();
        let standing = blocking.consume(&memory, "b", 1).await.unwrap().standing();
        assert_eq!((standing.is_over(), standing.left(), standing.retry_after()), (true, None, None));
    }
}
