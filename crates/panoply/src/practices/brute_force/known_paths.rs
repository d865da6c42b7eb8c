use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::login_path::spelled;

/// The paths at which passwords were tried and judged, so that a body which cannot be read is no way around there.
///
/// One bit a path, of 65,536 in 8 KiB: it never grows, and never forgets while the process lives. Two paths that
/// share a bit, or strangers that fill it, only make more posts count as tries: those that fail, by their address.
/// The hash is keyed at random, so that nobody can look for such paths.
#[derive(Default)]
pub(crate) struct KnownPaths(OnceLock<Table>);

struct Table {
    hasher: RandomState,
    bits: Box<[AtomicU64]>,
}

impl KnownPaths {
    /// Notes that `path` is a login, in the site that `scope` names.
    pub(super) fn learn(&self, scope: u64, path: &str) {
        let table = self.0.get_or_init(Table::new);
        if let Some((word, bit)) = table.place(scope, path) {
            word.fetch_or(bit, Relaxed);
        }
    }

    pub(super) fn knows(&self, scope: u64, path: &str) -> bool {
        let place = self.0.get().and_then(|table| table.place(scope, path));
        place.is_some_and(|(word, bit)| word.load(Relaxed) & bit != 0)
    }
}

impl Table {
    fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            bits: std::iter::repeat_with(AtomicU64::default).take(WORDS).collect(),
        }
    }

    /// However the path is written.
    fn place(&self, scope: u64, path: &str) -> Option<(&AtomicU64, u64)> {
        let mut hash = self.hasher.build_hasher();
        hash.write_u64(scope);
        spelled(path).for_each(|byte| hash.write_u8(byte));
        let hash = hash.finish();
        let word = usize::try_from(hash >> 32).unwrap_or_default() % WORDS;
        Some((self.bits.get(word)?, 1 << (hash % 64)))
    }
}

impl fmt::Debug for KnownPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownPaths").finish_non_exhaustive()
    }
}

const WORDS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_however_it_is_written_and_at_its_own_site() {
        let paths = KnownPaths::default();
        assert!(!paths.knows(1, "/login"));
        paths.learn(1, "/login");
        for (scope, path, known) in [
            (1, "/login", true),
            (1, "/login/", true),
            (1, "/LOGIN", true),
            (1, "/%6Cogin", true),
            (1, "//login", true),
            (1, "/login;v=1", true),
            (1, "/login/;v=1/", true),
            (2, "/login", false),
            (1, "/logins", false),
            (1, "/", false),
        ] {
            assert_eq!(paths.knows(scope, path), known, "{scope} {path}");
        }
    }
}
