use http::HeaderValue;

use super::Csp;
use crate::Nonce;

/// A policy as it is sent: what does not change from answer to answer was printed beforehand.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    policy: Csp,
    whole: Option<Template>,
    unframed: Option<Template>,
}

/// One policy's text.
#[derive(Clone, Debug)]
struct Template {
    plain: HeaderValue,
    /// The text between the nonces; empty where there is none.
    pieces: Vec<String>,
}

impl Prepared {
    /// The header's value.
    ///
    /// Where the app framed the answer by `X-Frame-Options`, `framed_by_app`, `frame-ancestors` is left out:
    /// browsers would heed it instead (CSP3 §6.4.2.2), so ours would loosen a DENY.
    pub(super) fn value(&self, framed_by_app: bool, nonce: Option<Nonce>) -> Option<HeaderValue> {
        let template = if framed_by_app { &self.unframed } else { &self.whole };
        template.as_ref().map(|template| template.value(nonce))
    }

    pub(super) fn has_nonce(&self) -> bool {
        self.whole.as_ref().is_some_and(|template| !template.pieces.is_empty())
    }
}

impl From<Csp> for Prepared {
    fn from(policy: Csp) -> Self {
        let whole = Template::of(&policy.to_string());
        let unframed = Template::of(&policy.but("frame-ancestors").to_string());
        Self { policy, whole, unframed }
    }
}

impl PartialEq for Prepared {
    fn eq(&self, other: &Self) -> bool {
        self.policy == other.policy
    }
}

impl Eq for Prepared {}

impl Template {
    /// `None` for a policy that says nothing.
    fn of(text: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = split_at_nonce(rest) {
            pieces.push(before.to_owned());
            rest = after;
        }
        // A nonce that was never made allows nothing: without it the other sources stand as they are.
        let plain: String = pieces.iter().map(|piece| piece.trim_end_matches(' ')).chain([rest]).collect();
        if !pieces.is_empty() {
            pieces.push(rest.to_owned());
        }
        let plain = HeaderValue::try_from(plain).ok().filter(|plain| !plain.is_empty())?;
        Some(Self { plain, pieces })
    }

    fn value(&self, nonce: Option<Nonce>) -> HeaderValue {
        let Some(nonce) = nonce.filter(|_| !self.pieces.is_empty()) else { return self.plain.clone() };
        let text = self.pieces.join(&format!("'nonce-{nonce}'"));
        HeaderValue::try_from(text).unwrap_or_else(|_| self.plain.clone())
    }
}

/// Around the first `'nonce'` that is a source of its own, not a part of an address.
fn split_at_nonce(text: &str) -> Option<(&str, &str)> {
    text.match_indices(PLACE).find_map(|(at, _)| {
        let (before, after) = (text.get(..at)?, text.get(at + PLACE.len()..)?);
        let alone =
            before.ends_with([' ', '\t']) && (after.is_empty() || after.starts_with([' ', '\t', ';']));
        alone.then_some((before, after))
    })
}

const PLACE: &str = "'nonce'";

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(text: &str) -> Prepared {
        Prepared::from(text.parse::<Csp>().unwrap())
    }

    #[test]
    fn each_nonce_of_an_answer_is_the_same_and_new() {
        for (policy, sent, without) in [
            (
                "script-src 'nonce';style-src 'self' 'nonce'",
                "script-src 'nonce-0000000000000000000000000000000a';\
                 style-src 'self' 'nonce-0000000000000000000000000000000a'",
                "script-src;style-src 'self'",
            ),
            ("script-src 'nonce' a", "script-src 'nonce-0000000000000000000000000000000a' a", "script-src a"),
            ("script-src a", "script-src a", "script-src a"),
            ("report-uri /'nonce'", "report-uri /'nonce'", "report-uri /'nonce'"),
        ] {
            let prepared = prepared(policy);
            assert_eq!(prepared.value(false, Some(Nonce(10))).unwrap(), sent, "{policy}");
            assert_eq!(prepared.value(false, None).unwrap(), without, "{policy}");
            assert_eq!(prepared.has_nonce(), sent.contains("-0000"), "{policy}");
        }
    }

    #[test]
    fn an_app_that_frames_is_not_overruled() {
        for (policy, unframed) in [
            (
                "base-uri 'self';frame-ancestors 'self';object-src 'none'",
                Some("base-uri 'self';object-src 'none'"),
            ),
            ("img-src a", Some("img-src a")),
            ("frame-ancestors 'self'", None),
        ] {
            let sent = prepared(policy).value(true, None);
            assert_eq!(sent.as_ref().map(|value| value.to_str().unwrap()), unframed, "{policy}");
        }
        assert_eq!(prepared("").value(false, None), None);
    }
}
