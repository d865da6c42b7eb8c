//! What the app sets goes out to a browser and comes back, and nothing else does.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Request, Response};
use panoply::practices::cookies::SetCookie;
use panoply::{Connection, Cookies, Keys, Scheme, Shield, cookie_header};
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};

use super::jar::{HOST, Jar};

/// A browser, a shield and an app.
struct Site {
    jar: Jar,
    shield: Shield,
}

impl Site {
    fn behind(cookies: Cookies) -> Self {
        Self { jar: Jar::default(), shield: Shield::bare().cookies(cookies) }
    }

    /// Visits `path` with what is in the jar and `more`, and takes what the app sets. What the app was sent is
    /// returned.
    fn visit(&mut self, scheme: Scheme, path: &str, more: &[&str], set: &[String]) -> HeaderMap {
        let seen = Arc::new(Mutex::new(HeaderMap::new()));
        let app = {
            let (seen, set) = (Arc::clone(&seen), set.to_vec());
            service_fn(move |request: Request<_>| {
                let _: &panoply::RequestBody<Body> = request.body();
                *seen.lock().unwrap() = request.headers().clone();
                let mut response = Response::new(Body::empty());
                for line in &set {
                    response.headers_mut().append(SET_COOKIE, line.parse().unwrap());
                }
                async { Ok::<_, Infallible>(response) }
            })
        };
        let connection = match scheme {
            Scheme::Https => Connection::tls(([192, 0, 2, 1], 4000).into()),
            Scheme::Http => Connection::plain(([192, 0, 2, 1], 4000).into()),
        };
        let mut request =
            Request::get(path).header("host", HOST).extension(connection).body(Body::empty()).unwrap();
        let own = self.jar.header(scheme, path);
        let fields = more.iter().map(|field| field.as_bytes()).chain(own.as_deref());
        for field in fields {
            request.headers_mut().append(COOKIE, HeaderValue::from_bytes(field).unwrap());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let response = runtime.block_on(self.shield.layer(app).oneshot(request)).unwrap();
        for line in response.headers().get_all(SET_COOKIE) {
            self.jar.take(scheme, path, line.as_bytes());
        }
        seen.lock().unwrap().clone()
    }
}

/// The values of a cookie as the app was sent them, and all cookies that have no rule.
fn read(headers: &HeaderMap, name: &str) -> (Vec<String>, Vec<String>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let of_name = cookie_header::pairs(headers).filter(|pair| pair.name() == name.as_bytes());
    let others =
        cookie_header::pairs(headers).filter(|pair| !NAMES.contains(&str::from_utf8(pair.name()).unwrap()));
    (
        of_name.map(|pair| text(pair.value())).collect(),
        others.map(|pair| text(pair.part().trim_ascii())).collect(),
    )
}

fn disguised() -> Cookies {
    let keys = Keys::new([Keys::generate()]).unwrap();
    let renamed =
        Cookies::default().rename("sid", "__Host-id").unwrap().rename("lang", "__Secure-l").unwrap();
    renamed.seal(["sid", "cart"], &keys).unwrap()
}

/// Set over https: a name, a value, where it holds, and whether that ends it.
fn line(name: &str, value: &str, place: &str, is_over: bool) -> String {
    let end = if is_over { "; Max-Age=0" } else { "" };
    format!("{name}={}{place}; New=1{end}", if is_over { "" } else { value })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// With one place a name, the app sees what it would see without the disguise, to the value.
    #[test]
    fn an_app_sees_what_it_set(
        places in prop::collection::vec(place(), NAMES.len()),
        steps in prop::collection::vec((page(), prop::collection::vec((0..=NAMES.len(), "[a-zA-Z0-9%\" ]{0,6}[a-z]", prop::bool::weighted(0.2)), 0..4)), 1..12),
    ) {
        let (mut plain, mut site) = (Site::behind(Cookies::default()), Site::behind(disguised()));
        for (path, set) in steps {
            let set: Vec<_> = set.iter().map(|(name, value, is_over)| {
                match NAMES.get(*name) {
                    Some(own) => line(own, value, places[*name], *is_over),
                    None => line("other", value, "; Path=/", *is_over),
                }
            }).collect();
            let expected = plain.visit(Scheme::Https, path, &["x=1; y = 2 "], &set);
            let seen = site.visit(Scheme::Https, path, &["x=1; y = 2 "], &set);
            for name in NAMES {
                prop_assert_eq!(read(&seen, name), read(&expected, name), "{} at {}: {:?}", name, path, site.jar);
            }
            prop_assert!(site.jar.names().all(|name| name != b"sid" && name != b"lang"), "{:?}", site.jar);
        }
    }

    /// Wherever it sets them, over https and in the clear, and whatever strangers add: the app sees one of each name at
    /// most, and only what it set.
    #[test]
    fn an_app_sees_nothing_that_it_did_not_set(
        steps in prop::collection::vec((scheme(), path(), hostile(), prop::collection::vec((0..NAMES.len(), place(), prop::bool::weighted(0.2)), 0..3)), 1..12),
    ) {
        let mut site = Site::behind(disguised());
        let mut set_so_far = BTreeSet::new();
        let mut last = String::from("zero");
        for (number, (scheme, path, hostile, set)) in steps.into_iter().enumerate() {
            let lines: Vec<_> = set.iter().map(|(name, place, is_over)| {
                last = format!("v{number}{name}");
                line(NAMES[*name], &last, place, *is_over)
            }).collect();
            let more = [hostile.as_str()];
            let seen = site.visit(scheme, path, &more, &lines);
            for name in NAMES {
                let (values, _) = read(&seen, name);
                prop_assert!(values.len() <= 1, "{name}: {values:?}");
                for value in values {
                    // Who knows the new name of a cookie that is not sealed can write what he likes.
                    let is_ours = set_so_far.contains(&value) || (name == "lang" && value == "renamed");
                    prop_assert!(is_ours, "{} is {} after {}", name, value, hostile);
                }
            }
            let text: Vec<_> = seen.get_all(COOKIE).iter().map(|field| field.to_str().unwrap().to_lowercase()).collect();
            prop_assert!(!text.iter().any(|text| text.contains("forged")), "{:?} after {}", text, hostile);
            for line in &lines {
                let cookie = SetCookie::parse(line.as_bytes()).unwrap();
                let _ = set_so_far.insert(String::from_utf8(cookie.value().to_vec()).unwrap());
            }
        }
    }

    /// When the app changes where a cookie holds, the one from before does not stand in the way of the new one.
    #[test]
    fn what_the_app_set_last_is_what_it_sees(first in place(), second in place(), scheme in scheme()) {
        let mut site = Site::behind(disguised());
        site.visit(scheme, "/", &[], &[line("sid", "old", "; Path=/", false)]);
        site.visit(Scheme::Https, "/", &[], &[line("sid", "older", first, false)]);
        site.visit(Scheme::Https, "/", &[], &[line("sid", "new", second, false)]);
        let (seen, _) = read(&site.visit(Scheme::Https, "/x", &[], &[]), "sid");
        // Two of `__Secure-` with one path and two domains compete as they always did.
        if !first.contains("/x") {
            prop_assert_eq!(seen, ["new"], "{} then {}: {:?}", first, second, site.jar);
        }
    }
}

fn place() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "; Path=/",
        "; path=/; Domain=",
        "; Path=/x",
        "; Path=x",
        "; Path=/; Domain=us.example",
        "; Domain=www.us.example; Path=/x",
        "; Path=/; Partitioned; SameSite=None",
    ])
}

/// Pages that browsers take the same path from, where a cookie has none.
fn page() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["/", "/x"])
}

fn path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["/", "/x", "/x/y"])
}

fn scheme() -> impl Strategy<Value = Scheme> {
    prop::sample::select(vec![Scheme::Https, Scheme::Http])
}

/// What a stranger puts before the cookies that a browser has.
fn hostile() -> impl Strategy<Value = String> {
    let pair = prop::sample::select(vec![
        "sid=forged",
        "SID=forged",
        " sid\t=forged",
        "a=b,sid=forged",
        "%73id=forged",
        "__Host-id=forged",
        "__Secure-id=AQAforged",
        "id=forged",
        "cart=forged",
        "lang=forged",
        "Lang=forged",
        "__Secure-l=renamed",
        "l=renamed",
        "__Secure-l=x, lang=forged",
        "a=1",
        "junk",
        "",
    ]);
    prop::collection::vec(pair, 0..5).prop_map(|pairs| pairs.join("; "))
}

/// The cookies with a rule, by the app's own names.
const NAMES: [&str; 3] = ["sid", "lang", "cart"];
