//! Memory against what a reader of its page would write without a thought for speed: over random verbs, waits and
//! restarts, with fewer keys than places, and with more.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::set::PLACES;
use super::*;
use crate::counters::{Limiter, Who};

#[derive(Clone, Debug)]
enum Step {
    Consume(u32),
    Penalty(u32),
    Reward(u32),
    Block(u64),
    Set(i64, u64),
    Delete,
    Peek,
    Wait(u64),
    /// Saved, and restored by the next process.
    Restart,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    points: i64,
    end: Option<Duration>,
    refused: bool,
}

/// What stands in so many places, the least of which goes first.
struct Naive {
    now: Duration,
    rule: Rule,
    keys: HashMap<usize, Entry>,
    networks: HashMap<&'static str, Entry>,
}

/// What a step answers.
#[derive(Debug, PartialEq)]
enum Said {
    Count(i64, Option<Duration>),
    Nothing,
    Stood(bool),
    Full,
}

impl Naive {
    fn new(rule: Rule) -> Self {
        Self { now: Duration::ZERO, rule, keys: HashMap::new(), networks: HashMap::new() }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let stands = |entry: &Entry| entry.end.is_none_or(|end| end > self.now);
        self.keys.retain(|_, entry| stands(entry));
        self.networks.retain(|_, entry| stands(entry));
    }

    fn add(&mut self, key: usize, points: i64) -> Said {
        let network = network_of(key);
        let shared = network.filter(|network| self.networks.contains_key(network));
        if let Some(network) = shared.filter(|_| !self.keys.contains_key(&key)) {
            return self.share(network, points);
        }
        let entry = self.after(self.keys.get(&key), points);
        if self.put(key, entry) {
            return self.said(entry);
        }
        match network {
            Some(network) => self.share(network, points),
            None => self.closed().expect("there was no place"),
        }
    }

    fn share(&mut self, network: &'static str, points: i64) -> Said {
        let mut entry = self.after(self.networks.get(network), points);
        entry.points = entry.points.max(0);
        if !entry.refused {
            let hit = self.rule.window().map(|window| self.now + window);
            entry.end = entry.end.map(|end| hit.map_or(end, |hit| end.max(hit)));
        }
        self.networks.insert(network, entry);
        self.said(entry)
    }

    fn after(&self, was: Option<&Entry>, points: i64) -> Entry {
        let left = |end: Option<Duration>| end.map(|end| end - self.now);
        let was = was.map(|was| Count { points: was.points, left: left(was.end) });
        let Count { points, left } = self.rule.add(was, points);
        Entry { points, end: left.map(|left| self.now + left), refused: self.rule.is_over(points) }
    }

    /// Whether there is a place.
    fn put(&mut self, key: usize, entry: Entry) -> bool {
        if !self.keys.contains_key(&key) && self.keys.len() == PLACES {
            let least = self.keys.iter().filter(|(_, entry)| !entry.refused);
            let worth = |entry: &Entry| (entry.points, entry.end.unwrap_or(Duration::MAX));
            let Some(least) = least.min_by_key(|(_, entry)| worth(entry)).map(|(key, _)| *key) else {
                return false;
            };
            self.keys.remove(&least);
        }
        self.keys.insert(key, entry);
        true
    }

    fn peek(&self, key: usize) -> Said {
        let own = self.keys.get(&key);
        let shared = || self.networks.get(network_of(key)?);
        match own.or_else(shared) {
            Some(entry) => self.said(*entry),
            None if network_of(key).is_none() => self.closed().unwrap_or(Said::Nothing),
            None => Said::Nothing,
        }
    }

    /// When all are kept out, who has no network is until the first of them is not.
    fn closed(&self) -> Option<Said> {
        let closed = self.keys.len() == PLACES && self.keys.values().all(|entry| entry.refused);
        let first = self.keys.values().filter_map(|entry| entry.end).min();
        closed.then(|| Said::Count(i64::MAX, first.map(|end| end - self.now)))
    }

    fn said(&self, entry: Entry) -> Said {
        Said::Count(entry.points, entry.end.map(|end| end - self.now))
    }

    fn run(&mut self, key: usize, step: &Step) -> Said {
        match *step {
            Step::Consume(n) | Step::Penalty(n) => self.add(key, n.into()),
            Step::Reward(n) => self.add(key, -i64::from(n)),
            Step::Block(seconds) => self.set(key, LINE + 1, seconds, true),
            Step::Set(points, seconds) => self.set(key, points, seconds, false),
            Step::Delete => Said::Stood(self.keys.remove(&key).is_some()),
            Step::Peek => self.peek(key),
            Step::Wait(seconds) => {
                self.pass(Duration::from_secs(seconds));
                Said::Nothing
            }
            Step::Restart => Said::Nothing,
        }
    }

    fn set(&mut self, key: usize, points: i64, seconds: u64, refused: bool) -> Said {
        let end = (seconds > 0).then(|| self.now + Duration::from_secs(seconds));
        let entry = Entry { points, end, refused };
        if self.put(key, entry) { self.said(entry) } else { Said::Full }
    }
}

/// Memory, asked the same.
struct Real {
    memory: Memory,
    clock: Clock,
    limiter: Limiter,
}

impl Real {
    fn new(limiter: Limiter) -> Self {
        let clock = Clock::manual();
        Self { memory: Memory::with_clock(clock.clone()).capacity(1), clock, limiter }
    }

    async fn run(&mut self, key: usize, step: &Step) -> Said {
        let (name, limiter, memory) = (key.to_string(), &self.limiter, &self.memory);
        let who = || match network_of(key) {
            Some(network) => Who::named(&name).within(network),
            None => Who::named(&name),
        };
        let seconds = Duration::from_secs;
        let standing = match *step {
            Step::Consume(n) => {
                let verdict = limiter.consume(memory, who(), n).await.unwrap();
                assert_eq!(verdict.is_refused(), verdict.standing().consumed() > LINE);
                Ok(verdict.standing())
            }
            Step::Penalty(n) => limiter.penalty(memory, who(), n).await,
            Step::Reward(n) => limiter.reward(memory, who(), n).await,
            Step::Block(n) => limiter.block(memory, who(), seconds(n)).await,
            Step::Set(points, n) => limiter.set(memory, who(), points, seconds(n)).await,
            Step::Delete => return Said::Stood(limiter.delete(memory, who()).await.unwrap()),
            Step::Peek => match limiter.get(memory, who()).await.unwrap() {
                Some(standing) => Ok(standing),
                None => return Said::Nothing,
            },
            Step::Wait(n) => {
                self.clock.advance(seconds(n));
                return Said::Nothing;
            }
            Step::Restart => {
                self.restart();
                return Said::Nothing;
            }
        };
        standing.map_or(Said::Full, |standing| Said::Count(standing.consumed(), standing.left()))
    }

    fn restart(&mut self) {
        let number = rand::random::<u64>();
        let path = std::env::temp_dir().join(format!("panoply-model-{}-{number}", std::process::id()));
        self.memory.save(&path).unwrap();
        let fresh = Memory::with_clock(self.clock.clone()).capacity(1);
        self.memory = fresh.restore(&path).unwrap();
        std::fs::remove_file(path).unwrap();
    }
}

/// The even keys are of one of three networks, and the odd ones of none.
fn network_of(key: usize) -> Option<&'static str> {
    key.is_multiple_of(2).then(|| ["a", "b", "c"][key / 2 % 3])
}

/// Ends are after `shortest` seconds at least: zero is never.
fn steps(keys: usize, most: usize, shortest: u64) -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        40 => (1_u32..4).prop_map(Step::Consume),
        10 => (0_u32..4).prop_map(Step::Penalty),
        6 => (1_u32..4).prop_map(Step::Reward),
        10 => (shortest..90).prop_map(Step::Block),
        4 => (-3_i64..9, shortest..90).prop_map(|(points, seconds)| Step::Set(points, seconds)),
        2 => Just(Step::Delete),
        10 => Just(Step::Peek),
        3 => (0_u64..20).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec((0..keys, step), 1..most)
}

/// Of `keys` what stands is looked at every so many steps, and at the end.
fn alike(
    keys: usize,
    steps: Vec<(usize, Step)>,
    block: Option<u64>,
    every: usize,
) -> Result<(), TestCaseError> {
    let limiter = Limiter::new("p", u32::try_from(LINE).unwrap(), Duration::from_secs(30))
        .block_time(Duration::from_secs(block.unwrap_or(0)));
    let (mut naive, mut real) = (Naive::new(*limiter.rule()), Real::new(limiter));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let last = steps.len() - 1;
    for (n, (key, step)) in steps.into_iter().enumerate() {
        let (expected, said) = (naive.run(key, &step), runtime.block_on(real.run(key, &step)));
        prop_assert_eq!(said, expected, "{} {:?} {}", n, step, key);
        if n % every == 0 || n == last {
            for key in 0..keys {
                let said = runtime.block_on(real.run(key, &Step::Peek));
                prop_assert_eq!(said, naive.peek(key), "{} after {} {:?}", key, n, step);
            }
        }
        // So that no two keys end at once, and it is clear which goes first.
        naive.pass(TICK);
        real.clock.advance(TICK);
    }
    Ok(())
}

const LINE: i64 = 5;
const TICK: Duration = Duration::from_millis(1);

proptest! {
    #[test]
    fn it_counts_as_the_naive_model_does(
        steps in steps(3, 80, 0),
        block in prop::option::of(1_u64..60),
    ) {
        alike(3, steps, block, 1)?;
    }
}

proptest! {
    // Each takes its time.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_full_memory_forgets_the_least_as_the_model_does_and_never_who_is_refused(
        // Of two that never end it is nobody's to say which goes first.
        steps in steps(2 * PLACES, 1_200, 1),
        block in prop::option::of(1_u64..60),
    ) {
        alike(2 * PLACES, steps, block, 100)?;
    }
}
