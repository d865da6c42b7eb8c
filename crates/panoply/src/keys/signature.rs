use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;

use super::mac::{Form, Mac};
use super::{KeyIndex, debug};

/// Signs and verifies for one purpose: [`Keys::signature`](super::Keys::signature) makes it.
///
/// The keys are prepared, so that a request costs one HMAC; a clone is another handle on them.
#[derive(Clone)]
pub struct Signature(Arc<[hmac::Key]>);

impl Signature {
    pub(super) fn of(keys: impl Iterator<Item = hmac::Key>) -> Self {
        Self(keys.collect())
    }

    /// The HMAC-SHA256 of `text` by the first key: 43 characters of base64url, without padding.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> String {
        self.0.first().map(|key| Mac::new(key, text, Form::Base64Url).as_str().to_owned()).unwrap_or_default()
    }

    /// Which key of the ring made `mac` of `text`, if one did; `mac` is compared in constant time.
    #[must_use]
    pub fn verify(&self, text: &[u8], mac: &[u8]) -> Option<KeyIndex> {
        Mac::find(&*self.0, text, Form::Base64Url, mac)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "Signature", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::Keys;
    use crate::keys::KeyIndex;

    #[test]
    fn a_key_that_moved_back_still_verifies_and_a_removed_one_does_not() {
        let [old, new, newer] = [Keys::generate(), Keys::generate(), Keys::generate()];
        let signature = |secrets: &[&String]| Keys::new(secrets).unwrap().signature("test");
        let mac = signature(&[&old]).sign(b"text");
        for (ring, place) in [
            (&[&old][..], Some(0)),
            (&[&new, &old], Some(1)),
            (&[&newer, &new, &old], Some(2)),
            (&[&newer, &new], None),
        ] {
            let found = signature(ring).verify(b"text", mac.as_bytes());
            assert_eq!(found.map(KeyIndex::get), place);
            assert_eq!(found.is_some_and(KeyIndex::is_first), place == Some(0));
        }
    }

    #[test]
    fn a_purpose_has_its_own_key() {
        let keys = Keys::new([SECRET]).unwrap();
        let mac = keys.signature("a").sign(b"text");
        for (purpose, is_known) in [("a", true), ("b", false), ("", false), ("aa", false)] {
            let found = keys.signature(purpose).verify(b"text", mac.as_bytes());
            assert_eq!(found.is_some(), is_known, "{purpose}");
        }
        assert_eq!(keys.unsign_cookie(&format!("text.{mac}")), None, "the raw secret is no derived key");
    }

    /// As `crypto.hkdfSync('sha256', secret, 'panoply keys 1', 'signature:session id', 32)` and `createHmac` have
    /// it: what is signed today has to verify in every later version.
    #[test]
    fn a_signature_stays_what_it_is() {
        let signature = Keys::new([SECRET]).unwrap().signature("session id");
        assert_eq!(signature.sign(b"hello"), "WbTzG0Fpf9J6zwVALRoI-g5Rg-CViWVSSwXQv52Rxw0");
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies_and_nothing_else_does(
            text in proptest::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>(), bit in 0..8u8,
        ) {
            let signature = Keys::new([SECRET]).unwrap().signature("test");
            let mac = signature.sign(&text);
            prop_assert_eq!(mac.len(), 43);
            prop_assert!(signature.verify(&text, mac.as_bytes()).is_some());

            let mut altered = mac.clone().into_bytes();
            altered[at.index(mac.len())] ^= 1 << bit;
            prop_assert!(signature.verify(&text, &altered).is_none());
            prop_assert!(signature.verify(&text, &mac.as_bytes()[..at.index(mac.len())]).is_none());
            prop_assert!(signature.verify(&[&text[..], b" "].concat(), mac.as_bytes()).is_none());
        }
    }

    const SECRET: &str = "9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymA=";
}
