use std::fmt;

use crate::Keys;
use crate::keys::{Seal, Signature};

/// What user names are hashed and trusted browsers are known by.
///
/// A user name is not kept: who reads the counters' store learns nobody's address. The hash has a key, since names are
/// few and can be tried.
#[derive(Clone)]
pub(crate) struct Secrets {
    names: Signature,
    pub(super) devices: Seal,
}

impl Secrets {
    pub(crate) fn of(keys: &Keys) -> Self {
        Self { names: keys.signature("brute_force user name"), devices: keys.seal("brute_force device") }
    }

    /// Gone with this process, and known to no other.
    pub(crate) fn passing() -> Self {
        let keys = Keys::new([Keys::generate()]);
        Self::of(&keys.expect("what is generated for keys is a key"))
    }

    /// 22 characters of base64url, 132 bits, that stand for `username` at one site.
    pub(super) fn hash(&self, scope: u64, username: &str) -> String {
        let mut hash = self.names.sign(format!("{scope:x} {username}").as_bytes());
        hash.truncate(HASH_LENGTH);
        hash
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets([secret])")
    }
}

const HASH_LENGTH: usize = 22;
