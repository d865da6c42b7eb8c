use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Answer, LONGEST, Replaced, Store, StoreError};
use crate::{Clock, Size};

/// Sessions in this process's memory: gone with it, and shared with no other.
///
/// It never grows beyond its capacity, 64 MiB unless told: some 130,000 sessions of 250 bytes, more than most
/// sites have at a time, and less than a machine misses. When it is full, sessions go whose time would be over
/// soonest, the expired ones first. Of sessions that all get the same time at every use, that is the one longest
/// unused: whoever floods the site with new sessions, a thousand a second, throws out who did not click for two
/// minutes. So store nothing for visitors without data, limit the rate, and give a session more time
/// when somebody has logged in: it outlasts any flood of shorter ones.
///
/// ```
/// use std::time::Duration;
/// use panoply::Clock;
/// use panoply::store::{Memory, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), panoply::store::StoreError> {
/// let clock = Clock::manual();
/// let sessions = Memory::with_clock(clock.clone());
/// sessions.create("id", "{}", Duration::from_secs(60)).await?;
/// assert_eq!(sessions.load("id").await?.as_deref(), Some("{}"));
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(sessions.load("id").await?, None);
/// # Ok(())
/// # }
/// ```
pub struct Memory {
    clock: Clock,
    hasher: RandomState,
    /// By the hash of the id.
    shards: Box<[Mutex<Shard>]>,
    /// By the hash of the user. A lock here is taken before one of a shard, never after, so that the two agree
    /// and no thread waits for another that waits for it.
    users: Box<[Mutex<Users>]>,
    /// What one shard may hold.
    share: usize,
}

impl Memory {
    /// An empty store that lives by the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// An empty store that lives by `clock`.
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        Self { clock, hasher: RandomState::new(), shards: Box::default(), users: Box::default(), share: 0 }
            .capacity(CAPACITY)
    }

    /// How much it holds, texts and bookkeeping together; what it held before is gone. The longest text is a
    /// little less than 4 MiB, or than the capacity.
    #[must_use]
    pub fn capacity(mut self, capacity: Size) -> Self {
        let bytes = usize::try_from(capacity.in_bytes()).unwrap_or(usize::MAX);
        let shards = (bytes / SHARD).clamp(1, SHARDS);
        self.share = bytes / shards;
        self.shards = std::iter::repeat_with(Mutex::default).take(shards).collect();
        self.users = std::iter::repeat_with(Mutex::default).take(shards).collect();
        self
    }

    /// How many sessions it holds, those too whose time is over and that no write has swept away yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).entries.len())
            .sum()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn put(&self, id: &str, text: &str, time: Duration) -> Result<(), StoreError> {
        let mut shard = self.shard(id);
        let mut gone = shard.sweep(self.clock.now());
        gone.extend(shard.take(id));
        let stored = self.insert(&mut shard, id, text, time, None, &mut gone);
        drop(shard);
        self.unbind(gone);
        stored
    }

    fn swap(&self, id: &str, was: &str, text: &str, time: Duration) -> Result<Replaced, StoreError> {
        let mut shard = self.shard(id);
        let mut gone = shard.sweep(self.clock.now());
        let replaced = match shard.live(id, self.clock.now()) {
            None => Ok(Replaced::Gone),
            Some(entry) if *entry.text != *was => {
                let found = String::from(&*entry.text);
                Ok(Replaced::Conflict { now: found.clone(), found })
            }
            Some(entry) => {
                let user = entry.user.clone();
                if self.fits(id, text, user.as_deref()) {
                    shard.take(id);
                }
                self.insert(&mut shard, id, text, time, user, &mut gone).map(|()| Replaced::Done)
            }
        };
        drop(shard);
        self.unbind(gone);
        replaced
    }

    /// Puts what is not there yet, after making room for it.
    fn insert(
        &self,
        shard: &mut Shard,
        id: &str,
        text: &str,
        time: Duration,
        user: Option<Arc<str>>,
        gone: &mut Vec<Gone>,
    ) -> Result<(), StoreError> {
        if !self.fits(id, text, user.as_deref()) {
            return Err(StoreError::Refused(Box::new(TooLarge { bytes: text.len(), share: self.share })));
        }
        if time.is_zero() {
            gone.extend(user.map(|user| (user, Arc::from(id))));
            return Ok(());
        }
        let until = self.clock.now().saturating_add(time.min(LONGEST));
        shard.put(Arc::from(id), Entry { text: text.into(), until, user });
        gone.extend(shard.shrink(self.share, id));
        Ok(())
    }

    fn fits(&self, id: &str, text: &str, user: Option<&str>) -> bool {
        cost(id, text, user) <= self.share
    }

    fn bound(&self, user: &str, id: &str) {
        let mut users = self.users(user);
        let mut shard = self.shard(id);
        let Some(mut entry) = shard.live(id, self.clock.now()).cloned() else { return };
        let user: Arc<str> = Arc::from(user);
        let mut gone: Vec<Gone> = shard.take(id).into_iter().collect();
        gone.retain(|(before, _)| *before != user);
        let id: Arc<str> = Arc::from(id);
        entry.user = Some(Arc::clone(&user));
        shard.put(Arc::clone(&id), entry);
        gone.extend(shard.shrink(self.share, &id));
        drop(shard);
        users.entry(user).or_default().insert(id);
        drop(users);
        self.unbind(gone);
    }

    fn forget_all(&self, user: &str, except: Option<&str>) -> usize {
        let mut users = self.users(user);
        let Some((user, ids)) = users.remove_entry(user) else { return 0 };
        let (now, mut count, mut kept) = (self.clock.now(), 0, HashSet::new());
        for id in ids {
            if except == Some(&*id) {
                kept.insert(id);
                continue;
            }
            let mut shard = self.shard(&id);
            // A session that was another's since is not this user's to end.
            if shard.entries.get(&id).is_some_and(|entry| entry.user.as_deref() == Some(&*user)) {
                count += usize::from(shard.live(&id, now).is_some());
                shard.take(&id);
            }
        }
        if !kept.is_empty() {
            users.insert(user, kept);
        }
        count
    }

    /// Takes sessions that are gone out of the index, unless they came back meanwhile.
    fn unbind(&self, gone: Vec<Gone>) {
        for (user, id) in gone {
            let mut users = self.users(&user);
            let shard = self.shard(&id);
            let back = shard.entries.get(&id).is_some_and(|entry| entry.user.as_ref() == Some(&user));
            drop(shard);
            let Some(ids) = users.get_mut(&user).filter(|_| !back) else { continue };
            ids.remove(&id);
            if ids.is_empty() {
                users.remove(&user);
            }
        }
    }

    fn shard(&self, id: &str) -> MutexGuard<'_, Shard> {
        self.pick(&self.shards, id)
    }

    fn users(&self, user: &str) -> MutexGuard<'_, Users> {
        self.pick(&self.users, user)
    }

    /// A thread that panicked under the lock leaves a shard that may lack a session, and nothing worse.
    #[expect(clippy::indexing_slicing, reason = "the index is below the length, which is never zero")]
    fn pick<'a, T>(&self, of: &'a [Mutex<T>], name: &str) -> MutexGuard<'a, T> {
        let at = usize::try_from(self.hasher.hash_one(name) >> 32).unwrap_or_default() % of.len();
        of[at].lock().unwrap_or_else(PoisonError::into_inner)
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

/// No lock is ever held across an await: there is none.
impl Store for Memory {
    fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(async move {
            let (now, shard) = (self.clock.now(), self.shard(id));
            Ok(shard.live(id, now).map(|entry| String::from(&*entry.text)))
        })
    }

    fn create<'a>(&'a self, id: &'a str, text: &'a str, time: Duration) -> Answer<'a, ()> {
        Box::pin(async move { self.put(id, text, time) })
    }

    fn replace<'a>(
        &'a self,
        id: &'a str,
        was: &'a str,
        text: &'a str,
        time: Duration,
    ) -> Answer<'a, Replaced> {
        Box::pin(async move { self.swap(id, was, text, time) })
    }

    fn touch<'a>(&'a self, id: &'a str, time: Duration) -> Answer<'a, bool> {
        Box::pin(async move {
            let now = self.clock.now();
            Ok(self.shard(id).touch(id, now, now.saturating_add(time.min(LONGEST))))
        })
    }

    fn destroy<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let gone = self.shard(id).take(id);
            self.unbind(gone.into_iter().collect());
            Ok(())
        })
    }

    fn bind<'a>(&'a self, user: &'a str, id: &'a str, _: Duration) -> Answer<'a, ()> {
        Box::pin(async move {
            self.bound(user, id);
            Ok(())
        })
    }

    fn destroy_all<'a>(&'a self, user: &'a str, except: Option<&'a str>) -> Answer<'a, usize> {
        Box::pin(async move { Ok(self.forget_all(user, except)) })
    }
}

/// Sessions, and the order in which they end.
#[derive(Default)]
struct Shard {
    entries: HashMap<Arc<str>, Entry>,
    order: BTreeSet<(Duration, Arc<str>)>,
    bytes: usize,
}

#[derive(Clone)]
struct Entry {
    text: Box<str>,
    until: Duration,
    user: Option<Arc<str>>,
}

/// The ids of each user's sessions.
type Users = HashMap<Arc<str>, HashSet<Arc<str>>>;

/// A user and the session that is no longer his.
type Gone = (Arc<str>, Arc<str>);

impl Shard {
    fn live(&self, id: &str, now: Duration) -> Option<&Entry> {
        self.entries.get(id).filter(|entry| entry.until > now)
    }

    fn put(&mut self, id: Arc<str>, entry: Entry) {
        self.bytes += cost(&id, &entry.text, entry.user.as_deref());
        self.order.insert((entry.until, Arc::clone(&id)));
        self.entries.insert(id, entry);
    }

    fn take(&mut self, id: &str) -> Option<Gone> {
        let (id, entry) = self.entries.remove_entry(id)?;
        self.bytes -= cost(&id, &entry.text, entry.user.as_deref());
        let place = (entry.until, id);
        self.order.remove(&place);
        entry.user.map(|user| (user, place.1))
    }

    fn touch(&mut self, id: &str, now: Duration, until: Duration) -> bool {
        let Some((id, entry)) = self.entries.get_key_value(id).filter(|(_, entry)| entry.until > now) else {
            return false;
        };
        let mut place = (entry.until, Arc::clone(id));
        self.order.remove(&place);
        if let Some(entry) = self.entries.get_mut(&place.1) {
            entry.until = until;
        }
        place.0 = until;
        self.order.insert(place);
        true
    }

    /// Drops what has expired: a few at a time, and still faster than new ones come.
    fn sweep(&mut self, now: Duration) -> Vec<Gone> {
        let mut gone = Vec::new();
        for _ in 0..SWEPT {
            let Some((_, id)) = self.order.first().filter(|(until, _)| *until <= now) else { break };
            let id = Arc::clone(id);
            gone.extend(self.take(&id));
        }
        gone
    }

    /// Makes room, at the cost of all but `id`.
    fn shrink(&mut self, share: usize, id: &str) -> Vec<Gone> {
        let mut gone = Vec::new();
        while self.bytes > share {
            let Some((_, first)) = self.order.iter().find(|(_, first)| **first != *id) else { break };
            let first = Arc::clone(first);
            gone.extend(self.take(&first));
        }
        gone
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a session of {bytes} bytes is more than a part of the memory may hold, {share} bytes")]
struct TooLarge {
    bytes: usize,
    share: usize,
}

/// What a session takes: the id and the user are shared by all that point to them.
fn cost(id: &str, text: &str, user: Option<&str>) -> usize {
    ENTRY + id.len() + text.len() + user.map_or(0, |user| USER + user.len())
}

const CAPACITY: Size = Size::mib(64);

/// So many locks let threads pass each other; one shard of less than 4 MiB would be too small for its texts.
const SHARDS: usize = 16;
const SHARD: usize = 4 << 20;

const SWEPT: usize = 16;

/// Reckoned for 64-bit machines: a place in a table that is two thirds full (100), one in the order (60), and what
/// two allocations cost beside their content (48).
const ENTRY: usize = 208;
/// A place in the table of users, and a table and an allocation of his own: as if every user had one session.
const USER: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn held(memory: &Memory) -> (usize, usize, usize) {
        let shards = || memory.shards.iter().map(|shard| shard.lock().unwrap());
        let entries: usize = shards().map(|shard| shard.entries.len()).sum();
        assert_eq!(entries, shards().map(|shard| shard.order.len()).sum::<usize>());
        let users = memory.users.iter().map(|users| users.lock().unwrap().len()).sum();
        (entries, users, shards().map(|shard| shard.bytes).sum())
    }

    #[tokio::test]
    async fn a_flood_never_takes_more_than_the_capacity_and_leaves_who_has_more_time() {
        let memory = Memory::with_clock(Clock::manual()).capacity(Size::kib(64));
        memory.create("member", "{}", 10 * MINUTE).await.unwrap();
        memory.bind("ann", "member", 10 * MINUTE).await.unwrap();
        for n in 0..10_000 {
            let (id, user) = (format!("flood-{n}"), format!("user-{n}"));
            memory.create(&id, r#"{"a":1}"#, MINUTE).await.unwrap();
            memory.bind(&user, &id, MINUTE).await.unwrap();
            let (entries, users, bytes) = held(&memory);
            assert!(
                bytes <= 64 << 10 && users <= entries,
                "{bytes} bytes, {users} users, {entries} sessions"
            );
        }
        assert_eq!(memory.load("member").await.unwrap().as_deref(), Some("{}"));
        assert_eq!(memory.load("flood-9999").await.unwrap().as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(memory.load("flood-0").await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_has_expired_leaves_nothing_behind() {
        let clock = Clock::manual();
        let memory = Memory::with_clock(clock.clone());
        for n in 0..5_000 {
            let id = n.to_string();
            memory.create(&id, "{}", MINUTE).await.unwrap();
            memory.bind(&format!("user {}", n % 100), &id, MINUTE).await.unwrap();
        }
        clock.advance(MINUTE);
        for n in 0..1_000 {
            memory.create(&format!("new {n}"), "{}", MINUTE).await.unwrap();
        }
        let (entries, users, _) = held(&memory);
        assert_eq!((entries, users), (1_000, 0));
        clock.advance(MINUTE);
        for n in 0..1_000 {
            memory.destroy(&format!("new {n}")).await.unwrap();
        }
        assert_eq!(held(&memory), (0, 0, 0));
    }

    #[tokio::test]
    async fn a_session_that_could_never_fit_is_refused_and_the_old_one_stays() {
        let memory = Memory::new().capacity(Size::kib(1));
        memory.create("id", "1", MINUTE).await.unwrap();
        let large = format!("\"{}\"", "a".repeat(1_000));
        for refused in [
            memory.create("other", &large, MINUTE).await.unwrap_err(),
            memory.replace("id", "1", &large, MINUTE).await.unwrap_err(),
        ] {
            assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
        }
        assert_eq!(memory.load("id").await.unwrap().as_deref(), Some("1"));
    }
}
