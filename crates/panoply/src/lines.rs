//! How much of refusals is written down: whoever is refused again and again must not fill a disk with it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::Practice;

/// Of one client and practice the first [`OF_ONE`] lines in [`WINDOW`] are written, and [`IN_ALL`] of everybody's. What is
/// left out is counted, and told by practice when the window is over. It takes 32 KiB, whoever comes, and waits for no
/// lock.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Two clients in one place share what it has.
    places: Box<[Allotment]>,
    in_all: Allotment,
    /// By practice, and what no practice refused; since it was told.
    left_out: [AtomicU64; Practice::ALL.len() + 1],
    /// The window up to which it was told.
    told: AtomicU64,
}

impl Lines {
    /// Whether one more line about what `practice` said to `client` may be written; `None` is the server itself.
    pub(crate) fn take(&self, client: u128, practice: Option<Practice>, now: Duration) -> bool {
        let window = window(now);
        let last = self.told.load(Relaxed);
        if last < window && self.told.compare_exchange(last, window, Relaxed, Relaxed).is_ok() {
            self.tell();
        }
        let index = practice.map_or(Practice::ALL.len(), |practice| practice as usize);
        // Many clients must not keep the lines of the few from the log: when half is spent, each has one.
        let most = if self.in_all.taken(window) < IN_ALL / 2 { OF_ONE } else { 1 };
        let place = self.places.get(place(client, index));
        let is_taken = place.is_none_or(|place| place.take(window, most)) && self.in_all.take(window, IN_ALL);
        if let Some(left_out) = self.left_out.get(index).filter(|_| !is_taken) {
            left_out.fetch_add(1, Relaxed);
        }
        is_taken
    }

    /// Tells the log what was left out since this was told last.
    pub(crate) fn tell(&self) {
        let names = Practice::ALL.iter().map(|practice| practice.name()).chain(["app"]);
        for (left_out, practice) in self.left_out.iter().zip(names) {
            let lines = left_out.swap(0, Relaxed);
            if lines > 0 {
                tracing::info!(practice, lines, "left out: more of what was refused to the same clients");
            }
        }
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| Allotment::default()).collect(),
            in_all: Allotment::default(),
            left_out: Default::default(),
            told: AtomicU64::new(0),
        }
    }
}

/// So many in each window, for whoever comes first: the window in the upper half, how many it had in the lower.
#[derive(Debug, Default)]
pub(crate) struct Allotment(AtomicU64);

impl Allotment {
    /// Takes one of `most`, if any is left in `window`.
    pub(crate) fn take(&self, window: u64, most: u64) -> bool {
        let before = self.0.fetch_update(Relaxed, Relaxed, |spent| {
            if spent >> 32 < window {
                return (most > 0).then_some((window << 32) + 1);
            }
            (spent & COUNT < most).then_some(spent + 1)
        });
        before.is_ok()
    }

    fn taken(&self, window: u64) -> u64 {
        let spent = self.0.load(Relaxed);
        if spent >> 32 < window { 0 } else { spent & COUNT }
    }
}

fn window(now: Duration) -> u64 {
    now.as_secs() / WINDOW.as_secs()
}

fn place(client: u128, practice: usize) -> usize {
    let folded = (client as u64) ^ ((client >> 64) as u64) ^ (practice as u64) << 56;
    (folded.wrapping_mul(ODD) >> (u64::BITS - PLACES.ilog2())) as usize
}

/// A line is 300 bytes: these are 9 KB a second on a bad day, and a hundredth of that by one client.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
const OF_ONE: u64 = 10;
const IN_ALL: u64 = 1_000;
const PLACES: usize = 1 << 12;
const COUNT: u64 = u32::MAX as u64;
/// 2^64 divided by the golden ratio.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const CSRF: Option<Practice> = Some(Practice::Csrf);

    fn written(lines: &Lines, clients: std::ops::Range<u128>, each: usize, second: u64) -> usize {
        let all = clients.flat_map(|client| std::iter::repeat_n(client, each));
        all.filter(|client| lines.take(*client, CSRF, Duration::from_secs(second))).count()
    }

    #[test]
    fn one_client_has_ten_lines_of_a_practice_in_ten_seconds_and_nobody_elses() {
        let lines = Lines::default();
        for (second, expected) in [(0, 10), (9, 0), (10, 10), (19, 0), (1_000_000, 10)] {
            assert_eq!(written(&lines, 7..8, 1_000, second), expected, "at {second} s");
        }
        assert_eq!(written(&lines, 8..9, 1_000, 1_000_001), 10, "another client");
        assert!(lines.take(7, Some(Practice::Hosts), Duration::from_secs(1_000_001)), "another practice");
        assert!(lines.take(7, None, Duration::from_secs(1_000_001)));
    }

    #[test]
    fn many_clients_have_a_thousand_and_leave_one_each_to_the_others() {
        let lines = Lines::default();
        assert_eq!(written(&lines, 0..60, 1_000, 1), 510, "ten each, then one");
        let meet = place_count(0..60) + place_count(1_000..1_200) - place_count((0..60).chain(1_000..1_200));
        assert_eq!(written(&lines, 1_000..1_200, 1_000, 2), place_count(1_000..1_200) - meet);
        assert!(written(&lines, 10_000..90_000, 1, 3) < 400);
        assert_eq!(lines.in_all.taken(0), IN_ALL);
        let left_out: u64 = lines.left_out.iter().map(|count| count.load(Relaxed)).sum();
        assert_eq!(left_out, 60 * 1_000 + 200 * 1_000 + 80_000 - IN_ALL);
        lines.tell();
        assert!(lines.left_out.iter().all(|count| count.load(Relaxed) == 0));
        assert_eq!(written(&lines, 5..6, 1, 11), 1, "it is over");
    }

    fn place_count(clients: impl Iterator<Item = u128>) -> usize {
        clients.map(|client| place(client, Practice::Csrf as usize)).collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn an_allotment_is_for_its_window() {
        let allotment = Allotment::default();
        for (window, most, taken) in
            [(0, 10, 10), (1, 10, 10), (1, 12, 2), (1_000_000, 3, 3), (5, 3, 0), (1_000_001, 0, 0)]
        {
            assert_eq!((0..100).filter(|_| allotment.take(window, most)).count(), taken, "{window}");
        }
    }
}
