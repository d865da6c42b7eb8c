//! What each thread has for itself, so that none waits for another; whoever looks, looks into all of them.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One `P` a thread, made when the thread first needs it. With more threads than [`MOST`], some share one.
pub(crate) struct Parts<P>([OnceLock<Box<P>>; MOST]);

impl<P: Default> Parts<P> {
    /// The one of the thread that asks.
    pub(crate) fn mine(&self) -> &P {
        let mine = THREAD.try_with(|thread| *thread).unwrap_or(0) % MOST;
        // The remainder is in range; the first part is anybody's.
        let [first, ..] = &self.0;
        self.0.get(mine).unwrap_or(first).get_or_init(Box::default)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &P> {
        self.0.iter().filter_map(|part| part.get().map(|part| &**part))
    }
}

impl<P> Default for Parts<P> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| OnceLock::new()))
    }
}

impl<P> fmt::Debug for Parts<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

thread_local! {
    static THREAD: usize = NEXT.fetch_add(1, Ordering::Relaxed);
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

const MOST: usize = 64;
