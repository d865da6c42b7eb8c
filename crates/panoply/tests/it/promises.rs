//! What holds for every shield, whatever it is made of: any practices in any order, any request, any answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use panoply::practices::sessions::Ticket;
use panoply::{
    BruteForce, Clock, Connection, CookieSession, Cookies, Csrf, Errors, Fingerprint, Guard, Headers, Hosts,
    Keys, Limits, Policy, Practice, RateLimit, Redirects, RequestBody, Shield, World,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tower::{Layer, ServiceExt, service_fn};

use crate::app::{Answer, read};

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_has_the_headers(plan in plan(), asked in asked(), said in said()) {
        let plan = plan.with(Practice::Headers);
        let answer = plan.visited(asked, said).answer;
        // In front, a 304 does not change what a cache has stored, and an answer of no type stays readable.
        let stored = plan.in_front && answer.status == 304;
        let untyped = plan.in_front && !answer.headers.contains_key("content-type");
        for name in HEADERS {
            let excused = stored || (untyped && name == "x-content-type-options");
            prop_assert!(excused || answer.headers.contains_key(name), "{name} is missing in {answer:?}");
        }
    }

    #[test]
    fn no_cookie_leaves_unhardened(plan in plan(), asked in asked(), said in said()) {
        let plan = plan.with(Practice::Cookies);
        let leads_away = said.leads_away();
        let visit = plan.clone().visited(asked, said);
        for line in visit.answer.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap().to_ascii_lowercase();
            prop_assert!(line.contains("; secure"), "{line}");
            // In front, a login that comes back from elsewhere may need its cookie there.
            prop_assert!(line.contains("; samesite=") || (plan.in_front && leads_away), "{line}");
        }
    }

    #[test]
    fn refused_means_that_the_app_was_not_called(plan in plan(), asked in asked(), said in said()) {
        // Two refuse later: redirects, which judges the answer, and limits, when the app reads too much.
        let plan = plan.without(Practice::Redirects);
        let Visited { answer, calls } = plan.visited(asked, said.clone());
        let answered_by_app = answer.headers.contains_key("x-app") || matches!(said, Said::Failure);
        match calls {
            0 => prop_assert!(
                !answer.headers.contains_key("x-app") && answer.status.as_u16() >= 300, "{answer:?}"
            ),
            1 => prop_assert!(answered_by_app || answer.status == 413, "{answer:?}"),
            more => prop_assert!(false, "called {more} times"),
        }
    }

    #[test]
    fn the_order_of_builders_is_irrelevant(plan in plan(), asked in asked(), said in said()) {
        let mut backwards = plan.clone();
        backwards.practices.reverse();
        let (one, other) = (plan.visited(asked.clone(), said.clone()), backwards.visited(asked, said));
        prop_assert_eq!(one.answer.status, other.answer.status);
        prop_assert_eq!(one.answer.body.len(), other.answer.body.len()); // ids differ
        prop_assert_eq!(one.answer.headers, other.answer.headers);
        prop_assert_eq!(one.calls, other.calls);
    }

    #[test]
    fn no_answer_names_the_software(plan in plan(), asked in asked(), said in said()) {
        let visit = plan.with(Practice::Fingerprint).visited(asked, said);
        for name in ["server", "x-powered-by"] {
            prop_assert!(!visit.answer.headers.contains_key(name), "{:?}", visit.answer);
        }
    }

    #[test]
    fn no_error_shows_where_it_happened(plan in plan(), asked in asked(), said in said()) {
        let visit = plan.with(Practice::Errors).visited(asked, said);
        let error = visit.answer.status.as_u16() >= 400
            && visit.answer.headers.get("content-type").is_none_or(|kind| kind != "text/event-stream");
        let text = String::from_utf8_lossy(&visit.answer.body);
        prop_assert!(!(error && text.contains("/srv/")), "{:?}", visit.answer);
    }

    #[test]
    fn observing_changes_nothing(plan in plan(), asked in asked(), said in said()) {
        let bare = Plan { practices: Vec::new(), ..plan.clone() };
        let watched = Plan { observe: true, ..plan };
        let (seen, bare) = (watched.visited(asked.clone(), said.clone()), bare.visited(asked, said.clone()));
        prop_assert_eq!(seen.calls, 1);
        prop_assert_eq!(seen.answer.headers, bare.answer.headers);
        if !matches!(said, Said::Failure) { // whose page has an id of its own
            prop_assert_eq!(seen.answer.body, bare.answer.body);
        }
    }
}

#[test]
fn a_refusal_spares_the_app_and_has_the_headers() {
    let evil_page = vec![("host", "shop.example"), ("origin", "https://evil.example")];
    for (practice, method, headers, status) in [
        (Practice::Hosts, Method::GET, vec![("host", "evil.example")], 421),
        (
            Practice::Limits,
            Method::POST,
            vec![("host", "shop.example"), ("content-length", "99999999999")],
            413,
        ),
        (Practice::Csrf, Method::POST, evil_page, 403),
    ] {
        let plan = Plan { practices: vec![practice, Practice::Headers], in_front: false, observe: false };
        let asked = Asked { method, target: "/", headers, body: 0 };
        let said = Said::Answer { status: 200, headers: Vec::new(), body: "hello" };
        let Visited { answer, calls } = plan.visited(asked, said);
        assert_eq!((answer.status.as_u16(), calls), (status, 0), "{practice}: {answer:?}");
        assert!(answer.text().contains(&format!("<title>{status} ")), "{practice}: {answer:?}");
        for name in HEADERS {
            assert!(answer.headers.contains_key(name), "{practice}: {name} is missing in {answer:?}");
        }
    }
}

/// Helmet's, as far as they are sent whatever the scheme, the host and the answer.
const HEADERS: [&str; 6] = [
    "content-security-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
];

/// What to build a shield of, and in which order.
#[derive(Clone, Debug)]
struct Plan {
    practices: Vec<Practice>,
    in_front: bool,
    observe: bool,
}

impl Plan {
    fn with(mut self, practice: Practice) -> Self {
        if !self.practices.contains(&practice) {
            self.practices.push(practice);
        }
        self
    }

    fn without(mut self, practice: Practice) -> Self {
        self.practices.retain(|planned| *planned != practice);
        self
    }

    fn shield(&self) -> Shield {
        let world = Arc::new(World::new(Clock::manual()));
        self.practices.iter().fold(Shield::bare().world(world), |shield, practice| match practice {
            Practice::Hosts => shield.hosts(self.guard_of(Hosts::named(["shop.example"]).unwrap())),
            Practice::Limits => shield.limits(self.guard::<Limits>()),
            Practice::RateLimit => shield.rate_limit(self.guard::<RateLimit>()),
            Practice::Csrf => shield.csrf(self.guard::<Csrf>()),
            Practice::BruteForce => shield.brute_force(self.guard::<BruteForce>()),
            Practice::Redirects => shield.redirects(self.guard::<Redirects>()),
            Practice::Cookies => shield.cookies(self.guard::<Cookies>()),
            Practice::Errors => shield.errors(self.guard::<Errors>()),
            Practice::Fingerprint => shield.fingerprint(self.guard::<Fingerprint>()),
            Practice::Headers => shield.headers(self.guard::<Headers>()),
            // There is nothing to observe. Of the forms this one has nothing random in it.
            Practice::Sessions if self.observe => shield,
            Practice::Sessions => shield.sessions(CookieSession::new(&keys()).readable(&keys())),
            practice => panic!("{practice} is not promised anything about yet"),
        })
    }

    fn guard<P: Policy + Default>(&self) -> Guard<P> {
        self.guard_of(if self.in_front { P::in_front() } else { P::default() })
    }

    fn guard_of<P>(&self, policy: P) -> Guard<P> {
        if self.observe { Guard::Observe(policy) } else { Guard::On(policy) }
    }

    fn visited(&self, asked: Asked, said: Said) -> Visited {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let app = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
            counter.fetch_add(1, Ordering::Relaxed);
            let said = said.clone();
            async move {
                let head = request.method() == Method::HEAD;
                if let Some(ticket) = request.extensions().get::<Ticket>() {
                    ticket.load().await.unwrap().insert("seen", &true).unwrap();
                }
                let _ = request.into_body().collect().await;
                said.response(head)
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let answer =
            runtime.block_on(async { read(self.shield().layer(app).oneshot(asked.request()).await).await });
        Visited { answer, calls: calls.load(Ordering::Relaxed) }
    }
}

fn keys() -> Keys {
    Keys::new(["a ring for tests: 7Jq2xYw9LrT4vKs8"]).unwrap()
}

struct Visited {
    answer: Answer,
    calls: usize,
}

fn plan() -> impl Strategy<Value = Plan> {
    let practices = subsequence(Practice::ALL.to_vec(), 0..=Practice::ALL.len()).prop_shuffle();
    (practices, any::<bool>()).prop_map(|(practices, in_front)| Plan { practices, in_front, observe: false })
}

/// A request over TLS.
#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    target: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: usize,
}

impl Asked {
    fn request(&self) -> Request<Full<Bytes>> {
        let peer: SocketAddr = "192.0.2.7:50000".parse().unwrap();
        let mut request = Request::builder().method(self.method.clone()).uri(self.target);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        request.extension(Connection::tls(peer)).body(Full::new(vec![b'x'; self.body].into())).unwrap()
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];
    let targets = ["/", "/login", "/go?to=https://evil.example/", "/%2e%2e/x", "*", "/a?b=c&d[]=e"];
    let headers = [
        ("host", "shop.example"),
        ("host", "evil.example"),
        ("host", "192.0.2.1"),
        ("host", "shop.example:8443"),
        ("host", "not a host"),
        ("origin", "https://shop.example"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "navigate"),
        ("referer", "https://evil.example/page"),
        ("cookie", "connect.sid=s%3Aabc.def; theme=dark"),
        ("authorization", "Basic dTpw"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("accept", "application/json"),
        ("accept", "text/html"),
        ("upgrade", "websocket"),
        ("x-forwarded-for", "203.0.113.9"),
        ("content-length", "99999999999"),
    ];
    let bodies = prop_oneof![4 => Just(0), 2 => Just(100), 1 => Just(11 << 20)];
    (select(methods.to_vec()), select(targets.to_vec()), subsequence(headers.to_vec(), 0..6), bodies)
        .prop_map(|(method, target, headers, body)| Asked { method, target, headers, body })
}

/// What the app says to it.
#[derive(Clone, Debug)]
enum Said {
    Answer { status: u16, headers: Vec<(&'static str, &'static str)>, body: &'static str },
    Failure,
}

impl Said {
    fn response(self, head: bool) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let Self::Answer { status, headers, body } = self else {
            return Err(std::io::Error::other("connect ECONNREFUSED at /srv/till.js:1:2"));
        };
        let mut response = Response::builder().status(status).header("x-app", "was here");
        for (name, value) in headers {
            response = response.header(name, value);
        }
        Ok(response.body(if head { Bytes::new() } else { body.into() }.into()).unwrap())
    }

    /// Whether it may be a redirect to another site.
    fn leads_away(&self) -> bool {
        let Self::Answer { headers, .. } = self else { return false };
        headers.iter().any(|(name, value)| *name == "location" && value.contains("evil.example"))
    }
}

fn said() -> impl Strategy<Value = Said> {
    let statuses = [200, 201, 204, 206, 301, 302, 304, 400, 401, 403, 404, 422, 500, 503];
    let headers = [
        ("set-cookie", "connect.sid=s%3Aabc.def; Path=/"),
        ("set-cookie", "theme=dark; Max-Age=60"),
        ("set-cookie", "XSRF-TOKEN=abc; SameSite=None; Secure"),
        ("set-cookie", "a=1; HttpOnly; SameSite=Strict"),
        ("location", "/account"),
        ("location", "https://evil.example/"),
        ("location", "//evil.example"),
        ("content-type", "text/html; charset=utf-8"),
        ("content-type", "application/json"),
        ("content-type", "text/event-stream"),
        ("server", "nginx/1.22.1"),
        ("x-powered-by", "Express"),
        ("allow", "GET, HEAD"),
        ("etag", "W/\"5-x\""),
        ("vary", "Origin"),
        ("access-control-allow-origin", "*"),
        ("content-security-policy", "default-src 'none'"),
        ("x-frame-options", "DENY"),
    ];
    let bodies = ["", "hello", "GET, HEAD", "Error: boom\n    at f (/srv/till.js:1:2)\n"];
    let answer = (select(statuses.to_vec()), subsequence(headers.to_vec(), 0..8), select(bodies.to_vec()))
        .prop_map(|(status, headers, body)| Said::Answer { status, headers, body });
    prop_oneof![9 => answer, 1 => Just(Said::Failure)]
}
