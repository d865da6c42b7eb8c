//! What is remembered of one name, and what follows from it: when to ask, to order, to wait. Pure, and tested without
//! any authority.
//!
//! The limits stay below Let's Encrypt's (letsencrypt.org/docs/rate-limits): per set of names 5 certificates a week
//! and 5 failed validations an hour, per account 300 orders in 3 hours. They are kept before the authority is asked and
//! outlive a restart, so that neither a fault of ours nor a loop of restarts can use them up. Of the 50 certificates a week
//! for all names below one registered domain, which renewals are not counted in, strangers get what the setting says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is remembered of one name. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// When orders were begun, in the last day.
    pub(super) begun: Vec<u64>,
    /// When certificates were asked for at the end of an order, in the last week.
    pub(super) issued: Vec<u64>,
    /// How often it failed since it last went well.
    pub(super) failures: u32,
    /// Nothing is tried before.
    pub(super) wait_until: u64,
    /// Whether the rehearsal went well, so that the next order is in earnest.
    pub(super) rehearsed: bool,
    /// Whether the next order says nothing of the certificate that it replaces: the authority would not have it.
    pub(super) plain: bool,
    /// The order under way.
    pub(super) open: Option<Open>,
    /// When the certificate that is held is to be replaced, and which one that is.
    pub(super) renewal: Option<Replacement>,
}

/// An order that was begun and has not ended.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) url: String,
    pub(super) rehearsal: bool,
    pub(super) at: u64,
    /// The key that the certificate is asked for with: it comes with the certificate, or the order is worth nothing.
    pub(super) key: Option<String>,
}

/// When a certificate is to be replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replacement {
    /// The certificate's identity.
    pub(super) of: String,
    pub(super) at: u64,
    /// When the authority is asked again what it suggests (RFC 9773 §4.3).
    pub(super) ask_at: u64,
    /// What it suggested: another suggestion is another time.
    pub(super) window: Option<(u64, u64)>,
}

/// A certificate's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, until then.
    Wait(u64),
    /// Ask the authority when it would like to be asked.
    Ask,
    /// Order, or go on with the order under way.
    Order,
}

impl Record {
    /// What is to be done at `now`, for a certificate that is `held` with its identity.
    pub(super) fn step(&self, held: Option<(&str, Life)>, now: u64) -> Step {
        if let (Some((identity, life)), None) = (held, &self.open)
            && now < life.end
        {
            let Some(renewal) = self.renewal.as_ref().filter(|renewal| renewal.of == identity) else {
                return Step::Ask;
            };
            // A time that is far away was written by a clock that was wrong.
            if renewal.ask_at <= now || renewal.ask_at > now + 2 * DAY {
                return Step::Ask;
            }
            if now < renewal.at {
                return Step::Wait(renewal.at.min(renewal.ask_at));
            }
        }
        match self.free_at(now) {
            free if free > now => Step::Wait(free),
            _ => Step::Order,
        }
    }

    /// When the next order may begin or go on.
    fn free_at(&self, now: u64) -> u64 {
        // Nobody asks for more than a week of patience: what lies further away was written by a clock that was wrong.
        let wait = if self.wait_until > now + 8 * DAY { 0 } else { self.wait_until };
        if self.open.is_some() {
            return wait;
        }
        let by_budget = [
            free(&self.begun, BEGUN_AN_HOUR, HOUR, now),
            free(&self.begun, BEGUN_A_DAY, DAY, now),
            free(&self.issued, ISSUED_A_WEEK, 7 * DAY, now),
        ];
        by_budget.into_iter().fold(wait, u64::max)
    }

    /// Whether nothing would be forgotten with it: no order is open, no pause has to end, and none that counts was begun.
    pub(super) fn is_at_rest(&self, now: u64) -> bool {
        let is_over = |times: &[u64], span: u64| times.iter().all(|time| time + span <= now);
        self.open.is_none()
            && self.free_at(now) <= now
            && is_over(&self.begun, DAY)
            && is_over(&self.issued, 7 * DAY)
    }

    /// An order begins: it is counted before anybody is asked.
    pub(super) fn begin(&mut self, now: u64) {
        keep(&mut self.begun, DAY, now);
        self.begun.push(now);
    }

    /// A certificate is asked for: it is counted before anybody is asked.
    pub(super) fn charge_certificate(&mut self, now: u64) {
        keep(&mut self.issued, 7 * DAY, now);
        self.issued.push(now);
    }

    /// It went well.
    pub(super) fn went_well(&mut self) {
        self.open = None;
        self.plain = false;
        self.failures = 0;
        self.wait_until = 0;
    }

    /// It did not: the next try is later each time, and not before the authority said, `asked` seconds from now.
    pub(super) fn failed(&mut self, now: u64, asked: Option<u64>, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        self.wait_until =
            now + back_off(self.failures, FIRST_PAUSE, LONGEST_PAUSE, jitter).max(patience(asked));
    }
}

impl Replacement {
    /// At two thirds of its life, a little later for some than for others: a fleet that began together does not come
    /// back together. `jitter` is from 0 to 1.
    pub(super) fn by_life(of: &str, life: Life, now: u64, jitter: f64) -> Self {
        let length = life.end.saturating_sub(life.begin);
        let at = life.begin + length / 3 * 2 + part(length / 20, jitter);
        Self { of: of.to_owned(), at, ask_at: now + ASK_EVERY, window: None }
    }

    /// At a time of the window that the authority suggests, which was chosen by chance (RFC 9773 §4.2).
    pub(super) fn by_window(
        &self,
        window: (u64, u64),
        ask_again_in: u64,
        life: Life,
        now: u64,
        jitter: f64,
    ) -> Self {
        let ask_at = now + ask_again_in.clamp(60, DAY);
        if self.window == Some(window) {
            return Self { ask_at, ..self.clone() };
        }
        let (start, end) = window;
        // A window that lies behind the certificate's end would let it end.
        let latest = life.end.saturating_sub(life.end.saturating_sub(life.begin) / 20);
        let at = (start + part(end.saturating_sub(start), jitter)).min(latest);
        Self { of: self.of.clone(), at, ask_at, window: Some(window) }
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, rehearsal, at, .. } = self;
        f.debug_struct("Open")
            .field("url", url)
            .field("rehearsal", rehearsal)
            .field("at", at)
            .finish_non_exhaustive()
    }
}

/// What is remembered of the authority: how long it has been away, and what all names together asked of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Book {
    /// When orders were begun, in the last three hours.
    pub(super) begun: Vec<u64>,
    /// How often in a row it was not there.
    pub(super) away: u32,
    /// It is not asked before.
    pub(super) wait_until: u64,
    /// When certificates were asked for that visitors began, in the last week, by the entry of `on_demand`.
    pub(super) entered: BTreeMap<String, Vec<u64>>,
}

impl Book {
    /// When it may be asked again.
    pub(super) fn free_at(&self, now: u64) -> u64 {
        let wait = if self.wait_until > now + 8 * DAY { 0 } else { self.wait_until };
        wait.max(free(&self.begun, BEGUN_IN_THREE_HOURS, 3 * HOUR, now))
    }

    /// When a visitor may begin an order again: half of what is allowed is left to the names that are there already.
    pub(super) fn free_on_demand_at(&self, now: u64) -> u64 {
        self.free_at(now).max(free(&self.begun, BEGUN_ON_DEMAND, 3 * HOUR, now))
    }

    pub(super) fn begin(&mut self, now: u64) {
        keep(&mut self.begun, 3 * HOUR, now);
        self.begun.push(now);
    }

    /// When one of `most` new names a week can be entered that `entry` of `on_demand` allows.
    pub(super) fn free_to_enter_at(&self, entry: &str, most: usize, now: u64) -> u64 {
        self.entered.get(entry).map_or(0, |times| free(times, most, 7 * DAY, now))
    }

    /// A certificate was asked for, for a name that a visitor began.
    pub(super) fn enter(&mut self, entry: String, now: u64) {
        for times in self.entered.values_mut() {
            keep(times, 7 * DAY, now);
        }
        self.entered.retain(|_, times| !times.is_empty());
        self.entered.entry(entry).or_default().push(now);
    }

    pub(super) fn was_away(&mut self, now: u64, asked: Option<u64>, jitter: f64) {
        self.away = self.away.saturating_add(1);
        self.wait_until =
            now + back_off(self.away, FIRST_SILENCE, LONGEST_SILENCE, jitter).max(patience(asked));
    }

    pub(super) fn answered(&mut self) {
        self.away = 0;
        self.wait_until = 0;
    }
}

/// When the last `most` of `times` within `span` let one more in. Times in the future count as well: it was the clock
/// that went back.
fn free(times: &[u64], most: usize, span: u64, now: u64) -> u64 {
    // What lies further ahead was written by a clock that was wrong, and would count until that time has come.
    let counts = |time: &u64| *time <= now + span && time + span > now;
    let mut within: Vec<u64> = times.iter().copied().filter(counts).collect();
    within.sort_unstable();
    let Some(first) = within.len().checked_sub(most).and_then(|place| within.get(place)) else { return 0 };
    (first + span).min(now + span)
}

/// Forgets what is older than `span`, and what a clock far ahead wrote.
fn keep(times: &mut Vec<u64>, span: u64, now: u64) {
    times.retain(|time| time + span > now && *time <= now + span);
}

/// `first`, then three times as long after each failure, up to `longest`; a quarter more or less by chance.
fn back_off(failures: u32, first: u64, longest: u64, jitter: f64) -> u64 {
    let times = 3_u64.saturating_pow(failures.saturating_sub(1).min(20));
    let pause = first.saturating_mul(times).min(longest);
    pause + part(pause / 4, jitter)
}

/// A week at most, which is the longest window of any limit: a wrong answer must not silence us for ever.
fn patience(asked: Option<u64>) -> u64 {
    asked.unwrap_or(0).min(7 * DAY)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a jitter of seconds"
)]
fn part(of: u64, jitter: f64) -> u64 {
    (of as f64 * jitter.clamp(0.0, 1.0)) as u64
}

pub(super) const HOUR: u64 = 3_600;
pub(super) const DAY: u64 = 24 * HOUR;

/// One less than the failed validations that a name may have.
pub(super) const BEGUN_AN_HOUR: usize = 4;
/// A fault that stays is no better after the twelfth try.
pub(super) const BEGUN_A_DAY: usize = 12;
/// One less than the duplicates that there may be.
pub(super) const ISSUED_A_WEEK: usize = 4;
/// A sixth less than an account may begin.
pub(super) const BEGUN_IN_THREE_HOURS: usize = 250;
pub(super) const BEGUN_ON_DEMAND: usize = BEGUN_IN_THREE_HOURS / 2;

const FIRST_PAUSE: u64 = 60;
const LONGEST_PAUSE: u64 = 6 * HOUR;
const FIRST_SILENCE: u64 = 30;
const LONGEST_SILENCE: u64 = 4 * HOUR;

/// Between two questions about the window, where the authority says nothing else.
pub(super) const ASK_EVERY: u64 = 6 * HOUR;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const LIFE: Life = Life { begin: NOW - 30 * DAY, end: NOW + 60 * DAY };

    fn renewal(at: u64, ask_at: u64) -> Option<Replacement> {
        Some(Replacement { of: "this".to_owned(), at, ask_at, window: None })
    }

    #[test]
    fn what_is_to_be_done_follows_from_what_is_remembered() {
        let open = Open { url: String::new(), rehearsal: false, at: NOW, key: None };
        let record = |edit: fn(&mut Record)| {
            let mut record = Record { renewal: renewal(NOW + 100, NOW + 50), ..Record::default() };
            edit(&mut record);
            record
        };
        let (held, none) = (Some(("this", LIFE)), None);
        let over = Some(("this", Life { end: NOW, ..LIFE }));
        for (row, (record, held, step)) in [
            (Record::default(), none, Step::Order),
            (Record::default(), held, Step::Ask),
            (record(|_| {}), held, Step::Wait(NOW + 50)),
            (record(|_| {}), Some(("another", LIFE)), Step::Ask),
            (record(|record| record.renewal = renewal(NOW + 10, NOW + 50)), held, Step::Wait(NOW + 10)),
            (record(|record| record.renewal = renewal(NOW, NOW + 50)), held, Step::Order),
            (record(|record| record.renewal = renewal(NOW - 9, NOW)), held, Step::Ask),
            (record(|record| record.renewal = renewal(NOW + 9, NOW + 9 * DAY)), held, Step::Ask),
            (record(|_| {}), over, Step::Order),
            (record(|record| record.wait_until = NOW + 7), none, Step::Wait(NOW + 7)),
            (record(|record| record.wait_until = NOW + 9 * DAY), none, Step::Order),
            (record(|record| record.wait_until = NOW + 7), held, Step::Wait(NOW + 50)),
            (record(|record| record.begun = vec![NOW - 9; 4]), none, Step::Wait(NOW - 9 + HOUR)),
            (record(|record| record.begun = vec![NOW - 2 * HOUR; 12]), none, Step::Wait(NOW + 22 * HOUR)),
            (record(|record| record.issued = vec![NOW - DAY; 4]), none, Step::Wait(NOW + 6 * DAY)),
            (record(|record| record.begun = vec![NOW + HOUR; 4]), none, Step::Wait(NOW + HOUR)),
            (record(|record| record.begun = vec![NOW + 900 * DAY; 4]), none, Step::Order),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(record.step(held, NOW), step, "row {row}: {record:?}");
            let resumed = Record { open: Some(open.clone()), ..record.clone() };
            let wait = record.wait_until > NOW && record.wait_until < NOW + 8 * DAY;
            let expected = if wait { Step::Wait(record.wait_until) } else { Step::Order };
            assert_eq!(resumed.step(held, NOW), expected, "row {row}, under way");
        }
    }

    #[test]
    fn each_failure_waits_longer_and_never_less_than_was_asked() {
        let mut record = Record::default();
        for (asked, jitter, pause) in [
            (None, 0.0, 60),
            (None, 1.0, 180 + 45),
            (Some(7_000), 0.0, 7_000),
            (Some(1), 0.0, 1_620),
            (None, 0.0, 4_860),
            (None, 0.0, 14_580),
            (None, 0.0, 6 * HOUR),
            (Some(u64::MAX), 0.0, 7 * DAY),
        ] {
            record.failed(NOW, asked, jitter);
            assert_eq!(record.wait_until - NOW, pause, "{record:?}");
        }
        record.went_well();
        record.failed(NOW, None, 0.0);
        assert_eq!(record.wait_until - NOW, 60);
        let mut book = Book::default();
        for pause in [30, 90, 270, 810, 2_430, 7_290, 4 * HOUR, 4 * HOUR] {
            book.was_away(NOW, None, 0.0);
            assert_eq!(book.free_at(NOW) - NOW, pause, "{book:?}");
        }
        book.answered();
        assert_eq!(book.free_at(NOW), 0);
    }

    #[test]
    fn a_window_is_kept_until_it_is_another_and_never_outlives_the_certificate() {
        let by_life = Replacement::by_life("this", LIFE, NOW, 0.5);
        assert_eq!(by_life.at, NOW + 30 * DAY + 90 * DAY / 40);
        let chosen = by_life.by_window((NOW, NOW + 1000), 7_200, LIFE, NOW, 0.5);
        assert_eq!((chosen.at, chosen.ask_at), (NOW + 500, NOW + 7_200));
        let again = chosen.by_window((NOW, NOW + 1000), 1, LIFE, NOW + 10, 0.9);
        assert_eq!((again.at, again.ask_at), (NOW + 500, NOW + 70), "the same window, the same time");
        let sooner = chosen.by_window((NOW - 500, NOW - 400), 7_200, LIFE, NOW, 0.0);
        assert_eq!(sooner.at, NOW - 500, "at once");
        for window in [(NOW + 500 * DAY, NOW + 600 * DAY), (u64::MAX / 4, u64::MAX / 2)] {
            let late = chosen.by_window(window, 7_200, LIFE, NOW, 1.0);
            assert!(late.at < LIFE.end, "{late:?}");
        }
        assert_eq!(
            chosen.by_window((NOW + 9, NOW + 3), u64::MAX, LIFE, NOW, 1.0).at,
            NOW + 9,
            "turned round"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_hour_and_no_week_sees_more_than_its_share(gaps in proptest::collection::vec(0..3 * HOUR, 1..200)) {
            let (mut record, mut now, mut begun) = (Record::default(), NOW, Vec::new());
            for gap in gaps {
                now += gap;
                if record.step(None, now) == Step::Order {
                    record.begin(now);
                    record.charge_certificate(now);
                    begun.push(now);
                }
            }
            for (span, most) in [(HOUR, BEGUN_AN_HOUR), (DAY, BEGUN_A_DAY), (7 * DAY, ISSUED_A_WEEK)] {
                for first in &begun {
                    let within = begun.iter().filter(|time| (*first..first + span).contains(time)).count();
                    proptest::prop_assert!(within <= most, "{within} in {span} s");
                }
            }
        }
    }
}
