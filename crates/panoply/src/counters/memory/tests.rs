use std::time::Duration;

use super::set::PLACES;
use super::*;
use crate::counters::{Limiter, Who};

const MINUTE: Duration = Duration::from_secs(60);

fn small(clock: &Clock) -> Memory {
    Memory::with_clock(clock.clone()).capacity(1)
}

#[test]
fn a_full_memory_takes_what_is_said_and_not_a_byte_before_it_counts() {
    let memory = Memory::with_clock(Clock::manual()).capacity(64 * 16);
    assert_eq!(memory.bytes(), 0);
    let limiter = Limiter::new("p", 0, MINUTE);
    for n in 0..10_000 {
        // All are over the line, and their names are long.
        memory.count(limiter.key(&format!("{n:0240}")), 1, limiter.rule());
        let newcomer = Who::named("newcomer").within("2001:db8::/48");
        memory.count(limiter.key(newcomer), 1, limiter.rule());
    }
    assert_eq!(memory.len(), 64 * 16);
    assert!(memory.bytes() <= 44 * 64 * 16, "{}", memory.bytes());
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

#[tokio::test]
async fn who_is_kept_out_is_listed_by_name_as_long_as_that_lasts() {
    let clock = Clock::manual();
    let memory = Memory::with_clock(clock.clone());
    let limiter = Limiter::new("login", 3, MINUTE).block_time(2 * MINUTE);
    assert!(limiter.over(&memory).await.unwrap().is_empty());
    limiter.penalty(&memory, "within", 3).await.unwrap();
    limiter.penalty(&memory, "over", 4).await.unwrap();
    limiter.block(&memory, "blocked", Duration::ZERO).await.unwrap();
    limiter.set(&memory, "by hand", 9, MINUTE).await.unwrap();
    limiter.set(&memory, "little", 2, MINUTE).await.unwrap();
    limiter.block(&memory, &"long".repeat(63), MINUTE).await.unwrap(); // 252 bytes, and 6 of the prefix
    Limiter::new("login_other", 0, MINUTE).penalty(&memory, "elsewhere", 1).await.unwrap();
    Limiter::new("", 0, MINUTE).penalty(&memory, "bare", 1).await.unwrap();
    let listed = async || {
        let over = limiter.over(&memory).await.unwrap();
        let mut over: Vec<_> =
            over.iter().map(|(name, over)| (name.clone(), over.consumed(), over.left())).collect();
        over.sort();
        over
    };
    let line = |name: &str, points, left: Option<Duration>| (name.to_owned(), points, left);
    let [blocked, by_hand, over] =
        [line("blocked", 4, None), line("by hand", 9, Some(MINUTE)), line("over", 4, Some(2 * MINUTE))];
    assert_eq!(listed().await, [blocked.clone(), by_hand, over]);
    assert_eq!(
        Limiter::new("", 3, MINUTE).over(&memory).await.unwrap().len(),
        3,
        "an empty prefix is anybody's"
    );
    limiter.reward(&memory, "over", 1).await.unwrap();
    clock.advance(MINUTE);
    assert_eq!(listed().await, std::slice::from_ref(&blocked), "the others are let in, or have ended");
    limiter.penalty(&memory, "over", 1).await.unwrap();
    assert_eq!(listed().await, [blocked, line("over", 4, Some(2 * MINUTE))], "and once more");
    for name in ["blocked", "over"] {
        assert!(limiter.delete(&memory, name).await.unwrap(), "{name}");
    }
    assert!(listed().await.is_empty());
}

#[tokio::test]
async fn the_names_of_those_who_are_let_in_make_room_and_no_more_are_listed_than_is_said() {
    let clock = Clock::manual();
    let memory = small(&clock);
    let limiter = Limiter::new("login", 0, MINUTE);
    for round in 0..4 {
        for n in 0..PLACES {
            limiter.penalty(&memory, &format!("{round} {n:050}"), 1).await.unwrap();
        }
        let over = limiter.over(&memory).await.unwrap();
        assert_eq!(over.len(), 8, "{round}");
        assert!(over.iter().all(|(name, _)| name.starts_with(&round.to_string())), "{over:?}");
        clock.advance(MINUTE);
    }
    let large = Memory::with_clock(clock);
    for n in 0..2 * MOST_LISTED {
        limiter.penalty(&large, &n.to_string(), 1).await.unwrap();
    }
    assert_eq!(limiter.over(&large).await.unwrap().len(), MOST_LISTED);
}

#[tokio::test]
async fn where_all_are_blocked_newcomers_share_the_count_of_their_network() {
    let clock = Clock::manual();
    let memory = small(&clock);
    let limiter = Limiter::new("", 3, MINUTE).block_time(2 * MINUTE);
    for n in 0..PLACES {
        limiter
            .block(&memory, &n.to_string(), if n == 7 { MINUTE / 2 } else { Duration::ZERO })
            .await
            .unwrap();
    }
    let [ann, bob] = ["ann", "bob"].map(|name| Who::named(name).within("192.0.2.0/24"));
    let eve = Who::named("eve").within("198.51.100.0/24");
    assert_eq!(limiter.get(&memory, ann).await.unwrap(), None, "the network has hit nothing yet");
    assert!(limiter.get(&memory, "ann").await.unwrap().unwrap().is_over(), "without a network he is refused");
    for (who, consumed, refused) in [
        (ann, 1, false),
        (bob, 2, false),
        (eve, 1, false),
        (Who::from("9"), 5, true), // one of those that are blocked stands for himself
        (ann, 3, false),
    ] {
        let verdict = limiter.consume(&memory, who, 1).await.unwrap();
        assert_eq!((verdict.standing().consumed(), verdict.is_refused()), (consumed, refused), "{who:?}");
    }
    assert_eq!(
        limiter.reward(&memory, bob, 9).await.unwrap().consumed(),
        0,
        "nobody gives more than there is"
    );
    clock.advance(MINUTE / 2);
    // There is a place again, but what they share goes on to its end.
    for consumed in 1..=3 {
        let standing = limiter.consume(&memory, bob, 1).await.unwrap().standing();
        assert_eq!(
            (standing.consumed(), standing.left()),
            (consumed, Some(MINUTE)),
            "every hit moves the end"
        );
    }
    assert!(limiter.consume(&memory, ann, 1).await.unwrap().is_refused());
    assert!(limiter.get(&memory, bob).await.unwrap().unwrap().is_over());
    assert!(!limiter.consume(&memory, "new", 1).await.unwrap().is_refused(), "the place is free");
    assert!(!limiter.delete(&memory, bob).await.unwrap(), "one of them does not set the others free");
    let over = limiter.over(&memory).await.unwrap();
    let network = over.iter().find(|(name, _)| name == "192.0.2.0/24").map(|(_, over)| over.left());
    assert_eq!(network, Some(Some(2 * MINUTE)));
    assert!(limiter.delete(&memory, "192.0.2.0/24").await.unwrap(), "an operator does");
    assert_eq!(limiter.consume(&memory, ann, 1).await.unwrap().standing().consumed(), 1);
}

#[test]
fn threads_at_once_never_admit_more_than_the_points_nor_free_anybody_in_a_flood() {
    let memory = small(&Clock::manual());
    let limiter = Limiter::new("", 100, MINUTE);
    let consume = |name: &str, points| {
        let count = memory.count(limiter.key(name), points, limiter.rule());
        !limiter.rule().is_over(count.points)
    };
    // More than a stranger of the flood has, so that it is never the least; the blocked are as few.
    let names: Vec<String> = (0..PLACES / 4).map(|n| format!("name {n}")).collect();
    let blocked: Vec<String> = (0..PLACES / 4).map(|n| format!("blocked {n}")).collect();
    assert!(names.iter().all(|name| consume(name, 2)) && !blocked.iter().any(|name| consume(name, 101)));
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (names, blocked) = (&names, &blocked);
                scope.spawn(move || {
                    let mut admitted = 0;
                    for n in 0..200 {
                        admitted += names.iter().filter(|name| consume(name, 1)).count();
                        assert!(!blocked.iter().any(|name| consume(name, 1)), "{n}");
                        for stranger in 0..PLACES {
                            assert!(consume(&format!("{thread} {n} {stranger}"), 1));
                        }
                    }
                    admitted
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 98 * names.len());
    assert_eq!(memory.len(), PLACES);
}

#[test]
fn a_flood_of_addresses_stays_in_its_memory_and_frees_nobody() {
    let memory = Memory::with_clock(Clock::manual());
    let limiter = Limiter::new("login", 0, MINUTE);
    let consume = |name: &str| memory.count(limiter.key(name), 1, limiter.rule()).points;
    assert!((0..100).all(|n| consume(&format!("blocked {n}")) == 1));
    let flood = Limiter::new("flood", 10, MINUTE);
    for n in 0..300_000_u32 {
        let address = std::net::Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n) << 64);
        memory.count(flood.key(&address.to_string()), 1, flood.rule());
    }
    assert!(memory.len() <= CAPACITY && memory.bytes() <= 44 * CAPACITY, "{}", memory.bytes());
    for n in 0..100 {
        assert_eq!(consume(&format!("blocked {n}")), 2, "{n} began anew");
    }
}
