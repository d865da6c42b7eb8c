//! The place of an upstream's idle connections in every thread's pool.
//!
//! Places are given back and taken again, so that a thousand new configurations need no more of them than one; a number
//! that is never used twice keeps one upstream from getting a connection to another.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// It is free again when it is dropped.
#[derive(Debug)]
pub(super) struct Slot(Key);

/// What a connection remembers of the slot that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) index: usize,
    pub(super) number: u64,
}

impl Slot {
    pub(super) fn take() -> Self {
        let mut free = FREE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let index = free.given_back.pop().unwrap_or_else(|| {
            free.made += 1;
            free.made - 1
        });
        Self(Key { index, number: NUMBERS.fetch_add(1, Ordering::Relaxed) })
    }

    pub(super) const fn key(&self) -> Key {
        self.0
    }
}

impl Key {
    /// Whether its upstream took the slot after `other`'s had given it back.
    pub(super) const fn is_after(self, other: Self) -> bool {
        self.number > other.number
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        FREE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).given_back.push(self.0.index);
    }
}

#[derive(Debug)]
struct Free {
    given_back: Vec<usize>,
    made: usize,
}

static FREE: Mutex<Free> = Mutex::new(Free { given_back: Vec::new(), made: 0 });
static NUMBERS: AtomicU64 = AtomicU64::new(1);
