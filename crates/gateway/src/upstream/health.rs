//! Whether one place of an app is worth asking, as all threads see it.
//!
//! Two say so. Visitors' requests do: where nobody listens, or several answers in a row did not come, it is left out for
//! a pause, after which a single try decides; each time the pause is twice as long. And the checks do, where the
//! configuration asks for some. The numbers are pure: time is milliseconds of any clock that only goes forward.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// What is known of one place.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Until when it is left out; 0: it is not.
    until: AtomicU64,
    /// Answers that did not come, in a row.
    failures: AtomicU32,
    /// Pauses in a row.
    pauses: AtomicU32,
    /// The checks say that it is not well.
    sick: AtomicBool,
    /// Checks in a row that said the opposite.
    opposed: AtomicU32,
}

/// Whether a request may go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// As usual.
    Well,
    /// It is time for a try, and whoever is told so has it.
    Due,
    /// Not now.
    Out,
}

/// What an answer says about the place that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chance {
    /// The request was one of many.
    Usual,
    /// It decides whether the place is asked again.
    Try,
    /// No place was well. It brings this one back, but is no reason to leave it out for longer: there may be thousands.
    LastResort,
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection.
    Refused,
    /// The connection broke before a byte of the answer came.
    Broken,
    /// No byte of the answer came in time.
    Slow,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is asked again.
    Back,
    /// It is left out, for so many milliseconds.
    LeftOut(u64),
    /// It was left out, and is for longer.
    StaysOut(u64),
}

impl Health {
    /// Asks no clock and takes no try: the way of every request.
    pub(super) fn is_well(&self) -> bool {
        self.until.load(Ordering::Relaxed) == 0 && !self.sick.load(Ordering::Relaxed)
    }

    /// Whether a request may go there; [`Standing::Due`] is told to one alone, until the next pause is over.
    pub(super) fn standing(&self, now: u64) -> Standing {
        if self.sick.load(Ordering::Relaxed) {
            return Standing::Out;
        }
        let until = self.until.load(Ordering::Relaxed);
        if until == 0 {
            return Standing::Well;
        }
        let next = now + pause(self.pauses.load(Ordering::Relaxed));
        let is_mine =
            || self.until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if until <= now && is_mine() { Standing::Due } else { Standing::Out }
    }

    /// The same of a place that was known before.
    pub(super) fn go_on_from(&self, before: &Self, is_checked: bool) {
        self.until.store(before.until.load(Ordering::Relaxed), Ordering::Relaxed);
        // Without checks nobody would ever find it well again.
        self.sick.store(is_checked && before.sick.load(Ordering::Relaxed), Ordering::Relaxed);
        for (new, old) in [
            (&self.failures, &before.failures),
            (&self.pauses, &before.pauses),
            (&self.opposed, &before.opposed),
        ] {
            new.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// An answer came. Where the place is left out only a try says anything: a process that is ending answers what it
    /// has, and takes nothing new.
    pub(super) fn answered(&self, chance: Chance) -> Option<Change> {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if chance == Chance::Usual {
            return None;
        }
        self.pauses.store(0, Ordering::Relaxed);
        (self.until.swap(0, Ordering::Relaxed) != 0).then_some(Change::Back)
    }

    /// None came.
    pub(super) fn failed(&self, failure: Failure, chance: Chance, now: u64) -> Option<Change> {
        let in_a_row = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let until = self.until.load(Ordering::Relaxed);
        let decides = match (chance, failure) {
            (Chance::Try, _) => true,
            _ if until != 0 => false, // whoever was on the way when it was left out
            (_, Failure::Refused) => true,
            // One request that an app breaks at, or thinks long about, is no sign: any visitor could send it.
            (_, Failure::Broken | Failure::Slow) => in_a_row >= IN_A_ROW,
        };
        if !decides {
            return None;
        }
        let pauses = self.pauses.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let long = pause(pauses);
        match self.until.swap(now + long, Ordering::Relaxed) {
            0 => Some(Change::LeftOut(long)),
            _ => Some(Change::StaysOut(long)),
        }
    }

    /// A check was answered well or not; the change that this is, if it is one: whether the place is well.
    pub(super) fn checked(&self, well: bool, healthy_after: u32, unhealthy_after: u32) -> Option<bool> {
        let sick = self.sick.load(Ordering::Relaxed);
        if well != sick {
            self.opposed.store(0, Ordering::Relaxed);
            return None;
        }
        let opposed = self.opposed.fetch_add(1, Ordering::Relaxed) + 1;
        if opposed < if sick { healthy_after } else { unhealthy_after } {
            return None;
        }
        self.opposed.store(0, Ordering::Relaxed);
        self.sick.store(!well, Ordering::Relaxed);
        if well {
            // Nobody has to wait for a pause of the time before.
            self.answered(Chance::Try);
        }
        Some(well)
    }
}

/// How long a place is left out for the `count`th time in a row.
fn pause(count: u32) -> u64 {
    SHORTEST << count.saturating_sub(1).min(DOUBLINGS)
}

/// A process that is started anew takes about that.
const SHORTEST: u64 = 1_000;
/// Up to 32 seconds: then one request in that time finds out whether it is back.
const DOUBLINGS: u32 = 5;
const IN_A_ROW: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_goes_on_as_it_was_known_but_is_not_sick_where_nobody_would_find_it_well() {
        let before = Health::default();
        before.failed(Failure::Refused, Chance::Usual, 1_000);
        assert_eq!(before.checked(false, 1, 1), Some(false));
        for (is_checked, standing) in [(true, Standing::Out), (false, Standing::Due)] {
            let next = Health::default();
            next.go_on_from(&before, is_checked);
            assert!(!next.is_well());
            assert_eq!(next.standing(1_000_000), standing, "checked: {is_checked}");
        }
    }

    #[test]
    fn one_refusal_or_three_silences_leave_a_place_out() {
        for (failures, out) in [
            (&[Failure::Refused][..], true),
            (&[Failure::Broken], false),
            (&[Failure::Slow, Failure::Broken], false),
            (&[Failure::Slow, Failure::Broken, Failure::Slow], true),
        ] {
            let health = Health::default();
            for failure in failures {
                health.failed(*failure, Chance::Usual, 5);
            }
            assert_eq!(health.standing(6) == Standing::Out, out, "{failures:?}");
            assert_eq!(health.is_well(), !out, "{failures:?}");
        }
        let health = Health::default();
        for _ in 0..10 {
            assert_eq!(health.failed(Failure::Broken, Chance::Usual, 0), None);
            assert_eq!(health.failed(Failure::Slow, Chance::Usual, 0), None);
            assert_eq!(health.answered(Chance::Usual), None, "what answers now and then is not gone");
        }
    }

    #[test]
    fn after_a_pause_one_try_decides_and_each_pause_is_longer() {
        let health = Health::default();
        let mut now = 100;
        assert_eq!(health.failed(Failure::Refused, Chance::Usual, now), Some(Change::LeftOut(1_000)));
        assert_eq!(health.failed(Failure::Refused, Chance::Usual, now), None, "who was on the way");
        assert_eq!(health.answered(Chance::Usual), None, "a process that ends answers what it has");
        for long in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 32_000] {
            assert_eq!(health.standing(now + long - 1), Standing::Out, "{long}");
            now += long;
            assert_eq!(health.standing(now), Standing::Due, "{long}");
            assert_eq!(health.standing(now), Standing::Out, "{long}: a single try");
            let next = (long * 2).min(32_000);
            assert_eq!(health.failed(Failure::Slow, Chance::Try, now), Some(Change::StaysOut(next)));
        }
        now += 32_000;
        assert_eq!(health.standing(now), Standing::Due);
        assert_eq!(health.standing(now + 32_000), Standing::Due, "a try that was given up is made again");
        assert_eq!(health.answered(Chance::Try), Some(Change::Back));
        assert_eq!(health.standing(now), Standing::Well);
        assert_eq!(health.failed(Failure::Refused, Chance::Usual, now), Some(Change::LeftOut(1_000)));
    }

    #[test]
    fn checks_in_a_row_change_it() {
        let health = Health::default();
        for (at, well, change) in [
            (0, false, None),
            (1, true, None),
            (2, false, None),
            (3, false, None),
            (4, false, Some(false)),
            (5, false, None),
            (6, true, None),
            (7, false, None),
            (8, true, None),
            (9, true, Some(true)),
        ] {
            assert_eq!(health.checked(well, 2, 3), change, "check {at}");
        }
        assert!(health.is_well());
    }

    #[test]
    fn a_last_resort_brings_a_place_back_and_leaves_it_out_no_longer() {
        let health = Health::default();
        health.failed(Failure::Refused, Chance::Usual, 0);
        for _ in 0..1_000 {
            assert_eq!(health.failed(Failure::Refused, Chance::LastResort, 500), None);
        }
        assert_eq!(health.standing(1_000), Standing::Due, "the pause is as long as it was");
        assert_eq!(health.answered(Chance::LastResort), Some(Change::Back));
        assert!(health.is_well());
    }

    #[test]
    fn a_check_that_says_well_ends_the_pause_too() {
        let health = Health::default();
        health.failed(Failure::Refused, Chance::Usual, 0);
        assert_eq!(health.checked(false, 1, 1), Some(false));
        assert_eq!(health.standing(40_000), Standing::Out, "the checks have the last word");
        assert_eq!(health.checked(true, 1, 1), Some(true));
        assert!(health.is_well());
    }
}
