use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::inner::{Inner, reason};
use super::ledger::{Base, Entry, Name};
use crate::counters::{Count, Key, Rule};
use crate::store::StoreError;

/// The one question that is let through while the breaker is open.
pub(super) struct Attempt {
    inner: Arc<Inner>,
    is_over: bool,
}

impl Attempt {
    pub(super) const fn of(inner: Arc<Inner>) -> Self {
        Self { inner, is_over: false }
    }

    /// Asks whether the store counts again, and if so tells it all that it is owed.
    pub(super) async fn make(mut self) {
        let inner = Arc::clone(&self.inner);
        let first = match inner.settle_next().await {
            Ok(Settled::Nothing) => inner.count_nothing().await.map(|()| 0_u64),
            settled => settled.map(|_| 1),
        };
        let Some(first) = inner.attempted(first) else { return };
        let time = inner.breaker.close();
        self.is_over = true;
        match inner.settle_all().await {
            Ok(more) => {
                let keys = first + more;
                tracing::info!(store = ?inner.store, ?time, keys, "the store of counts answers again");
            }
            Err(error) => inner.open(&error),
        }
    }
}

/// One that a runtime ended has failed too.
impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.is_over {
            self.inner.breaker.attempt_failed();
        }
    }
}

/// What is left to tell while the store answers: the questions of one key failed, or came while it was being told.
pub(super) struct Rest {
    inner: Arc<Inner>,
}

impl Rest {
    pub(super) const fn of(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    pub(super) async fn settle(self) {
        if let Err(error) = self.inner.settle_all().await {
            self.inner.failed(&error);
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.inner.settling.store(false, Relaxed);
    }
}

impl Inner {
    /// For how many keys.
    async fn settle_all(&self) -> Result<u64, StoreError> {
        let mut told = 0;
        while let Settled::One = self.settle_next().await? {
            told += 1;
        }
        Ok(told)
    }

    async fn settle_next(&self) -> Result<Settled, StoreError> {
        let next = {
            let (mut ledger, now) = (self.ledger(), self.clock.now());
            let next = loop {
                match ledger.begin_next() {
                    Some((name, entry)) if entry.is_nothing(now) => ledger.end(&name),
                    next => break next,
                }
            };
            self.note_size(&ledger);
            next
        };
        let Some((name, entry)) = next else { return Ok(Settled::Nothing) };
        let mut telling = Telling { inner: self, name, entry: Some(entry) };
        let Err(error) = telling.tell().await else { return Ok(Settled::One) };
        // Where the store counts for all others, it is this key's own fault.
        if matches!(error, StoreError::Refused(_)) && self.count_nothing().await.is_ok() {
            tracing::warn!(reason = %reason(&error), "what was counted under a key could not be told the store");
            telling.entry = None;
            return Ok(Settled::One);
        }
        Err(error)
    }

    /// Before the store is asked about a key, it is told what it does not know of it. `false`: it is being told just
    /// now, and what overtook that would be wrong.
    pub(super) async fn settle(&self, name: &Name) -> Result<bool, StoreError> {
        if self.owed.load(Relaxed) == 0 {
            return Ok(true);
        }
        let entry = {
            let mut ledger = self.ledger();
            if ledger.is_being_told(name) {
                return Ok(false);
            }
            ledger.begin(name)
        };
        let Some(entry) = entry else { return Ok(true) };
        Telling { inner: self, name: name.clone(), entry: Some(entry) }.tell().await.map(|()| true)
    }

    async fn tell(&self, name: &Name, entry: &mut Entry) -> Result<(), StoreError> {
        let key = name.key();
        let count = match entry.count(self.clock.now()) {
            Some(count) => count,
            None if entry.base == Base::Stored => return Ok(()),
            // What stood there before was not to stand any more.
            None => return self.store.forget(key).await.map(drop),
        };
        let stands = match (entry.base, entry.rule) {
            (Base::Put, _) => self.store.set(key, count).await.map(|()| count)?,
            (Base::Blocked, _) => self.store.block(key, count).await.map(|()| count)?,
            (base, rule) => {
                if base == Base::Gone {
                    self.store.forget(key).await?;
                    entry.base = Base::Stored;
                }
                let Some(rule) = rule else { return Ok(()) };
                self.add_owed(key, entry, count, &rule).await?
            }
        };
        let over = entry.base == Base::Blocked || entry.rule.is_some_and(|rule| rule.is_over(stands.points));
        self.remember_unless_noted(name, stands, over);
        Ok(())
    }

    /// What stands there then. `count` is what memory says.
    async fn add_owed(
        &self,
        key: Key<'_>,
        entry: &mut Entry,
        count: Count,
        rule: &Rule,
    ) -> Result<Count, StoreError> {
        let left = count.left.unwrap_or_default();
        // What memory began ends when it would have: the window of a key that nobody else has hit, and the block.
        let mut rest = Rule::new(rule.points(), left);
        if let Some(block) = rule.block() {
            rest = rest.block_time(if rule.is_over(count.points) { left } else { block });
        }
        let owed = entry.owed;
        // Points are given back once at most, whatever becomes of the question.
        entry.owed = owed.max(0);
        let stands = self.store.add(key, owed, &rest).await?;
        entry.owed = 0;
        // What was counted in all, without what was left to the other machines.
        let count = Count { points: count.points.saturating_sub(entry.others), ..count };
        if rule.is_over(stands.points) || !rule.is_over(count.points) {
            return Ok(stands);
        }
        // Who is kept out here still is when the store has lost what it knew of him, or when that has ended.
        self.store.block(key, count).await.map(|()| count)
    }

    /// A write, for who only reads does not count.
    async fn count_nothing(&self) -> Result<(), StoreError> {
        self.store.add(PROBE, 0, &Rule::new(1, Duration::from_secs(1))).await.map(drop)
    }
}

/// An entry on its way to the store: back in the ledger unless it arrived, also when the runtime ends.
struct Telling<'i> {
    inner: &'i Inner,
    name: Name,
    entry: Option<Entry>,
}

impl Telling<'_> {
    async fn tell(&mut self) -> Result<(), StoreError> {
        if let Some(entry) = &mut self.entry {
            self.inner.tell(&self.name, entry).await?;
        }
        self.entry = None;
        Ok(())
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        let mut ledger = self.inner.ledger();
        ledger.end(&self.name);
        if let Some(entry) = self.entry.take() {
            ledger.put_back(self.name.clone(), entry, self.inner.clock.now());
        }
        self.inner.note_size(&ledger);
    }
}

enum Settled {
    One,
    Nothing,
}

const PROBE: Key<'static> = Key { prefix: "panoply", name: "probe", network: None };
