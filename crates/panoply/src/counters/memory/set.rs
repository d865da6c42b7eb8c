use std::array;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use super::names::Names;
use super::slot::{Place, Slot};
use crate::counters::Key;

/// The keys of one lock: places for [`PLACES`] of them.
///
/// Words change under the lock alone. They are atomic so that they may be touched before it is taken: where a table is
/// larger than the caches a decision waits for memory, and so it waits once, for the lock and the slot together.
#[repr(align(128))]
pub(super) struct Set {
    lock: Mutex<Names>,
    /// A byte of each key's hash, in the order of the slots, eight to a word.
    tags: [AtomicU64; PLACES / 8],
    slots: [Place; PLACES],
}

/// What a key is known by: 72 bits of its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) id: u64,
    pub(super) tag: u8,
}

/// A set whose lock is held.
pub(super) struct Held<'s> {
    set: &'s Set,
    names: MutexGuard<'s, Names>,
}

impl Set {
    /// Holds the set to look for `name`.
    pub(super) fn hold_for(&self, name: Name) -> Held<'_> {
        let [beside_the_lock, ..] = &self.tags;
        let (tags, slot) = (self.tags.get(name.home() / 8), self.slots.get(name.home()));
        black_box((
            beside_the_lock.load(Relaxed),
            tags.map(|tags| tags.load(Relaxed)),
            slot.map(Place::load),
        ));
        self.hold()
    }

    /// Where two cores want one key at once, the one that comes late stands back for a microsecond or two, so that
    /// the other decides often with the set in its cache: to pass it on for each decision would take longer.
    pub(super) fn hold(&self) -> Held<'_> {
        for pauses in [16, 32, 64] {
            match self.lock.try_lock() {
                Ok(names) => return Held { set: self, names },
                Err(TryLockError::WouldBlock) => (0..pauses).for_each(|_| spin_loop()),
                Err(TryLockError::Poisoned(_)) => break,
            }
        }
        // A thread that panicked under the lock leaves a set that may lack a hit, and nothing worse.
        Held { set: self, names: self.lock.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

impl Default for Set {
    fn default() -> Self {
        let (tags, slots) = (Default::default(), array::from_fn(|_| Place::default()));
        Self { lock: Mutex::default(), tags, slots }
    }
}

impl Name {
    /// Where the key stands unless somebody else did; not of the bits that choose the set.
    const fn home(self) -> usize {
        self.id as usize % PLACES
    }
}

impl Held<'_> {
    /// Its slot, unless its end has come.
    pub(super) fn find(&self, name: Name, now: u64) -> Option<Slot> {
        self.standing(self.position(name), now)
    }

    /// The same of a place that is known already.
    pub(super) fn standing(&self, place: Option<usize>, now: u64) -> Option<Slot> {
        let slot = self.set.slots.get(place?)?.load();
        slot.stands(now).then_some(slot)
    }

    /// The place that is its own, though its end may have come.
    pub(super) fn position(&self, name: Name) -> Option<usize> {
        let is_there = |place: &usize| self.set.slots.get(*place).is_some_and(|slot| slot.id() == name.id);
        let home = Some(name.home()).filter(|home| self.tag(*home) == name.tag).filter(is_there);
        home.or_else(|| {
            let wanted = EACH_BYTE * u64::from(name.tag);
            let eights = self.set.tags.iter().zip((0..PLACES).step_by(8));
            eights
                .flat_map(|(tags, first)| zero_bytes(tags.load(Relaxed) ^ wanted).map(move |n| first + n))
                .find(is_there)
        })
    }

    /// Puts it in its `own` place, in that of one that has ended, or in that of the least.
    pub(super) fn put(
        &mut self,
        key: Key<'_>,
        name: Name,
        own: Option<usize>,
        slot: Slot,
        now: u64,
    ) -> Result<(), Full> {
        let place = own.or_else(|| self.room(name, now)).ok_or_else(|| self.full(now))?;
        let old = self.write(place, name, slot).filter(Slot::is_refused);
        let same = old.filter(|old| old.id == slot.id && slot.is_refused());
        if let Some(old) = old.filter(|_| same.is_none()) {
            self.names.forget(old.id);
        }
        if slot.is_refused() && !same.is_some_and(|old| old.stands(now)) {
            self.name(slot.id, key, now);
        }
        Ok(())
    }

    /// Remembers what the key is called, if there is room.
    pub(super) fn name(&mut self, id: u64, key: Key<'_>, now: u64) {
        let Self { set, names } = self;
        names.keep(id, key, |id| {
            set.slots().any(|slot| slot.id == id && slot.is_refused() && slot.stands(now))
        });
    }

    /// Whether it stood there.
    pub(super) fn forget(&mut self, name: Name, now: u64) -> bool {
        let place = self.position(name);
        let found = self.standing(place, now).is_some();
        if let Some(place) = place.and_then(|place| self.set.slots.get(place)) {
            place.store(Slot::FREE);
        }
        self.names.forget(name.id);
        found
    }

    /// Whether no new key has a place.
    pub(super) fn closed(&self, now: u64) -> Option<Full> {
        let closed = self.set.slots().all(|slot| slot.is_refused() && slot.stands(now));
        closed.then(|| self.full(now))
    }

    /// Puts what a file kept, with its name if it has one; what finds no place is left out.
    pub(super) fn restore(&mut self, name: Name, slot: Slot, text: &str, now: u64) {
        let Some(place) = self.position(name).or_else(|| self.room(name, now)) else { return };
        self.write(place, name, slot);
        if !text.is_empty() {
            self.name(slot.id, Key { prefix: "", name: text, network: None }, now);
        }
    }

    /// All that stand, each with its tag and its name, which is empty if it has none.
    pub(super) fn entries(&self, now: u64) -> impl Iterator<Item = (Slot, u8, &str)> {
        let standing = self.set.slots().enumerate().filter(move |(_, slot)| slot.stands(now));
        standing.map(|(place, slot)| {
            let name = self.names.iter().find(|(id, _)| *id == slot.id);
            (slot, self.tag(place), name.map_or("", |(_, name)| name))
        })
    }

    /// Those that have a name, by which they are listed.
    pub(super) fn named(&self, now: u64) -> impl Iterator<Item = (&str, Slot)> {
        self.names.iter().filter_map(move |(id, text)| {
            let slot = self.set.slots().find(|slot| slot.id == id && slot.stands(now))?;
            Some((text, slot))
        })
    }

    /// How many places are taken.
    pub(super) fn len(&self) -> usize {
        self.set.slots().filter(|slot| !slot.is_free()).count()
    }

    /// What its names take; the rest is always there.
    pub(super) fn bytes_of_names(&self) -> usize {
        self.names.bytes()
    }

    fn tag(&self, place: usize) -> u8 {
        let tags = self.set.tags.get(place / 8).map_or(0, |tags| tags.load(Relaxed));
        tags.to_le_bytes().get(place % 8).copied().unwrap_or_default()
    }

    /// From home on, so that most are found where they are looked for first.
    fn room(&self, name: Name, now: u64) -> Option<usize> {
        let places = || (0..PLACES).map(|n| (name.home() + n) % PLACES);
        let slots = || places().zip(self.set.slots.iter().cycle().skip(name.home()).map(Place::load));
        let ended = slots().find(|(_, slot)| !slot.stands(now));
        let least = || slots().filter(|(_, slot)| !slot.is_refused()).min_by_key(|(_, slot)| slot.worth());
        ended.or_else(least).map(|(place, _)| place)
    }

    /// Answers what stood there before.
    fn write(&self, place: usize, name: Name, slot: Slot) -> Option<Slot> {
        if self.tag(place) != name.tag
            && let Some(tags) = self.set.tags.get(place / 8)
        {
            let shift = place % 8 * 8;
            tags.store(tags.load(Relaxed) & !(0xff << shift) | u64::from(name.tag) << shift, Relaxed);
        }
        let place = self.set.slots.get(place)?;
        let old = place.load();
        place.store(slot);
        Some(old)
    }

    fn full(&self, now: u64) -> Full {
        let first = self.set.slots().min_by_key(Slot::until);
        Full { left: first.and_then(|slot| slot.count(now).left) }
    }
}

impl Set {
    fn slots(&self) -> impl Iterator<Item = Slot> {
        self.slots.iter().map(Place::load)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no key is counted anew before one of those that are blocked ends")]
pub(super) struct Full {
    pub(super) left: Option<Duration>,
}

/// Which of the eight bytes are zero, and at times one above such: who looks there finds another key.
fn zero_bytes(word: u64) -> impl Iterator<Item = usize> {
    let mut high_bits = word.wrapping_sub(EACH_BYTE) & !word & (EACH_BYTE << 7);
    std::iter::from_fn(move || {
        let byte = (high_bits != 0).then(|| high_bits.trailing_zeros() as usize / 8);
        high_bits &= high_bits.wrapping_sub(1);
        byte
    })
}

const EACH_BYTE: u64 = 0x0101_0101_0101_0101;

/// Enough that sets fill evenly, and few enough to look through.
pub(super) const PLACES: usize = 64;
