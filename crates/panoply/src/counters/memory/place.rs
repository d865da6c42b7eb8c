use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::slot::Slot;

/// Where one key's count is, in one piece: where a table is larger than the caches, a decision so waits for memory once.
///
/// Words change under the set's [lock](super::lock::Lock) alone; they are atomic since that is how safe code shares
/// what a lock beside it guards.
#[derive(Default)]
pub(super) struct Place {
    id: AtomicU64,
    points: AtomicI64,
    end: AtomicU64,
}

impl Place {
    #[inline]
    pub(super) fn load(&self) -> Slot {
        Slot::at(self.id.load(Relaxed), self.points.load(Relaxed), self.end.load(Relaxed))
    }

    #[inline]
    pub(super) fn store(&self, slot: Slot) {
        self.id.store(slot.id, Relaxed);
        self.points.store(slot.points, Relaxed);
        self.end.store(slot.end(), Relaxed);
    }
}
