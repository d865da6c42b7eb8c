//! How npm's cookies 0.9.1 finds a cookie, which is not how npm's cookie does: what the two read otherwise would be
//! signed in one app and forged in the other.

use http::HeaderMap;
use http::header::COOKIE;

/// The value of the first cookie called `name`, as `/(?:^|;) *name=([^;]*)/` finds it in the fields joined by `; `:
/// nothing is decoded, no white space is cut off but spaces before the name, and where the value begins with a
/// quotation mark, its last character goes with it.
pub(super) fn find(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get_all(COOKIE).iter().find_map(|field| {
        field.as_bytes().split(|byte| *byte == b';').find_map(|part| {
            let spaces = part.iter().take_while(|byte| **byte == b' ').count();
            part.get(spaces..)?.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
        })
    })?;
    let value = match value {
        [b'"', inner @ .., _] => inner,
        [b'"'] => &[],
        _ => value,
    };
    // Node takes header bytes as Latin-1.
    Some(value.iter().copied().map(char::from).collect())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_cookie_is_found_as_cookies_finds_it() {
        for (fields, found) in [
            (&[&b"s=1"[..]][..], Some("1")),
            (&[b"a=1;s=2;s=3"], Some("2")),
            (&[b"a=1;   s=2 ; b"], Some("2 ")),
            (&[b"a=1", b"s=2", b"s=3"], Some("2")),
            (&[b"a=1;\ts=2"], None),
            (&[b"s =2"], None),
            (&[b"S=2; xs=3; s"], None),
            (&[b"s="], Some("")),
            (&[b"s==a="], Some("=a=")),
            (&[b"s=%41"], Some("%41")),
            (&[b"s=\"a\""], Some("a")),
            (&[b"s=\"ab"], Some("a")),
            (&[b"s=\""], Some("")),
            (&[b"s=a\""], Some("a\"")),
            (&[b"s= a"], Some(" a")),
            (&[b"s=\xe9"], Some("\u{e9}")),
        ] {
            let headers =
                fields.iter().map(|field| (COOKIE, HeaderValue::from_bytes(field).unwrap())).collect();
            assert_eq!(find(&headers, "s").as_deref(), found, "{}", fields.concat().escape_ascii());
        }
    }
}
