use std::sync::{Mutex, OnceLock};

use super::lock::Lock;
use super::names::Names;
use super::set::{Held, PLACES, Set};

/// Sets enough for so many keys. There are none before the first key comes.
pub(super) struct Table {
    length: usize,
    rows: OnceLock<Rows>,
}

/// Of each set its places, its names and its lock, apart: those who decide need the first and the last.
struct Rows {
    sets: Box<[Set]>,
    names: Box<[Mutex<Names>]>,
    locks: Box<[Lock]>,
}

impl Table {
    pub(super) fn new(keys: usize) -> Self {
        Self { length: keys.div_ceil(PLACES).max(1), rows: OnceLock::new() }
    }

    /// One of the same length, with nothing in it.
    pub(super) fn another(&self) -> Self {
        Self { length: self.length, rows: OnceLock::new() }
    }

    /// The one set where the key can be.
    #[inline]
    pub(super) fn set(&self, id: u64) -> Held<'_> {
        self.rows.get_or_init(|| Rows::new(self.length)).hold(id)
    }

    /// The same, if any key came yet.
    pub(super) fn any(&self, id: u64) -> Option<Held<'_>> {
        self.rows.get().map(|rows| rows.hold(id))
    }

    /// One after the other.
    pub(super) fn sets(&self) -> impl Iterator<Item = Held<'_>> {
        self.rows.get().into_iter().flat_map(|Rows { sets, names, locks }| {
            let rows = sets.iter().zip(names).zip(locks);
            rows.map(|((set, names), lock)| Held::new(set, names, lock.hold()))
        })
    }

    /// How many bytes it has taken.
    pub(super) fn bytes(&self) -> usize {
        self.sets().map(|set| OF_A_SET + set.names().bytes()).sum()
    }
}

impl Rows {
    fn new(length: usize) -> Self {
        fn row<T: Default>(length: usize) -> Box<[T]> {
            std::iter::repeat_with(T::default).take(length).collect()
        }
        Self { sets: row(length), names: row(length), locks: row(length) }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is below the length, which is never zero")]
    #[inline]
    fn hold(&self, id: u64) -> Held<'_> {
        // The high bits of a product are as even as those of the hash, whatever the length.
        let index = (u128::from(id) * self.sets.len() as u128) >> 64;
        let index = usize::try_from(index).unwrap_or_default();
        Held::new(&self.sets[index], &self.names[index], self.locks[index].hold())
    }
}

/// In bytes, without the texts of names.
const OF_A_SET: usize = size_of::<Set>() + size_of::<Mutex<Names>>() + size_of::<Lock>();

#[cfg(test)]
mod tests {
    use super::super::names::ROOM;
    use super::*;

    #[test]
    fn a_key_takes_25_bytes_and_16_for_names() {
        assert_eq!((size_of::<Set>(), OF_A_SET, ROOM), (24 * PLACES, 24 * PLACES + 33, 16 * PLACES));
    }
}
