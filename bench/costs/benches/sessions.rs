//! What it costs to know a visitor again: `cargo bench -p panoply-costs --bench sessions`.

use std::hint::black_box;
use std::pin::pin;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::Empty;
use panoply::keys::{Context, Encoding, Hash};
use panoply::practices::sessions::Ticket;
use panoply::{CookieSession, Keys, SessionError, Sessions, Shield, cookie_header};
use tower::{Layer, Service, service_fn};

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

/// A visitor's request through a layer that keeps sessions, beside the bare service.
fn request(criterion: &mut Criterion) {
    let ring = Keys::new([Keys::generate()]).expect("it was generated");
    let mut group = criterion.benchmark_group("request");
    let mut bare = service_fn(handle);
    group.bench_function("bare", |bencher| {
        bencher.iter_batched(
            || asks("nothing", ""),
            |request| answer(bare.call(request)),
            BatchSize::SmallInput,
        );
    });
    for (name, shield) in [
        ("store", Shield::bare().sessions(Sessions::new(&ring))),
        (
            "store, as Express",
            Shield::bare().sessions(Sessions::express("sid", &ring).expect("it is a token")),
        ),
        ("sealed cookie", Shield::bare().sessions(CookieSession::new(&ring))),
    ] {
        let mut service = shield.layer(service_fn(handle));
        let first = answer(service.call(asks("write", "")));
        let line = first.headers().get(SET_COOKIE).and_then(|line| line.to_str().ok()).unwrap_or_default();
        let cookie = line.split(';').next().unwrap_or_default();
        for what in ["nothing", "read", "write"] {
            group.bench_function(format!("{name}: {what}"), |bencher| {
                bencher.iter_batched(
                    || asks(what, cookie),
                    |request| answer(service.call(request)),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

fn asks(what: &'static str, cookie: &str) -> Request<Empty<Bytes>> {
    let request =
        Request::get("/").header("host", "shop.example").header("x-do", what).header(COOKIE, cookie);
    request.body(Empty::new()).expect("it is a request")
}

/// All is in memory, so that the first poll is the last.
fn answer<R, E: std::fmt::Debug>(answer: impl Future<Output = Result<R, E>>) -> R {
    match pin!(answer).poll(&mut task::Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.expect("a shield never errs"),
        Poll::Pending => unreachable!("nothing is waited for"),
    }
}

/// Reads the session, writes into it, or asks for none, as the request says.
async fn handle<B>(request: Request<B>) -> Result<Response<Empty<Bytes>>, SessionError> {
    let what = request.headers().get("x-do").map(HeaderValue::as_bytes);
    if let (Some(b"read" | b"write"), Some(ticket)) = (what, request.extensions().get::<Ticket>()) {
        let session = ticket.load().await?;
        let visits = session.get::<u32>("visits")?.unwrap_or(0);
        if what == Some(b"write") {
            session.insert("visits", &(visits + 1))?;
        }
    }
    Ok(Response::new(Empty::new()))
}

criterion_group!(sessions, keys, header, request);
criterion_main!(sessions);
