//! So many decisions, so many at once, on one thread: `panoply-bench-counters-redis SIDE URL DECISIONS AT_ONCE KEYS`
//! prints how many there were in a second.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use panoply::Clock;
use panoply::counters::{Counters, Insured, Limiter, Redis};
use tokio::task::{JoinSet, LocalSet};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, side, url, decisions, at_once, keys] = &*arguments else {
        return Err("usage: panoply-bench-counters-redis SIDE URL DECISIONS AT_ONCE KEYS".into());
    };
    let (decisions, at_once, keys): (u64, u64, u64) = (decisions.parse()?, at_once.parse()?, keys.parse()?);
    let redis = Arc::new(Redis::connect(url)?);
    let counters: Rc<dyn Counters> = match side.as_str() {
        "redis" => Rc::new(Redis::connect(url)?),
        "insured" => Rc::new(Insured::new(redis, &Clock::system())),
        side => return Err(format!("there is no side `{side}`").into()),
    };
    LocalSet::new().run_until(measure(counters, decisions, at_once, keys)).await
}

async fn measure(counters: Rc<dyn Counters>, decisions: u64, at_once: u64, keys: u64) -> Result<(), Failure> {
    let limiter = Rc::new(Limiter::new("bench", 1_000_000, Duration::from_secs(600)));
    limiter.get(&*counters, "connected").await?;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..at_once {
        let (counters, limiter) = (Rc::clone(&counters), Rc::clone(&limiter));
        tasks.spawn_local(async move {
            // Each its own walk through the keys, in no order that a server could guess.
            let mut random = task.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            for _ in 0..decisions / at_once {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let name = format!("{:012}", random % keys);
                if limiter.consume(&*counters, &name, 1).await.expect("Redis answers").is_refused() {
                    panic!("nobody is over the line");
                }
            }
        });
    }
    tasks.join_all().await;
    let done = decisions / at_once * at_once;
    println!("{:.0}", done as f64 / start.elapsed().as_secs_f64());
    Ok(())
}
