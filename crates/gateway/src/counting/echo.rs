use std::sync::Arc;

use arc_swap::ArcSwapOption;
use panoply::counters::{Answer, Count, Counters, Key, Memory, Rule};
use tokio::sync::mpsc;

use super::told::{Done, Told};

/// This process's memory. What is done there after another process has taken its counts over is told to that one.
#[derive(Debug)]
pub(crate) struct Echo {
    memory: Arc<Memory>,
    listener: ArcSwapOption<mpsc::Sender<Told>>,
}

impl Echo {
    pub(super) fn of(memory: Arc<Memory>) -> Self {
        Self { memory, listener: ArcSwapOption::empty() }
    }

    /// What is done from now on, until [`hush`](Self::hush).
    pub(super) fn listen(&self) -> mpsc::Receiver<Told> {
        let (sender, told) = mpsc::channel(MOST_UNTOLD);
        self.listener.store(Some(Arc::new(sender)));
        told
    }

    pub(super) fn hush(&self) {
        self.listener.store(None);
    }

    fn tell(&self, key: Key<'_>, done: impl FnOnce() -> Done) {
        if let Some(listener) = &*self.listener.load() {
            // Who is too far behind misses one: nobody waits for him, and memory does not grow.
            let _ = listener.try_send(Told::of(key, done()));
        }
    }
}

impl Counters for Echo {
    fn add<'a>(&'a self, key: Key<'a>, points: i64, rule: &'a Rule) -> Answer<'a, Count> {
        self.tell(key, || Done::added(points, rule));
        self.memory.add(key, points, rule)
    }

    fn peek<'a>(&'a self, key: Key<'a>) -> Answer<'a, Option<Count>> {
        self.memory.peek(key)
    }

    fn set<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        self.tell(key, || Done::Set { points: count.points, left: count.left });
        self.memory.set(key, count)
    }

    fn block<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        self.tell(key, || Done::Block { points: count.points, left: count.left });
        self.memory.block(key, count)
    }

    fn forget<'a>(&'a self, key: Key<'a>) -> Answer<'a, bool> {
        self.tell(key, || Done::Forget {});
        self.memory.forget(key)
    }

    fn over<'a>(&'a self, prefix: &'a str, line: u32) -> Answer<'a, Vec<(String, Count)>> {
        self.memory.over(prefix, line)
    }
}

/// Some hundred bytes each. Only requests that were under way are counted here still.
const MOST_UNTOLD: usize = 4096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use panoply::Clock;
    use panoply::counters::{Limiter, Who};

    use super::*;

    fn echo(clock: &Clock) -> Echo {
        Echo::of(Arc::new(Memory::with_clock(clock.clone())))
    }

    #[tokio::test]
    async fn what_is_counted_while_somebody_listens_is_counted_there_too() {
        let clock = Clock::manual();
        let (one, other) = (echo(&clock), Memory::with_clock(clock.clone()));
        let minute = Duration::from_secs(60);
        let limiter = Limiter::new("login", 2, minute).block_time(10 * minute);
        limiter.penalty(&one, "before", 1).await.unwrap();
        let mut told = one.listen();
        limiter.penalty(&one, "ann", 1).await.unwrap();
        limiter.penalty(&one, Who::named("bob").within("192.0.2.0/24"), 3).await.unwrap();
        limiter.block(&one, "eve", minute).await.unwrap();
        limiter.set(&one, "set", 2, minute).await.unwrap();
        limiter.penalty(&one, "gone", 1).await.unwrap();
        limiter.delete(&one, "gone").await.unwrap();
        one.hush();
        limiter.penalty(&one, "after", 1).await.unwrap();
        while let Some(one_more) = told.recv().await {
            let line = serde_json::to_vec(&one_more).unwrap();
            let heard: Told = serde_json::from_slice(&line).unwrap();
            heard.count(&other).await.unwrap();
        }
        for name in ["before", "ann", "bob", "eve", "set", "gone", "after"] {
            let there = limiter.get(&other, name).await.unwrap();
            let here =
                limiter.get(&one, name).await.unwrap().filter(|_| !["before", "after"].contains(&name));
            assert_eq!(there, here, "{name}");
        }
    }

    #[tokio::test]
    async fn who_does_not_listen_takes_no_memory() {
        let clock = Clock::manual();
        let one = echo(&clock);
        let mut told = one.listen();
        let limiter = Limiter::new("login", 2, Duration::from_secs(60));
        for name in 0..MOST_UNTOLD + 10 {
            limiter.penalty(&one, &name.to_string(), 1).await.unwrap();
        }
        one.hush();
        let mut heard = 0;
        while told.recv().await.is_some() {
            heard += 1;
        }
        assert_eq!(heard, MOST_UNTOLD);
    }
}
