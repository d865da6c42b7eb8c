use std::sync::Arc;
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
        let told = match inner.settle_next().await {
            Ok(Settled::Nothing) => inner.count_nothing().await.map(|()| 0_u64),
            settled => settled.map(|_| 1),
        };
        let Ok(mut told) = told else { return };
        let time = inner.breaker.close();
        self.is_over = true;
        loop {
            match inner.settle_next().await {
                Ok(Settled::Nothing) => break,
                Ok(Settled::One) => told += 1,
                Err(error) => return inner.open(&error),
            }
        }
        tracing::info!(store = ?inner.store, ?time, keys = told, "the store of counts answers again");
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

impl Inner {
    async fn settle_next(&self) -> Result<Settled, StoreError> {
        let next = {
            let (mut ledger, now) = (self.ledger(), self.clock.now());
            let next = std::iter::from_fn(|| ledger.take_next()).find(|(_, entry)| !entry.is_nothing(now));
            self.note_size(&ledger);
            next
        };
        let Some((name, mut entry)) = next else { return Ok(Settled::Nothing) };
        let Err(error) = self.tell(&name, &mut entry).await else { return Ok(Settled::One) };
        // Where the store counts for all others, it is this key's own fault.
        if matches!(error, StoreError::Refused(_)) && self.count_nothing().await.is_ok() {
            tracing::warn!(reason = %reason(&error), "what was counted under a key could not be told the store");
            return Ok(Settled::One);
        }
        self.put_back(name, entry);
        Err(error)
    }

    /// Before the store is asked about a key, it is told what it does not know of it.
    pub(super) async fn settle(&self, name: &Name) -> Result<(), StoreError> {
        let Some(mut entry) = self.take(name) else { return Ok(()) };
        let told = self.tell(name, &mut entry).await;
        if told.is_err() {
            self.put_back(name.clone(), entry);
        }
        told
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
        self.remember(key, stands, over);
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

enum Settled {
    One,
    Nothing,
}

const PROBE: Key<'static> = Key { prefix: "panoply", name: "probe", network: None };
