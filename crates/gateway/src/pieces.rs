//! How much of an answer is read from its app at once: the less, the more long answers are under way.
//!
//! Some four pieces of an answer are held while its visitor does not read. Large ones are cheap to pass on, and harmless
//! as long as there are few; hyper takes up to 400 KiB, with which a thousand answers that nobody reads are more than a
//! gigabyte.

use std::sync::atomic::{AtomicUsize, Ordering};

/// An answer of more than one piece, as long as it is under way.
#[derive(Debug)]
pub(crate) struct Long(());

impl Long {
    pub(crate) fn begin() -> Self {
        LONG.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        LONG.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How large a piece may be now, in bytes.
pub(crate) fn largest() -> usize {
    share(LONG.load(Ordering::Relaxed))
}

const fn share(long: usize) -> usize {
    let share = ALL / if long == 0 { 1 } else { long };
    match share {
        ..SMALLEST => SMALLEST,
        LARGEST.. => LARGEST,
        share => share,
    }
}

static LONG: AtomicUsize = AtomicUsize::new(0);

/// In bytes: one piece of each answer.
const ALL: usize = 8 * 1024 * 1024;
/// A record of TLS, and a frame of HTTP/2.
const SMALLEST: usize = 16 * 1024;
/// More than hyper asks for.
const LARGEST: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_have_what_they_ask_for_and_many_have_little() {
        for (long, kib) in [(0, 512), (1, 512), (16, 512), (32, 256), (128, 64), (512, 16), (100_000, 16)] {
            assert_eq!(share(long), kib * 1024, "{long}");
        }
    }
}
