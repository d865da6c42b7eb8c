use std::fmt;
use std::str::FromStr;

use http::HeaderValue;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::ReferrerToken;
use crate::SettingError;

/// What a link or a form tells the next site of the page it was on: `Referrer-Policy`.
///
/// A list holds a word for old browsers first: each takes the last one that it knows.
///
/// ```
/// use panoply::practices::headers::{ReferrerPolicy, ReferrerToken};
///
/// let policy = ReferrerPolicy::of([ReferrerToken::NoReferrer, ReferrerToken::StrictOrigin])?;
/// assert_eq!(policy.to_string(), "no-referrer,strict-origin");
/// assert_eq!("no-referrer, strict-origin".parse(), Ok(policy));
/// # Ok::<(), panoply::SettingError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferrerPolicy(Vec<ReferrerToken>);

impl ReferrerPolicy {
    /// These words, in this order.
    ///
    /// # Errors
    /// When there is none, or one is there twice.
    pub fn of(tokens: impl IntoIterator<Item = ReferrerToken>) -> Result<Self, SettingError> {
        let mut policy = Self(Vec::new());
        for token in tokens {
            if policy.0.contains(&token) {
                return Err(SettingError::new(
                    format!("a Referrer-Policy holds each word once, but `{token}` is there twice"),
                    "leave one of them out",
                ));
            }
            policy.0.push(token);
        }
        if policy.0.is_empty() {
            return Err(SettingError::new(
                "a Referrer-Policy holds at least one word, but the list is empty",
                "write `no-referrer`, or \"off\" to send none",
            ));
        }
        Ok(policy)
    }

    pub(super) fn value(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.to_string()).ok()
    }
}

impl From<ReferrerToken> for ReferrerPolicy {
    fn from(token: ReferrerToken) -> Self {
        Self(vec![token])
    }
}

impl From<ReferrerToken> for Option<ReferrerPolicy> {
    fn from(token: ReferrerToken) -> Self {
        Some(token.into())
    }
}

impl fmt::Display for ReferrerPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, token) in self.0.iter().enumerate() {
            write!(f, "{}{token}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for ReferrerPolicy {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let tokens: Result<Vec<_>, _> = text.split(',').map(|token| token.trim().parse()).collect();
        Self::of(tokens?)
    }
}

/// One text, or a list of words.
impl<'de> Deserialize<'de> for ReferrerPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrList)
    }
}

struct TextOrList;

impl<'de> Visitor<'de> for TextOrList {
    type Value = ReferrerPolicy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Referrer-Policy, or a list of its words")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ReferrerPolicy, E> {
        text.parse().map_err(SettingError::into_serde)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<ReferrerPolicy, A::Error> {
        let tokens = Vec::<ReferrerToken>::deserialize(SeqAccessDeserializer::new(list))?;
        ReferrerPolicy::of(tokens).map_err(SettingError::into_serde)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_word_is_known_and_stands_once() {
        for (text, printed) in [
            ("no-referrer", Some("no-referrer")),
            ("no-referrer , unsafe-url", Some("no-referrer,unsafe-url")),
            ("", Some("")), // the specification's own word for a browser's default
            ("no-referrer,no-referrer", None),
            ("No-Referrer", None),
            ("never", None),
        ] {
            let policy = text.parse::<ReferrerPolicy>().ok();
            assert_eq!(policy.map(|policy| policy.to_string()).as_deref(), printed, "{text}");
        }
        assert!(ReferrerPolicy::of([]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(
            tokens in prop::sample::subsequence(
                vec![
                    ReferrerToken::NoReferrer,
                    ReferrerToken::SameOrigin,
                    ReferrerToken::StrictOriginWhenCrossOrigin,
                    ReferrerToken::UnsafeUrl,
                    ReferrerToken::Empty,
                ],
                1..=5,
            ).prop_shuffle()
        ) {
            let policy = ReferrerPolicy::of(tokens).unwrap();
            prop_assert_eq!(policy.to_string().parse(), Ok(policy));
        }
    }
}
