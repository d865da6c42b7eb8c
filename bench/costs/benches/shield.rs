//! What a whole shield adds to a request: `cargo bench -p panoply-costs --bench shield`.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use panoply_costs::shield::{Visitor, answer, page};
use tower::{Layer, Service, service_fn};

fn requests(criterion: &mut Criterion) {
    let visitor = Visitor::default();
    let mut bare = service_fn(page);
    let mut shielded = visitor.shield().layer(service_fn(page));
    let mut group = criterion.benchmark_group("request");
    group.bench_function("bare", |bencher| {
        bencher.iter_batched(|| visitor.request(), |request| answer(bare.call(request)), AT_ONCE);
    });
    group.bench_function("shielded", |bencher| {
        bencher.iter_batched(|| visitor.request(), |request| answer(shielded.call(request)), AT_ONCE);
    });
    group.finish();
}

/// The clock stands still while a batch is asked, so that it has to be smaller than the burst of `rate_limit`.
const AT_ONCE: BatchSize = BatchSize::NumIterations(1_000);

criterion_group!(benches, requests);
criterion_main!(benches);
