use std::sync::Arc;
use std::time::Duration;

use panoply::Clock;
use panoply::counters::{self, Counters, Insured, Limiter, Memory, Verdict};
use proptest::prelude::*;

use super::flaky::{Flaky, How};
use super::{MINUTE, sleep};
use crate::log::Log;
use crate::store::server::RedisServer;

const SECOND: Duration = Duration::from_secs(1);

fn insured(clock: &Clock) -> (Arc<Flaky>, Insured) {
    let store = Arc::new(Flaky::new(clock));
    let insured = Insured::new(Arc::<Flaky>::clone(&store), clock);
    (store, insured)
}

/// What was begun beside the requests is done then.
async fn rest() {
    for _ in 0..40 {
        tokio::task::yield_now().await;
    }
}

async fn refused(counters: &Insured, limiter: &Limiter, name: &str) -> bool {
    limiter.consume(counters, name, 1).await.unwrap().is_refused()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_insured_keeps_every_promise() {
    let (server, clock) = (RedisServer::start(), Clock::system());
    let store = counters::open(&server.url(), &clock).unwrap();
    counters::conformance(Arc::new(Insured::new(store, &clock)), sleep).await;
    assert_eq!(server.answers("DBSIZE"), "0");
}

#[tokio::test]
async fn a_store_that_is_gone_is_asked_once_and_then_by_one_attempt_after_each_pause() {
    let clock = Clock::manual();
    let (store, counters) = insured(&clock);
    let limiter = Limiter::new("login", 1_000_000, MINUTE);
    store.goes(How::Gone);
    for _ in 0..1_000 {
        assert!(!refused(&counters, &limiter, "ann").await);
    }
    rest().await;
    assert_eq!(store.asked(), 1);
    for pause in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
        clock.advance(Duration::from_millis(pause - 1));
        refused(&counters, &limiter, "ann").await;
        rest().await;
        assert_eq!(store.asked(), 0, "before {pause} ms");
        clock.advance(Duration::from_millis(1));
        for _ in 0..100 {
            refused(&counters, &limiter, "ann").await;
        }
        rest().await;
        assert_eq!(store.asked(), 1, "after {pause} ms");
    }
    let state = counters.state();
    assert_eq!((state.outages, state.owed, state.insured), (1, 1, 1_808));
    assert_eq!(state.down_for, Some(Duration::from_millis(16_300)));

    store.goes(How::Well);
    clock.advance(5 * SECOND);
    refused(&counters, &limiter, "ann").await;
    rest().await;
    assert_eq!((counters.state().down_for, counters.state().owed), (None, 0));
    assert_eq!(store.stands(limiter.key("ann")).await.unwrap().points, 1_809, "all of it was told");
}

#[tokio::test]
async fn the_log_says_once_that_a_store_fails_and_once_that_it_answers_again() {
    let (log, _guard) = Log::listening();
    let clock = Clock::manual();
    let url = "redis://ann:hunter2@127.0.0.1:1";
    let gone = Insured::new(counters::open(url, &clock).unwrap(), &clock);
    let (store, counters) = insured(&clock);
    let limiter = Limiter::new("login", 3, MINUTE);
    store.goes(How::Gone);
    for counters in [&gone, &counters] {
        for _ in 0..20 {
            refused(counters, &limiter, "bob").await;
            clock.advance(SECOND);
            rest().await;
        }
    }
    let events = log.events();
    let failing: Vec<_> = events.iter().filter(|event| event["message"].contains("fails")).collect();
    let [redis, flaky] = &failing[..] else { panic!("{events:?}") };
    assert!(redis["store"].contains("127.0.0.1:1") && redis["hint"].contains("runs"), "{redis:?}");
    assert_eq!(flaky["reason"], "nobody is there");
    store.goes(How::Well);
    for _ in 0..20 {
        refused(&counters, &limiter, "bob").await;
        clock.advance(SECOND);
        rest().await;
    }
    assert_eq!((log.with("fails"), log.with("counts answers again")), (2, 1));
    let all = format!("{:?}", log.events());
    assert!(!all.contains("hunter2") && !all.contains("bob"), "{all}");
}

#[tokio::test]
async fn who_answers_but_does_not_count_is_no_store() {
    let clock = Clock::manual();
    let (store, counters) = insured(&clock);
    let limiter = Limiter::new("login", 3, MINUTE);
    store.goes(How::ReadOnly);
    for n in 1..=9 {
        assert_eq!(refused(&counters, &limiter, "ann").await, n > 3, "{n}");
    }
    for _ in 0..5 {
        clock.advance(SECOND);
        assert!(limiter.get(&counters, "ann").await.unwrap().unwrap().is_over());
        rest().await;
        assert!(counters.state().down_for.is_some());
    }
}

#[tokio::test]
async fn a_key_that_the_store_refuses_keeps_nobody_else_from_it() {
    let clock = Clock::manual();
    let (store, counters) = insured(&clock);
    let limiter = Limiter::new("login", 3, MINUTE);
    store.goes(How::Gone);
    limiter.penalty(&counters, "ann", 1).await.unwrap();
    limiter.penalty(&counters, "bob", 2).await.unwrap();
    limiter.block(&counters, "eve", MINUTE).await.unwrap();
    store.goes(How::Well);
    store.breaks(Some("login:ann"));
    clock.advance(SECOND);
    limiter.get(&counters, "ann").await.unwrap();
    rest().await;
    assert_eq!(counters.state().down_for, None);
    assert_eq!(store.stands(limiter.key("bob")).await.unwrap().points, 2);
    assert_eq!(store.stands(limiter.key("eve")).await.unwrap().points, 4);
    assert_eq!(limiter.penalty(&counters, "ann", 1).await.unwrap().consumed(), 2, "memory's count");
}

#[tokio::test]
async fn of_what_is_left_each_machine_gives_out_its_share() {
    let clock = Clock::manual();
    for (points, machines, before, share) in [
        (10, 1, 0, 10),
        (10, 3, 0, 4),
        (10, 3, 7, 1),
        (10, 3, 6, 2),
        (10, 3, 10, 0),
        (10, 100, 0, 1),
        (0, 2, 0, 0),
        (3, 0, 0, 3),
    ] {
        let (store, counters) = insured(&clock);
        let counters = counters.machines(machines);
        let limiter = Limiter::new("login", points, MINUTE).block_time(60 * MINUTE);
        for _ in 0..before {
            assert!(!refused(&counters, &limiter, "ann").await);
        }
        store.goes(How::Gone);
        let row = format!("{points} points, {machines} machines, {before} before");
        for n in 0..share {
            let verdict = limiter.consume(&counters, "ann", 1).await.unwrap();
            assert!(!verdict.is_refused(), "{row}");
            assert_eq!(verdict.standing().remaining(), share - n - 1, "{row}");
        }
        let Verdict::Refused(standing) = limiter.consume(&counters, "ann", 1).await.unwrap() else {
            panic!("{row}");
        };
        assert_eq!(standing.left(), Some(60 * MINUTE), "{row}");
        assert!(limiter.get(&counters, "ann").await.unwrap().unwrap().is_over(), "{row}");
        // What is told is what was counted, and not the share of others.
        store.goes(How::Well);
        clock.advance(SECOND);
        limiter.get(&counters, "nobody").await.unwrap();
        rest().await;
        let points = store.stands(limiter.key("ann")).await.unwrap().points;
        assert_eq!(points, i64::from(before) + share + 1, "{row}");
    }
}

#[tokio::test]
async fn who_is_over_the_line_costs_the_store_one_question_in_two_seconds() {
    let clock = Clock::manual();
    let (store, counters) = insured(&clock);
    let limiter = Limiter::new("login", 3, MINUTE);
    for n in 1..=5 {
        assert_eq!(refused(&counters, &limiter, "ann").await, n > 3);
    }
    assert_eq!(store.asked(), 4);
    for n in 6..=1_000 {
        let standing = limiter.consume(&counters, "ann", 1).await.unwrap().standing();
        assert_eq!((standing.consumed(), standing.left()), (n, Some(MINUTE)));
        assert_eq!(limiter.get(&counters, "ann").await.unwrap(), Some(standing));
    }
    assert_eq!((store.asked(), counters.state().spared), (0, 996 + 995));
    clock.advance(2 * SECOND);
    assert!(refused(&counters, &limiter, "ann").await);
    assert_eq!(store.stands(limiter.key("ann")).await.unwrap().points, 1_001, "and told it the hits");
    assert!(refused(&counters, &limiter, "ann").await);
    assert_eq!(store.asked(), 1);

    // Lifted here, it is at once; lifted elsewhere, two seconds later.
    assert!(limiter.delete(&counters, "ann").await.unwrap());
    assert!(!refused(&counters, &limiter, "ann").await);
    limiter.penalty(&counters, "ann", 9).await.unwrap();
    store.lift(limiter.key("ann")).await;
    assert!(refused(&counters, &limiter, "ann").await);
    clock.advance(2 * SECOND);
    assert!(!refused(&counters, &limiter, "ann").await);
    assert!(!refused(&counters, &limiter, "ann").await);

    // Points that are given back are told at once, and with them what was not told yet.
    limiter.penalty(&counters, "ann", 9).await.unwrap();
    assert!(refused(&counters, &limiter, "ann").await);
    assert_eq!(limiter.reward(&counters, "ann", 5).await.unwrap().consumed(), 2 + 9 + 1 - 5 + 1);
    assert_eq!(limiter.reward(&counters, "ann", 5).await.unwrap().consumed(), 3);
    assert!(!limiter.get(&counters, "ann").await.unwrap().unwrap().is_over());
}

#[tokio::test]
async fn a_question_that_was_given_up_is_carried_out() {
    let clock = Clock::manual();
    let (store, counters) = insured(&clock);
    let limiter = Limiter::new("login", 3, MINUTE);
    store.goes(How::Hangs);
    for _ in 0..3 {
        let asking = limiter.consume(&counters, "ann", 1);
        assert!(tokio::time::timeout(Duration::from_millis(20), asking).await.is_err());
    }
    assert_eq!(store.asked(), 3);
    store.goes(How::Gone);
    rest().await;
    assert!(counters.state().down_for.is_some());
    assert!(refused(&counters, &limiter, "ann").await, "three hits are counted");
}

#[tokio::test]
async fn blocks_and_lifts_are_told_when_the_store_answers_again() {
    let clock = Clock::manual();
    let (store, counters) = insured(&clock);
    let limiter = Limiter::new("login", 3, MINUTE).block_time(10 * MINUTE);
    for name in ["lifted", "kept", "lost"] {
        limiter.penalty(&counters, name, 9).await.unwrap();
    }
    store.goes(How::Gone);
    limiter.block(&counters, "blocked", 5 * MINUTE).await.unwrap();
    assert!(limiter.delete(&counters, "lifted").await.unwrap());
    assert!(!refused(&counters, &limiter, "lifted").await);
    limiter.set(&counters, "set", 2, 2 * MINUTE).await.unwrap();
    assert!(!refused(&counters, &limiter, "set").await);
    for _ in 0..4 {
        refused(&counters, &limiter, "here").await;
    }
    assert!(refused(&counters, &limiter, "lost").await);
    clock.advance(MINUTE);
    // As a server that was started anew.
    store.lift(limiter.key("lost")).await;
    store.goes(How::Well);
    limiter.get(&counters, "nobody").await.unwrap();
    rest().await;
    assert_eq!((counters.state().down_for, counters.state().owed), (None, 0));
    for (name, points, minutes) in [
        ("blocked", 4, 4),
        ("set", 3, 1),
        ("here", 4, 9), // the block began a minute ago
        ("lost", 10, 9),
        ("kept", 9, 9),
    ] {
        let count = store.stands(limiter.key(name)).await.unwrap();
        assert_eq!((count.points, count.left), (points, Some(minutes * MINUTE)), "{name}");
    }
    assert_eq!(
        store.stands(limiter.key("lifted")).await,
        None,
        "its hit is over by now, and the block was lifted"
    );
}

#[tokio::test]
async fn who_is_kept_out_is_also_while_the_store_is_told_so() {
    let clock = Clock::manual();
    let (store, counters) = insured(&clock);
    let limiter = Limiter::new("login", 3, MINUTE).block_time(10 * MINUTE);
    limiter.penalty(&counters, "eve", 4).await.unwrap();
    store.goes(How::Gone);
    clock.advance(2 * SECOND);
    assert!(refused(&counters, &limiter, "eve").await);
    // As a server that was started anew: it is told her hit, and then her block.
    store.lift(limiter.key("eve")).await;
    store.goes(How::StepByStep);
    clock.advance(SECOND);
    limiter.get(&counters, "nobody").await.unwrap();
    rest().await;
    store.answers_one();
    rest().await;
    assert_eq!(store.stands(limiter.key("eve")).await.unwrap().points, 1, "one of two steps is done");
    store.asked();
    assert!(refused(&counters, &limiter, "eve").await);
    assert_eq!((store.asked(), counters.state().owed), (0, 2));
    assert!(limiter.delete(&counters, "eve").await.unwrap(), "an operator waits for nothing");
    assert!(!refused(&counters, &limiter, "eve").await);
    store.goes(How::Well);
    rest().await;
    assert_eq!((counters.state().down_for, counters.state().owed), (None, 0));
    assert_eq!(store.stands(limiter.key("eve")).await.unwrap().points, 1, "what came last was told last");
}

#[tokio::test]
async fn what_one_key_owes_is_told_though_nobody_asks_for_it_again() {
    let clock = Clock::manual();
    let (store, counters) = insured(&clock);
    let limiter = Limiter::new("login", 3, MINUTE);
    store.goes(How::Late);
    limiter.penalty(&counters, "ann", 1).await.unwrap();
    store.goes(How::Well);
    assert_eq!((counters.state().down_for, counters.state().owed), (None, 1), "late once is no outage");
    limiter.penalty(&counters, "bob", 1).await.unwrap();
    rest().await;
    assert_eq!(counters.state().owed, 0);
    assert_eq!(store.stands(limiter.key("ann")).await.unwrap().points, 2, "once too often, not too seldom");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Consume(&'static str, u32),
    Penalty(&'static str, u32),
    Get(&'static str),
    Block(&'static str, u64),
    Set(&'static str, i64, u64),
    Delete(&'static str),
    Pass(u64),
    Goes(How),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || prop_oneof![Just("ann"), Just("bob")];
    let how = prop_oneof![3 => Just(How::Well), 2 => Just(How::Gone), 1 => Just(How::ReadOnly)];
    let step = prop_oneof![
        12 => (name(), 1_u32..3).prop_map(|(name, points)| Step::Consume(name, points)),
        2 => (name(), 1_u32..3).prop_map(|(name, points)| Step::Penalty(name, points)),
        3 => name().prop_map(Step::Get),
        1 => (name(), 0_u64..90_000).prop_map(|(name, time)| Step::Block(name, time)),
        1 => (name(), 0_i64..6, 0_u64..90_000).prop_map(|(name, points, time)| Step::Set(name, points, time)),
        1 => name().prop_map(Step::Delete),
        4 => (0_u64..9_000).prop_map(Step::Pass),
        3 => how.prop_map(Step::Goes),
    ];
    prop::collection::vec(step, 1..120)
}

fn run(work: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

proptest! {
    /// Whatever becomes of its store, one machine counts as one whose store never fails.
    #[test]
    fn one_machine_does_not_see_that_its_store_fails(steps in steps(), blocks in any::<bool>()) {
        let clock = Clock::manual();
        run(async move {
            let (store, counters) = insured(&clock);
            let model = Memory::with_clock(clock.clone());
            let block = if blocks { 2 * MINUTE } else { Duration::ZERO };
            let limiter = Limiter::new("login", 5, MINUTE / 2).block_time(block);
            // Of who is over the line the store may not know the hits that had ended there when the block began here.
            let told = |points: i64, left| (points.min(6), left);
            for (n, step) in steps.into_iter().enumerate() {
                let both: [&dyn Counters; 2] = [&counters, &model];
                let mut said = Vec::new();
                for counters in both {
                    let standing = match step {
                        Step::Consume(name, points) => {
                            Some(limiter.consume(counters, name, points).await.unwrap().standing())
                        }
                        Step::Penalty(name, points) => Some(limiter.penalty(counters, name, points).await.unwrap()),
                        Step::Get(name) => limiter.get(counters, name).await.unwrap(),
                        Step::Block(name, time) => {
                            Some(limiter.block(counters, name, Duration::from_millis(time)).await.unwrap())
                        }
                        Step::Set(name, points, time) => {
                            Some(limiter.set(counters, name, points, Duration::from_millis(time)).await.unwrap())
                        }
                        Step::Delete(name) => {
                            limiter.delete(counters, name).await.unwrap();
                            None
                        }
                        Step::Pass(_) | Step::Goes(_) => None,
                    };
                    said.push(standing.map(|standing| told(standing.consumed(), standing.left())));
                }
                match step {
                    Step::Pass(time) => clock.advance(Duration::from_millis(time)),
                    Step::Goes(how) => store.goes(how),
                    _ => {}
                }
                rest().await;
                prop_assert_eq!(said[0], said[1], "step {}, {:?}", n, step);
            }
            // And in the end the store knows it all.
            store.goes(How::Well);
            clock.advance(6 * SECOND);
            limiter.get(&counters, "nobody").await.unwrap();
            rest().await;
            for name in ["ann", "bob"] {
                limiter.reward(&counters, name, 0).await.unwrap();
                limiter.reward(&model, name, 0).await.unwrap();
                let (found, expected) = (store.stands(limiter.key(name)).await, limiter.get(&model, name).await.unwrap());
                let found = found.map(|count| told(count.points, count.left));
                let expected = expected.map(|standing| told(standing.consumed(), standing.left()));
                prop_assert_eq!(found, expected, "{}", name);
            }
            Ok(())
        })?;
    }

    /// Answers that are lost, points that are given back, and several machines: never more than each one's part above
    /// what one store would have given out.
    #[test]
    fn no_failure_gives_out_more_than_the_shares(
        steps in prop::collection::vec((0_usize..3, -2_i64..4, 0_u64..3_000, prop::option::weighted(0.3, 0_u8..4)), 1..200),
    ) {
        let clock = Clock::manual();
        run(async move {
            let views: Vec<_> = (0..3).map(|_| Arc::new(Flaky::new(&clock))).collect();
            let shared = Arc::clone(&views[0]);
            views[1..].iter().for_each(|view| view.shares(&shared));
            let machines: Vec<_> = views
                .iter()
                .map(|view| Insured::new(Arc::<Flaky>::clone(view), &clock).machines(3))
                .collect();
            let limiter = Limiter::new("login", 10, 1_000 * MINUTE);
            let (mut admitted, mut returned) = (0, 0);
            for (machine, points, time, how) in steps {
                if let Some(how) = how {
                    let how = [How::Well, How::Gone, How::Late, How::ReadOnly][usize::from(how)];
                    views[machine].goes(how);
                }
                clock.advance(Duration::from_millis(time));
                let counters = &machines[machine];
                if let Ok(points) = u32::try_from(points) {
                    let verdict = limiter.consume(counters, "ann", points).await.unwrap();
                    admitted += if verdict.is_refused() { 0 } else { points };
                } else {
                    // Who gives back had it before.
                    let back = u32::try_from(-points).unwrap().min(admitted - returned);
                    limiter.reward(counters, "ann", back).await.unwrap();
                    returned += back;
                }
                rest().await;
            }
            // The store's ten, and four of each machine that had not heard of them yet.
            prop_assert!(admitted - returned <= 10 + 3 * 4, "{} of 10 were given out", admitted - returned);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn however_many_keys_come_while_it_fails_memory_is_bounded() {
    let clock = Clock::manual();
    let (store, counters) = insured(&clock);
    let counters = counters.memory(Memory::with_clock(clock.clone()).capacity(1_024));
    store.goes(How::Gone);
    let limiter = Limiter::new("login", 3, MINUTE);
    for n in 0..100_000 {
        let name = format!("{n}-{}", "x".repeat(n % 1_000));
        assert!(!refused(&counters, &limiter, &name).await);
    }
    let owed = counters.state().owed;
    assert!((10_000..90_000).contains(&owed), "{owed}");
}
