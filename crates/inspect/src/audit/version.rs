//! A version as npm reads it.
//!
//! npm is lenient: `v1.2.3`, `=1.2.3`, `1.2.3beta` and `01.2.3` are versions, and lockfiles hold them. What semver 2.0.0
//! § 11 says of the order is what npm does; build metadata is dropped, since it has no part in it.

use std::cmp::Ordering;
use std::fmt;

use super::scan::{Reading, Scan, is_space};

/// A version: three numbers, and what marks it as a pre-release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    prerelease: Prerelease,
}

impl Version {
    /// The version that `text` means to npm's own loose reading; `None` where it means none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text, Reading::Loose)
    }

    /// The version that `text` is by semver 2.0.0 to the letter, but for a `v` before it.
    #[must_use]
    pub fn parse_strict(text: &str) -> Option<Self> {
        Self::read(text, Reading::Strict)
    }

    /// The version at which a range of an advisory begins or ends. What it leaves out is 0: `1.2` and `0` are bounds.
    #[must_use]
    pub fn parse_bound(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| match text.split('.').count() {
            1 => Self::parse(&format!("{text}.0.0")),
            2 => Self::parse(&format!("{text}.0")),
            _ => None,
        })
    }

    /// Whether it comes before the release of the same three numbers.
    #[must_use]
    pub fn is_prerelease(&self) -> bool {
        !self.prerelease.0.is_empty()
    }

    /// Whether both have the same three numbers.
    pub(super) fn same_release(&self, other: &Self) -> bool {
        (self.major, self.minor, self.patch) == (other.major, other.minor, other.patch)
    }

    /// The first of the three numbers.
    #[must_use]
    pub fn major(&self) -> u64 {
        self.major
    }

    /// Before every version of the next number at `place`, 1 for the first of the three: `1.3.0-0` follows 1.2 at 2.
    pub(super) fn following(&self, place: usize) -> Option<Self> {
        let (major, minor, patch) = match place {
            0 | 1 => (self.major.checked_add(1)?, 0, 0),
            2 => (self.major, self.minor.checked_add(1)?, 0),
            _ => (self.major, self.minor, self.patch.checked_add(1)?),
        };
        Some(Self { major, minor, patch, prerelease: Prerelease::of("0") })
    }

    /// The place of the first number that is not 0, from 1; 3 where there is none.
    pub(super) fn leading(&self) -> usize {
        match (self.major, self.minor) {
            (0, 0) => 3,
            (0, _) => 2,
            _ => 1,
        }
    }

    pub(super) fn read(text: &str, reading: Reading) -> Option<Self> {
        if text.encode_utf16().count() > LONGEST {
            return None;
        }
        let mut scan = Scan::new(text.trim_matches(is_space));
        scan.prefix(reading);
        let numbers = scan.triple(reading)?;
        let prerelease = scan.prerelease(reading).unwrap_or_default();
        scan.build();
        let [major, minor, patch] = numbers.map(|digits| number(digits).filter(|number| *number <= LARGEST));
        scan.is_done().then_some(())?;
        let (major, minor, patch) = (major?, minor?, patch?);
        Some(Self { major, minor, patch, prerelease: Prerelease::of(prerelease) })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)?;
        let mut separator = '-';
        for identifier in &self.prerelease.0 {
            write!(formatter, "{separator}{}", identifier.0)?;
            separator = '.';
        }
        Ok(())
    }
}

/// The dot-separated identifiers; none is a release, which comes after all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Prerelease(Vec<Identifier>);

impl Prerelease {
    fn of(text: &str) -> Self {
        Self(text.split('.').filter(|identifier| !identifier.is_empty()).map(Identifier::of).collect())
    }
}

impl Ord for Prerelease {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0.is_empty(), other.0.is_empty()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => self.0.cmp(&other.0),
        }
    }
}

impl PartialOrd for Prerelease {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Digits are kept without leading zeros, so that the longer of two is the larger.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identifier(Box<str>);

impl Identifier {
    fn of(text: &str) -> Self {
        if !is_number(text) {
            return Self(text.into());
        }
        let digits = text.trim_start_matches('0');
        Self(if digits.is_empty() { "0" } else { digits }.into())
    }
}

impl Ord for Identifier {
    fn cmp(&self, other: &Self) -> Ordering {
        match (is_number(&self.0), is_number(&other.0)) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (true, true) => (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0)),
            (false, false) => self.0.cmp(&other.0),
        }
    }
}

impl PartialOrd for Identifier {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What is too large for 64 bits is larger than [`LARGEST`] too.
pub(super) fn number(digits: &str) -> Option<u64> {
    is_number(digits).then(|| digits.parse().unwrap_or(u64::MAX))
}

/// In UTF-16 units, npm's `MAX_LENGTH`.
const LONGEST: usize = 256;
/// JavaScript's `Number.MAX_SAFE_INTEGER`: npm knows no version with a larger number.
pub(super) const LARGEST: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_npm_reads_is_read_and_written_as_npm_writes_it() {
        for (text, loose, strict) in [
            ("1.2.3", Some("1.2.3"), true),
            ("v1.2.3", Some("1.2.3"), true),
            (" =v 1.2.3\u{feff}", Some("1.2.3"), false),
            ("01.2.3", Some("1.2.3"), false),
            ("1.2.3beta", Some("1.2.3-beta"), false),
            ("1.2.3-01", Some("1.2.3-1"), false),
            ("1.2.3-0a.-", Some("1.2.3-0a.-"), true),
            ("1.2.3-", Some("1.2.3--"), false),
            ("1.2.3+build.01", Some("1.2.3"), true),
            ("9007199254740991.0.0", Some("9007199254740991.0.0"), true),
            ("9007199254740992.0.0", None, false),
            ("1.2", None, false),
            ("1.2.3.4", None, false),
            ("1.2.3-a..b", None, false),
            ("1.2.3+", None, false),
            ("", None, false),
            ("latest", None, false),
        ] {
            let version = Version::parse(text).map(|version| version.to_string());
            assert_eq!(version.as_deref(), loose, "{text:?}");
            assert_eq!(Version::parse_strict(text).is_some(), strict, "{text:?}");
        }
        assert_eq!(Version::parse(&format!("1.2.3-{}", "a".repeat(251))), None);
    }

    #[test]
    fn the_order_is_that_of_semver() {
        let sorted = [
            "0.0.0-0",
            "0.0.0",
            "1.0.0-0",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-9007199254740993",
            "1.0.0--",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1-0",
            "1.0.10",
            "1.2.0",
            "2.0.0",
        ];
        for pair in sorted.windows(2) {
            assert!(Version::parse(pair[0]) < Version::parse(pair[1]), "{pair:?}");
        }
        assert_eq!(Version::parse("1.0.0+a"), Version::parse("1.0.0+b"));
    }

    #[test]
    fn a_bound_may_leave_out_its_zeros() {
        for (bound, version) in [("0", "0.0.0"), ("1.2", "1.2.0"), ("1.2.3-rc.1", "1.2.3-rc.1")] {
            assert_eq!(Version::parse_bound(bound), Version::parse(version), "{bound}");
        }
        for none in ["", "x", "1.2.3.4", "1.2-rc"] {
            assert_eq!(Version::parse_bound(none), None, "{none}");
        }
    }
}
