use std::future::ready;

use bytes::Bytes;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use panoply::practices::cookies::SetCookie;
use panoply::{Connection, Cookies, Keys, Rejection, Shield, cookie_header};

/// Any `Cookie` header and any lines of `Set-Cookie`, where some names are renamed and sealed: the app is sent one of each
/// at most and never a plain value of what is sealed, all others come through in order, and nothing leaves under the
/// app's own name or unsealed.
///
/// The input is lines ending in LF: `Cookie` fields up to the first empty one, then what the app sets.
pub fn cookies(input: &[u8]) {
    let end = input.windows(2).position(|pair| pair == b"\n\n").unwrap_or(input.len());
    let (sent, set) = input.split_at(end);
    let fields = |lines: &[u8]| -> Vec<HeaderValue> {
        let lines = lines.split(|byte| *byte == b'\n').take(MOST_FIELDS);
        lines.filter_map(|line| HeaderValue::from_bytes(line).ok()).collect()
    };
    let (sent, set) = (fields(sent), fields(set.get(2..).unwrap_or_default()));

    let mut request = Request::new(Full::new(Bytes::new()));
    for field in &sent {
        request.headers_mut().append(COOKIE, field.clone());
    }
    let before = request.headers().clone();
    let mut answer = Response::new(Full::new(Bytes::new()));
    for line in &set {
        answer.headers_mut().append(SET_COOKIE, line.clone());
    }
    let mut seen = HeaderMap::new();
    let served = SHIELD.with(|shield| {
        let connection = Connection::tls(([192, 0, 2, 1], 50_000).into());
        let app = |_, request: Request<_>| {
            seen = request.headers().clone();
            ready(Ok::<_, Rejection>(answer))
        };
        let served = shield.clone();
        RUNTIME.with(|runtime| {
            runtime.block_on(async {
                let (head, body) = served.serve(connection, request, app).await.into_parts();
                let Ok(_) = body.collect().await;
                head
            })
        })
    });
    assert_eq!(others(&before), others(&seen), "all others come through");
    for (name, most) in [("sid", 0), ("lang", 1), ("cart", 0)] {
        let count = cookie_header::pairs(&seen).filter(|pair| pair.name() == name.as_bytes()).count();
        assert!(count <= most, "{name} {count} times");
    }
    for line in served.headers.get_all(SET_COOKIE) {
        let Some(cookie) = SetCookie::parse(line.as_bytes()) else { continue };
        assert!(
            cookie.name() != b"sid" || cookie.value().is_empty(),
            "what a browser has from before is ended"
        );
        let is_sealed = [&b"cart"[..], b"__Host-id", b"__Secure-id"].contains(&cookie.name());
        assert!(!is_sealed || cookie.value().is_empty() || cookie.value().starts_with(b"A"), "{cookie:?}");
    }
}

/// The cookies whose names are nothing like one that has a rule.
fn others(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let is_other = |part: &[u8]| {
        let part = part.to_ascii_lowercase();
        let has = |name: &&[u8]| part.windows(name.len()).any(|window| window == *name);
        ![&b"sid"[..], b"lang", b"cart", b"id", b"l", b"%"].iter().any(has)
    };
    let pairs = cookie_header::pairs(headers).filter(|pair| is_other(pair.part()));
    pairs.map(|pair| pair.part().trim_ascii().to_vec()).collect()
}

/// More than any shield lets pass.
const MOST_FIELDS: usize = 1_000;

thread_local! {
    static SHIELD: Shield = {
        let keys = Keys::new([Keys::generate()]).expect("what was made is good");
        let named = Cookies::default().rename("sid", "__Host-id").and_then(|cookies| cookies.rename("lang", "__Secure-l"));
        let sealed = named.and_then(|cookies| cookies.seal(["sid", "cart"], &keys));
        Shield::bare().cookies(sealed.expect("the names go together"))
    };
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime without a socket");
}
