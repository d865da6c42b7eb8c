use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::StoreError;

/// How a store does, as those see it who ask it: counted for operators, and told once when it changes.
#[derive(Debug)]
pub struct Health {
    of: &'static str,
    meanwhile: &'static str,
    asked: AtomicU64,
    failed: AtomicU64,
    /// In milliseconds since the beginning of 1970 UTC; 0: never.
    failed_at: AtomicU64,
    is_down: AtomicBool,
}

/// What is known of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// Whether it is asked; before anybody has, it is taken to be well.
    pub is_up: bool,
    /// Questions that came to an end.
    pub asked: u64,
    /// How many of them came to no answer.
    pub failed: u64,
    /// When the last of these did, since the beginning of 1970 UTC.
    pub failed_at: Option<Duration>,
}

impl Health {
    /// Of a store that nobody has asked yet. `of`: what is kept there; `meanwhile`: what is so while it fails. Both are
    /// for the log.
    #[must_use]
    pub const fn new(of: &'static str, meanwhile: &'static str) -> Self {
        Self {
            of,
            meanwhile,
            asked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failed_at: AtomicU64::new(0),
            is_down: AtomicBool::new(false),
        }
    }

    /// What came of asking `store`, at `now` since the beginning of 1970 UTC. The log has a line when that is news, and
    /// not one a question.
    pub fn heard<T>(&self, answer: &Result<T, StoreError>, store: &dyn fmt::Debug, now: Duration) {
        match answer {
            Ok(_) if self.answered() => tracing::info!(?store, "the store of {} answers again", self.of),
            Err(error) if self.failed(now) => tracing::warn!(
                ?store,
                %error,
                reason = std::error::Error::source(error).map(tracing::field::display),
                hint = "see that it runs, can be reached from here, and takes writes",
                "the store of {} fails: {}", self.of, self.meanwhile
            ),
            _ => {}
        }
    }

    /// It answered. Whether that is news.
    pub fn answered(&self) -> bool {
        self.asked.fetch_add(1, Relaxed);
        // Looked at first: there is seldom something to change, and nobody's cache is to lose the line for it.
        self.is_down.load(Relaxed) && self.is_down.swap(false, Relaxed)
    }

    /// It did not, at `now` since the beginning of 1970 UTC. Whether that is news.
    pub fn failed(&self, now: Duration) -> bool {
        self.asked.fetch_add(1, Relaxed);
        self.failed.fetch_add(1, Relaxed);
        self.failed_at.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX).max(1), Relaxed);
        !self.is_down.swap(true, Relaxed)
    }

    /// What is known by now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let failed_at = self.failed_at.load(Relaxed);
        Standing {
            is_up: !self.is_down.load(Relaxed),
            asked: self.asked.load(Relaxed),
            failed: self.failed.load(Relaxed),
            failed_at: (failed_at > 0).then(|| Duration::from_millis(failed_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_news_once() {
        let health = Health::new("teapots", "tea is cold");
        let mut expected = Standing { is_up: true, asked: 0, failed: 0, failed_at: None };
        assert_eq!(health.standing(), expected);
        for (second, answered, news) in
            [(1, true, false), (2, false, true), (3, false, false), (4, true, true), (5, true, false)]
        {
            let now = Duration::from_secs(second);
            let said = if answered { health.answered() } else { health.failed(now) };
            assert_eq!(said, news, "at {second}");
            expected.is_up = answered;
            expected.asked += 1;
            if !answered {
                expected.failed += 1;
                expected.failed_at = Some(now);
            }
            assert_eq!(health.standing(), expected, "at {second}");
        }
    }
}
