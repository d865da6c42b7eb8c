//! What belongs to one connection and not to the message goes no further (RFC 9110 §7.6.1).

use http::HeaderMap;
use http::header::{CONNECTION, HeaderName, HeaderValue, TE, UPGRADE};

/// Takes the fields of this connection off a request or an answer.
///
/// `TE: trailers` stays: it asks for something that we can pass on.
pub(crate) fn strip(headers: &mut HeaderMap) {
    // One pass finds what is there of them: of most messages one field or none.
    let mut clean = 0;
    let is_hop = |(_, name): &(usize, &HeaderName)| HOP_BY_HOP.contains(&name.as_str());
    while let Some((at, name)) = headers.keys().enumerate().skip(clean).find(is_hop) {
        let name = name.clone();
        clean = at; // the last header comes to this place
        if name == TE && headers.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers")) {
            clean += 1;
        } else if name == CONNECTION && strip_named(headers) {
            clean = 0; // other places have changed too
        } else {
            headers.remove(name);
        }
    }
}

/// Takes off `Connection` and what it names, except what would change who asks or how the message is framed: a
/// client must not be able to have our own fields removed.
///
/// Whether it did: most name only what is on our list anyway, and are left for that.
fn strip_named(headers: &mut HeaderMap) -> bool {
    let is_usual = |line: &HeaderValue| USUAL.iter().any(|usual| line.as_bytes().eq_ignore_ascii_case(usual));
    if headers.get_all(CONNECTION).iter().all(is_usual) {
        return false;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !END_TO_END.contains(&name.as_str()))
        .collect();
    for name in named {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
    true
}

/// The protocol an HTTP/1.1 client asks to change to, where we can pass that on.
///
/// Not `h2c`: behind an upgraded connection it would carry requests that nobody judged.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    let protocol = headers.get(UPGRADE).filter(|_| asks)?;
    let h2c = protocol
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|token| token.trim_ascii().to_ascii_lowercase().starts_with(b"h2"));
    (!h2c).then(|| protocol.clone())
}

/// Fields that frame a message or say whom it is for mean nothing after it (RFC 9110 §6.5.1).
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    for name in NOT_IN_TRAILERS {
        trailers.remove(name);
    }
}

const HOP_BY_HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"];
/// What `Connection` says every day: names that are on the list anyway.
const USUAL: [&[u8]; 2] = [b"keep-alive", b"upgrade"];
const END_TO_END: [&str; 8] = [
    "host",
    "content-length",
    "content-type",
    "authorization",
    "cookie",
    "set-cookie",
    "origin",
    "cache-control",
];
const NOT_IN_TRAILERS: [&str; 21] = [
    "transfer-encoding",
    "content-length",
    "host",
    "connection",
    "trailer",
    "authorization",
    "content-type",
    "content-encoding",
    "content-range",
    "set-cookie",
    "cookie",
    "te",
    "expect",
    "keep-alive",
    "max-forwards",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_message_keeps_what_is_its_own() {
        for (line, stays) in [
            (("keep-alive", "timeout=5"), false),
            (("proxy-connection", "keep-alive"), false),
            (("transfer-encoding", "chunked"), false),
            (("upgrade", "websocket"), false),
            (("te", "gzip"), false),
            (("te", "trailers"), true),
            (("x-named", "1"), false),
            (("cookie", "a=b"), true), // named below, and yet not the client's to remove
            (("content-length", "3"), true),
            (("x-other", "1"), true),
        ] {
            let mut sent =
                headers(&[line, ("connection", "close, X-Named , cookie"), ("connection", "content-length")]);
            strip(&mut sent);
            assert_eq!(sent.contains_key(line.0), stays, "{line:?}");
            assert!(!sent.contains_key(CONNECTION), "{line:?}");
        }
    }

    #[test]
    fn only_an_upgrade_that_is_asked_for_and_can_be_judged_passes() {
        for (connection, protocol, passes) in [
            ("Upgrade", "websocket", true),
            ("keep-alive, upgrade", "websocket", true),
            ("keep-alive", "websocket", false),
            ("upgrade", "h2c", false),
            ("upgrade, http2-settings", "websocket, H2C", false),
        ] {
            let sent = headers(&[("connection", connection), ("upgrade", protocol)]);
            assert_eq!(upgrade(&sent).is_some(), passes, "{connection} {protocol}");
        }
    }
}
