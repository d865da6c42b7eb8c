use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use panoply::Clock;
use panoply::counters::{Answer, Count, Counters, Key, Memory, Rule};
use panoply::store::StoreError;
use tokio::sync::Semaphore;

/// A store that fails when it is told to.
#[derive(Debug)]
pub(super) struct Flaky {
    memory: Mutex<Arc<Memory>>,
    /// A key that is no number there, say.
    broken: Mutex<Option<&'static str>>,
    how: Mutex<How>,
    asked: AtomicUsize,
    /// Those who hang wait here.
    gate: Semaphore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Well,
    /// Nobody is there.
    Gone,
    /// It counts, and the answer is lost.
    Late,
    /// It answers, and does not count.
    ReadOnly,
    /// It does not answer before it is told to.
    Hangs,
    /// It answers one question each time that it is told to.
    StepByStep,
}

impl Flaky {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            memory: Mutex::new(Arc::new(Memory::with_clock(clock.clone()))),
            broken: Mutex::default(),
            how: Mutex::new(How::Well),
            asked: AtomicUsize::new(0),
            gate: Semaphore::new(0),
        }
    }

    pub(super) fn goes(&self, how: How) {
        *self.how.lock().unwrap() = how;
        match how {
            How::Hangs | How::StepByStep => drop(self.gate.forget_permits(usize::MAX)),
            _ => self.gate.add_permits(1_000),
        }
    }

    pub(super) fn answers_one(&self) {
        self.gate.add_permits(1);
    }

    /// How many questions it got, since this was asked.
    pub(super) fn asked(&self) -> usize {
        self.asked.swap(0, Relaxed)
    }

    /// What stands there, without asking.
    pub(super) async fn stands(&self, key: Key<'_>) -> Option<Count> {
        self.memory().peek(key).await.unwrap()
    }

    /// As somebody else would.
    pub(super) async fn lift(&self, key: Key<'_>) {
        self.memory().forget(key).await.unwrap();
    }

    pub(super) fn breaks(&self, key: Option<&'static str>) {
        *self.broken.lock().unwrap() = key;
    }

    /// Another way to the same store.
    pub(super) fn shares(&self, other: &Self) {
        *self.memory.lock().unwrap() = other.memory();
    }

    fn memory(&self) -> Arc<Memory> {
        Arc::clone(&self.memory.lock().unwrap())
    }

    async fn answer<T>(
        &self,
        key: Option<Key<'_>>,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.asked.fetch_add(1, Relaxed);
        let (how, broken) = (*self.how.lock().unwrap(), *self.broken.lock().unwrap());
        if key.is_some_and(|key| Some(key.to_string().as_str()) == broken) {
            return Err(StoreError::Refused("WRONGTYPE".into()));
        }
        match how {
            How::Well => answer.await,
            How::Gone => Err(StoreError::Down("nobody is there".into())),
            How::Late => {
                answer.await?;
                Err(StoreError::Slow(Duration::from_millis(500)))
            }
            How::ReadOnly if key.is_some() => Err(StoreError::Refused("READONLY".into())),
            How::ReadOnly => answer.await,
            How::StepByStep => {
                self.gate.acquire().await.unwrap().forget();
                answer.await
            }
            How::Hangs => {
                self.gate.acquire().await.unwrap().forget();
                Err(StoreError::Slow(Duration::from_millis(500)))
            }
        }
    }
}

/// Who writes says the key.
impl Counters for Flaky {
    fn add<'a>(&'a self, key: Key<'a>, points: i64, rule: &'a Rule) -> Answer<'a, Count> {
        Answer::later(self.answer(Some(key), async move { self.memory().add(key, points, rule).await }))
    }

    fn peek<'a>(&'a self, key: Key<'a>) -> Answer<'a, Option<Count>> {
        Answer::later(self.answer(None, async move { self.memory().peek(key).await }))
    }

    fn set<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        Answer::later(self.answer(Some(key), async move { self.memory().set(key, count).await }))
    }

    fn block<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        Answer::later(self.answer(Some(key), async move { self.memory().block(key, count).await }))
    }

    fn forget<'a>(&'a self, key: Key<'a>) -> Answer<'a, bool> {
        Answer::later(self.answer(Some(key), async move { self.memory().forget(key).await }))
    }

    fn over<'a>(&'a self, prefix: &'a str, line: u32) -> Answer<'a, Vec<(String, Count)>> {
        Answer::later(self.answer(None, async move { self.memory().over(prefix, line).await }))
    }
}
