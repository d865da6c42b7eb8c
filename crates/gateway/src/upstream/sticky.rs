//! The cookie that leads a visitor to the place of the app that he had before.
//!
//! Its value is a keyed hash: it shows no address, and no number of places. It needs no comparison in constant time,
//! since whoever has none is given one: it opens nothing but a way that he could have had anyhow.

use std::sync::OnceLock;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use panoply::Keys;
use panoply::keys::Signature;

/// Makes the tokens of one site.
#[derive(Debug)]
pub(super) struct Sticky {
    signature: Signature,
    site: String,
}

impl Sticky {
    /// Without `keys` that stay, a cookie is good until the gateway is started anew.
    pub(super) fn new(keys: Option<&Keys>, site: &str) -> Self {
        static PASSING: OnceLock<Keys> = OnceLock::new();
        let keys = keys.unwrap_or_else(|| {
            PASSING.get_or_init(|| Keys::new([Keys::generate()]).expect("a generated key is strong"))
        });
        Self { signature: keys.signature("sticky upstream"), site: site.to_owned() }
    }

    /// Of the place at `address`: the same wherever it stands in the list.
    pub(super) fn token(&self, address: &str) -> String {
        let mut token = self.signature.sign(format!("{}\n{address}", self.site).as_bytes());
        token.truncate(LENGTH);
        token
    }

    /// The cookie's: a rule that has an app of its own has a cookie of its own, or the two would take turns in one.
    pub(super) fn name(&self, rule: Option<&str>) -> String {
        rule.map_or(NAME.to_owned(), |rule| format!("{NAME}-{:.6}", self.token(rule)))
    }
}

/// The token that a visitor brings in the cookie of this name.
pub(super) fn brought<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).find_map(
        |pair| {
            pair.trim_ascii_start().strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::trim_ascii)
        },
    )
}

/// Till the browser is closed, for no script, no neighbouring host and no other site's requests.
pub(super) fn cookie(name: &str, token: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{name}={token}; Path=/; HttpOnly; Secure; SameSite=Lax")).ok()
}

/// The prefix has browsers refuse it from anybody but this host (RFC 6265bis §4.1.3.2).
const NAME: &str = "__Host-route";
/// Of base64url: 96 bits.
const LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_among_other_cookies() {
        for (lines, token) in [
            (&["__Host-route=abc"][..], Some("abc")),
            (&["a=b; __Host-route=abc; c=d"], Some("abc")),
            (&["a=b", "c=d;__Host-route=abc "], Some("abc")),
            (&["x__Host-route=abc"], None),
            (&["__Host-route2=abc"], None),
            (&["__Host-route"], None),
            (&[], None),
        ] {
            let headers: HeaderMap = lines.iter().map(|line| (COOKIE, line.parse().unwrap())).collect();
            assert_eq!(brought(&headers, NAME), token.map(str::as_bytes), "{lines:?}");
        }
    }

    #[test]
    fn a_token_shows_no_address_and_is_a_sites_own() {
        let keys = Keys::new([Keys::generate()]).unwrap();
        let (shop, blog) = (Sticky::new(Some(&keys), "shop"), Sticky::new(Some(&keys), "blog"));
        let token = shop.token("http://127.0.0.1:3000");
        assert_eq!(token, Sticky::new(Some(&keys), "shop").token("http://127.0.0.1:3000"));
        assert_eq!(token.len(), LENGTH);
        assert_ne!(token, blog.token("http://127.0.0.1:3000"));
        assert_ne!(token, shop.token("http://127.0.0.1:3001"));
        assert_ne!(shop.name(Some("/api")), shop.name(Some("/shop")));
        assert!(
            cookie(&shop.name(None), &token)
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(&format!("{NAME}={token}; "))
        );
    }
}
