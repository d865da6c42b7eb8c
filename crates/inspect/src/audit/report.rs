//! The answer of an audit, and how it is told.

pub mod cyclonedx;
pub mod json;
pub mod markdown;
pub mod sarif;
pub mod terminal;
mod words;

use super::advisory::Severity;
use super::baseline::Baseline;
use super::doubt::Doubt;
use super::finding::Finding;
use super::flaw::Flawed;
use super::ignore::{Ignore, Stale};
use super::index::About;

/// All that an audit found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
    /// What is wrong and ignored, with the entry that ignores it.
    pub ignored: Vec<(Finding, Ignore)>,
    /// What the lockfiles show by themselves; notes among it.
    pub flaws: Vec<Flawed>,
    /// How many flaws are ignored.
    pub ignored_flaws: usize,
    /// Entries of the ignore file that do nothing.
    pub stale: Vec<Stale>,
    /// How many findings were in the baseline.
    pub known: usize,
    /// How many packages were looked at.
    pub packages: usize,
    /// The lockfiles that were read.
    pub lockfiles: Vec<String>,
    /// What was gone by; `None` where there was nothing.
    pub database: Option<About>,
    /// Why the answer may be wrong.
    pub doubts: Vec<Doubt>,
}

/// The answer in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong as far as is known.
    Clean,
    /// Something is.
    Findings,
    /// It could not be told.
    Unknown,
}

impl Report {
    /// The answer, where only what is at least as bad as `level` counts. A doubt goes before findings: who lives with
    /// findings has not said to live with not knowing.
    #[must_use]
    pub fn verdict(&self, level: Severity) -> Verdict {
        let counts = self.findings.iter().any(|finding| finding.hole.is_at_least(level))
            || self.flaws.iter().any(|flawed| flawed.is_at_least(level));
        let stale = !self.stale.is_empty() && level == Severity::Low;
        match (self.doubts.is_empty(), counts || stale) {
            (false, _) => Verdict::Unknown,
            (true, true) => Verdict::Findings,
            (true, false) => Verdict::Clean,
        }
    }

    /// Takes out what was known before.
    #[must_use]
    pub fn since(mut self, baseline: &Baseline) -> Self {
        let before = self.findings.len() + self.flaws.len();
        self.findings.retain(|finding| !baseline.knows(finding));
        self.flaws.retain(|flawed| !baseline.knows_flaw(flawed));
        self.known += before - self.findings.len() - self.flaws.len();
        self
    }
}

impl Verdict {
    /// The word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Findings => "findings",
            Self::Unknown => "unknown",
        }
    }

    /// What the process ends with.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Findings => 1,
            Self::Unknown => 2,
        }
    }
}

#[cfg(test)]
mod tests;
