//! What a decision in memory takes: for one key, for a million, and for a million where there is no room for them. By the
//! machine's clock: `cargo bench -p panoply-costs --bench counters`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use panoply::counters::{Memory, Verdict};
use panoply_costs::counters::{Keys, decide, limiter};

fn decisions(criterion: &mut Criterion) {
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

criterion_group!(benches, decisions);
criterion_main!(benches);
