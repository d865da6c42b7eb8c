use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Answer, Count, Counters, Key, Rule};
use crate::Clock;
use crate::store::{LONGEST, StoreError};

/// Counts in this process's memory: gone with it, and shared with no other.
///
/// It never holds more than its capacity, 131,072 keys in 6 MiB unless told, and takes memory only for those that
/// came: more keys than a site has failed logins in a day, and less than a machine misses. A key is kept as 128 bits
/// of a hash that is keyed at random, so a long one takes no more than a short one and nobody's name stays here.
///
/// Keys are spread over sets of 64 places, each with a lock of its own. Where all 64 are taken, what has ended goes
/// first, then the smallest count; of equal ones that which ends soonest. So a flood of new keys drives out what
/// was hit once, and not who is about to be stopped. A key that is refused, for it is over its line or was blocked, is
/// never driven out: nobody is set free by others. Where all 64 are such, a new key is refused until the first of
/// them ends: it is answered [`i64::MAX`] points, and [`set`](Counters::set) and [`block`](Counters::block) fail.
/// When such keys are half of the capacity, one set in two million is so closed; when they are three quarters, one
/// in 64.
///
/// ```
/// use std::time::Duration;
/// use panoply::Clock;
/// use panoply::counters::{Count, Counters, Key, Memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), panoply::store::StoreError> {
/// let clock = Clock::manual();
/// let counters = Memory::with_clock(clock.clone());
/// let count = Count { points: 3, left: Some(Duration::from_secs(60)) };
/// let ann = Key { prefix: "login", name: "ann" };
/// counters.set(ann, count).await?;
/// assert_eq!(counters.peek(ann).await?, Some(count));
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(counters.peek(ann).await?, None);
/// # Ok(())
/// # }
/// ```
pub struct Memory {
    clock: Clock,
    hashers: [RandomState; 2],
    sets: Box<[Mutex<Set>]>,
}

impl Memory {
    /// Nothing counted yet, by the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// Nothing counted yet, by `clock`.
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        Self { clock, hashers: Default::default(), sets: Box::default() }.capacity(CAPACITY)
    }

    /// How many keys it holds at most, 48 bytes each, rounded up to a multiple of 64; what it held before is gone.
    #[must_use]
    pub fn capacity(mut self, keys: usize) -> Self {
        self.sets = std::iter::repeat_with(Mutex::default).take(keys.div_ceil(PLACES).max(1)).collect();
        self
    }

    /// How many keys it holds, those too whose end has come and whose place nobody took yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sets.iter().map(|set| lock(set).0.len()).sum()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn count(&self, key: Key<'_>, points: i64, rule: &Rule) -> Count {
        let (name, now) = (self.name(key), self.clock.now());
        let mut set = self.set(name);
        let was = set.find(name, now).map(|slot| slot.count(now));
        let count = rule.add(was, points);
        let blocked = rule.is_over(count.points);
        match set.put(Slot::new(name, count, now, blocked), now) {
            Ok(()) => count,
            Err(full) => full.answer(),
        }
    }

    fn put(&self, key: Key<'_>, count: Count, blocked: bool) -> Result<(), StoreError> {
        let (name, now) = (self.name(key), self.clock.now());
        let slot = Slot::new(name, count, now, blocked);
        self.set(name).put(slot, now).map_err(|full| StoreError::Refused(Box::new(full)))
    }

    fn name(&self, key: Key<'_>) -> Name {
        let [one, other] = &self.hashers;
        let hash = |hasher: &RandomState| {
            let mut hash = hasher.build_hasher();
            if !key.prefix.is_empty() {
                hash.write(key.prefix.as_bytes());
                hash.write(b":");
            }
            hash.write(key.name.as_bytes());
            hash.finish()
        };
        (hash(one), hash(other))
    }

    #[expect(clippy::indexing_slicing, reason = "the index is below the length, which is never zero")]
    fn set(&self, (name, _): Name) -> MutexGuard<'_, Set> {
        lock(&self.sets[usize::try_from(name >> 32).unwrap_or_default() % self.sets.len()])
    }
}

/// No lock is ever held across an await: there is none.
impl Counters for Memory {
    fn add<'a>(&'a self, key: Key<'a>, points: i64, rule: &'a Rule) -> Answer<'a, Count> {
        Answer::now(Ok(self.count(key, points, rule)))
    }

    fn peek<'a>(&'a self, key: Key<'a>) -> Answer<'a, Option<Count>> {
        let (name, now) = (self.name(key), self.clock.now());
        let set = self.set(name);
        let found = set.find(name, now).map(|slot| slot.count(now));
        Answer::now(Ok(found.or_else(|| set.closed(now).map(|full| full.answer()))))
    }

    fn set<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        Answer::now(self.put(key, count, false))
    }

    fn block<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        Answer::now(self.put(key, count, true))
    }

    fn forget<'a>(&'a self, key: Key<'a>) -> Answer<'a, bool> {
        let (name, now) = (self.name(key), self.clock.now());
        let mut set = self.set(name);
        let found = set.find(name, now).is_some();
        set.0.retain(|slot| slot.name != name);
        Answer::now(Ok(found))
    }

    fn over<'a>(&'a self, _: &'a str, _: u32) -> Answer<'a, Vec<(String, Count)>> {
        Answer::now(Err(StoreError::Refused("a memory of hashes knows no names".into())))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

/// At most [`PLACES`].
#[derive(Default)]
struct Set(Vec<Slot>);

#[derive(Clone, Copy)]
struct Slot {
    name: Name,
    points: i64,
    until: Duration,
    /// By the last hit, which knew the line.
    blocked: bool,
}

type Name = (u64, u64);

impl Set {
    fn find(&self, name: Name, now: Duration) -> Option<&Slot> {
        self.0.iter().find(|slot| slot.name == name && slot.until > now)
    }

    /// Puts it in its own place, in that of one that has ended, in a new one, or in that of the least.
    fn put(&mut self, slot: Slot, now: Duration) -> Result<(), Full> {
        let own = self.0.iter().position(|old| old.name == slot.name);
        let place = own.or_else(|| self.0.iter().position(|old| old.until <= now));
        if place.is_none() && self.0.len() < PLACES {
            self.0.push(slot);
            return Ok(());
        }
        let place = match place {
            Some(place) => self.0.get_mut(place),
            None => {
                let open = self.0.iter_mut().filter(|old| !old.blocked);
                open.min_by_key(|old| (old.points, old.until))
            }
        };
        match place {
            Some(place) => *place = slot,
            None => return Err(Full { left: self.first_end(now) }),
        }
        Ok(())
    }

    /// Whether no new key has a place.
    fn closed(&self, now: Duration) -> Option<Full> {
        let closed = self.0.len() >= PLACES && self.0.iter().all(|slot| slot.blocked && slot.until > now);
        closed.then(|| Full { left: self.first_end(now) })
    }

    fn first_end(&self, now: Duration) -> Option<Duration> {
        self.0.iter().min_by_key(|slot| slot.until)?.count(now).left
    }
}

impl Slot {
    fn new(name: Name, count: Count, now: Duration, blocked: bool) -> Self {
        let until = count.left.map_or(NEVER, |left| now.saturating_add(left.min(LONGEST)));
        Self { name, points: count.points, until, blocked }
    }

    fn count(&self, now: Duration) -> Count {
        let left = (self.until != NEVER).then(|| self.until.saturating_sub(now));
        Count { points: self.points, left }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no key is counted anew before one of those that are blocked ends")]
struct Full {
    left: Option<Duration>,
}

impl Full {
    /// Over any line.
    const fn answer(&self) -> Count {
        Count { points: i64::MAX, left: self.left }
    }
}

/// A thread that panicked under the lock leaves a set that may lack a hit, and nothing worse.
fn lock(set: &Mutex<Set>) -> MutexGuard<'_, Set> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

const CAPACITY: usize = 1 << 17;

/// Enough that sets fill evenly, and few enough to look through.
const PLACES: usize = 64;

const NEVER: Duration = Duration::MAX;

#[cfg(test)]
mod tests;
