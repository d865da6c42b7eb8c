use std::sync::LazyLock;
use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use panoply::keys::{Context, Seal};
use panoply::{Keys, cookie_header as header};

use crate::text;

/// Each pair is what its spans say, none overlaps the next, and the first of a name is the one that is found. A line
/// is a field.
pub fn cookie_header(input: &[u8]) {
    let values = input.split(|byte| *byte == b'\n').map(HeaderValue::from_bytes);
    let fields: HeaderMap = values.filter_map(Result::ok).map(|value| (COOKIE, value)).collect();
    let mut before = (0, 0);
    for pair in header::pairs(&fields) {
        let field = fields.get_all(COOKIE).iter().nth(pair.field()).map(HeaderValue::as_bytes);
        let part = |span| field.and_then(|field| field.get(span));
        assert_eq!(part(pair.name_span()), Some(pair.name()), "{pair:?}");
        assert_eq!(part(pair.value_span()), Some(pair.value()), "{pair:?}");
        assert!(part(pair.span()).is_some_and(|all| !all.contains(&b';')), "{pair:?}");
        assert!((pair.field(), pair.span().start) >= before, "{pair:?} begins before {before:?}");
        before = (pair.field(), pair.span().end + 1);

        let first =
            header::pairs(&fields).find(|first| first.name() == pair.name()).map(|first| first.text());
        if let Ok(name) = str::from_utf8(pair.name()) {
            assert_eq!(header::find(&fields, name), first, "{pair:?}");
        }
    }
    let sent = format!("sid={}", header::encode_component(text(input)));
    let fields: HeaderMap = HeaderValue::try_from(sent).map(|value| (COOKIE, value)).into_iter().collect();
    assert_eq!(header::find(&fields, "sid").as_deref(), Some(text(input)));
}

/// What is unsigned was signed by a key of the ring, to the byte.
pub fn unsign_cookie(input: &[u8]) {
    let signed = text(input);
    if let Some((value, _)) = RING.unsign_cookie(signed) {
        let by_each =
            [OLD, NEW].map(|secret| Keys::danger_short([secret]).map(|keys| keys.sign_cookie(value)));
        assert!(by_each.iter().any(|by_one| by_one.as_deref() == Ok(signed)), "{signed}");
    }
    let again = RING.sign_cookie(signed);
    assert_eq!(RING.unsign_cookie(&again).map(|(value, key)| (value, key.is_first())), Some((signed, true)));
}

/// What opens was sealed here: it opens nowhere else and in one spelling alone. What is sealed opens.
pub fn seal(input: &[u8]) {
    const CONTEXT: Context<'_> = Context { site: "shop.example", name: "sid" };
    if let Some(opened) = SEAL.open(&CONTEXT, input) {
        assert_eq!(SEAL.open(&Context { name: "user", ..CONTEXT }, input), None);
        for place in 0..input.len() {
            let mut altered = input.to_vec();
            if let Some(byte) = altered.get_mut(place) {
                *byte ^= 1;
            }
            assert_eq!(SEAL.open(&CONTEXT, &altered), None, "{opened:?} altered at {place}");
        }
    }
    let sealed = SEAL.seal(&CONTEXT, input, Duration::from_secs(1));
    let opened = SEAL.open(&CONTEXT, sealed.as_bytes());
    assert_eq!(opened.as_ref().map(|opened| &*opened.plain), Some(input));
}

static RING: LazyLock<Keys> =
    LazyLock::new(|| Keys::danger_short([NEW, OLD]).expect("there are two different keys"));
static SEAL: LazyLock<Seal> = LazyLock::new(|| Keys::new([STRONG]).expect("it is a strong key").seal("test"));

const NEW: &str = "new";
const OLD: &str = "tobiiscool";
const STRONG: &str = "9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymA=";
