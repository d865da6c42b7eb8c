//! The `Cookie` header, read as npm's cookie 0.7 reads it: what an Express app sees.
//!
//! A session is found by the first cookie of its name. Two readers that disagree about which one that is, or about
//! what it says, can be played against each other; so this one agrees with the reader under Express to the byte,
//! and the tests compare the two.
//!
//! **Stops** a cookie that means one thing here and another in the app behind. **Leaves** apps that read otherwise:
//! other languages take the last cookie of a name, decode names, or part cookies at commas. **Defaults** the first of
//! a name counts, also when it is bad; a value is decoded once, and stays as it is where that fails.
//!
//! Nothing is allocated but a value that had to be decoded, and a header is read once from end to end, so that it
//! costs what its length is: [`limits`](crate::Limits) bounds that.
//!
//! ```
//! use http::HeaderMap;
//! use http::header::COOKIE;
//! use panoply::cookie_header;
//!
//! let mut headers = HeaderMap::new();
//! headers.append(COOKIE, "theme=dark; sid=s%3Aabc; sid=other".parse().unwrap());
//! headers.append(COOKIE, "name=\"Ann\"".parse().unwrap()); // HTTP/2 sends several fields
//!
//! assert_eq!(cookie_header::find(&headers, "sid").as_deref(), Some("s:abc"));
//! assert_eq!(cookie_header::find(&headers, "name").as_deref(), Some("Ann"));
//! assert_eq!(cookie_header::find(&headers, "user"), None);
//! ```

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use http::HeaderMap;
use http::header::COOKIE;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// One cookie as it was sent, and where it stands in the header.
///
/// ```
/// use http::HeaderMap;
/// use http::header::COOKIE;
/// use panoply::cookie_header;
///
/// let mut headers = HeaderMap::new();
/// headers.append(COOKIE, "a=1;  sid = \"s%3Ax\" ; c=3".parse().unwrap());
///
/// let sid = cookie_header::pairs(&headers).find(|pair| pair.name() == b"sid").unwrap();
/// assert_eq!(sid.value(), b"\"s%3Ax\"");
/// assert_eq!(sid.text(), "s:x");
/// assert_eq!((sid.field(), sid.span()), (0, 4..20));
/// assert_eq!((sid.name_span(), sid.value_span()), (6..9, 12..19));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pair<'h> {
    bytes: &'h [u8],
    field: usize,
    /// Where it begins and ends in its field, between semicolons.
    start: usize,
    end: usize,
    name: (usize, usize),
    value: (usize, usize),
}

/// The value of the first cookie called `name`: trimmed, without one pair of quotes, decoded.
///
/// Bytes beyond ASCII are Latin-1, as they are in Node.
#[must_use]
pub fn find<'h>(headers: &'h HeaderMap, name: &str) -> Option<Cow<'h, str>> {
    pairs(headers).find(|pair| pair.name() == name.as_bytes()).map(|pair| pair.text())
}

/// All cookies, in order. What has no `=` is none, and neither Express nor this knows its name.
pub fn pairs(headers: &HeaderMap) -> impl Iterator<Item = Pair<'_>> {
    let fields = headers.get_all(COOKIE).iter().enumerate();
    fields.flat_map(|(field, value)| of_field(value.as_bytes(), field))
}

/// What `encodeURIComponent` makes of `text`: all but letters, digits and `-_.!~*'()` is percent-encoded.
///
/// ```
/// use panoply::cookie_header::encode_component;
///
/// assert_eq!(encode_component("s:a b/é'"), "s%3Aa%20b%2F%C3%A9'");
/// ```
#[must_use]
pub fn encode_component(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, ENCODED).into()
}

impl<'h> Pair<'h> {
    /// The name, without white space; never decoded.
    #[must_use]
    pub fn name(&self) -> &'h [u8] {
        self.bytes.get(self.name_span()).unwrap_or_default()
    }

    /// The value, without the white space around it, else as it was sent: quotes and percent signs are there.
    #[must_use]
    pub fn value(&self) -> &'h [u8] {
        self.bytes.get(self.value_span()).unwrap_or_default()
    }

    /// The value as an app sees it: without one pair of quotes, decoded.
    #[must_use]
    pub fn text(&self) -> Cow<'h, str> {
        decode(unquote(self.value()))
    }

    /// In which of the `Cookie` fields it stands; 0 is the first.
    #[must_use]
    pub fn field(&self) -> usize {
        self.field
    }

    /// Where all of it stands in its field: from behind one `;` to the next, white space included.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.start..self.end
    }

    /// All of it, as it was sent: from behind one `;` to the next, white space included.
    #[must_use]
    pub fn part(&self) -> &'h [u8] {
        self.bytes.get(self.span()).unwrap_or_default()
    }

    /// Where [`name`](Self::name) stands in its field.
    #[must_use]
    pub fn name_span(&self) -> Range<usize> {
        self.name.0..self.name.1
    }

    /// Where [`value`](Self::value) stands in its field.
    #[must_use]
    pub fn value_span(&self) -> Range<usize> {
        self.value.0..self.value.1
    }
}

/// Shows everything but the value, which may be a secret.
impl fmt::Debug for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pair({}=[secret]; field {}, {:?})", self.name().escape_ascii(), self.field, self.span())
    }
}

fn of_field(bytes: &[u8], field: usize) -> impl Iterator<Item = Pair<'_>> {
    let mut next = 0;
    let parts = bytes.split(|byte| *byte == b';').map(move |part| {
        let start = next;
        next = start + part.len() + 1;
        (start, part)
    });
    parts.filter_map(move |(start, part)| {
        let equals = part.iter().position(|byte| *byte == b'=')?;
        let end = start + part.len();
        let name = trim(bytes, start, start + equals);
        Some(Pair { bytes, field, start, end, name, value: trim(bytes, start + equals + 1, end) })
    })
}

/// Without spaces and tabs at either end. `from` is where nothing is left, so that a span stays inside its part.
fn trim(bytes: &[u8], from: usize, to: usize) -> (usize, usize) {
    let text = bytes.get(from..to).unwrap_or_default();
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let Some(first) = text.iter().position(is_text) else { return (from, from) };
    let last = text.iter().rposition(is_text).unwrap_or(first);
    (from + first, from + last + 1)
}

/// A single quote mark is both the first and the last of its value: nothing is left of it.
fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        [b'"'] => &[],
        _ => value,
    }
}

fn decode(value: &[u8]) -> Cow<'_, str> {
    match value.contains(&b'%').then(|| decode_component(value)).flatten() {
        Some(decoded) => Cow::Owned(decoded),
        None => latin1(value),
    }
}

/// What `decodeURIComponent` makes of `value`; it throws where an escape is not whole, or escapes are no UTF-8.
///
/// A character is escaped as a whole or not at all: what stands between escapes becomes UTF-8 of its own here, so
/// that the end of a character cannot be lent to the beginning of one that was escaped.
fn decode_component(value: &[u8]) -> Option<String> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte == b'%' {
            let (&[high, low], behind) = behind.split_first_chunk()?;
            decoded.push(digit(high)? << 4 | digit(low)?);
            rest = behind;
        } else {
            decoded.extend_from_slice(char::from(*byte).encode_utf8(&mut [0; 2]).as_bytes());
        }
    }
    String::from_utf8(decoded).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn latin1(value: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(value) {
        Ok(text) if value.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(value.iter().copied().map(char::from).collect()),
    }
}

/// All but what `encodeURIComponent` leaves alone (ECMA-262 §19.2.6.4).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_is_read_as_express_reads_it() {
        for (header, read) in [
            (&b"a=1; b=2"[..], &[("a", "1"), ("b", "2")][..]),
            (b"a=1;b=2;", &[("a", "1"), ("b", "2")]),
            (b" a = 1 ;\t b\t=\t2 \t", &[("a", "1"), ("b", "2")]),
            (b"a=1; a=2", &[("a", "1"), ("a", "2")]),
            (b"a=b=c", &[("a", "b=c")]),
            (b"a=", &[("a", "")]),
            (b"a= ", &[("a", "")]),
            (b"=b", &[("", "b")]),
            (b"a; b=2; c", &[("b", "2")]),
            (b"a", &[]),
            (b";;=;", &[("", "")]),
            (b"", &[]),
            (b"a=\"1\"; b=\" 2 \"", &[("a", "1"), ("b", " 2 ")]),
            (b"a=\"\"; b=\"; c=\"1; d=1\"", &[("a", ""), ("b", ""), ("c", "\"1"), ("d", "1\"")]),
            (b"a=\"\"1\"\"", &[("a", "\"1\"")]),
            (b"a=\"x; b=y\"", &[("a", "\"x"), ("b", "y\"")]),
            (b"a=%20%C3%A9%2b+", &[("a", " é++")]),
            (b"a=\"%22\"", &[("a", "\"")]),
            (b"a=%2520", &[("a", "%20")]),
            (b"a=100%", &[("a", "100%")]),
            (b"a=%2; b=%zz; c=%+1", &[("a", "%2"), ("b", "%zz"), ("c", "%+1")]),
            (b"a=%41%ff", &[("a", "%41%ff")]),
            (b"a=%C3; b=%C0%80; c=%ED%A0%80", &[("a", "%C3"), ("b", "%C0%80"), ("c", "%ED%A0%80")]),
            (b"a=%F0%9F%92%A9", &[("a", "💩")]),
            (b"a=\xc3\xa9", &[("a", "Ã©")]),
            (b"a=\xff%41", &[("a", "ÿA")]),
            (b"a=%C3\xa9", &[("a", "%C3©")]), // no half of a character comes from elsewhere
            (b"%61=1", &[("%61", "1")]),
            (b"a,b=1", &[("a,b", "1")]),
        ] {
            let headers = headers(&[header]);
            let pairs: Vec<_> =
                pairs(&headers).map(|pair| (str::from_utf8(pair.name()).unwrap(), pair.text())).collect();
            let pairs: Vec<_> = pairs.iter().map(|(name, text)| (*name, &**text)).collect();
            assert_eq!(pairs, read, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn several_fields_are_one_header() {
        let headers = headers(&[b"a=1; b=2", b"b=3", b" c=4"]);
        for (name, value) in [("a", Some("1")), ("b", Some("2")), ("c", Some("4")), ("d", None)] {
            assert_eq!(find(&headers, name).as_deref(), value, "{name}");
        }
        let spans: Vec<_> = pairs(&headers).map(|pair| (pair.field(), pair.span())).collect();
        assert_eq!(spans, [(0, 0..3), (0, 4..8), (1, 0..3), (2, 0..4)]);
    }

    #[test]
    fn what_needs_no_decoding_is_lent() {
        let headers = headers(&[b"a=\"plain\"; b=%41"]);
        assert!(matches!(find(&headers, "a"), Some(Cow::Borrowed("plain"))));
        assert!(matches!(find(&headers, "b"), Some(Cow::Owned(_))));
    }

    #[test]
    fn a_component_is_encoded_as_in_javascript() {
        for (text, encoded) in [
            ("azAZ09-_.!~*'()", "azAZ09-_.!~*'()"),
            ("s:a b/c+d=é.x", "s%3Aa%20b%2Fc%2Bd%3D%C3%A9.x"),
            ("\"%;,\u{0}\u{7f}", "%22%25%3B%2C%00%7F"),
        ] {
            assert_eq!(encode_component(text), encoded);
        }
        assert!(matches!(encode_component("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn the_value_is_not_shown() {
        let headers = headers(&[b"x=1; sid=s3cret"]);
        let shown = format!("{:?}", pairs(&headers).nth(1).unwrap());
        assert_eq!(shown, "Pair(sid=[secret]; field 0, 4..15)");
    }

    proptest! {
        #[test]
        fn spans_part_the_field_and_hold_what_they_say(header in "[a-c=;\" \t%4]{0,40}") {
            let headers = headers(&[header.as_bytes()]);
            let mut before = 0;
            for pair in pairs(&headers) {
                prop_assert!(pair.span().start >= before && pair.span().end <= header.len());
                prop_assert!(pair.span().start <= pair.name_span().start);
                prop_assert!(pair.name_span().end < pair.value_span().start);
                prop_assert!(pair.value_span().end <= pair.span().end);
                prop_assert_eq!(&header.as_bytes()[pair.span()], pair.part());
                prop_assert_eq!(&header.as_bytes()[pair.name_span()], pair.name());
                prop_assert_eq!(&header.as_bytes()[pair.value_span()], pair.value());
                before = pair.span().end + 1;
            }
        }

        #[test]
        fn what_is_encoded_is_found(value in "\\PC{0,20}", other in "[a-r][a-z]{0,2}=[!-:<-~]{0,8}") {
            let header = format!("{other}; sid={}", encode_component(&value));
            let headers = headers(&[header.as_bytes()]);
            prop_assert_eq!(find(&headers, "sid"), Some(Cow::Owned(value)));
        }

        #[test]
        fn a_naive_reader_finds_the_same(fields in proptest::collection::vec("[ab=;\" \t%4\u{e9}]{0,24}", 0..4)) {
            let fields: Vec<&[u8]> = fields.iter().map(String::as_bytes).collect();
            let joined = fields.join(&b"; "[..]);
            for name in ["a", "b", "ab"] {
                prop_assert_eq!(find(&headers(&fields), name).map(Cow::into_owned), naive(&joined, name));
            }
        }
    }

    /// Slow and plain: on characters, with a map of all cookies in mind.
    fn naive(header: &[u8], name: &str) -> Option<String> {
        let header: String = header.iter().copied().map(char::from).collect();
        let mut found = header.split(';').filter_map(|part| part.split_once('='));
        let blank = [' ', '\t'];
        let (_, value) = found.find(|(said, _)| said.trim_matches(blank) == name)?;
        let mut value = value.trim_matches(blank).to_owned();
        if value.starts_with('"') && value.ends_with('"') {
            value = value.get(1..value.len() - 1).unwrap_or_default().to_owned();
        }
        let decoded: Option<Vec<u8>> = value
            .split('%')
            .enumerate()
            .map(|(at, part)| match at {
                0 => Some(part.as_bytes().to_vec()),
                _ => {
                    let byte = u8::from_str_radix(part.get(..2)?, 16).ok()?;
                    Some([&[byte][..], &part.as_bytes()[2..]].concat())
                }
            })
            .collect::<Option<Vec<_>>>()
            .map(|parts| parts.concat());
        Some(decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(value))
    }

    fn headers(fields: &[&[u8]]) -> HeaderMap {
        fields.iter().map(|field| (COOKIE, HeaderValue::from_bytes(field).unwrap())).collect()
    }
}
