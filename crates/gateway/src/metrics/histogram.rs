//! How long things take, in the buckets that Prometheus calls classic.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts by how long they took. One thread adds, any thread looks.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Those at most as long as the bound of the same place, and longer than the bound before; last the longest.
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// Nanoseconds: they last for 584 years.
    sum: AtomicU64,
}

/// What one or several histograms hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spread {
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Histogram {
    pub(super) fn add(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|(bound, _)| *bound < nanos);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Relaxed);
            self.sum.fetch_add(nanos, Relaxed);
        }
    }

    pub(super) fn spread(&self) -> Spread {
        let mut spread = Spread { sum: Duration::from_nanos(self.sum.load(Relaxed)), ..Spread::default() };
        for (count, counted) in spread.counts.iter_mut().zip(&self.counts) {
            *count = counted.load(Relaxed);
        }
        spread
    }
}

impl Spread {
    pub(super) fn and(mut self, other: Self) -> Self {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        Self { sum: self.sum + other.sum, ..self }
    }

    /// Each bound in seconds, as it is written, with the count of those that took at most so long.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let bounds = BOUNDS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        bounds.zip(self.counts).scan(0, |below, (bound, count)| {
            *below += count;
            Some((bound, *below))
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) const fn sum(&self) -> Duration {
        self.sum
    }
}

/// In nanoseconds, and in seconds as they are written: from what a cache answers to what nobody waits for.
const BOUNDS: [(u64, &str); 15] = [
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
    (10_000_000_000, "10"),
    (30_000_000_000, "30"),
    (60_000_000_000, "60"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_and_below_every_bound_that_it_keeps() {
        let histogram = Histogram::default();
        for nanos in [0, 1_000_000, 1_000_001, 60_000_000_000, 60_000_000_001, 3_600_000_000_000] {
            histogram.add(Duration::from_nanos(nanos));
        }
        let spread = histogram.spread();
        let buckets: Vec<_> = spread.buckets().collect();
        for (bound, count) in [("0.001", 2), ("0.0025", 3), ("30", 3), ("60", 4), ("+Inf", 6)] {
            assert!(buckets.contains(&(bound, count)), "{bound} {count}: {buckets:?}");
        }
        assert_eq!((spread.count(), spread.sum()), (6, Duration::from_nanos(3_720_002_000_002)));
        let twice = spread.and(spread);
        assert_eq!((twice.count(), twice.sum()), (12, spread.sum() * 2));
    }

    #[test]
    fn bounds_rise_and_are_written_as_what_they_are() {
        assert!(BOUNDS.is_sorted_by(|(one, _), (next, _)| one < next));
        for (nanos, written) in BOUNDS {
            let seconds: f64 = written.parse().unwrap();
            assert_eq!((seconds * 1e9).round() as u64, nanos, "{written}");
        }
    }
}
