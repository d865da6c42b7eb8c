//! Fields that stand once or not at all (RFC 9110 §5.5).
//!
//! Sent twice, one reader takes the first, the other the last: who is let in by one is somebody else to the other.

use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName};

/// The first of them that came more than once.
pub(crate) fn sent_twice(headers: &HeaderMap) -> Option<&'static HeaderName> {
    // As many lines as names: of almost every request that is all there is to know.
    if headers.len() == headers.keys_len() {
        return None;
    }
    SINGLETONS.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some())
}

static SINGLETONS: [HeaderName; 4] = [HOST, AUTHORIZATION, CONTENT_TYPE, CONTENT_LENGTH];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_two_readers_could_disagree_on_is_found() {
        for (name, found) in [
            ("host", true),
            ("authorization", true),
            ("content-type", true),
            ("content-length", true),
            ("cookie", false), // joined before it is passed on
            ("accept", false),
            ("x-forwarded-for", false),
        ] {
            let name: HeaderName = name.parse().unwrap();
            let mut headers = HeaderMap::new();
            headers.append(&name, "a".parse().unwrap());
            assert_eq!(sent_twice(&headers), None, "{name} once");
            headers.append(&name, "a".parse().unwrap());
            assert_eq!(sent_twice(&headers), found.then_some(&name), "{name}");
        }
    }
}
