//! What it costs to know a visitor again: `cargo bench -p panoply --bench sessions`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use panoply::keys::{Context, Encoding, Hash};
use panoply::{Keys, cookie_header};

fn keys(criterion: &mut Criterion) {
    let keys = Keys::new([Keys::generate()]).expect("it was generated");
    let mut group = criterion.benchmark_group("keys");

    let id = "Q7nD0bYhU4mGd2QpKcYw1hV5r8s3t6Zx";
    let signed = keys.sign_cookie(id);
    group
        .bench_function("cookie-signature: sign", |bencher| bencher.iter(|| keys.sign_cookie(black_box(id))));
    group.bench_function("cookie-signature: unsign", |bencher| {
        bencher.iter(|| keys.unsign_cookie(black_box(&signed)));
    });

    let keygrip = keys.keygrip(Hash::default(), Encoding::default());
    let data = "session=eyJ1c2VyIjoiYW5uIiwiY2FydCI6WzEsMiwzXX0=";
    let signature = keygrip.sign(data);
    group.bench_function("keygrip: verify", |bencher| {
        bencher.iter(|| keygrip.verify(black_box(data), &signature));
    });

    let own = keys.signature("bench");
    let mac = own.sign(id.as_bytes());
    group.bench_function("signature: verify", |bencher| {
        bencher.iter(|| own.verify(black_box(id.as_bytes()), mac.as_bytes()));
    });

    let seal = keys.seal("bench");
    let cart = Context { site: "shop.example", name: "cart" };
    let now = Duration::from_secs(1_800_000_000);
    for length in [32, 2048] {
        let plain = vec![b'x'; length];
        let sealed = seal.seal(&cart, &plain, now);
        group.bench_function(format!("seal: {length} bytes"), |bencher| {
            bencher.iter(|| seal.seal(&cart, black_box(&plain), now));
        });
        group.bench_function(format!("open: {length} bytes"), |bencher| {
            bencher.iter(|| seal.open(&cart, black_box(sealed.as_bytes())));
        });
    }
    group.finish();
}

fn header(criterion: &mut Criterion) {
    let mut headers = HeaderMap::new();
    let sent = "_ga=GA1.1.1234567890.1700000000; theme=dark; \
        connect.sid=s%3Aabc.BpxCrWRpvZMh%2Fwk%2Fdjl34N%2Bm%2BVQEU7K%2F5WenLwJCgFU";
    headers.insert(COOKIE, HeaderValue::from_static(sent));
    criterion.bench_function("cookie header: find the third", |bencher| {
        bencher.iter(|| black_box(cookie_header::find(black_box(&headers), "connect.sid")).is_some());
    });
}

criterion_group!(sessions, keys, header);
criterion_main!(sessions);
