//! A whole shield, and the same app without one.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, ETAG, HOST, SET_COOKIE, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{Empty, Full};
use panoply::{Clock, Connection, Shield, World};
use tower::{Layer, Service, service_fn};

/// So many requests to `bare` or `shielded`. Both sides are set up whichever is run, so that only the requests differ.
pub fn run(side: &str, requests: u32) {
    let visitor = Visitor::default();
    let mut bare = service_fn(page);
    let mut shielded = visitor.shield().layer(service_fn(page));
    for _ in 0..requests {
        let request = visitor.request();
        match side {
            "bare" => drop(black_box(answer(bare.call(request)))),
            _ => drop(black_box(answer(shielded.call(request)))),
        }
    }
}

/// What the app answers.
pub type Page = Response<Full<Bytes>>;

/// A browser that is not quite fast enough to be a flood.
#[derive(Debug)]
pub struct Visitor {
    request: Request<Empty<Bytes>>,
    clock: Clock,
}

impl Default for Visitor {
    fn default() -> Self {
        let mut request = Request::new(Empty::new());
        for (name, value) in [
            (HOST, "shop.example"),
            (USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            (ACCEPT, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            (ACCEPT_LANGUAGE, "en-US,en;q=0.5"),
            (COOKIE, "session=0123456789abcdef0123456789abcdef; theme=dark"),
            (HeaderName::from_static("sec-fetch-site"), "same-origin"),
            (HeaderName::from_static("sec-fetch-mode"), "navigate"),
            (HeaderName::from_static("sec-fetch-dest"), "document"),
        ] {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        request.extensions_mut().insert(Connection::tls(([192, 0, 2, 1], 50_000).into()));
        Self { request, clock: Clock::manual() }
    }
}

impl Visitor {
    /// The next, twenty milliseconds later.
    #[must_use]
    pub fn request(&self) -> Request<Empty<Bytes>> {
        self.clock.advance(Duration::from_millis(20));
        self.request.clone()
    }

    /// By his clock.
    #[must_use]
    pub fn shield(&self) -> Shield {
        let named = Shield::for_hosts(["shop.example"]);
        named.unwrap_or_default().world(World::new(self.clock.clone()).into())
    }
}

/// An app that costs nothing, and leaves something to do for every practice.
pub async fn page<B>(_: Request<B>) -> Result<Page, Infallible> {
    let mut page = Response::new(Full::new(Bytes::from_static(&[b'x'; 1024])));
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (ETAG, "\"400-x\""),
        (SET_COOKIE, "session=0123456789abcdef0123456789abcdef; Path=/"),
        (HeaderName::from_static("x-powered-by"), "Express"),
    ] {
        page.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(page)
}

/// Nothing here waits, so one poll is enough and no runtime takes part.
///
/// # Panics
/// When the visitor was refused: then something else is measured.
pub fn answer<B>(answer: impl Future<Output = Result<Response<B>, Infallible>>) -> Response<B> {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(answer)) => {
            assert!(answer.status().is_success(), "the visitor was refused: {}", answer.status());
            answer
        }
        Poll::Pending => unreachable!("a shield without a remote store decides at once"),
    }
}
