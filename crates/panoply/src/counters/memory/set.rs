use std::array;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::lock::Alone;
use super::names::Names;
use super::place::{Many, Place};
use super::slot::Slot;
use crate::counters::Key;

/// The keys of one lock: [`PLACES`] in a ring, from the beginning of a cache line on.
///
/// A key stands at its home or after it, and no place between them is free: who comes to a free one has looked far
/// enough. Of a table that is two thirds full, two of three keys stand at home.
#[repr(align(64))]
pub(super) struct Set {
    places: [Place; PLACES],
}

/// A set whose lock is held.
pub(super) struct Held<'s> {
    set: &'s Set,
    beside: &'s Beside,
    _alone: Alone<'s>,
}

/// Of a set, what few decisions need.
#[derive(Default)]
pub(super) struct Beside {
    many: Many,
    names: Mutex<Names>,
}

impl<'s> Held<'s> {
    pub(super) const fn new(set: &'s Set, beside: &'s Beside, alone: Alone<'s>) -> Self {
        Self { set, beside, _alone: alone }
    }

    /// Its slot, unless its end has come.
    pub(super) fn find(&self, id: u64, now: u64) -> Option<Slot> {
        self.standing(self.position(id)?, now)
    }

    /// The same of a place that is known already.
    #[inline]
    pub(super) fn standing(&self, place: usize, now: u64) -> Option<Slot> {
        Some(self.load(place)).filter(|slot| slot.stands(now))
    }

    /// The place that is its own, though its end may have come.
    #[inline]
    pub(super) fn position(&self, id: u64) -> Option<usize> {
        for place in ring(id) {
            let found = self.set.places.get(place)?;
            if found.id() == id {
                return Some(place);
            }
            if found.is_free() {
                break;
            }
        }
        None
    }

    /// Puts it in its `own` place, in that of one that has ended, or in that of the least.
    pub(super) fn put(&mut self, key: Key<'_>, own: Option<usize>, slot: Slot, now: u64) -> Result<(), Full> {
        let place = own.or_else(|| self.room(slot.id, now)).ok_or_else(|| self.full(now))?;
        self.replace(key, place, self.load(place), slot, now);
        Ok(())
    }

    /// Puts it in the place of `old`.
    #[inline]
    pub(super) fn replace(&mut self, key: Key<'_>, place: usize, old: Slot, slot: Slot, now: u64) {
        self.store(place, slot);
        if old.is_refused() || slot.is_refused() {
            self.rename(old, slot, key, now);
        }
    }

    /// Remembers what the key is called, if there is room.
    pub(super) fn name(&mut self, id: u64, key: Key<'_>, now: u64) {
        let is_kept_out = |id| self.all().any(|slot| slot.id == id && slot.is_refused() && slot.stands(now));
        self.names().keep(id, key, is_kept_out);
    }

    /// Whether it stood there.
    pub(super) fn forget(&mut self, id: u64, now: u64) -> bool {
        let place = self.position(id);
        let found = place.is_some_and(|place| self.standing(place, now).is_some());
        if let Some(place) = place {
            self.leave(place);
        }
        self.names().forget(id);
        found
    }

    /// Whether no new key has a place.
    pub(super) fn closed(&self, now: u64) -> Option<Full> {
        let closed = self.all().all(|slot| slot.is_refused() && slot.stands(now));
        closed.then(|| self.full(now))
    }

    /// Puts what a file kept, with its name if it has one; what finds no place is left out.
    pub(super) fn restore(&mut self, slot: Slot, name: &str, now: u64) {
        let Some(place) = self.position(slot.id).or_else(|| self.room(slot.id, now)) else { return };
        self.store(place, slot);
        if !name.is_empty() {
            self.name(slot.id, Key { prefix: "", name, network: None }, now);
        }
    }

    /// What stands.
    pub(super) fn slots(&self, now: u64) -> impl Iterator<Item = Slot> {
        self.all().filter(move |slot| slot.stands(now))
    }

    /// Of those that have a name, by which they are listed.
    pub(super) fn names(&self) -> MutexGuard<'_, Names> {
        self.beside.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In bytes, the points and the names that do not stand in its places.
    pub(super) fn bytes(&self) -> usize {
        self.beside.many.bytes() + self.names().bytes()
    }

    /// How many places are taken.
    pub(super) fn len(&self) -> usize {
        self.all().filter(|slot| !slot.is_free()).count()
    }

    /// Free, or where others may stand behind it only ended, so that they are found.
    fn leave(&self, place: usize) {
        let is_last = self.load((place + 1) % PLACES).is_free();
        self.store(place, if is_last { Slot::FREE } else { self.load(place).ended() });
    }

    /// A name stands as long as its key is kept out.
    #[cold]
    fn rename(&mut self, old: Slot, new: Slot, key: Key<'_>, now: u64) {
        let same = old.is_refused() && new.is_refused() && old.id == new.id;
        if old.is_refused() && !same {
            self.names().forget(old.id);
        }
        if new.is_refused() && !(same && old.stands(now)) {
            self.name(new.id, key, now);
        }
    }

    /// From its home on, so that most are found where they are looked for first.
    fn room(&self, id: u64, now: u64) -> Option<usize> {
        let slots = || ring(id).map(|place| (place, self.load(place)));
        let ended = slots().find(|(_, slot)| !slot.stands(now));
        let least = || slots().filter(|(_, slot)| !slot.is_refused()).min_by_key(|(_, slot)| slot.worth());
        ended.or_else(least).map(|(place, _)| place)
    }

    fn full(&self, now: u64) -> Full {
        let first = self.all().min_by_key(Slot::until);
        Full { left: first.and_then(|slot| slot.count(now).left) }
    }

    #[inline]
    fn load(&self, place: usize) -> Slot {
        self.set.places.get(place).map_or(Slot::FREE, |found| found.load(place, &self.beside.many))
    }

    #[inline]
    fn store(&self, place: usize, slot: Slot) {
        if let Some(found) = self.set.places.get(place) {
            found.store(slot, place, &self.beside.many);
        }
    }

    fn all(&self) -> impl Iterator<Item = Slot> {
        (0..PLACES).map(|place| self.load(place))
    }
}

impl Set {
    /// Looks where the key stands if it stands at home. The compiler leaves no atomic load out.
    #[inline]
    pub(super) fn touch(&self, id: u64) {
        let _ = ring(id).next().and_then(|home| self.places.get(home)).map(Place::id);
    }
}

impl Default for Set {
    fn default() -> Self {
        Self { places: array::from_fn(|_| Place::default()) }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no key is counted anew before one of those that are blocked ends")]
pub(super) struct Full {
    pub(super) left: Option<Duration>,
}

/// All places, from the key's home on; that is not of the bits that choose the set.
#[inline]
fn ring(id: u64) -> impl Iterator<Item = usize> {
    let home = id as usize;
    (0..PLACES).map(move |n| home.wrapping_add(n) % PLACES)
}

/// Enough that sets fill evenly, and few enough to look through.
pub(super) const PLACES: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::table::Table;
    use super::*;
    use crate::counters::Count;

    const KEY: Key<'_> = Key { prefix: "", name: "", network: None };
    const NOW: u64 = 0;

    /// They have one home, the last of the ring.
    const MET: [u64; 3] = [63, 63 + 64, 63 + 128];

    fn slot(id: u64) -> Slot {
        Slot::new(id, Count { points: 1, left: None }, NOW, false)
    }

    #[test]
    fn who_stands_behind_one_that_is_forgotten_is_found_and_one_who_comes_takes_the_place() {
        let table = Table::new(PLACES);
        let mut set = table.set(0);
        for id in MET {
            assert!(set.put(KEY, None, slot(id), NOW).is_ok());
        }
        assert_eq!(MET.map(|id| set.position(id)), [Some(63), Some(0), Some(1)]);

        assert!(set.forget(MET[0], NOW) && !set.forget(MET[0], NOW));
        assert!(set.find(MET[0], NOW).is_none() && set.find(MET[2], NOW).is_some());
        assert!(set.put(KEY, None, slot(MET[0] + 192), NOW).is_ok());
        assert_eq!((set.position(MET[0] + 192), set.position(MET[2]), set.len()), (Some(63), Some(1), 3));

        assert!(set.forget(MET[2], NOW));
        assert_eq!((set.position(MET[2]), set.len()), (None, 2), "the last leaves its place free");
    }
}
