//! The secrets that cookies are signed and sealed with.
//!
//! A visitor who could write his own session cookie would be whoever he likes; what is signed cannot be altered,
//! and what is sealed cannot be read either. [`Keys`] is a ring of secrets: the first one signs and seals, all of
//! them verify and open, so that a secret is replaced without logging anybody out.
//!
//! **Stops** forged and altered cookies, cookies of one use, site or name passed off as another's, and secrets that
//! can be guessed. **Leaves** replay: a cookie that was good stays good until its reader looks at its age or asks a
//! store. **Defaults** secrets of 32 bytes at least, and from each one key a use, derived by HKDF-SHA256; what is
//! shared with Node takes the secret as it is, because the packages there do.
//!
//! ```
//! use std::time::Duration;
//! use panoply::Keys;
//! use panoply::keys::Context;
//!
//! # fn main() -> Result<(), panoply::SettingError> {
//! let old = Keys::generate();
//! let seal = Keys::new([&old])?.seal("shop basket");
//! let basket = Context { site: "shop.example", name: "basket" };
//! let sealed = seal.seal(&basket, b"three teapots", Duration::from_secs(1_800_000_000));
//!
//! // A new secret goes to the front; what the old one sealed still opens.
//! let seal = Keys::new([&Keys::generate(), &old])?.seal("shop basket");
//! let opened = seal.open(&basket, sealed.as_bytes()).unwrap();
//! assert_eq!(opened.plain, b"three teapots");
//! assert_eq!(opened.issued, Duration::from_secs(1_800_000_000));
//! assert!(!opened.key.is_first(), "it is time to seal it anew");
//! # Ok(())
//! # }
//! ```

mod express;
mod mac;
mod seal;
mod signature;
mod source;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Okm, Salt};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::SettingError;
use crate::random::random_bytes;
pub use express::{Encoding, Hash, Keygrip};
pub use seal::{Context, Opened, Seal};
pub use signature::Signature;

/// A ring of secrets: the first signs and seals, all verify and open.
///
/// To replace a secret, put a new one in front; take the old one away when nothing that it signed needs to be
/// believed any more. A clone is another handle on the same ring. The secrets are wiped from memory when the last
/// handle goes, and are printed nowhere.
///
/// ```
/// use panoply::Keys;
///
/// let keys = Keys::new([Keys::generate(), Keys::generate()])?;
/// assert_eq!(format!("{keys:?}"), "Keys(2 keys, [secret])");
///
/// let weak = Keys::new(["keyboard cat"]).unwrap_err();
/// assert_eq!(weak.to_string(), "key 1 has 12 bytes, at least 32 were expected");
/// assert_eq!(weak.hint(), "make one with `openssl rand -base64 32`");
/// # Ok::<(), panoply::SettingError>(())
/// ```
#[derive(Clone)]
pub struct Keys(Arc<[Secret]>);

/// One secret, as it was given, and what signs cookies with it as cookie-signature does.
struct Secret {
    bytes: Zeroizing<Box<[u8]>>,
    cookie: hmac::Key,
}

/// Which key of the ring it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyIndex(usize);

impl Keys {
    /// A ring of `secrets`, taken byte for byte: nothing is trimmed or decoded.
    ///
    /// # Errors
    /// There is none, or more than 16, or one twice; or one is shorter than 32 bytes or repeats itself, so that it
    /// can be guessed.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, SettingError> {
        Self::of(secrets, check_strength)
    }

    /// A ring that takes short secrets too: for those of an app that runs, until they can be replaced.
    ///
    /// Whoever has one cookie can try words against a short secret as fast as a machine can hash.
    ///
    /// # Errors
    /// There is none, or more than 16, or one twice; or one is empty.
    ///
    /// ```
    /// use panoply::Keys;
    ///
    /// let keys = Keys::danger_short(["keyboard cat"])?;
    /// assert_eq!(keys.sign_cookie("abc"), "abc.BpxCrWRpvZMh/wk/djl34N+m+VQEU7K/5WenLwJCgFU");
    /// assert!(Keys::danger_short([""]).is_err());
    /// # Ok::<(), panoply::SettingError>(())
    /// ```
    pub fn danger_short<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, SettingError> {
        Self::of(secrets, |number, secret| match secret {
            [] => Err(SettingError::new(format!("key {number} is empty"), MAKE_ONE)),
            _ => Ok(()),
        })
    }

    /// A new secret for a ring: 32 bytes that nobody can guess, in base64, as `openssl rand -base64 32` gives.
    ///
    /// ```
    /// use panoply::Keys;
    ///
    /// let secret = Keys::generate();
    /// assert_eq!(secret.len(), 44);
    /// assert!(Keys::new([secret]).is_ok());
    /// ```
    #[must_use]
    pub fn generate() -> String {
        STANDARD.encode(Zeroizing::new(random_bytes::<32>()))
    }

    /// What signs for one purpose. Two purposes never share a key, so a signature for one is none for another.
    ///
    /// It is made once, when an app starts: making it costs more than using it.
    ///
    /// ```
    /// use panoply::Keys;
    ///
    /// let keys = Keys::new([Keys::generate()])?;
    /// let link = keys.signature("unsubscribe link");
    /// let mac = link.sign(b"ann@shop.example");
    /// assert!(link.verify(b"ann@shop.example", mac.as_bytes()).is_some());
    /// assert!(link.verify(b"bob@shop.example", mac.as_bytes()).is_none());
    /// assert!(keys.signature("password link").verify(b"ann@shop.example", mac.as_bytes()).is_none());
    /// # Ok::<(), panoply::SettingError>(())
    /// ```
    #[must_use]
    pub fn signature(&self, purpose: &str) -> Signature {
        Signature::of(self.0.iter().map(|secret| secret.derive("signature:", purpose, hmac::HMAC_SHA256)))
    }

    /// What seals for one purpose: see [`Seal`]. Two purposes never share a key. It is made once.
    #[must_use]
    pub fn seal(&self, purpose: &str) -> Seal {
        Seal::of(&self.0, purpose)
    }

    fn of<S: AsRef<[u8]>>(
        secrets: impl IntoIterator<Item = S>,
        check: fn(usize, &[u8]) -> Result<(), SettingError>,
    ) -> Result<Self, SettingError> {
        let mut ring: Vec<Secret> = Vec::new();
        for secret in secrets {
            let secret = secret.as_ref();
            let number = ring.len() + 1;
            check(number, secret)?;
            if let Some(same) = ring.iter().position(|earlier| **earlier.bytes == *secret) {
                let message = format!("key {number} is key {} once more", same + 1);
                return Err(SettingError::new(message, "leave one of them out"));
            }
            if number > MOST {
                let message = format!("more than {MOST} keys were given");
                return Err(SettingError::new(message, "leave out the oldest, which nothing needs any more"));
            }
            ring.push(Secret::new(secret));
        }
        if ring.is_empty() {
            return Err(SettingError::new("no key was given, at least one was expected", MAKE_ONE));
        }
        Ok(Self(ring.into()))
    }
}

impl Secret {
    fn new(secret: &[u8]) -> Self {
        Self { bytes: Zeroizing::new(secret.into()), cookie: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// The key for `role` and `purpose` (RFC 5869). No role begins with another, so no two pairs run together.
    fn derive<K: KeyType, D>(&self, role: &str, purpose: &str, kind: K) -> D
    where
        D: for<'o> From<Okm<'o, K>>,
    {
        let extracted = Salt::new(HKDF_SHA256, SALT).extract(&self.bytes);
        let info = [role.as_bytes(), purpose.as_bytes()];
        D::from(extracted.expand(&info, kind).expect("a key is shorter than 255 hashes"))
    }
}

impl KeyIndex {
    /// Whether it was the key that signs now. If not, the value is worth signing anew, before the old key goes.
    #[must_use]
    pub fn is_first(self) -> bool {
        self.0 == 0
    }

    /// Its place in the ring; 0 is the first.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "Keys", self.0.len())
    }
}

/// How many keys there are is no secret.
fn debug(f: &mut fmt::Formatter<'_>, name: &str, keys: usize) -> fmt::Result {
    write!(f, "{name}({keys} key{}, [secret])", if keys == 1 { "" } else { "s" })
}

/// Refuses what somebody can guess. Strength cannot be measured, but placeholders have a look.
fn check_strength(number: usize, secret: &[u8]) -> Result<(), SettingError> {
    let length = secret.len();
    if length < SHORTEST {
        let message = format!("key {number} has {length} bytes, at least {SHORTEST} were expected");
        return Err(SettingError::new(message, MAKE_ONE));
    }
    let mut seen = [false; 256];
    let mut distinct = 0;
    for byte in secret {
        if let Some(seen) = seen.get_mut(usize::from(*byte))
            && !std::mem::replace(seen, true)
        {
            distinct += 1;
        }
    }
    // A word over and over is a word.
    let is_repeated = |period: &usize| secret.iter().skip(*period).eq(secret.iter().take(length - period));
    if distinct < FEWEST_DISTINCT || (1..SHORTEST.min(length / 2 + 1)).any(|period| is_repeated(&period)) {
        let message = format!("key {number} repeats itself, {SHORTEST} random bytes were expected");
        return Err(SettingError::new(message, MAKE_ONE));
    }
    Ok(())
}

const MAKE_ONE: &str = "make one with `openssl rand -base64 32`";

/// In bytes: as much as an HMAC-SHA256 can use.
const SHORTEST: usize = digest::SHA256_OUTPUT_LEN;

/// Of 32 random hexadecimal digits, fewer different ones than this turn up once in millions of years.
const FEWEST_DISTINCT: usize = 8;

/// What does not verify has been tried with every key.
const MOST: usize = 16;

/// Public; it keeps these keys apart from those that other software derives from the same secret.
const SALT: &[u8] = b"panoply keys 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_can_be_guessed_is_refused_with_the_mend() {
        for (secrets, message) in [
            (&[][..], "no key was given, at least one was expected"),
            (&[""], "key 1 has 0 bytes, at least 32 were expected"),
            (&["keyboard cat"], "key 1 has 12 bytes, at least 32 were expected"),
            (&[GOOD, "0123456789abcdef0123456789abcde"], "key 2 has 31 bytes, at least 32 were expected"),
            (&["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"], REPEATS),
            (&["changemechangemechangemechangeme"], REPEATS),
            (&["0123456701234567012345670123456x"], "fine"),
            (&["0123456012345601234560123456012345601234"], REPEATS),
            (&["keyboard cat keyboard cat keyboard cat "], REPEATS),
            (&["0123456789abcdef0123456789abcdef"], REPEATS),
            (&["00112233445566778899aabbccddeeff"], "fine"),
            (&[GOOD], "fine"),
            (&[GOOD, OTHER, GOOD], "key 3 is key 1 once more"),
        ] {
            let found = match Keys::new(secrets) {
                Ok(_) => "fine".to_owned(),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, message, "{secrets:?}");
        }
    }

    #[test]
    fn no_error_shows_a_secret() {
        for secrets in [&["s3cret"][..], &["s3crets3crets3crets3crets3crets3cret"], &[GOOD, GOOD]] {
            let error = Keys::new(secrets).unwrap_err();
            let shown = format!("{error} {error:?} {}", error.hint());
            assert!(!shown.contains("s3cret") && !shown.contains(GOOD), "{shown}");
        }
    }

    #[test]
    fn a_ring_has_sixteen_keys_at_most() {
        let secrets: Vec<String> = (0..17).map(|_| Keys::generate()).collect();
        assert!(Keys::new(&secrets[..16]).is_ok());
        assert_eq!(Keys::new(&secrets).unwrap_err().to_string(), "more than 16 keys were given");
    }

    #[test]
    fn short_secrets_are_taken_by_the_dangerous_name_alone() {
        assert_eq!(format!("{:?}", Keys::danger_short(["k"]).unwrap()), "Keys(1 key, [secret])");
        assert_eq!(Keys::danger_short(["a", ""]).unwrap_err().to_string(), "key 2 is empty");
        assert_eq!(Keys::danger_short(["a", "a"]).unwrap_err().to_string(), "key 2 is key 1 once more");
    }

    #[test]
    fn a_generated_secret_is_good_and_new() {
        let secrets: Vec<String> = (0..16).map(|_| Keys::generate()).collect();
        assert_eq!(format!("{:?}", Keys::new(secrets).unwrap()), "Keys(16 keys, [secret])");
    }

    const GOOD: &str = "9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymA=";
    const OTHER: &str = "d3N0rFPBVzUVm4dHuR4SSmKjHkrbc6WYd5XW1ILKZ0E=";
    const REPEATS: &str = "key 1 repeats itself, 32 random bytes were expected";
}
