//! What a decision in memory takes: for one key, for a million, and for a million where there is no room for them.
//!
//! `cargo bench -p panoply --bench counters` says it in time, by the machine's clock. Told a side and a number, as in
//! `hot 2000`, the same code runs that often and does nothing else, and `tests/instructions.rs` counts what it took.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use panoply::Clock;
use panoply::counters::{Counters, Limiter, Memory, Verdict};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, side, decisions] = &*arguments
        && let Ok(decisions) = decisions.parse::<usize>()
    {
        run(side, decisions);
    } else {
        let mut criterion = Criterion::default().configure_from_args();
        time(&mut criterion);
        criterion.final_summary();
    }
}

/// All keys are made whichever side is run, so that only the decisions differ.
fn run(side: &str, decisions: usize) {
    // One set, so that it does not depend on the hash's key which keys meet.
    let counters = Memory::with_clock(Clock::manual()).capacity(1);
    let (limiter, keys) = (limiter(), Keys::new(4_096));
    let first = keys.of(0);
    for n in 0..decisions {
        match side {
            "hot" => drop(black_box(decide(&limiter, &counters, first))),
            "new" => drop(black_box(decide(&limiter, &counters, keys.of(n)))),
            _ => drop(black_box((keys.of(n), &counters))),
        }
    }
}

fn time(criterion: &mut Criterion) {
    let (limiter, keys) = (limiter(), Keys::new(1 << 20));
    let mut group = criterion.benchmark_group("decision");
    group.throughput(Throughput::Elements(1));

    let memory = Memory::new();
    group.bench_function("one key", |bencher| {
        bencher.iter(|| decide(&limiter, &memory, keys.of(0)));
    });
    group.bench_function("one key, two threads", |bencher| {
        bencher.iter_custom(|decisions| two_threads(decisions, || decide(&limiter, &memory, keys.of(0))));
    });
    for (name, capacity) in [("a million keys", 3 << 19), ("a million keys in a full memory", 1 << 17)] {
        let memory = Memory::new().capacity(capacity);
        let mut n = 0;
        let mut next = || {
            n += 1;
            decide(&limiter, &memory, keys.of(n))
        };
        for _ in 0..1 << 20 {
            let _ = next();
        }
        group.bench_function(name, |bencher| bencher.iter(&mut next));
    }
    group.finish();
}

/// Both start before the clock does, and it stops when both are done.
#[expect(clippy::disallowed_methods, reason = "a bench measures the machine's time")]
fn two_threads(decisions: u64, decide: impl Fn() -> Verdict + Sync) -> Duration {
    let start = std::sync::Barrier::new(3);
    std::thread::scope(|threads| {
        let threads = [0, 1].map(|n| {
            let (start, decide) = (&start, &decide);
            threads.spawn(move || {
                start.wait();
                for _ in 0..(decisions + n) / 2 {
                    let _ = black_box(decide());
                }
            })
        });
        start.wait();
        let begin = Instant::now();
        for thread in threads {
            thread.join().expect("a decision does not panic");
        }
        begin.elapsed()
    })
}

fn limiter() -> Limiter {
    Limiter::new("login_fail", u32::MAX, Duration::from_secs(86_400))
}

/// Addresses as texts of one length, one after the other: a request's key is warm, its count is not.
struct Keys(String);

impl Keys {
    fn new(keys: usize) -> Self {
        Self((0..keys).map(|n| format!("2001:db8:{:04x}:{:04x}::", n >> 16, n & 0xffff)).collect())
    }

    /// The `n`th, and after the last the first again.
    fn of(&self, n: usize) -> &str {
        let start = n * LENGTH % self.0.len();
        self.0.get(start..start + LENGTH).unwrap_or_default()
    }
}

const LENGTH: usize = "2001:db8:0000:0000::".len();

/// Memory answers at once, so one poll is enough and no runtime takes part.
fn decide(limiter: &Limiter, counters: &dyn Counters, key: &str) -> Verdict {
    match pin!(limiter.consume(counters, key, 1)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(verdict)) => verdict,
        answer => unreachable!("memory neither waits nor fails: {answer:?}"),
    }
}
