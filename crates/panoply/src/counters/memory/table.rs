use std::sync::OnceLock;

use super::lock::Lock;
use super::set::{Beside, Held, PLACES, Set};

/// Sets enough for so many keys. There are none before the first key comes.
pub(super) struct Table {
    length: usize,
    rows: OnceLock<Rows>,
}

/// Of each set its places, its lock and what stands beside it, apart: those who decide need the first two.
struct Rows {
    sets: Box<[Set]>,
    locks: Box<[Lock]>,
    beside: Box<[Beside]>,
}

impl Table {
    pub(super) fn new(keys: usize) -> Self {
        Self { length: keys.div_ceil(PLACES).max(1), rows: OnceLock::new() }
    }

    /// One of the same length, with nothing in it.
    pub(super) fn another(&self) -> Self {
        Self { length: self.length, rows: OnceLock::new() }
    }

    /// Where the one set is in which the key can be.
    #[inline]
    pub(super) fn row(&self, id: u64) -> Row<'_> {
        self.rows.get_or_init(|| Rows::new(self.length)).row(id)
    }

    /// That set.
    #[inline]
    pub(super) fn set(&self, id: u64) -> Held<'_> {
        self.row(id).hold()
    }

    /// The same, if any key came yet.
    pub(super) fn any(&self, id: u64) -> Option<Held<'_>> {
        self.rows.get().map(|rows| rows.row(id).hold())
    }

    /// One after the other.
    pub(super) fn sets(&self) -> impl Iterator<Item = Held<'_>> {
        self.rows.get().into_iter().flat_map(|rows| (0..rows.sets.len()).map(|index| rows.at(index).hold()))
    }

    /// How many bytes it has taken.
    pub(super) fn bytes(&self) -> usize {
        self.sets().map(|set| OF_A_SET + set.bytes()).sum()
    }
}

impl Rows {
    fn new(length: usize) -> Self {
        fn row<T: Default>(length: usize) -> Box<[T]> {
            std::iter::repeat_with(T::default).take(length).collect()
        }
        Self { sets: row(length), locks: row(length), beside: row(length) }
    }

    #[inline]
    fn row(&self, id: u64) -> Row<'_> {
        // The high bits of a product are as even as those of the hash, whatever the length.
        let index = (u128::from(id) * self.sets.len() as u128) >> 64;
        self.at(usize::try_from(index).unwrap_or_default())
    }

    #[expect(clippy::indexing_slicing, reason = "the index is below the length, which is never zero")]
    #[inline]
    fn at(&self, index: usize) -> Row<'_> {
        Row { set: &self.sets[index], lock: &self.locks[index], beside: &self.beside[index] }
    }
}

/// A set, and what belongs to it.
pub(super) struct Row<'r> {
    set: &'r Set,
    lock: &'r Lock,
    beside: &'r Beside,
}

impl<'r> Row<'r> {
    /// Begins to bring the key's place from memory, so that it comes while the clock and the lock are asked.
    #[inline]
    pub(super) fn approach(&self, id: u64) {
        self.set.touch(id);
    }

    #[inline]
    pub(super) fn hold(&self) -> Held<'r> {
        Held::new(self.set, self.beside, self.lock.hold())
    }
}

/// In bytes, without [what](Held::bytes) few sets have.
const OF_A_SET: usize = size_of::<Set>() + size_of::<Lock>() + size_of::<Beside>();

#[cfg(test)]
mod tests {
    use super::super::names::ROOM;
    use super::*;

    #[test]
    fn a_key_takes_17_bytes_and_8_for_many_points_and_16_for_names() {
        assert_eq!((size_of::<Set>(), OF_A_SET, ROOM), (16 * PLACES, 16 * PLACES + 49, 16 * PLACES));
    }
}
