use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::lock::Alone;
use super::names::Names;
use super::shelf::{EACH, Shelf};
use super::slot::Slot;
use crate::counters::Key;

/// The keys of one lock: places for [`PLACES`] of them, on shelves.
///
/// A key stands on its home shelf while there is room: of a table that is half full, nineteen of twenty do.
#[derive(Default)]
pub(super) struct Set {
    shelves: [Shelf; PLACES / EACH],
}

/// A set whose lock is held.
pub(super) struct Held<'s> {
    set: &'s Set,
    names: &'s Mutex<Names>,
    _alone: Alone<'s>,
}

impl<'s> Held<'s> {
    pub(super) const fn new(set: &'s Set, names: &'s Mutex<Names>, alone: Alone<'s>) -> Self {
        Self { set, names, _alone: alone }
    }

    /// Its slot, unless its end has come.
    pub(super) fn find(&self, id: u64, now: u64) -> Option<Slot> {
        self.standing(self.position(id)?, now)
    }

    /// The same of a place that is known already.
    #[inline]
    pub(super) fn standing(&self, place: usize, now: u64) -> Option<Slot> {
        Some(self.set.load(place)).filter(|slot| slot.stands(now))
    }

    /// The place that is its own, though its end may have come.
    #[inline]
    pub(super) fn position(&self, id: u64) -> Option<usize> {
        let home = home(id);
        if let Some(shelf) = self.set.shelves.get(home) {
            shelf.touch();
            if let Some(place) = shelf.position(id) {
                return Some(home * EACH + place);
            }
        }
        self.elsewhere(home, id)
    }

    #[inline(never)]
    fn elsewhere(&self, home: usize, id: u64) -> Option<usize> {
        (home + 1..home + SHELVES).find_map(|n| {
            let n = n % SHELVES;
            let place = self.set.shelves.get(n)?.position(id)?;
            Some(n * EACH + place)
        })
    }

    /// Puts it in its `own` place, in that of one that has ended, or in that of the least.
    pub(super) fn put(&mut self, key: Key<'_>, own: Option<usize>, slot: Slot, now: u64) -> Result<(), Full> {
        let place = own.or_else(|| self.room(slot.id, now)).ok_or_else(|| self.full(now))?;
        self.replace(key, place, self.set.load(place), slot, now);
        Ok(())
    }

    /// Puts it in the place of `old`.
    #[inline]
    pub(super) fn replace(&mut self, key: Key<'_>, place: usize, old: Slot, slot: Slot, now: u64) {
        self.set.store(place, slot);
        if old.is_refused() || slot.is_refused() {
            self.rename(old, slot, key, now);
        }
    }

    /// Remembers what the key is called, if there is room.
    pub(super) fn name(&mut self, id: u64, key: Key<'_>, now: u64) {
        let is_kept_out =
            |id| self.set.slots().any(|slot| slot.id == id && slot.is_refused() && slot.stands(now));
        self.names().keep(id, key, is_kept_out);
    }

    /// Whether it stood there.
    pub(super) fn forget(&mut self, id: u64, now: u64) -> bool {
        let place = self.position(id);
        let found = place.is_some_and(|place| self.standing(place, now).is_some());
        if let Some(place) = place {
            self.set.store(place, Slot::FREE);
        }
        self.names().forget(id);
        found
    }

    /// Whether no new key has a place.
    pub(super) fn closed(&self, now: u64) -> Option<Full> {
        let closed = self.set.slots().all(|slot| slot.is_refused() && slot.stands(now));
        closed.then(|| self.full(now))
    }

    /// Puts what a file kept, with its name if it has one; what finds no place is left out.
    pub(super) fn restore(&mut self, slot: Slot, name: &str, now: u64) {
        let Some(place) = self.position(slot.id).or_else(|| self.room(slot.id, now)) else { return };
        self.set.store(place, slot);
        if !name.is_empty() {
            self.name(slot.id, Key { prefix: "", name, network: None }, now);
        }
    }

    /// What stands.
    pub(super) fn slots(&self, now: u64) -> impl Iterator<Item = Slot> {
        self.set.slots().filter(move |slot| slot.stands(now))
    }

    /// Of those that have a name, by which they are listed.
    pub(super) fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many places are taken.
    pub(super) fn len(&self) -> usize {
        self.set.slots().filter(|slot| !slot.is_free()).count()
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
        let slots = || {
            let places = (0..PLACES).map(|n| (home(id) * EACH + n) % PLACES);
            places.map(|place| (place, self.set.load(place)))
        };
        let ended = slots().find(|(_, slot)| !slot.stands(now));
        let least = || slots().filter(|(_, slot)| !slot.is_refused()).min_by_key(|(_, slot)| slot.worth());
        ended.or_else(least).map(|(place, _)| place)
    }

    fn full(&self, now: u64) -> Full {
        let first = self.set.slots().min_by_key(Slot::until);
        Full { left: first.and_then(|slot| slot.count(now).left) }
    }
}

impl Set {
    #[inline]
    fn load(&self, place: usize) -> Slot {
        self.shelves.get(place / EACH).map_or(Slot::FREE, |shelf| shelf.load(place % EACH))
    }

    #[inline]
    fn store(&self, place: usize, slot: Slot) {
        if let Some(shelf) = self.shelves.get(place / EACH) {
            shelf.store(place % EACH, slot);
        }
    }

    fn slots(&self) -> impl Iterator<Item = Slot> {
        self.shelves.iter().flat_map(|shelf| (0..EACH).map(|n| shelf.load(n)))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no key is counted anew before one of those that are blocked ends")]
pub(super) struct Full {
    pub(super) left: Option<Duration>,
}

/// The shelf where the key stands if there is room; not of the bits that choose the set.
const fn home(id: u64) -> usize {
    id as usize % SHELVES
}

/// Enough that sets fill evenly, and few enough to look through.
pub(super) const PLACES: usize = 64;

const SHELVES: usize = PLACES / EACH;
