use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use crate::counters::{Count, Key, Rule};

/// What the store is to be told when it answers again: for so many keys at most as fit into its memory.
#[derive(Default)]
pub(super) struct Ledger {
    entries: BTreeMap<Name, Entry>,
    /// Whose entry is on its way to the store, and how many of memory's points are the other machines'.
    being_told: BTreeMap<Name, i64>,
    bytes: usize,
    /// Of the last question that failed: what is asked next shall fail likewise.
    failed: Option<Name>,
    /// Up to where what has ended was looked for.
    looked: Option<Name>,
}

/// A key that outlives its question.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    prefix: Box<str>,
    name: Box<str>,
    network: Option<Box<str>>,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) base: Base,
    /// Points to add to what is there.
    pub(super) owed: i64,
    /// By which they were counted.
    pub(super) rule: Option<Rule>,
    /// How many of memory's points nobody has consumed: they are the other machines'.
    pub(super) others: i64,
    /// What memory says of the key.
    pub(super) points: i64,
    until: Duration,
}

/// To what the points are added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// What the store has.
    Stored,
    /// What was put there, and all since: the entry's own points.
    Put,
    /// The same, and it keeps somebody out.
    Blocked,
    /// Nothing: it was forgotten.
    Gone,
}

impl Ledger {
    /// With those that are on their way.
    pub(super) fn len(&self) -> usize {
        self.entries.len() + self.being_told.len()
    }

    pub(super) fn is_being_told(&self, name: &Name) -> bool {
        self.being_told.contains_key(name)
    }

    /// How many of memory's points are the other machines', where something is to be told of the key.
    pub(super) fn others(&self, name: &Name, now: Duration) -> Option<i64> {
        let entry = self.entries.get(name).filter(|entry| now < entry.until);
        entry.map(|entry| entry.others).or_else(|| self.being_told.get(name).copied())
    }

    pub(super) fn has(&self, name: &Name, now: Duration) -> bool {
        self.entries.get(name).is_some_and(|entry| now < entry.until)
    }

    /// Points were counted in memory, where now stands `count`.
    pub(super) fn add(
        &mut self,
        name: Name,
        (owed, rule): (i64, &Rule),
        others: i64,
        count: Count,
        now: Duration,
    ) {
        let mut entry = match self.entries.get(&name) {
            Some(entry) if now < entry.until => entry.clone(),
            Some(Entry { base: Base::Stored, .. }) | None => {
                Entry { others, ..Entry::new(Base::Stored, count, now) }
            }
            // It was put there, and has ended since.
            Some(_) => Entry::new(Base::Gone, count, now),
        };
        entry.owed = entry.owed.saturating_add(owed);
        entry.rule = Some(*rule);
        (entry.points, entry.until) = (count.points, end(count, now));
        self.write(name, entry, now);
    }

    /// Something else was put there, or nothing.
    pub(super) fn put(&mut self, name: Name, base: Base, count: Count, now: Duration) {
        self.write(name, Entry::new(base, count, now), now);
    }

    /// What could not be told after all; what was noted since stands.
    pub(super) fn put_back(&mut self, name: Name, mut entry: Entry, now: Duration) {
        self.failed(&name);
        if let Some(later) = self.entries.get(&name).filter(|later| now < later.until) {
            if later.base != Base::Stored {
                return;
            }
            entry.owed = entry.owed.saturating_add(later.owed);
            entry.rule = later.rule.or(entry.rule);
            // It went on from the same points.
            entry.others = later.others;
            (entry.points, entry.until) = (later.points, later.until);
        }
        self.write(name, entry, now);
    }

    pub(super) fn take(&mut self, name: &Name) -> Option<Entry> {
        let entry = self.entries.remove(name)?;
        self.bytes = self.bytes.saturating_sub(name.bytes());
        Some(entry)
    }

    /// Takes it for the store. Until [`end`](Self::end) nothing more of the key is: what overtakes it would be wrong.
    pub(super) fn begin(&mut self, name: &Name) -> Option<Entry> {
        if self.is_being_told(name) {
            return None;
        }
        let entry = self.take(name)?;
        self.being_told.insert(name.clone(), entry.others);
        Some(entry)
    }

    /// Any, but first that of the question that failed.
    pub(super) fn begin_next(&mut self) -> Option<(Name, Entry)> {
        let is_free = |name: &&Name| !self.being_told.contains_key(*name);
        let failed = self.failed.take().filter(|name| self.entries.contains_key(name) && is_free(&name));
        let name = failed.or_else(|| self.entries.keys().find(is_free).cloned())?;
        self.begin(&name).map(|entry| (name, entry))
    }

    pub(super) fn end(&mut self, name: &Name) {
        self.being_told.remove(name);
    }

    pub(super) fn failed(&mut self, name: &Name) {
        self.failed = Some(name.clone());
    }

    fn write(&mut self, name: Name, entry: Entry, now: Duration) {
        if let Some(old) = self.entries.get_mut(&name) {
            *old = entry;
            return;
        }
        if self.bytes + name.bytes() > MOST_BYTES {
            self.forget_some(now);
        }
        if self.bytes + name.bytes() <= MOST_BYTES {
            self.bytes += name.bytes();
            self.entries.insert(name, entry);
        }
    }

    /// Looks at a few, so that nobody waits for all.
    fn forget_some(&mut self, now: Duration) {
        let from = self.looked.take().map_or(Unbounded, Excluded);
        let some = self.entries.range((from, Unbounded)).take(LOOKED_AT);
        let some: Vec<_> = some.map(|(name, entry)| (name.clone(), entry.is_nothing(now))).collect();
        self.looked = some.last().map(|(name, _)| name.clone());
        for (name, _) in some.iter().filter(|(_, nothing)| *nothing) {
            self.take(name);
        }
    }
}

impl Name {
    pub(super) fn key(&self) -> Key<'_> {
        Key { prefix: &self.prefix, name: &self.name, network: self.network.as_deref() }
    }

    /// With what else an entry takes.
    fn bytes(&self) -> usize {
        self.prefix.len() + self.name.len() + self.network.as_ref().map_or(0, |network| network.len()) + 192
    }
}

impl From<Key<'_>> for Name {
    fn from(key: Key<'_>) -> Self {
        Self { prefix: key.prefix.into(), name: key.name.into(), network: key.network.map(Into::into) }
    }
}

impl Entry {
    fn new(base: Base, count: Count, now: Duration) -> Self {
        let (points, until) = (count.points, end(count, now));
        Self { base, owed: 0, rule: None, others: 0, points, until }
    }

    /// Whether there is nothing to tell any more.
    pub(super) fn is_nothing(&self, now: Duration) -> bool {
        self.base == Base::Stored && self.until <= now
    }

    /// What memory says of it, unless that has ended.
    pub(super) fn count(&self, now: Duration) -> Option<Count> {
        let left = (self.until != Duration::MAX).then(|| self.until.saturating_sub(now));
        (now < self.until).then_some(Count { points: self.points, left })
    }
}

fn end(count: Count, now: Duration) -> Duration {
    count.left.map_or(Duration::MAX, |left| now.saturating_add(left))
}

/// Eighty thousand keys or so: more are counted, but not told.
const MOST_BYTES: usize = 16 << 20;

const LOOKED_AT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Limiter;

    const MINUTE: Duration = Duration::from_secs(60);

    fn name(n: usize) -> Name {
        let text = n.to_string();
        Name::from(Key { prefix: "login", name: &text, network: None })
    }

    #[test]
    fn however_many_keys_come_it_is_bounded_and_what_has_ended_makes_room() {
        let (mut ledger, rule) = (Ledger::default(), *Limiter::new("login", 3, MINUTE).rule());
        let count = Count { points: 1, left: Some(MINUTE) };
        for n in 0..200_000 {
            ledger.add(name(n), (1, &rule), 0, count, Duration::ZERO);
        }
        let most = ledger.len();
        assert!((70_000..90_000).contains(&most) && ledger.bytes <= MOST_BYTES, "{most}");
        let long = "x".repeat(MOST_BYTES);
        ledger.add(Key { prefix: "", name: &long, network: None }.into(), (1, &rule), 0, count, MINUTE);
        assert!(ledger.len() < most, "room was looked for, and not found");
        for n in 200_000..300_000 {
            ledger.add(name(n), (1, &rule), 0, count, MINUTE);
        }
        assert!(ledger.len() > most / 2 && ledger.bytes <= MOST_BYTES);
        assert!(ledger.entries.values().filter(|entry| entry.until > MINUTE).count() > most / 2);
    }

    #[test]
    fn what_is_put_back_goes_with_what_was_noted_since() {
        let (mut ledger, rule) = (Ledger::default(), *Limiter::new("login", 3, MINUTE).rule());
        let count = |points| Count { points, left: Some(MINUTE) };
        ledger.add(name(1), (2, &rule), 0, count(2), Duration::ZERO);
        let (taken, entry) = ledger.begin_next().unwrap();
        ledger.add(name(1), (1, &rule), 0, count(3), Duration::ZERO);
        assert!(ledger.begin_next().is_none() && ledger.begin(&taken).is_none(), "one at a time");
        ledger.end(&taken);
        ledger.put_back(taken.clone(), entry.clone(), Duration::ZERO);
        let both = ledger.take(&name(1)).unwrap();
        assert_eq!((both.owed, both.points), (3, 3));
        ledger.put(name(1), Base::Gone, count(0), Duration::ZERO);
        ledger.put_back(taken, entry, Duration::ZERO);
        assert_eq!(ledger.take(&name(1)).unwrap().owed, 0, "it was forgotten since");
        assert_eq!((ledger.len(), ledger.bytes), (0, 0));
    }

    #[test]
    fn the_question_that_failed_is_asked_first() {
        let (mut ledger, rule) = (Ledger::default(), *Limiter::new("login", 3, MINUTE).rule());
        for n in [1, 2, 3] {
            ledger.add(name(n), (1, &rule), 0, Count { points: 1, left: None }, MINUTE);
        }
        ledger.failed(&name(2));
        assert!(ledger.begin_next().unwrap().0 == name(2));
        assert!(ledger.begin_next().unwrap().0 == name(1));
    }
}
