use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use super::Asked;

/// Requests in the order in which they came. A log has them in the order in which they ended: a long download stands
/// behind all that came while it lasted.
#[derive(Debug, Default)]
pub(super) struct Order {
    waiting: BinaryHeap<Reverse<Waiting>>,
    bytes: usize,
}

/// A request that waits for those before it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) at: Duration,
    pub(super) place: Place,
    pub(super) asked: Asked,
}

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which of the logs, from 0.
    pub(super) log: usize,
    /// From 1.
    pub(super) line: u64,
}

impl Order {
    pub(super) fn add(&mut self, waiting: Waiting) {
        self.bytes += waiting.bytes();
        self.waiting.push(Reverse(waiting));
    }

    /// The first, when so many wait that none of those to come belongs before it.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        if self.waiting.len() > MOST || self.bytes > MOST_BYTES { self.rest() } else { None }
    }

    /// The first, when no more will come.
    pub(super) fn rest(&mut self) -> Option<Waiting> {
        let Reverse(first) = self.waiting.pop()?;
        self.bytes = self.bytes.saturating_sub(first.bytes());
        Some(first)
    }
}

impl Waiting {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.asked.uri.path_and_query().map_or(0, |target| target.as_str().len())
    }

    const fn key(&self) -> (Duration, Place) {
        (self.at, self.place)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// At a thousand requests a second, those of half a minute.
const MOST: usize = 32 * 1024;
const MOST_BYTES: usize = 32 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{Line, read_line};

    fn waiting(line: u64, path: &str) -> Waiting {
        let text = format!(
            "192.0.2.1 - - [31/Dec/2026:00:00:{:02} +0000] \"GET /{path} HTTP/1.1\" 200 5",
            line % 60
        );
        let Ok(Line::Request(asked)) = read_line(text.as_bytes()) else { panic!("{text}") };
        Waiting { at: asked.at, place: Place { log: 0, line }, asked: *asked }
    }

    #[test]
    fn those_that_wait_are_bounded_and_leave_in_order() {
        for (path, most) in [("a".to_owned(), MOST), ("a".repeat(60_000), MOST_BYTES / 60_000)] {
            let mut order = Order::default();
            for line in 0..most as u64 + 1_000 {
                order.add(waiting(line, &path));
                while order.next().is_some() {}
                assert!(order.waiting.len() <= most, "{}", order.waiting.len());
            }
            let mut last = None;
            while let Some(waiting) = order.rest() {
                assert!(last < Some(waiting.key()));
                last = Some(waiting.key());
            }
            assert_eq!(order.bytes, 0);
        }
    }
}
