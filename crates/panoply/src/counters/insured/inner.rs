use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::State;
use super::breaker::Breaker;
use super::hot::{Before, Hot};
use super::ledger::{Base, Ledger, Name};
use super::settlement::{Attempt, Rest};
use crate::Clock;
use crate::counters::{Answer, Count, Counters, Key, Memory, Rule};
use crate::store::{Health, Standing, StoreError};

/// The store, the memory that stands in for it, and what the one is to be told of the other.
pub(super) struct Inner {
    pub(super) store: Arc<dyn Counters>,
    /// What the store last said of each key, and what was counted since while it failed.
    pub(super) memory: Memory,
    pub(super) clock: Clock,
    machines: AtomicU32,
    pub(super) breaker: Breaker,
    health: Health,
    hot: Hot,
    ledger: Mutex<Ledger>,
    /// How many keys the ledger has, for those who need not look.
    pub(super) owed: AtomicU64,
    /// Whether somebody tells the store what it is owed.
    pub(super) settling: AtomicBool,
    outages: AtomicU64,
    insured: AtomicU64,
    spared: AtomicU64,
}

impl Inner {
    pub(super) fn new(store: Arc<dyn Counters>, memory: Memory, clock: Clock) -> Self {
        Self {
            store,
            memory,
            machines: AtomicU32::new(1),
            breaker: Breaker::new(clock.clone()),
            health: Health::new("counts", "this machine counts by itself"),
            hot: Hot::new(),
            ledger: Mutex::default(),
            owed: AtomicU64::default(),
            settling: AtomicBool::default(),
            outages: AtomicU64::default(),
            insured: AtomicU64::default(),
            spared: AtomicU64::default(),
            clock,
        }
    }

    /// The same store, with another memory and nothing counted.
    pub(super) fn with(&self, memory: Memory) -> Self {
        let new = Self::new(Arc::clone(&self.store), memory, self.clock.clone());
        new.shared_by(self.machines.load(Relaxed));
        new
    }

    pub(super) fn shared_by(&self, machines: u32) {
        self.machines.store(machines.max(1), Relaxed);
    }

    pub(super) fn state(&self) -> State {
        let standing = Standing { is_up: !self.breaker.is_open(), ..self.health.standing() };
        State {
            standing,
            down_for: self.breaker.open_for(),
            outages: self.outages.load(Relaxed),
            owed: self.ledger().len(),
            insured: self.insured.load(Relaxed),
            spared: self.spared.load(Relaxed),
        }
    }

    /// Whether the store is not asked. Who learns so may find that it is time for an attempt.
    pub(super) fn is_open(self: &Arc<Self>) -> bool {
        let open = self.breaker.is_open();
        if open
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && self.breaker.attempt()
        {
            runtime.spawn(Attempt::of(Arc::clone(self)).make());
        }
        open
    }

    /// What is counted without the store, if it is.
    pub(super) fn add_at_once(self: &Arc<Self>, key: Key<'_>, points: i64, rule: &Rule) -> Option<Count> {
        if self.is_open() {
            return Some(self.insure(&Name::from(key), points, rule, false));
        }
        // Points that are given back may let somebody in.
        let hot = (points >= 0).then(|| self.hot.hit(key, points, rule, self.clock.now())).flatten();
        self.spared.fetch_add(u64::from(hot.is_some()), Relaxed);
        hot
    }

    pub(super) fn peek_at_once(self: &Arc<Self>, key: Key<'_>) -> Option<Option<Count>> {
        if self.is_open() {
            self.insured.fetch_add(1, Relaxed);
            return Some(self.remembered(key));
        }
        let hot = self.hot.peek(key, self.clock.now());
        self.spared.fetch_add(u64::from(hot.is_some()), Relaxed);
        hot.map(Some)
    }

    pub(super) async fn add(self: &Arc<Self>, name: &Name, points: i64, rule: &Rule) -> Count {
        let key = name.key();
        let before = self.hot.before(key, self.clock.now());
        let points = points.saturating_add(before.more);
        let asked = async {
            if !self.settle(name).await? {
                return Ok(None);
            }
            self.store.add(key, points, rule).await.map(Some)
        };
        match asked.await {
            Ok(Some(count)) => {
                self.worked();
                self.learn(name, count, rule, &before);
                count
            }
            Ok(None) => self.insure(name, points, rule, false),
            Err(error) => {
                self.failed(&error);
                self.insure(name, points, rule, true)
            }
        }
    }

    pub(super) async fn peek(self: &Arc<Self>, name: &Name) -> Option<Count> {
        let asked = async {
            if !self.settle(name).await? {
                return Ok(None);
            }
            self.store.peek(name.key()).await.map(Some)
        };
        match asked.await {
            Ok(Some(found)) => {
                self.worked();
                found.map(|count| self.hot.with_more(name.key(), count, self.clock.now()))
            }
            Ok(None) => self.remembered(name.key()),
            Err(error) => {
                self.failed(&error);
                self.insured.fetch_add(1, Relaxed);
                self.remembered(name.key())
            }
        }
    }

    pub(super) async fn put(self: &Arc<Self>, name: &Name, base: Base, count: Count) {
        let key = name.key();
        if let Noted::BeingTold = self.take(name) {
            return self.insure_putting(name, base, count);
        }
        self.hot.lift(key, self.clock.now());
        self.remember(key, count, base == Base::Blocked);
        let asked = if base == Base::Blocked {
            self.store.block(key, count).await
        } else {
            self.store.set(key, count).await
        };
        match asked {
            Ok(()) => self.worked(),
            Err(error) => {
                self.failed(&error);
                self.insure_putting(name, base, count);
            }
        }
    }

    pub(super) async fn forget(self: &Arc<Self>, name: &Name) -> bool {
        let key = name.key();
        let owed = match self.take(name) {
            Noted::Nothing => false,
            Noted::Taken => true,
            Noted::BeingTold => return self.insure_forgetting(name),
        };
        self.hot.lift(key, self.clock.now());
        match self.store.forget(key).await {
            Ok(stood) => {
                self.worked();
                let _ = at_once(self.memory.forget(key));
                // Who was asked before the key was forgotten may have come after.
                self.hot.lift(key, self.clock.now());
                stood || owed
            }
            Err(error) => {
                self.failed(&error);
                self.insure_forgetting(name)
            }
        }
    }

    /// Counts in memory, and notes it. What was `sent` may have arrived: it is not given back twice.
    pub(super) fn insure(&self, name: &Name, points: i64, rule: &Rule, sent: bool) -> Count {
        let (key, now) = (name.key(), self.clock.now());
        let points = points.saturating_add(self.hot.lift(key, now));
        self.insured.fetch_add(1, Relaxed);
        let mut ledger = self.ledger();
        if sent {
            ledger.failed(name);
        }
        let before = self.remembered(key).map_or(0, |count| count.points);
        let noted = ledger.others(name, now);
        let others = noted.unwrap_or_else(|| self.share_of_others(before, rule));
        let new = points.saturating_add(if noted.is_some() { 0 } else { others });
        let counted = at_once(self.memory.add(key, new, rule));
        // Memory does not fail; if it did, nobody would be let in by that.
        let count = counted.unwrap_or(Count { points: i64::MAX, left: rule.block().or(rule.window()) });
        let owed = if sent { points.max(0) } else { points };
        ledger.add(name.clone(), (owed, rule), others, count, now);
        self.note_size(&ledger);
        count
    }

    pub(super) fn insure_putting(&self, name: &Name, base: Base, count: Count) {
        let mut ledger = self.ledger();
        self.remember(name.key(), count, base == Base::Blocked);
        self.hot.lift(name.key(), self.clock.now());
        ledger.put(name.clone(), base, count, self.clock.now());
        self.note_size(&ledger);
    }

    pub(super) fn insure_forgetting(&self, name: &Name) -> bool {
        let mut ledger = self.ledger();
        self.hot.lift(name.key(), self.clock.now());
        ledger.put(name.clone(), Base::Gone, Count { points: 0, left: None }, self.clock.now());
        self.note_size(&ledger);
        at_once(self.memory.forget(name.key())).unwrap_or_default()
    }

    pub(super) fn remembered(&self, key: Key<'_>) -> Option<Count> {
        let count = at_once(self.memory.peek(key)).ok().flatten()?;
        Some(self.hot.with_more(key, count, self.clock.now()))
    }

    pub(super) fn remembered_over(&self, prefix: &str, line: u32) -> Vec<(String, Count)> {
        at_once(self.memory.over(prefix, line)).unwrap_or_default()
    }

    pub(super) fn remember(&self, key: Key<'_>, count: Count, blocks: bool) {
        // Where memory is full of others who are kept out, this one is asked for again.
        let _ = at_once(if blocks { self.memory.block(key, count) } else { self.memory.set(key, count) });
    }

    /// The store's word.
    fn learn(&self, name: &Name, count: Count, rule: &Rule, before: &Before) {
        let (key, now, over) = (name.key(), self.clock.now(), rule.is_over(count.points));
        self.remember_unless_noted(name, count, over);
        if over {
            self.hot.keep(key, before, count, now);
        } else if before.was_hot {
            self.hot.lift(key, self.clock.now());
        }
    }

    /// An answer that comes late does not undo what was counted since.
    pub(super) fn remember_unless_noted(&self, name: &Name, count: Count, blocks: bool) {
        if self.owed.load(Relaxed) == 0 || !self.ledger().has(name, self.clock.now()) {
            self.remember(name.key(), count, blocks);
        }
    }

    /// How much of what is left belongs to the other machines.
    fn share_of_others(&self, points: i64, rule: &Rule) -> i64 {
        let left = i64::from(rule.points()).saturating_sub(points);
        if left <= 0 {
            return 0;
        }
        let machines = i64::from(self.machines.load(Relaxed));
        left - (left / machines + i64::from(left % machines > 0))
    }

    pub(super) fn failed(&self, error: &StoreError) {
        self.health.failed(self.clock.unix_time());
        if self.breaker.failed(error) {
            self.opened(error);
        }
    }

    /// One attempt, while the store is not asked otherwise.
    pub(super) fn attempted<T>(&self, attempted: Result<T, StoreError>) -> Option<T> {
        match &attempted {
            Ok(_) => _ = self.health.answered(),
            Err(_) => _ = self.health.failed(self.clock.unix_time()),
        }
        attempted.ok()
    }

    /// Others than the breaker have found that the store is not to be asked.
    pub(super) fn open(&self, error: &StoreError) {
        self.health.failed(self.clock.unix_time());
        if self.breaker.open() {
            self.opened(error);
        }
    }

    fn opened(&self, error: &StoreError) {
        self.outages.fetch_add(1, Relaxed);
        tracing::warn!(
            store = ?self.store,
            error = %error,
            reason = %reason(error),
            hint = "see that it runs, can be reached from here, and takes writes",
            "the store of counts fails: this machine counts by itself until it answers again"
        );
    }

    /// Nothing is to be told of the key any more, for something else takes its place.
    fn take(&self, name: &Name) -> Noted {
        if self.owed.load(Relaxed) == 0 {
            return Noted::Nothing;
        }
        let mut ledger = self.ledger();
        if ledger.is_being_told(name) {
            return Noted::BeingTold;
        }
        let taken = ledger.take(name);
        self.note_size(&ledger);
        taken.map_or(Noted::Nothing, |_| Noted::Taken)
    }

    /// The store did what it was asked. What it is owed for other keys, it is told now, beside the requests.
    fn worked(self: &Arc<Self>) {
        self.breaker.worked();
        self.health.answered();
        if self.owed.load(Relaxed) > 0
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !self.settling.swap(true, Relaxed)
        {
            runtime.spawn(Rest::of(Arc::clone(self)).settle());
        }
    }

    pub(super) fn note_size(&self, ledger: &Ledger) {
        self.owed.store(u64::try_from(ledger.len()).unwrap_or(u64::MAX), Relaxed);
    }

    /// A thread that panicked under the lock leaves a ledger that may lack a hit, and nothing worse.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the ledger had of a key.
enum Noted {
    Nothing,
    Taken,
    /// It is on its way to the store: what comes now is told after it.
    BeingTold,
}

/// Memory's answers are there when they are asked for.
fn at_once<T>(mut answer: Answer<'_, T>) -> Result<T, StoreError> {
    match Pin::new(&mut answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => Err(StoreError::Refused("memory does not wait".into())),
    }
}

pub(super) fn reason(error: &StoreError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}
