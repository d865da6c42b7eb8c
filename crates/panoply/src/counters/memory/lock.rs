use std::hint::spin_loop;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread::yield_now;

/// One at a time. A byte, and apart from what it guards: the locks of a table are in a core's nearest cache when its
/// keys are not, and to let go is a plain store, where the standard library's locks have a second locked instruction.
///
/// It is for less than a microsecond: nothing waits for anything under it, but perhaps for the allocator.
#[derive(Default)]
pub(super) struct Lock(AtomicBool);

/// Lets go when it is dropped, also by a panic: that leaves a set that may lack a hit, and nothing worse.
pub(super) struct Alone<'l>(&'l Lock);

impl Lock {
    /// Where two cores want one key at once, the one that comes late stands back for a microsecond or two, so that
    /// the other decides often with the set in its cache: to pass it on for each decision would take longer. Who has
    /// stood back for long lets another thread of its core go on, which may be the one that holds it.
    #[inline]
    pub(super) fn hold(&self) -> Alone<'_> {
        if self.0.swap(true, Acquire) {
            self.wait();
        }
        Alone(self)
    }

    #[cold]
    fn wait(&self) {
        let mut pauses = FEWEST;
        while self.0.swap(true, Acquire) {
            if pauses > MOST {
                yield_now();
            } else {
                (0..pauses).for_each(|_| spin_loop());
                pauses *= 2;
            }
        }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Release);
    }
}

const FEWEST: u32 = 16;
const MOST: u32 = 64;
