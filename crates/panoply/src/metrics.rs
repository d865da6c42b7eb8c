//! What the practices said, counted.

use std::cmp::Ordering::Equal;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::Practice;

/// How often each practice admitted, refused, and would have refused, for an operator's graphs.
///
/// Each thread adds to a part of its own, so that none waits for another, and what the parts hold is added when
/// somebody looks. What a rule refused is counted by its name, for the first [`MOST_RULES`] names a thread meets:
/// operators name rules, visitors do not.
#[derive(Default)]
pub struct Metrics {
    parts: [OnceLock<Box<Part>>; PARTS],
}

/// What was said of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It may pass.
    Admitted,
    /// It may not.
    Refused,
    /// It may, and would not if the practice were in earnest.
    Observed,
}

/// How a guess at a password ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guessed {
    /// The app let somebody in.
    Right,
    /// It did not.
    Wrong,
    /// Nobody can tell.
    Unclear,
}

/// How often something was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Let pass.
    pub admitted: u64,
    /// Refused.
    pub refused: u64,
    /// Let pass, where the practice in earnest would have refused.
    pub observed: u64,
}

/// How guesses ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guesses {
    /// The app let somebody in.
    pub right: u64,
    /// It did not.
    pub wrong: u64,
    /// Nobody can tell.
    pub unclear: u64,
}

/// What one rule of a practice refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTally {
    /// Whose rule.
    pub practice: Practice,
    /// Its name, as in [`Evidence`](crate::Evidence).
    pub rule: String,
    /// Nothing is counted as admitted by a rule.
    pub tally: Tally,
}

impl Metrics {
    /// Counts what `practice` said; `None` is the server itself, which has no answer of the app's.
    pub(crate) fn count(&self, practice: Option<Practice>, said: Said) {
        self.part().of(practice).count(said);
    }

    /// Counts those that let a request pass since this was asked last.
    pub(crate) fn count_passed(&self, passed: &Passed) {
        let mut practices = passed.0.load(Relaxed);
        if practices == 0 {
            return;
        }
        passed.0.store(0, Relaxed);
        let part = self.part();
        while practices != 0 {
            if let Some(counts) = part.practices.get(practices.trailing_zeros() as usize) {
                counts.admitted.fetch_add(1, Relaxed);
            }
            practices &= practices - 1;
        }
    }

    /// Counts what a rule said.
    pub(crate) fn count_rule(&self, practice: Practice, rule: &str, said: Said) {
        let mut rules = self.part().rules();
        if let Some(known) = rules.iter_mut().find(|known| known.practice == practice && known.rule == rule) {
            return known.tally.count(said);
        }
        if rules.len() < MOST_RULES {
            let mut tally = Tally::default();
            tally.count(said);
            rules.push(RuleTally { practice, rule: rule.to_owned(), tally });
        }
    }

    /// Counts how a guess ended.
    pub fn count_guess(&self, guessed: Guessed) {
        let part = self.part();
        let count = match guessed {
            Guessed::Right => &part.guesses.admitted,
            Guessed::Wrong => &part.guesses.refused,
            Guessed::Unclear => &part.guesses.observed,
        };
        count.fetch_add(1, Relaxed);
    }

    /// What `practice` said until now; `None` is the server itself.
    #[must_use]
    pub fn of(&self, practice: Option<Practice>) -> Tally {
        self.sum(|part| part.of(practice).tally())
    }

    /// How guesses ended until now.
    #[must_use]
    pub fn guesses(&self) -> Guesses {
        let Tally { admitted, refused, observed } = self.sum(|part| part.guesses.tally());
        Guesses { right: admitted, wrong: refused, unclear: observed }
    }

    /// What each rule said until now, by practice and name.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleTally> {
        let mut all: Vec<RuleTally> = Vec::new();
        for part in self.parts.iter().filter_map(OnceLock::get) {
            for rule in part.rules().iter() {
                let order = |known: &RuleTally| {
                    known.practice.cmp(&rule.practice).then_with(|| known.rule.cmp(&rule.rule))
                };
                match all.iter_mut().find(|known| order(known) == Equal) {
                    Some(known) => known.tally = known.tally.and(rule.tally),
                    None => all.push(rule.clone()),
                }
            }
        }
        all.sort_by(|one, other| (one.practice, &one.rule).cmp(&(other.practice, &other.rule)));
        all
    }

    fn part(&self) -> &Part {
        let mine = THREAD.with(|thread| *thread) % PARTS;
        // The remainder is in range; the first part is anybody's.
        let [first, ..] = &self.parts;
        self.parts.get(mine).unwrap_or(first).get_or_init(Box::default)
    }

    fn sum(&self, of: impl Fn(&Part) -> Tally) -> Tally {
        let parts = self.parts.iter().filter_map(OnceLock::get);
        parts.map(|part| of(part)).fold(Tally::default(), Tally::and)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Which practices let a request pass. A bit each, so that a thread's part is looked up once for all of them.
///
/// One request's alone, and atomic only since a request goes from thread to thread.
#[derive(Debug, Default)]
pub(crate) struct Passed(AtomicU32);

impl Passed {
    pub(crate) fn by(&self, practice: Practice) {
        self.0.store(self.0.load(Relaxed) | 1 << practice as u32, Relaxed);
    }

    /// It has not decided after all.
    pub(crate) fn not_by(&self, practice: Practice) {
        self.0.store(self.0.load(Relaxed) & !(1 << practice as u32), Relaxed);
    }
}

impl Tally {
    fn and(self, other: Self) -> Self {
        Self {
            admitted: self.admitted + other.admitted,
            refused: self.refused + other.refused,
            observed: self.observed + other.observed,
        }
    }

    fn count(&mut self, said: Said) {
        match said {
            Said::Admitted => self.admitted += 1,
            Said::Refused => self.refused += 1,
            Said::Observed => self.observed += 1,
        }
    }
}

/// One thread's counts, and on no cache line of another's.
#[derive(Default)]
#[repr(align(128))]
struct Part {
    practices: [Counts; Practice::ALL.len()],
    server: Counts,
    guesses: Counts,
    rules: Mutex<Vec<RuleTally>>,
}

impl Part {
    fn of(&self, practice: Option<Practice>) -> &Counts {
        practice.and_then(|practice| self.practices.get(practice as usize)).unwrap_or(&self.server)
    }

    /// Taken by its own thread, and by whoever looks, for as long as copying takes.
    fn rules(&self) -> MutexGuard<'_, Vec<RuleTally>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Counts {
    admitted: AtomicU64,
    refused: AtomicU64,
    observed: AtomicU64,
}

impl Counts {
    fn count(&self, said: Said) {
        let count = match said {
            Said::Admitted => &self.admitted,
            Said::Refused => &self.refused,
            Said::Observed => &self.observed,
        };
        count.fetch_add(1, Relaxed);
    }

    fn tally(&self) -> Tally {
        Tally {
            admitted: self.admitted.load(Relaxed),
            refused: self.refused.load(Relaxed),
            observed: self.observed.load(Relaxed),
        }
    }
}

thread_local! {
    static THREAD: usize = NEXT.fetch_add(1, Relaxed);
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Threads that have a part of their own; with more of them, some share one.
const PARTS: usize = 32;

/// How many names of rules a thread counts; an operator who names more sees the first.
pub const MOST_RULES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_threads_count_is_added_up() {
        let metrics = Metrics::default();
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        metrics.count(Some(Practice::Csrf), Said::Admitted);
                    }
                    metrics.count(None, Said::Refused);
                    metrics.count_rule(Practice::RateLimit, "login", Said::Refused);
                    metrics.count_rule(Practice::RateLimit, "default", Said::Observed);
                    metrics.count_guess(Guessed::Wrong);
                });
            }
        });
        assert_eq!(metrics.of(Some(Practice::Csrf)), Tally { admitted: 40_000, ..Tally::default() });
        assert_eq!(metrics.of(Some(Practice::Hosts)), Tally::default());
        assert_eq!(metrics.of(None), Tally { refused: 40, ..Tally::default() });
        assert_eq!(metrics.guesses(), Guesses { wrong: 40, ..Guesses::default() });
        let rules = metrics.rules();
        let rules: Vec<_> =
            rules.iter().map(|rule| (&*rule.rule, rule.tally.refused, rule.tally.observed)).collect();
        assert_eq!(rules, [("default", 0, 40), ("login", 40, 0)]);
    }

    #[test]
    fn who_passed_is_counted_once_for_each_practice() {
        let (metrics, passed) = (Metrics::default(), Passed::default());
        for _ in 0..3 {
            for practice in [Practice::Hosts, Practice::Csrf, Practice::Csrf] {
                passed.by(practice);
            }
            metrics.count_passed(&passed);
            metrics.count_passed(&passed);
        }
        for practice in Practice::ALL {
            let admitted = if matches!(practice, Practice::Hosts | Practice::Csrf) { 3 } else { 0 };
            assert_eq!(metrics.of(Some(practice)), Tally { admitted, ..Tally::default() }, "{practice}");
        }
    }

    #[test]
    fn every_practice_has_a_place_of_its_own() {
        for (index, practice) in Practice::ALL.into_iter().enumerate() {
            assert_eq!(practice as usize, index, "{practice}");
            assert!(index < u32::BITS as usize, "{practice} has no bit in `Passed`");
        }
    }
}
