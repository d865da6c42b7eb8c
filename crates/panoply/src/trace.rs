//! W3C Trace Context: the name of what a request is a part of, as other programs know it.
//!
//! What is passed on is passed on to the byte, and nothing is made where nothing came: an app whose sampler follows its
//! caller would be switched off by `00` of ours, and on for every request by `01`. What cannot be read in one way is
//! taken off together with what belongs to it, so that no two programs take it for two traces.
//!
//! Read as the Recommendation of 2021 says (level 1); the random flag of level 2 is a bit like any other.

use std::fmt;
use std::num::NonZeroU128;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The name of a trace: 128 bits that are not all nought; prints as 32 hexadecimal digits.
///
/// ```
/// use http::HeaderMap;
/// use panoply::trace::TraceId;
///
/// let mut headers = HeaderMap::new();
/// let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
/// headers.insert("traceparent", parent);
/// assert_eq!(TraceId::of(&headers).unwrap().to_string(), "0af7651916cd43dd8448eb211c80319c");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

impl TraceId {
    /// Of which trace a request with these headers says to be a part; `None` where it says so in no way, in more than
    /// one, or in one that is wrong.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(PARENT).iter();
        let only = lines.next()?;
        if lines.next().is_some() {
            return None;
        }
        parent(only.as_bytes())
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Takes off a `traceparent` that is none, and a `tracestate` that is none, is without a `traceparent`, or has more than
/// 32 members or 4 KiB. What stays is as it was.
pub fn clean(headers: &mut HeaderMap) {
    let is_traced = match headers.contains_key(PARENT) {
        true if TraceId::of(headers).is_some() => true,
        true => {
            headers.remove(PARENT);
            false
        }
        false => false,
    };
    if headers.contains_key(STATE)
        && !(is_traced && is_state(headers.get_all(STATE).iter().map(HeaderValue::as_bytes)))
    {
        headers.remove(STATE);
    }
}

/// `VERSION-TRACE-PARENT-FLAGS` (§3.2), where only what 00 has is known of later versions.
fn parent(text: &[u8]) -> Option<TraceId> {
    if text.len() > LONGEST_PARENT {
        return None;
    }
    let (version, rest) = hex(text, 2)?;
    let (trace, rest) = hex(rest.strip_prefix(b"-")?, 32)?;
    let (parent, rest) = hex(rest.strip_prefix(b"-")?, 16)?;
    let (_flags, rest) = hex(rest.strip_prefix(b"-")?, 2)?;
    let is_whole = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest.starts_with(b"-"),
    };
    (is_whole && parent != 0).then(|| NonZeroU128::new(trace).map(TraceId)).flatten()
}

/// A number of so many digits, and what follows. Upper case is none (§3.2.2).
fn hex(text: &[u8], digits: usize) -> Option<(u128, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    let number = number.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })?;
    Some((number, rest))
}

/// A list of `key=value` (§3.3), which may be spread over several lines.
fn is_state<'l>(lines: impl Iterator<Item = &'l [u8]>) -> bool {
    let (mut members, mut bytes) = (0, 0);
    for line in lines {
        bytes += line.len();
        if bytes > LONGEST_STATE {
            return false;
        }
        for member in line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if member.is_empty() {
                continue; // an empty one is allowed, and says nothing
            }
            members += 1;
            if members > MOST_MEMBERS || !is_member(member) {
                return false;
            }
        }
    }
    true
}

fn is_member(member: &[u8]) -> bool {
    let Some(equals) = member.iter().position(|byte| *byte == b'=') else { return false };
    let (key, value) = member.split_at(equals);
    let is_begun = key.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let in_key = |byte: &u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@')
    };
    let in_value = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'=';
    let value = value.get(1..).unwrap_or_default();
    is_begun
        && key.len() <= LONGEST_PART
        && key.iter().all(in_key)
        && (1..=LONGEST_PART).contains(&value.len())
        && value.iter().all(in_value)
}

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

/// In bytes. Of versions that are yet to come nobody knows how long they are.
const LONGEST_PARENT: usize = 512;
/// The Recommendation asks for 512 at least (§3.3.1.5).
const LONGEST_STATE: usize = 4 * 1024;
const MOST_MEMBERS: usize = 32;
/// Of a member's key, and of its value.
const LONGEST_PART: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers<'l>(parents: &[&str], states: impl IntoIterator<Item = &'l str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let parents = parents.iter().map(|line| (PARENT, *line));
        for (name, line) in parents.chain(states.into_iter().map(|line| (STATE, line))) {
            headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn a_parent_is_read_in_one_way_or_not_at_all() {
        for (text, is_read) in [
            (GOOD, true),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", true), // sampled and random
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", true), // bits of later levels
            ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes", true),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-", true),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-", false),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
            ("0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g", false),
            ("00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01", false),
            (&format!("{GOOD}, {GOOD}"), false),
            ("00", false),
            ("", false),
            (&format!("cc{}-{}", &GOOD[2..], "x".repeat(456)), true),
            (&format!("cc{}-{}", &GOOD[2..], "x".repeat(457)), false),
        ] {
            let found = TraceId::of(&headers(&[text], [])).map(|id| id.to_string());
            assert_eq!(found.as_deref(), is_read.then_some(TRACE), "{text}");
        }
        for twice in [&[GOOD, GOOD][..], &[GOOD, ""], &[]] {
            assert_eq!(TraceId::of(&headers(twice, [])), None, "{twice:?}");
        }
    }

    #[test]
    fn a_state_stays_to_the_byte_or_goes_whole() {
        let key = "k".repeat(256);
        let members = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        for (lines, stays) in [
            (&["congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"][..], true),
            (&["congo=1", "rojo=2 , 3v@x=4"], true),
            (&[""], true),
            (&[" , ,a=1,,"], true),
            (&["0tenant@vendor=a b!~"], true),
            (&["A=1"], false),
            (&["_a=1"], false),
            (&["a"], false),
            (&["a="], false),
            (&["=1"], false),
            (&["a=1=2"], false),
            (&["a=\u{fc}"], false),
            (&["a=1", "b"], false),
            (&["a\tb=1"], false),
            (&[&format!("{key}={key}")], true),
            (&[&format!("{key}k=1")], false),
            (&[&format!("k={key}k")], false),
            (&[&members(32)], true),
            (&[&members(33)], false),
            (&[&members(16), &members(17)], false),
            (&[&vec![format!("{key}={key}"); 7].join(",")], true),
            (&[&vec![format!("{key}={key}"); 8].join(",")], false),
        ] {
            let mut cleaned = headers(&[GOOD], lines.iter().copied());
            clean(&mut cleaned);
            let kept = if stays { lines } else { &[] };
            assert_eq!(cleaned, headers(&[GOOD], kept.iter().copied()), "{lines:?}");
        }
    }

    #[test]
    fn without_a_parent_that_is_one_nothing_is_left_and_nothing_is_made() {
        for (parents, states) in
            [(&["00-x"][..], &["a=1"][..]), (&[GOOD, GOOD], &["a=1"]), (&[], &["a=1", "b=2"]), (&[], &[])]
        {
            let mut cleaned = headers(parents, states.iter().copied());
            cleaned.insert("host", HeaderValue::from_static("shop.example"));
            clean(&mut cleaned);
            assert_eq!(cleaned.len(), 1, "{parents:?} {states:?}: {cleaned:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_as_the_recommendation_says_is_read(
            version in 0_u8..255, trace in 1_u128.., parent in 1_u64.., flags: u8, more in "(-[ -~]{0,99})?",
        ) {
            let more = if version == 0 { "" } else { &more };
            let text = format!("{version:02x}-{trace:032x}-{parent:016x}-{flags:02x}{more}");
            let id = super::parent(text.as_bytes());
            prop_assert_eq!(id.map(|id| id.to_string()), Some(format!("{trace:032x}")));
        }

        #[test]
        fn whatever_came_is_cleaned_once_and_for_all(
            parents in proptest::collection::vec("[0-9a-f]{2}-[0-9a-fA]{31,32}-[0-9a-f]{16}-[0-9a-f]{2}|[ -~]{0,60}", 0..3),
            states in proptest::collection::vec("([a-z0-9@]{1,4}=[ -~]{0,4},?){0,20}|[ -~]{0,60}", 0..3),
        ) {
            let parents: Vec<_> = parents.iter().map(String::as_str).collect();
            let before = headers(&parents, states.iter().map(String::as_str));
            let mut once = before.clone();
            clean(&mut once);
            let mut twice = once.clone();
            clean(&mut twice);
            prop_assert_eq!(&once, &twice);
            prop_assert_eq!(once.contains_key(PARENT), TraceId::of(&before).is_some());
            prop_assert!(once.contains_key(PARENT) || !once.contains_key(STATE));
            for name in [PARENT, STATE] {
                let kept: Vec<_> = once.get_all(&name).iter().collect();
                let had: Vec<_> = before.get_all(&name).iter().collect();
                prop_assert!(kept.is_empty() || kept == had, "what stays is as it was");
            }
        }
    }
}
