use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;

use super::mac::{Form, Mac};
use super::{KeyIndex, Keys, debug};

/// What Node's packages do. Their keys are the secrets as they are: nothing is derived, so that an Express app with
/// the same secrets reads what is signed here, and the other way about.
impl Keys {
    /// `value`, a dot, and its signature: as npm's cookie-signature signs (HMAC-SHA256, base64 without padding).
    ///
    /// express-session writes `s:` in front of it and percent-encodes the whole.
    ///
    /// ```
    /// use panoply::Keys;
    ///
    /// let keys = Keys::danger_short(["tobiiscool"])?;
    /// assert_eq!(keys.sign_cookie("hello"), "hello.DGDUkGlIkCzPz+C0B064FNgHdEjox7ch8tOBGslZ5QI");
    /// # Ok::<(), panoply::SettingError>(())
    /// ```
    #[must_use]
    pub fn sign_cookie(&self, value: &str) -> String {
        let Some(secret) = self.0.first() else { return String::new() };
        let mac = Mac::new(&secret.cookie, value.as_bytes(), Form::Base64);
        [value, ".", mac.as_str()].concat()
    }

    /// The value before the last dot, and the key that signed it, if one did: as npm's cookie-signature unsigns.
    ///
    /// ```
    /// use panoply::Keys;
    ///
    /// let keys = Keys::danger_short(["new", "tobiiscool"])?;
    /// let (value, key) = keys.unsign_cookie("hello.DGDUkGlIkCzPz+C0B064FNgHdEjox7ch8tOBGslZ5QI").unwrap();
    /// assert_eq!((value, key.is_first()), ("hello", false));
    /// assert_eq!(keys.unsign_cookie("admin.DGDUkGlIkCzPz+C0B064FNgHdEjox7ch8tOBGslZ5QI"), None);
    /// # Ok::<(), panoply::SettingError>(())
    /// ```
    #[must_use]
    pub fn unsign_cookie<'v>(&self, signed: &'v str) -> Option<(&'v str, KeyIndex)> {
        let (value, mac) = signed.rsplit_once('.')?;
        // What cannot be a signature costs no HMAC.
        if mac.len() != COOKIE_MAC {
            return None;
        }
        let keys = self.0.iter().map(|secret| &secret.cookie);
        Mac::find(keys, value.as_bytes(), Form::Base64, mac.as_bytes()).map(|key| (value, key))
    }

    /// What signs as npm's keygrip does, for cookie-session and the cookies package. It is made once.
    ///
    /// Both take [`Hash::default`] and [`Encoding::default`], unless they are told otherwise.
    ///
    /// ```
    /// use panoply::Keys;
    /// use panoply::keys::{Encoding, Hash};
    ///
    /// let keys = Keys::danger_short(["k1"])?;
    /// let keygrip = keys.keygrip(Hash::default(), Encoding::default());
    /// assert_eq!(keygrip.sign("session=eyJ2IjoxfQ=="), "cbPPs1DVYRkr75Pc-SeMnVMCV68");
    /// # Ok::<(), panoply::SettingError>(())
    /// ```
    #[must_use]
    pub fn keygrip(&self, hash: Hash, encoding: Encoding) -> Keygrip {
        let form = match encoding {
            Encoding::Base64 => Form::Base64Url, // `/` becomes `_`, `+` becomes `-`, `=` goes
            Encoding::Hex => Form::Hex,
        };
        let keys = self.0.iter().map(|secret| hmac::Key::new(hash.algorithm(), &secret.bytes)).collect();
        Keygrip { keys, form }
    }
}

/// Signs and verifies as npm's keygrip 1.1 does: [`Keys::keygrip`] makes it.
///
/// The keys are prepared; a clone is another handle on them.
#[derive(Clone)]
pub struct Keygrip {
    keys: Arc<[hmac::Key]>,
    form: Form,
}

/// The hash under a [`Keygrip`]'s HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hash {
    /// Keygrip's own. What breaks SHA-1 elsewhere does not break an HMAC of it.
    #[default]
    Sha1,
    /// `new Keygrip(keys, 'sha256')`.
    Sha256,
    /// `new Keygrip(keys, 'sha512')`.
    Sha512,
}

/// How a [`Keygrip`] writes its signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Keygrip's own: base64url without padding.
    #[default]
    Base64,
    /// `new Keygrip(keys, 'sha256', 'hex')`: lower-case digits.
    Hex,
}

impl Keygrip {
    /// The signature of `data` by the first key. The cookies package signs `name=value`.
    #[must_use]
    pub fn sign(&self, data: &str) -> String {
        let mac = self.keys.first().map(|key| Mac::new(key, data.as_bytes(), self.form));
        mac.map(|mac| mac.as_str().to_owned()).unwrap_or_default()
    }

    /// Which key of the ring made `signature` of `data`, if one did; keygrip calls it `index`.
    #[must_use]
    pub fn verify(&self, data: &str, signature: &str) -> Option<KeyIndex> {
        Mac::find(&*self.keys, data.as_bytes(), self.form, signature.as_bytes())
    }
}

impl Hash {
    fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

impl fmt::Debug for Keygrip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "Keygrip", self.keys.len())
    }
}

/// 32 bytes in base64 without padding.
const COOKIE_MAC: usize = 43;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cookies_are_signed_as_cookie_signature_signs() {
        for (secret, value, signed) in [
            ("tobiiscool", "hello", "hello.DGDUkGlIkCzPz+C0B064FNgHdEjox7ch8tOBGslZ5QI"),
            ("keyboard cat", "abc", "abc.BpxCrWRpvZMh/wk/djl34N+m+VQEU7K/5WenLwJCgFU"),
            ("k", "a b/c+d=é.x", "a b/c+d=é.x.KZY/YhBySQpANAzMF4L5X/zRb2mT1Hb5K/4YGiD/OMw"),
        ] {
            let keys = Keys::danger_short([secret]).unwrap();
            assert_eq!(keys.sign_cookie(value), signed);
            assert_eq!(keys.unsign_cookie(signed), Some((value, KeyIndex(0))));
        }
    }

    #[test]
    fn what_was_not_signed_so_is_refused() {
        let keys = Keys::danger_short(["other", "tobiiscool"]).unwrap();
        for (signed, place) in [
            ("hello.DGDUkGlIkCzPz+C0B064FNgHdEjox7ch8tOBGslZ5QI", Some(1)),
            ("hello.DGDUkGlIkCzPz+C0B064FNgHdEjox7ch8tOBGslZ5QJ", None), // decodes to the same bytes
            ("hello.DGDUkGlIkCzPz+C0B064FNgHdEjox7ch8tOBGslZ5QI=", None),
            ("hello.DGDUkGlIkCzPz-C0B064FNgHdEjox7ch8tOBGslZ5QI", None), // base64url is another text
            ("hello.DGDUkGlIkCzPz+C0B064FNgHdEjox7ch8tOBGslZ5Q", None),
            ("hell.o.DGDUkGlIkCzPz+C0B064FNgHdEjox7ch8tOBGslZ5QI", None),
            (".DGDUkGlIkCzPz+C0B064FNgHdEjox7ch8tOBGslZ5QI", None),
            ("hello.", None),
            ("hello", None),
            (".", None),
            ("", None),
        ] {
            assert_eq!(keys.unsign_cookie(signed).map(|(_, key)| key.get()), place, "{signed}");
        }
    }

    #[test]
    fn keygrip_signs_as_keygrip() {
        use {Encoding::*, Hash::*};
        for (key, hash, encoding, data, signature) in [
            ("k1", Sha1, Base64, "session=eyJ2IjoxfQ==", "cbPPs1DVYRkr75Pc-SeMnVMCV68"),
            ("k2", Sha1, Base64, "session=eyJ2IjoxfQ==", "-rJjmn2QAgqAqh1pRhPD3DF0xrI"),
            ("k1", Sha1, Base64, "session=", "AbGUeJbbA2Xb0ee7e8Oqh-AJCiI"),
            (
                "k1",
                Sha256,
                Hex,
                "session=eyJ2IjoxfQ==",
                "a8b0498ad9e2b4422c0970795673b216b11adbcc11f3ecc96323d213e83ef387",
            ),
        ] {
            let keygrip = Keys::danger_short([key]).unwrap().keygrip(hash, encoding);
            assert_eq!(keygrip.sign(data), signature);
            let ring = Keys::danger_short(["k0", key]).unwrap().keygrip(hash, encoding);
            assert_eq!(ring.verify(data, signature), Some(KeyIndex(1)), "{signature}");
            assert_eq!(ring.verify(&format!("{data}x"), signature), None, "{signature}");
            assert_eq!(ring.verify(data, &signature.to_ascii_uppercase()), None, "{signature}");
            assert_eq!(ring.verify(data, ""), None, "{signature}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let keygrip = Keys::danger_short(["a", "b"]).unwrap().keygrip(Hash::Sha1, Encoding::Hex);
        assert_eq!(format!("{keygrip:?}"), "Keygrip(2 keys, [secret])");
    }

    proptest! {
        #[test]
        fn what_is_signed_is_unsigned_and_nothing_else_is(
            value in "\\PC{0,32}", secret in "\\PC{1,80}", at in any::<prop::sample::Index>(), to in any::<char>(),
        ) {
            let keys = Keys::danger_short([&secret]).unwrap();
            let signed = keys.sign_cookie(&value);
            prop_assert_eq!(keys.unsign_cookie(&signed), Some((&*value, KeyIndex(0))));
            prop_assert_eq!(Keys::danger_short([secret + "x"]).unwrap().unsign_cookie(&signed), None);

            let mut altered: Vec<char> = signed.chars().collect();
            let at = at.index(altered.len());
            if std::mem::replace(&mut altered[at], to) != to {
                let altered = String::from_iter(altered);
                prop_assert_eq!(keys.unsign_cookie(&altered), None);
            }
        }

        #[test]
        fn what_keygrip_signs_it_verifies(data in "\\PC{0,32}", hash in 0..3usize, hex in any::<bool>()) {
            let hash = [Hash::Sha1, Hash::Sha256, Hash::Sha512][hash];
            let keygrip = Keys::danger_short(["k"]).unwrap().keygrip(hash, if hex { Encoding::Hex } else { Encoding::Base64 });
            let signature = keygrip.sign(&data);
            prop_assert!(signature.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            prop_assert_eq!(keygrip.verify(&data, &signature), Some(KeyIndex(0)));
        }
    }
}
