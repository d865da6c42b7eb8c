//! How many requests may be sent again: a share of all, so that a sick app is not asked twice as much as a sound one.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// What was sent again of late. It is looked at only where something failed.
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<Option<Window>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    /// Of all requests, those that had come when it began.
    before: usize,
    /// What the time before allows.
    allowed: usize,
    spent: usize,
}

impl Budget {
    /// Takes one, if there is one left. `requests`: how many came, in all.
    pub(super) fn take(&self, requests: usize, now: Instant) -> bool {
        let Ok(mut window) = self.0.lock() else { return false };
        let began = Window { since: now, before: requests, allowed: 0, spent: 0 };
        let current = window.get_or_insert(began);
        if now.duration_since(current.since) >= WINDOW {
            let came = requests.wrapping_sub(current.before) as f64;
            let of_late = came * WINDOW.as_secs_f64() / now.duration_since(current.since).as_secs_f64();
            *current = Window { allowed: of_late as usize / SHARE, ..began };
        }
        let share = current.allowed.max(requests.wrapping_sub(current.before) / SHARE);
        let left = current.spent < share + FEW;
        current.spent += usize::from(left);
        left
    }
}

const WINDOW: Duration = Duration::from_secs(10);
/// One of five.
const SHARE: usize = 5;
/// For a site with few visitors: what one page load may lose.
const FEW: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_and_a_few_are_sent_again() {
        let start = crate::clock::now();
        let budget = Budget::default();
        let taken = |requests, second| {
            let now = start + Duration::from_secs(second);
            (0..100_000).take_while(|_| budget.take(requests, now)).count()
        };
        for (second, requests, expected, why) in [
            (0, 1_000, 20, "nothing is known of the time before"),
            (1, 1_000, 0, "they are spent"),
            (2, 1_100, 20, "a fifth of what came since"),
            (10, 11_000, 2_000 + 20, "a fifth of what came in the ten seconds before"),
            (11, 11_000, 0, "they are spent"),
            (1_011, 12_000, 1 + 20, "a fifth of a window's share of a long time"),
        ] {
            assert_eq!(taken(requests, second), expected, "{second} s: {why}");
        }
    }
}
