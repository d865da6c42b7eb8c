use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::counters::Limiter;

const MINUTE: Duration = Duration::from_secs(60);

fn small(clock: &Clock) -> Memory {
    Memory::with_clock(clock.clone()).capacity(1)
}

#[test]
fn a_place_is_as_large_as_is_said() {
    assert_eq!((size_of::<Slot>(), CAPACITY * size_of::<Slot>()), (48, 6 << 20));
}

#[tokio::test]
async fn a_flood_drives_out_what_was_hit_once_and_nobody_who_is_nearly_stopped_or_blocked() {
    let clock = Clock::manual();
    let memory = small(&clock);
    let limiter = Limiter::new("", 3, MINUTE).block_time(MINUTE);
    limiter.penalty(&memory, "nearly", 3).await.unwrap();
    limiter.penalty(&memory, "crossed", 4).await.unwrap();
    limiter.block(&memory, "blocked", MINUTE / 2).await.unwrap();
    let strict = Limiter::new("", 0, MINUTE);
    assert!(strict.consume(&memory, "over", 1).await.unwrap().is_refused());
    limiter.set(&memory, "lifted", -5, MINUTE).await.unwrap();
    for n in 0..10_000 {
        clock.advance(Duration::from_millis(1));
        let verdict = limiter.consume(&memory, &format!("flood {n}"), 1).await.unwrap();
        assert!(!verdict.is_refused() && memory.len() <= PLACES, "{n}");
    }
    for (key, consumed) in [
        ("nearly", Some(3)),
        ("crossed", Some(4)),
        ("blocked", Some(4)),
        ("over", Some(1)), // no more than the flood's, but too much here
        ("flood 9999", Some(1)),
        ("flood 0", None),
        ("lifted", None),
    ] {
        let standing = limiter.get(&memory, key).await.unwrap();
        assert_eq!(standing.map(|standing| standing.consumed()), consumed, "{key}");
    }
}

#[tokio::test]
async fn where_all_are_blocked_a_new_key_is_refused_until_the_first_of_them_ends() {
    let clock = Clock::manual();
    let memory = small(&clock);
    let limiter = Limiter::new("", 3, MINUTE);
    for n in 0..PLACES {
        let time = if n == 7 { MINUTE } else { Duration::ZERO };
        limiter.block(&memory, &n.to_string(), time).await.unwrap();
    }
    clock.advance(MINUTE / 2);
    let verdict = limiter.consume(&memory, "new", 1).await.unwrap();
    assert!(verdict.is_refused());
    assert_eq!(verdict.standing().left(), Some(MINUTE / 2));
    let standing = limiter.get(&memory, "new").await.unwrap().unwrap();
    assert!(standing.is_over(), "who asks before the password is looked at is told as well");
    for refused in [limiter.block(&memory, "new", MINUTE).await, limiter.set(&memory, "new", 1, MINUTE).await]
    {
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    }
    for n in 0..PLACES {
        assert!(limiter.consume(&memory, &n.to_string(), 1).await.unwrap().is_refused(), "{n}");
    }
    clock.advance(MINUTE / 2);
    assert_eq!(limiter.get(&memory, "new").await.unwrap(), None);
    assert!(!limiter.consume(&memory, "new", 1).await.unwrap().is_refused());
    assert_eq!(memory.len(), PLACES);
}

#[tokio::test]
async fn whoever_is_let_in_again_may_be_driven_out() {
    let memory = small(&Clock::manual());
    let limiter = Limiter::new("", 3, MINUTE);
    for n in 0..PLACES {
        limiter.block(&memory, &n.to_string(), MINUTE).await.unwrap();
    }
    limiter.reward(&memory, "7", 1).await.unwrap();
    assert!(!limiter.consume(&memory, "new", 1).await.unwrap().is_refused());
    assert_eq!(limiter.get(&memory, "7").await.unwrap(), None);
    for n in (0..PLACES).filter(|n| *n != 7) {
        assert!(limiter.consume(&memory, &n.to_string(), 1).await.unwrap().is_refused(), "{n}");
    }
}

#[test]
fn threads_at_once_never_admit_more_than_the_points() {
    let memory = Arc::new(Memory::with_clock(Clock::manual()));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let memory = Arc::clone(&memory);
            std::thread::spawn(move || {
                let limiter = Limiter::new("", 100, MINUTE);
                (0..200)
                    .filter(|_| {
                        !limiter.rule().is_over(memory.count(limiter.key("ann"), 1, limiter.rule()).points)
                    })
                    .count()
            })
        })
        .collect();
    assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 100);
}

#[derive(Clone, Debug)]
enum Step {
    Consume(u32),
    Penalty(u32),
    Reward(u32),
    Block(u64),
    Set(i64, u64),
    Delete,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        8 => (1_u32..4).prop_map(Step::Consume),
        2 => (0_u32..4).prop_map(Step::Penalty),
        2 => (1_u32..4).prop_map(Step::Reward),
        1 => (0_u64..90).prop_map(Step::Block),
        1 => (-3_i64..9, 0_u64..90).prop_map(|(points, seconds)| Step::Set(points, seconds)),
        1 => Just(Step::Delete),
        4 => (0_u64..40).prop_map(Step::Wait),
    ];
    prop::collection::vec((0_usize..3, step), 1..80)
}

/// Counts with when they end, in seconds; nothing is ever swept.
#[derive(Default)]
struct Naive {
    now: u64,
    counts: HashMap<usize, (i64, Option<u64>)>,
}

impl Naive {
    fn live(&self, key: usize) -> Option<(i64, Option<u64>)> {
        self.counts.get(&key).copied().filter(|(_, end)| end.is_none_or(|end| end > self.now))
    }

    fn add(&mut self, key: usize, points: i64, block: Option<u64>) -> (i64, Option<u64>) {
        let (before, mut end) = self.live(key).unwrap_or((0, None));
        let after = before + points;
        if end.is_none() && before <= LINE {
            end = Some(self.now + WINDOW);
        }
        if let Some(block) = block.filter(|_| before <= LINE && after > LINE) {
            end = Some(self.now + block);
        }
        self.counts.insert(key, (after, end));
        (after, end.map(|end| end - self.now))
    }
}

const LINE: i64 = 5;
const WINDOW: u64 = 30;

proptest! {
    #[test]
    fn it_counts_as_the_naive_model_does(steps in steps(), block in prop::option::of(1_u64..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clock = Clock::manual();
        let memory = small(&clock);
        let limiter = Limiter::new("p", 5, Duration::from_secs(WINDOW))
            .block_time(Duration::from_secs(block.unwrap_or(0)));
        let mut naive = Naive::default();
        for (key, step) in steps {
            let name = key.to_string();
            let said = runtime.block_on(async {
                Ok::<_, StoreError>(match step {
                    Step::Consume(n) => {
                        let verdict = limiter.consume(&memory, &name, n).await?;
                        assert_eq!(verdict.is_refused(), verdict.standing().consumed() > LINE);
                        Some(verdict.standing())
                    }
                    Step::Penalty(n) => Some(limiter.penalty(&memory, &name, n).await?),
                    Step::Reward(n) => Some(limiter.reward(&memory, &name, n).await?),
                    Step::Block(seconds) => {
                        Some(limiter.block(&memory, &name, Duration::from_secs(seconds)).await?)
                    }
                    Step::Set(points, seconds) => {
                        Some(limiter.set(&memory, &name, points, Duration::from_secs(seconds)).await?)
                    }
                    Step::Delete => {
                        assert_eq!(limiter.delete(&memory, &name).await?, naive.live(key).is_some());
                        None
                    }
                    Step::Wait(seconds) => {
                        clock.advance(Duration::from_secs(seconds));
                        None
                    }
                })
            });
            let expected = match step {
                Step::Consume(n) | Step::Penalty(n) => Some(naive.add(key, n.into(), block)),
                Step::Reward(n) => Some(naive.add(key, -i64::from(n), block)),
                Step::Block(seconds) | Step::Set(_, seconds) => {
                    let points = if let Step::Set(points, _) = step { points } else { LINE + 1 };
                    let left = (seconds > 0).then_some(seconds);
                    naive.counts.insert(key, (points, left.map(|left| naive.now + left)));
                    Some((points, left))
                }
                Step::Delete => {
                    naive.counts.remove(&key);
                    None
                }
                Step::Wait(seconds) => {
                    naive.now += seconds;
                    None
                }
            };
            let said = said.unwrap();
            prop_assert_eq!(said.map(|said| (said.consumed(), said.left().map(|left| left.as_secs()))), expected);
            if let Some(said) = said {
                prop_assert_eq!(said.remaining(), (LINE - said.consumed()).max(0));
            }
            let found = runtime.block_on(limiter.get(&memory, &name)).unwrap();
            prop_assert_eq!(found.map(|found| found.consumed()), naive.live(key).map(|(points, _)| points));
        }
    }
}
