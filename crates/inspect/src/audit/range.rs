//! A range of versions as npm reads it: `^1.2.3`, `>=1.0.0 <1.4.0 || 2.x`, `1.0 - 2.1`.
//!
//! There is no grammar that npm keeps to. It rewrites the text step by step until only comparators are left, and what a
//! step does not know, the next one sees; so ranges that mean nothing by the documentation mean something in lockfiles
//! and advisories. Here the steps are the same, in the same order, and 44,630 answers of npm's own module are the test.

use std::fmt;

use super::desugar;
use super::scan::{Reading, Scan};
use super::version::Version;

/// Versions that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// With every pre-release that lies between the bounds.
    inclusive: Vec<All>,
    /// As an installation reads it.
    installable: Vec<All>,
}

/// Comparators that all have to hold; none is any version.
type All = Vec<Comparator>;

impl Range {
    /// The range that `text` means to npm's own loose reading, or `None`: a tag, a URL, nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text, Reading::Loose)
    }

    /// The range that `text` is as documented; `None` where any part of it is not.
    #[must_use]
    pub fn parse_strict(text: &str) -> Option<Self> {
        Self::read(text, Reading::Strict)
    }

    /// Whether `version` is in it as `npm audit` asks: pre-releases lie where the order puts them.
    #[must_use]
    pub fn admits(&self, version: &Version) -> bool {
        self.inclusive.iter().any(|all| all.iter().all(|one| one.admits(version)))
    }

    /// Whether an installation may choose `version`: a pre-release only where the range names one of the same release.
    #[must_use]
    pub fn installs(&self, version: &Version) -> bool {
        self.installable.iter().any(|all| {
            let named = |one: &Comparator| one.version.is_prerelease() && one.version.same_release(version);
            all.iter().all(|one| one.admits(version)) && (!version.is_prerelease() || all.iter().any(named))
        })
    }

    fn read(text: &str, reading: Reading) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        Some(Self {
            inclusive: alternatives(text, reading, Prereleases::Included)?,
            installable: alternatives(text, reading, Prereleases::Named)?,
        })
    }
}

/// As comparators, with pre-releases as [`admits`](Range::admits) sees them.
impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, all) in self.inclusive.iter().enumerate() {
            formatter.write_str(if place == 0 { "" } else { "||" })?;
            for (place, one) in all.iter().enumerate() {
                formatter.write_str(if place == 0 { "" } else { " " })?;
                write!(formatter, "{}{}", one.operator.as_str(), one.version)?;
            }
        }
        Ok(())
    }
}

/// Which pre-releases a range without one is about; npm's `includePrerelease`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prereleases {
    Included,
    Named,
}

/// One bound.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparator {
    operator: Operator,
    version: Version,
}

impl Comparator {
    fn admits(&self, version: &Version) -> bool {
        match self.operator {
            Operator::Less => *version < self.version,
            Operator::AtMost => *version <= self.version,
            Operator::Equal => *version == self.version,
            Operator::AtLeast => *version >= self.version,
            Operator::Greater => *version > self.version,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Less,
    AtMost,
    Equal,
    AtLeast,
    Greater,
}

impl Operator {
    fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "",
            Self::AtLeast => ">=",
            Self::Greater => ">",
        }
    }

    fn of(text: &str) -> Self {
        match text {
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">=" => Self::AtLeast,
            ">" => Self::Greater,
            _ => Self::Equal,
        }
    }
}

fn alternatives(text: &str, reading: Reading, prereleases: Prereleases) -> Option<Vec<All>> {
    let text = desugar::spaced_once(text);
    let mut sets = Vec::new();
    for alternative in text.split("||") {
        sets.extend(comparators(alternative.trim_matches(' '), reading, prereleases)?);
    }
    let any = sets.iter().position(Vec::is_empty);
    match any {
        _ if sets.is_empty() => None,
        // npm drops the others, and with them the pre-releases that they name.
        Some(any) => Some(vec![sets.swap_remove(any)]),
        None => Some(sets),
    }
}

/// The outer `None` is a range that npm refuses whole, the inner an alternative that it passes over.
#[expect(clippy::option_option, reason = "two different kinds of nothing, for three lines")]
fn comparators(alternative: &str, reading: Reading, prereleases: Prereleases) -> Option<Option<All>> {
    let mut all = None;
    for bound in desugar::bounds(alternative, reading, prereleases).split(' ') {
        match (comparator(bound, reading), reading) {
            (Bound::Any, _) => drop(all.get_or_insert_with(Vec::new)),
            (Bound::One(comparator), _) => all.get_or_insert_with(Vec::new).push(comparator),
            (Bound::Unknown, Reading::Loose) => {}
            (Bound::Unknown, Reading::Strict) | (Bound::Impossible, _) => return None,
        }
    }
    Some(all)
}

enum Bound {
    Any,
    One(Comparator),
    /// It does not look like a comparator.
    Unknown,
    /// It looks like one, but no version has such numbers.
    Impossible,
}

fn comparator(text: &str, reading: Reading) -> Bound {
    if text.is_empty() {
        return Bound::Any;
    }
    let mut scan = Scan::new(text);
    let operator = Operator::of(desugar::operator(&mut scan));
    let written = scan.rest();
    if let Some(version) = Version::read(written, reading) {
        return Bound::One(Comparator { operator, version });
    }
    scan.prefix(reading);
    let looks = scan.triple(reading).is_some() && {
        scan.prerelease(reading);
        scan.build();
        scan.is_done()
    };
    if looks { Bound::Impossible } else { Bound::Unknown }
}

/// In bytes. npm sets none; the longest range of a real advisory has 500.
const LONGEST: usize = 16 * 1024;
