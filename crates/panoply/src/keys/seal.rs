use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{KeyType, Okm};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{KeyIndex, Secret, debug};
use crate::random::random_bytes;

/// Seals and opens for one purpose: [`Keys::seal`](super::Keys::seal) makes it.
///
/// What is sealed can be neither read nor altered, and opens for the same site and name alone (AES-256-GCM-SIV,
/// RFC 8452, a random nonce each time). The keys are prepared; a clone is another handle on them.
///
/// Its length is no secret, and neither is the time at which it was sealed. It is 51 characters and a third longer
/// than what is in it. Of a sealed value more than 64 KiB long nothing is opened; a cookie has 4 KiB.
///
/// ```
/// use std::time::Duration;
/// use panoply::Keys;
/// use panoply::keys::Context;
///
/// let seal = Keys::new([Keys::generate()])?.seal("shop cookie");
/// let cart = Context { site: "shop.example", name: "cart" };
/// let sealed = seal.seal(&cart, b"teapot", Duration::from_secs(1_800_000_000));
///
/// assert_eq!(seal.open(&cart, sealed.as_bytes()).unwrap().plain, b"teapot");
/// let user = Context { name: "user", ..cart };
/// assert!(seal.open(&user, sealed.as_bytes()).is_none(), "no cookie passes for another");
/// # Ok::<(), panoply::SettingError>(())
/// ```
#[derive(Clone)]
pub struct Seal(Arc<[SealingKey]>);

struct SealingKey {
    hint: u8,
    cipher: LessSafeKey,
}

/// What a sealed value belongs to. It is no part of the value and opens it only where it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'c> {
    /// The site: two sites that share keys share no cookies.
    pub site: &'c str,
    /// The cookie's name.
    pub name: &'c str,
}

/// What was sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// The value as it was.
    pub plain: Vec<u8>,
    /// When it was sealed: since the beginning of 1970 UTC, in whole milliseconds.
    pub issued: Duration,
    /// The key that sealed it.
    pub key: KeyIndex,
}

impl Seal {
    pub(super) fn of(secrets: &[Secret], purpose: &str) -> Self {
        let sealing_key = |secret: &Secret| {
            let cipher = LessSafeKey::new(secret.derive::<_, UnboundKey>("seal:", purpose, &AES_256_GCM_SIV));
            SealingKey { hint: secret.derive::<_, Hint>("hint:", purpose, HintLength).0, cipher }
        };
        Self(secrets.iter().map(sealing_key).collect())
    }

    /// Seals `plain` with the first key; `now` is the time since the beginning of 1970 UTC. The answer is base64url
    /// without padding.
    #[must_use]
    pub fn seal(&self, context: &Context<'_>, plain: &[u8], now: Duration) -> String {
        let Some(key) = self.0.first() else { return String::new() };
        let nonce = random_bytes::<NONCE_LEN>();
        let mut sealed = Vec::with_capacity(OVERHEAD + plain.len());
        sealed.extend_from_slice(&[VERSION, key.hint]);
        sealed.extend_from_slice(&u64::try_from(now.as_millis()).unwrap_or(u64::MAX).to_be_bytes());
        let bound = context.bind(&sealed);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);

        let (_, text) = sealed.split_at_mut(HEAD + NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.cipher.seal_in_place_separate_tag(nonce, Aad::from(bound), text);
        sealed.extend_from_slice(tag.expect("a value is shorter than 64 GiB").as_ref());
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// Opens what [`seal`](Self::seal) made for the same `context`, by whichever key of the ring. `None`: nobody
    /// who has a key sealed this here.
    #[must_use]
    pub fn open(&self, context: &Context<'_>, sealed: &[u8]) -> Option<Opened> {
        if sealed.len() > LONGEST {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (head, rest) = sealed.split_at_checked(HEAD)?;
        let (&[version, hint], time) = head.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (text, tag) = rest.split_last_chunk::<TAG>()?;
        if version != VERSION {
            return None;
        }
        let bound = context.bind(head);
        let issued = Duration::from_millis(u64::from_be_bytes(*time.first_chunk()?));
        for (index, key) in self.0.iter().enumerate().filter(|(_, key)| key.hint == hint) {
            let mut plain = vec![0; text.len()];
            let nonce = Nonce::assume_unique_for_key(*nonce);
            if key.cipher.open_separate_gather(nonce, Aad::from(&bound), text, tag, &mut plain).is_ok() {
                return Some(Opened { plain, issued, key: KeyIndex(index) });
            }
        }
        None
    }
}

impl Context<'_> {
    /// What is sealed along: the length before each part keeps one from running into the next.
    fn bind(&self, head: &[u8]) -> Vec<u8> {
        let mut bound = Vec::with_capacity(head.len() + 16 + self.site.len() + self.name.len());
        bound.extend_from_slice(head);
        for part in [self.site, self.name] {
            bound.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bound.extend_from_slice(part.as_bytes());
        }
        bound
    }
}

/// One byte of its own derivation tells nothing of a key, and keeps what is forged from being tried with all of them.
struct Hint(u8);

#[derive(Debug, PartialEq)]
struct HintLength;

impl KeyType for HintLength {
    fn len(&self) -> usize {
        1
    }
}

impl From<Okm<'_, HintLength>> for Hint {
    fn from(derived: Okm<'_, HintLength>) -> Self {
        let mut hint = [0];
        // A hint that is not filled in is a hint: it only has to be the same each time.
        let _ = derived.fill(&mut hint);
        let [hint] = hint;
        Self(hint)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "Seal", self.0.len())
    }
}

/// Shows everything but the value, which was sealed for a reason.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issued, key, .. } = self;
        write!(f, "Opened {{ plain: [secret], issued: {issued:?}, key: {key:?} }}")
    }
}

/// Another form gets another number.
const VERSION: u8 = 1;

/// Version, hint and time.
const HEAD: usize = 1 + 1 + 8;

/// Of AES-256-GCM-SIV.
const TAG: usize = 16;

/// What sealing adds, before base64.
const OVERHEAD: usize = HEAD + NONCE_LEN + TAG;

/// In characters; more is refused before it is decoded. Sixteen times what a browser keeps in a cookie.
const LONGEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Keys;

    #[test]
    fn a_key_that_moved_back_still_opens_and_a_removed_one_does_not() {
        let [old, new, newer] = [Keys::generate(), Keys::generate(), Keys::generate()];
        let seal = |secrets: &[&String]| Keys::new(secrets).unwrap().seal("test");
        let sealed = seal(&[&old]).seal(&HERE, b"text", NOW);
        for (ring, place) in [
            (&[&old][..], Some(0)),
            (&[&new, &old], Some(1)),
            (&[&newer, &new, &old], Some(2)),
            (&[&newer, &new], None),
        ] {
            let opened = seal(ring).open(&HERE, sealed.as_bytes());
            assert_eq!(opened.map(|opened| opened.key.get()), place);
        }
    }

    #[test]
    fn keys_with_one_hint_do_not_stand_in_each_others_way() {
        let key = |byte| SealingKey {
            hint: 7,
            cipher: LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &[byte; 32]).unwrap()),
        };
        let sealed = Seal([key(1)].into()).seal(&HERE, b"text", NOW);
        let opened = Seal([key(2), key(1)].into()).open(&HERE, sealed.as_bytes());
        assert_eq!(opened.map(|opened| opened.key), Some(KeyIndex(1)));
    }

    #[test]
    fn it_opens_for_its_site_its_name_and_its_purpose_alone() {
        let keys = Keys::new([SECRET]).unwrap();
        let sealed = keys.seal("test").seal(&HERE, b"text", NOW);
        for (purpose, site, name, opens) in [
            ("test", "shop.example", "sid", true),
            ("test", "evil.example", "sid", false),
            ("test", "shop.example", "user", false),
            ("test", "shop.examples", "id", false), // the same letters, cut elsewhere
            ("test", "shop.examplesid", "", false),
            ("test", "", "shop.examplesid", false),
            ("other", "shop.example", "sid", false),
        ] {
            let opened = keys.seal(purpose).open(&Context { site, name }, sealed.as_bytes());
            assert_eq!(opened.is_some(), opens, "{purpose} {site} {name}");
        }
    }

    #[test]
    fn what_nobody_sealed_does_not_open() {
        let seal = Keys::new([SECRET]).unwrap().seal("test");
        let sealed = seal.seal(&HERE, b"text!", NOW); // 43 bytes: the last character has bits to spare
        let long = "A".repeat(LONGEST + 1);
        let next = |text: &str| {
            let mut bytes = text.to_owned().into_bytes();
            *bytes.last_mut().unwrap() += 1;
            String::from_utf8(bytes).unwrap()
        };
        for (text, opens) in [
            (&*sealed, true),
            ("", false),
            ("AQ", false),
            (&*format!("{sealed}="), false),
            (&*format!("{sealed}A"), false),
            (&*format!(" {sealed}"), false),
            (&*next(&sealed), false),
            (&*format!("\"{sealed}\""), false),
            (&*long, false),
        ] {
            assert_eq!(seal.open(&HERE, text.as_bytes()).is_some(), opens, "{}", &text[..text.len().min(80)]);
        }
        assert_eq!(seal.open(&HERE, b"\xff\x00\xfe"), None);
    }

    #[test]
    fn every_bit_counts() {
        let seal = Keys::new([SECRET]).unwrap().seal("test");
        let sealed = URL_SAFE_NO_PAD.decode(seal.seal(&HERE, b"text", NOW)).unwrap();
        for (at, bit) in (0..sealed.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut altered = sealed.clone();
            altered[at] ^= 1 << bit;
            assert_eq!(seal.open(&HERE, URL_SAFE_NO_PAD.encode(altered).as_bytes()), None, "{at} {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(
                seal.open(&HERE, URL_SAFE_NO_PAD.encode(&sealed[..length]).as_bytes()),
                None,
                "{length}"
            );
        }
    }

    #[test]
    fn the_longest_value_that_opens_has_nearly_48_kib() {
        let seal = Keys::new([SECRET]).unwrap().seal("test");
        let longest = LONGEST / 4 * 3 - OVERHEAD;
        for (length, opens) in [(longest, true), (longest + 1, false)] {
            let sealed = seal.seal(&HERE, &vec![7; length], NOW);
            assert_eq!(seal.open(&HERE, sealed.as_bytes()).is_some(), opens, "{length}");
        }
    }

    #[test]
    fn the_same_value_is_sealed_differently_each_time() {
        let seal = Keys::new([SECRET]).unwrap().seal("test");
        assert_ne!(seal.seal(&HERE, b"text", NOW), seal.seal(&HERE, b"text", NOW));
    }

    #[test]
    fn what_was_sealed_is_not_shown() {
        let seal = Keys::new([SECRET]).unwrap().seal("test");
        let opened = seal.open(&HERE, seal.seal(&HERE, b"text", NOW).as_bytes()).unwrap();
        let shown = format!("{seal:?} {opened:?}");
        assert_eq!(
            shown,
            "Seal(1 key, [secret]) Opened { plain: [secret], issued: 1800000000.123s, key: KeyIndex(0) }"
        );
    }

    /// What is sealed today has to open in every later version. This one was sealed by another implementation
    /// (Python's cryptography), with the bytes 0 to 11 as its nonce.
    #[test]
    fn a_sealed_value_stays_what_it_is() {
        let seal = Keys::new([SECRET]).unwrap().seal("test");
        let opened = seal.open(&HERE, GOLDEN.as_bytes()).unwrap();
        assert_eq!((opened.plain, opened.issued), (b"hello".to_vec(), NOW));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(
            plain in proptest::collection::vec(any::<u8>(), 0..200), site in "\\PC{0,12}", name in "\\PC{0,12}",
            millis in any::<u64>(),
        ) {
            let seal = Keys::new([SECRET]).unwrap().seal("test");
            let (context, issued) = (Context { site: &site, name: &name }, Duration::from_millis(millis));
            let sealed = seal.seal(&context, &plain, issued);
            prop_assert_eq!(sealed.len(), ((plain.len() + OVERHEAD) * 4).div_ceil(3));
            let opened = seal.open(&context, sealed.as_bytes());
            prop_assert_eq!(opened, Some(Opened { plain, issued, key: KeyIndex(0) }));
        }

        #[test]
        fn whatever_is_sent_does_not_open(sent in proptest::collection::vec(any::<u8>(), 0..200)) {
            let seal = Keys::new([SECRET]).unwrap().seal("test");
            prop_assert_eq!(seal.open(&HERE, &sent), None);
            prop_assert_eq!(seal.open(&HERE, URL_SAFE_NO_PAD.encode(sent).as_bytes()), None);
        }
    }

    const HERE: Context<'_> = Context { site: "shop.example", name: "sid" };
    const NOW: Duration = Duration::from_millis(1_800_000_000_123);
    const SECRET: &str = "9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymA=";
    const GOLDEN: &str = "AbMAAAGjGFxQewABAgMEBQYHCAkKC-6SMahzO_5R0o8GUzXqAPL8atieLA";
}
