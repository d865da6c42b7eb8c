use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What became of orders, and when the next is due; for metrics.
#[derive(Debug, Default)]
pub struct Tally {
    issued: AtomicU64,
    rehearsed: AtomicU64,
    refused: AtomicU64,
    limited: AtomicU64,
    away: AtomicU64,
    next: AtomicU64,
}

impl Tally {
    /// How often orders ended in each way, by the way's name.
    #[must_use]
    pub fn orders(&self) -> [(&'static str, u64); 5] {
        [
            ("issued", self.issued.load(Relaxed)),
            ("rehearsed", self.rehearsed.load(Relaxed)),
            ("refused", self.refused.load(Relaxed)),
            ("limited", self.limited.load(Relaxed)),
            ("away", self.away.load(Relaxed)),
        ]
    }

    /// When there is something to do again, in seconds since 1970.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next.load(Relaxed)
    }

    pub(super) fn count(&self, ending: Ending) {
        let counter = match ending {
            Ending::Issued => &self.issued,
            Ending::Rehearsed => &self.rehearsed,
            Ending::Refused => &self.refused,
            Ending::Limited => &self.limited,
            Ending::Away => &self.away,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn is_due(&self, next: u64) {
        self.next.store(next, Relaxed);
    }
}

/// How an order ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    Issued,
    Rehearsed,
    Refused,
    Limited,
    Away,
}
