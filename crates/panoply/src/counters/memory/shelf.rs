use std::hint::black_box;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::slot::Slot;

/// Eight places of a set, on three cache lines in a row.
///
/// Words change under the set's [lock](super::lock::Lock) alone; they are atomic since that is how safe code shares
/// what a lock beside it guards.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Shelf {
    ids: [AtomicU64; EACH],
    points: [AtomicI64; EACH],
    ends: [AtomicU64; EACH],
}

impl Shelf {
    /// Asks for all three lines at once: where a table is larger than the caches, a decision so waits for memory once.
    pub(super) fn touch(&self) {
        let ([points, ..], [end, ..]) = (&self.points, &self.ends);
        black_box((points.load(Relaxed), end.load(Relaxed)));
    }

    /// Where the key is. All are compared, without a branch that a processor would have to guess.
    pub(super) fn position(&self, id: u64) -> Option<usize> {
        let is = |known: &AtomicU64| u32::from(known.load(Relaxed) == id);
        let found = self.ids.iter().zip(0..).fold(0, |found, (known, n)| found | is(known) << n);
        (found != 0).then_some(found.trailing_zeros() as usize)
    }

    pub(super) fn load(&self, n: usize) -> Slot {
        match (self.ids.get(n), self.points.get(n), self.ends.get(n)) {
            (Some(id), Some(points), Some(end)) => {
                Slot::at(id.load(Relaxed), points.load(Relaxed), end.load(Relaxed))
            }
            _ => Slot::FREE,
        }
    }

    pub(super) fn store(&self, n: usize, slot: Slot) {
        if let (Some(id), Some(points), Some(end)) = (self.ids.get(n), self.points.get(n), self.ends.get(n)) {
            id.store(slot.id, Relaxed);
            points.store(slot.points, Relaxed);
            end.store(slot.end(), Relaxed);
        }
    }
}

pub(super) const EACH: usize = 8;
