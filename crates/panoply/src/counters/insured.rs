mod breaker;
mod hot;
mod inner;
mod ledger;
mod settlement;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use self::inner::Inner;
use self::ledger::{Base, Name};
use super::{Answer, Count, Counters, Key, Memory, Rule};
use crate::Clock;
use crate::store::Standing;

/// Counters that always answer: those of a store that may fail, insured by this machine's memory.
///
/// **When the store fails**, or is not reached, or refuses, memory answers. It goes on from what the store last said of
/// a key, and of the points that are left there it gives out this machine's share: all, divided by the number of
/// [`machines`](Self::machines), rounded up. Who was refused stays refused.
///
/// **While it fails it is not asked**: when it is not there, or three answers in a row are late or errors, or more than
/// one in seventeen, all answers are memory's, at once. After a pause, of 100 ms at first and of five seconds at most, one
/// attempt is made beside the requests; none waits for it. It writes: a server that only reads would answer, and not
/// count. When nothing else is to be told, it counts under `panoply:probe`, for a second.
///
/// **When it answers again** it is told what was counted meanwhile: points are added, a block ends when it would have,
/// what was put or forgotten is. A hit that found the connection broken may be counted twice, and never a reward.
/// Eighty thousand keys are remembered for that; more are counted here, and not told.
///
/// **Who is over the line** is refused without asking the store, until the count's end; every two seconds it is asked
/// once whether that still holds, and told the hits meanwhile. So [`forget`](Counters::forget) lifts a block here at
/// once, and where it was done on another machine two seconds later.
///
/// A question that was begun is carried out, also when its request is given up.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use panoply::Clock;
/// use panoply::counters::{self, Insured, Limiter};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = Clock::system();
/// # let url = "postgres://127.0.0.1:1/nowhere";
/// # #[cfg(any())]
/// let url = "redis://10.0.0.7";
/// let counters = Insured::new(counters::open(url, &clock)?, &clock).machines(2);
/// let limiter = Limiter::new("login_fail", 10, Duration::from_secs(3_600));
///
/// // Nobody is there, so five are this machine's.
/// for _ in 0..5 {
///     assert!(!limiter.consume(&counters, "ann", 1).await?.is_refused());
/// }
/// assert!(limiter.consume(&counters, "ann", 1).await?.is_refused());
/// assert!(counters.state().down_for.is_some());
/// # Ok(())
/// # }
/// ```
pub struct Insured {
    inner: Arc<Inner>,
}

impl Insured {
    /// Asks `store`, and the memory of this process where that fails; one machine, unless told.
    #[must_use]
    pub fn new(store: Arc<dyn Counters>, clock: &Clock) -> Self {
        let memory = Memory::with_clock(clock.clone());
        Self { inner: Arc::new(Inner::new(store, memory, clock.clone())) }
    }

    /// How many machines share the store: of what it would have given out, each gives out its part. Nought is one.
    #[must_use]
    pub fn machines(self, machines: u32) -> Self {
        self.inner.shared_by(machines);
        self
    }

    /// The memory that answers when the store does not; without, it is a [`Memory`] as it comes. It is to live by the
    /// same clock. What was counted before this is said is forgotten.
    #[must_use]
    pub fn memory(self, memory: Memory) -> Self {
        Self { inner: Arc::new(self.inner.with(memory)) }
    }

    /// How the store does, and what it is spared.
    #[must_use]
    pub fn state(&self) -> State {
        self.inner.state()
    }
}

/// How the store of [`Insured`] counters does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// What came of asking it. An attempt that finds it well again is a question too.
    pub standing: Standing,
    /// Since when it has not been asked, for it had failed; `None`: it is asked.
    pub down_for: Option<Duration>,
    /// How many times that began.
    pub outages: u64,
    /// How many keys it is to be told of.
    pub owed: usize,
    /// How many answers were memory's, since it failed.
    pub insured: u64,
    /// How many refusals were given without asking it, while it answered.
    pub spared: u64,
}

impl Counters for Insured {
    fn add<'a>(&'a self, key: Key<'a>, points: i64, rule: &'a Rule) -> Answer<'a, Count> {
        if let Some(count) = self.inner.add_at_once(key, points, rule) {
            return Answer::now(Ok(count));
        }
        let (inner, name, rule) = (Arc::clone(&self.inner), Name::from(key), *rule);
        Answer::later(begun(async move { Ok(inner.add(&name, points, &rule).await) }))
    }

    fn peek<'a>(&'a self, key: Key<'a>) -> Answer<'a, Option<Count>> {
        if let Some(count) = self.inner.peek_at_once(key) {
            return Answer::now(Ok(count));
        }
        let (inner, name) = (Arc::clone(&self.inner), Name::from(key));
        Answer::later(begun(async move { Ok(inner.peek(&name).await) }))
    }

    fn set<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        self.put(key, Base::Put, count)
    }

    fn block<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        self.put(key, Base::Blocked, count)
    }

    fn forget<'a>(&'a self, key: Key<'a>) -> Answer<'a, bool> {
        if self.inner.is_open() {
            return Answer::now(Ok(self.inner.insure_forgetting(&Name::from(key))));
        }
        let (inner, name) = (Arc::clone(&self.inner), Name::from(key));
        Answer::later(begun(async move { Ok(inner.forget(&name).await) }))
    }

    /// All that the store knows, or, while it fails, this machine's memory.
    fn over<'a>(&'a self, prefix: &'a str, line: u32) -> Answer<'a, Vec<(String, Count)>> {
        if self.inner.is_open() {
            return Answer::now(Ok(self.inner.remembered_over(prefix, line)));
        }
        Answer::later(async move {
            // Looking takes its time: who is late with it may yet count well.
            let found = self.inner.store.over(prefix, line).await;
            Ok(found.unwrap_or_else(|_| self.inner.remembered_over(prefix, line)))
        })
    }
}

impl Insured {
    fn put<'a>(&'a self, key: Key<'a>, base: Base, count: Count) -> Answer<'a, ()> {
        if self.inner.is_open() {
            self.inner.insure_putting(&Name::from(key), base, count);
            return Answer::now(Ok(()));
        }
        let (inner, name) = (Arc::clone(&self.inner), Name::from(key));
        Answer::later(begun(async move {
            inner.put(&name, base, count).await;
            Ok(())
        }))
    }
}

impl fmt::Debug for Insured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Insured").field("store", &self.inner.store).finish_non_exhaustive()
    }
}

/// Work that goes on to its end once it was begun, also when nobody waits for it any more.
async fn begun<F: Future<Output: Send> + Send + 'static>(work: F) -> F::Output {
    Begun(Some(Box::pin(work))).await
}

struct Begun<F: Future<Output: Send> + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future<Output: Send> + Send + 'static> Future for Begun<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

/// Where a runtime ends, so does its work.
impl<F: Future<Output: Send> + Send + 'static> Drop for Begun<F> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}
