//! Decisions in memory, one after the other on one thread: `panoply-bench-counters SIDE KEYS DECISIONS` prints how many
//! there were in a second; `panoply-bench-counters flood KEYS` what so many new addresses take of memory.

mod flood;

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::{Quota, RateLimiter};
use panoply::counters::{Limiter, Memory};
use panoply_costs::counters::{Keys, decide};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    match &*arguments {
        [_, flood, keys] if flood == "flood" => flood::measure(keys.parse()?),
        [_, side, keys, decisions] => compare(side, keys.parse()?, decisions.parse()?),
        _ => Err("usage: panoply-bench-counters panoply|governor KEYS DECISIONS, or flood KEYS".into()),
    }
}

fn compare(side: &str, keys: usize, decisions: usize) -> Result<(), Failure> {
    let names = Keys::new(keys);
    match side {
        "panoply" => {
            // A half more places than keys.
            let memory = Memory::new().capacity(keys + keys / 2);
            let limiter = Limiter::new("login", u32::MAX, Duration::from_secs(86_400));
            time(&names, keys, decisions, |name| { let _ = black_box(decide(&limiter, &memory, name)); });
        }
        "governor" => {
            let limiter = RateLimiter::dashmap(Quota::per_second(NonZeroU32::MAX));
            // It takes its keys by reference, and owns them.
            let names: Vec<String> = (0..keys).map(|n| names.of(n).to_owned()).collect();
            let mut n = 0;
            time(&Keys::new(keys), keys, decisions, |_| {
                assert!(names.get(n % keys).is_some_and(|name| limiter.check_key(name).is_ok()));
                n += 1;
            });
        }
        side => return Err(format!("there is no side `{side}`").into()),
    }
    Ok(())
}

/// Each of so many keys is there before the clock starts.
fn time(names: &Keys, keys: usize, decisions: usize, mut decide: impl FnMut(&str)) {
    (0..keys).for_each(|n| decide(names.of(n)));
    let start = Instant::now();
    (0..decisions).for_each(|n| decide(names.of(n)));
    println!("{:.0}", decisions as f64 / start.elapsed().as_secs_f64());
}
