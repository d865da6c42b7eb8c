mod hash;
mod lock;
mod names;
mod place;
mod set;
mod slot;
mod snapshot;
mod table;

use std::fmt;
use std::sync::Mutex;

use self::hash::Hash;
use self::set::{Full, Held};
use self::slot::{Slot, milliseconds};
use self::table::Table;
use super::{Answer, Count, Counters, Key, MOST_LISTED, Rule};
use crate::Clock;
use crate::store::StoreError;

/// Counts in this process's memory, shared with no other.
///
/// It never holds more than its capacity, 131,072 keys in 6 MiB unless told: more keys than a site has failed logins
/// in a day, and less than a machine misses. A key takes 44 bytes at most, whatever its length: 16 for 64 bits of its
/// hash, its count and its end in milliseconds, the rest for what few keys have: names, networks, and more than a million
/// points. The hash, SipHash-1-3, is keyed at random, since who could compute it would find names that share a count with
/// somebody, or a set to fill. The memory is taken when the first key comes.
///
/// Keys are spread over sets of 64 places, each with a lock of its own. Where all 64 are taken, what has ended goes
/// first, then the smallest count; of equal ones that which ends soonest. So a flood of new keys drives out what
/// was hit once, and not who is about to be stopped. A key that is refused, for it is over its line or was blocked, is
/// never driven out: nobody is set free by others. When such keys are half of the capacity, one set in two million is
/// full of them; when they are three quarters, one in 64.
///
/// A new key of such a set shares one count with all newcomers of its [network](super::Who::within), until that count
/// ends: they are refused too early, and never too late. Each of their hits moves the end, so that what one of them
/// has consumed stays as long as it would by itself. Who has no network, or finds no place for that either (there are
/// a sixteenth as many), is refused until the first of the set ends: he is answered [`i64::MAX`] points.
/// [`set`](Counters::set) and [`block`](Counters::block) are for one key alone, and fail there.
///
/// Names are kept of those alone who are kept out, or whose count was set by hand, so that
/// [`over`](Counters::over) can list them: of each set as many as fit in 1 KiB, and none of more than 256 bytes with its prefix.
/// A network that is kept out is listed as well, and [`forget`](Counters::forget) of its name lifts that.
///
/// It is gone with the process, unless [`save`](Self::save) and [`restore`](Self::restore) carry it over.
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
/// let ann = Key { prefix: "login", name: "ann", network: None };
/// counters.set(ann, count).await?;
/// assert_eq!(counters.peek(ann).await?, Some(count));
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(counters.peek(ann).await?, None);
/// # Ok(())
/// # }
/// ```
pub struct Memory {
    clock: Clock,
    hash: Hash,
    keys: Table,
    /// What newcomers share who found no place among the keys.
    networks: Table,
    saving: Mutex<()>,
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
        let (keys, networks) = tables(CAPACITY);
        Self { clock, hash: Hash::new(rand::random()), keys, networks, saving: Mutex::default() }
    }

    /// How many keys it holds at most, 44 bytes each, rounded up to a multiple of 64; what it held before is gone.
    #[must_use]
    pub fn capacity(mut self, keys: usize) -> Self {
        (self.keys, self.networks) = tables(keys);
        self
    }

    /// How many keys it holds, those too whose end has come and whose place nobody took yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.sets().map(|set| set.len()).sum()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes its keys take now: at most 44 for each of its capacity, networks and names with them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.keys.bytes() + self.networks.bytes()
    }

    fn count(&self, key: Key<'_>, points: i64, rule: &Rule) -> Count {
        let id = self.id(key);
        let row = self.keys.row(id);
        row.approach(id);
        let now = self.now();
        let mut set = row.hold();
        let place = set.position(id);
        let Some((place, own)) = place.and_then(|place| Some((place, set.standing(place, now)?))) else {
            return self.first(key, points, rule, now, &mut set, place);
        };
        let was = own.count(now);
        let count = rule.add(Some(was), points);
        let slot = if was.left == count.left {
            own.with(count.points, rule.is_over(count.points))
        } else {
            Slot::new(id, count, now, rule.is_over(count.points))
        };
        set.replace(key, place, own, slot, now);
        count
    }

    /// Of a key that does not stand there.
    #[inline(never)]
    fn first(
        &self,
        key: Key<'_>,
        points: i64,
        rule: &Rule,
        now: u64,
        set: &mut Held<'_>,
        place: Option<usize>,
    ) -> Count {
        if let Some(shared) = self.shared(key, now) {
            return self.share(shared, points, rule, now);
        }
        let count = rule.add(None, points);
        let slot = Slot::new(self.id(key), count, now, rule.is_over(count.points));
        match (set.put(key, place, slot, now), network(key)) {
            (Ok(()), _) => count,
            (Err(_), Some(network)) => self.share(network, points, rule, now),
            (Err(full), None) => full.answer(),
        }
    }

    /// The key's network, where its newcomers share a count already. They do so until it ends, also when a place
    /// became free meanwhile: else each of them began anew.
    fn shared<'k>(&self, key: Key<'k>, now: u64) -> Option<Key<'k>> {
        let network = network(key)?;
        let id = self.id(network);
        self.networks.any(id)?.find(id, now).map(|_| network)
    }

    /// Counts for all newcomers of a network. What each of them consumed stays as long as it would by itself, so that
    /// the end moves with each hit that is admitted; and nobody's reward gives the others more than there is.
    fn share(&self, network: Key<'_>, points: i64, rule: &Rule, now: u64) -> Count {
        let id = self.id(network);
        let mut set = self.networks.set(id);
        let place = set.position(id);
        let mut count =
            rule.add(place.and_then(|place| set.standing(place, now)).map(|slot| slot.count(now)), points);
        let refused = rule.is_over(count.points);
        count.points = count.points.max(0);
        if !refused {
            count.left = rule.window().and_then(|window| Some(count.left?.max(window)));
        }
        match set.put(network, place, Slot::new(id, count, now, refused), now) {
            Ok(()) => count,
            Err(full) => full.answer(),
        }
    }

    fn found(&self, key: Key<'_>) -> Option<Count> {
        let (now, id) = (self.now(), self.id(key));
        let set = self.keys.any(id)?;
        if let Some(slot) = set.find(id, now) {
            return Some(slot.count(now));
        }
        let Some(network) = network(key) else { return Some(set.closed(now)?.answer()) };
        let id = self.id(network);
        let shared = self.networks.any(id)?;
        match shared.find(id, now) {
            Some(slot) => Some(slot.count(now)),
            None => set.closed(now).and(shared.closed(now)).map(|full| full.answer()),
        }
    }

    fn put(&self, key: Key<'_>, count: Count, blocked: bool) -> Result<(), StoreError> {
        let (now, id) = (self.now(), self.id(key));
        let mut set = self.keys.set(id);
        let (place, slot) = (set.position(id), Slot::new(id, count, now, blocked));
        set.put(key, place, slot, now).map_err(|full| StoreError::Refused(Box::new(full)))?;
        // Nobody knows yet whether that is over a line.
        set.name(id, key, now);
        Ok(())
    }

    /// Its own count, and that of the network of this name.
    fn drop(&self, key: Key<'_>) -> bool {
        let (now, id) = (self.now(), self.id(key));
        let table = |table: &Table| table.any(id).is_some_and(|mut set| set.forget(id, now));
        table(&self.keys) | table(&self.networks)
    }

    fn listed(&self, prefix: &str, line: u32) -> Vec<(String, Count)> {
        let now = self.now();
        let mut listed = Vec::new();
        for set in self.keys.sets().chain(self.networks.sets()) {
            let names = set.names();
            let over = names.iter().filter_map(|(id, key)| {
                let slot = set.slots(now).find(|slot| slot.id == id && slot.points > line.into())?;
                let name =
                    if prefix.is_empty() { key } else { key.strip_prefix(prefix)?.strip_prefix(':')? };
                Some((name.to_owned(), slot.count(now)))
            });
            listed.extend(over.take(MOST_LISTED - listed.len()));
        }
        listed
    }

    fn now(&self) -> u64 {
        milliseconds(self.clock.tick())
    }

    fn id(&self, key: Key<'_>) -> u64 {
        self.hash.of(key)
    }
}

/// No lock is ever held across an await: there is none. Who holds a network's lock takes no key's.
impl Counters for Memory {
    fn add<'a>(&'a self, key: Key<'a>, points: i64, rule: &'a Rule) -> Answer<'a, Count> {
        Answer::now(Ok(self.count(key, points, rule)))
    }

    fn peek<'a>(&'a self, key: Key<'a>) -> Answer<'a, Option<Count>> {
        Answer::now(Ok(self.found(key)))
    }

    fn set<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        Answer::now(self.put(key, count, false))
    }

    fn block<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        Answer::now(self.put(key, count, true))
    }

    fn forget<'a>(&'a self, key: Key<'a>) -> Answer<'a, bool> {
        Answer::now(Ok(self.drop(key)))
    }

    fn over<'a>(&'a self, prefix: &'a str, line: u32) -> Answer<'a, Vec<(String, Count)>> {
        Answer::now(Ok(self.listed(prefix, line)))
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

impl Full {
    /// Over any line.
    const fn answer(&self) -> Count {
        Count { points: i64::MAX, left: self.left }
    }
}

/// For the keys, and a sixteenth for the networks of those that find no place.
fn tables(keys: usize) -> (Table, Table) {
    (Table::new(keys), Table::new(keys / 16))
}

/// Under the same prefix, since two rules count apart.
fn network(key: Key<'_>) -> Option<Key<'_>> {
    Some(Key { name: key.network?, network: None, ..key })
}

const CAPACITY: usize = 1 << 17;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
