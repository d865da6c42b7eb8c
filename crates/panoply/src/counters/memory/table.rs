use std::sync::OnceLock;

use super::set::{Held, Name, PLACES, Set};

/// Sets enough for so many keys. There are none before the first key comes.
pub(super) struct Table {
    length: usize,
    sets: OnceLock<Box<[Set]>>,
}

impl Table {
    pub(super) fn new(keys: usize) -> Self {
        Self { length: keys.div_ceil(PLACES).max(1), sets: OnceLock::new() }
    }

    /// One of the same length, with nothing in it.
    pub(super) fn another(&self) -> Self {
        Self { length: self.length, sets: OnceLock::new() }
    }

    /// The one set where the name can be.
    #[expect(clippy::indexing_slicing, reason = "the index is below the length, which is never zero")]
    pub(super) fn set(&self, name: Name) -> Held<'_> {
        let sets = self.sets.get_or_init(|| std::iter::repeat_with(Set::default).take(self.length).collect());
        // The high bits of a product are as even as those of the hash, whatever the length.
        let index = (u128::from(name.id) * sets.len() as u128) >> 64;
        sets[usize::try_from(index).unwrap_or_default()].hold_for(name)
    }

    /// The same, if any key came yet.
    pub(super) fn any(&self, name: Name) -> Option<Held<'_>> {
        self.sets.get().map(|_| self.set(name))
    }

    /// One after the other.
    pub(super) fn sets(&self) -> impl Iterator<Item = Held<'_>> {
        self.sets.get().into_iter().flatten().map(Set::hold)
    }

    /// How many bytes it has taken.
    pub(super) fn bytes(&self) -> usize {
        self.sets().map(|set| size_of::<Set>() + set.bytes_of_names()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::ROOM;
    use super::*;

    #[test]
    fn a_key_takes_26_bytes_and_16_for_names() {
        assert_eq!((size_of::<Set>(), ROOM), (26 * PLACES, 16 * PLACES));
    }
}
