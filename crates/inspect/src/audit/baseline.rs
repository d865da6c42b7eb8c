//! What was found before, and so is nobody's news.

use std::collections::HashSet;

use serde::Deserialize;

use super::finding::Finding;
use super::flaw::Flawed;

/// The findings of an earlier report.
///
/// A finding is known again by its lockfile, its package and any name of its hole: neither a new version that has the
/// same hole nor a hole that got another id is news.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    known: HashSet<(String, String, String)>,
}

/// The file is no report.
#[derive(Debug, thiserror::Error)]
#[error("not a report of `panoply audit --format json`")]
pub struct BaselineError(#[from] serde_json::Error);

impl Baseline {
    /// Reads a report in JSON.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self, BaselineError> {
        let report: Written = serde_json::from_str(text)?;
        let mut known = HashSet::new();
        for finding in report.findings {
            for name in finding.aliases.into_iter().chain([finding.id]) {
                known.insert((finding.lockfile.clone(), finding.package.clone(), name));
            }
        }
        for flaw in report.flaws {
            known.insert((flaw.lockfile, flaw.package, flaw.id));
        }
        Ok(Self { known })
    }

    /// Whether `finding` was there.
    #[must_use]
    pub fn knows(&self, finding: &Finding) -> bool {
        let (lockfile, package) = (&finding.lockfile, &finding.package);
        finding
            .hole
            .names()
            .any(|name| self.known.contains(&(lockfile.clone(), package.clone(), name.to_owned())))
    }

    /// Whether `flawed` was there.
    #[must_use]
    pub fn knows_flaw(&self, flawed: &Flawed) -> bool {
        let id = flawed.flaw.id().to_owned();
        self.known.contains(&(flawed.lockfile.clone(), flawed.package.clone(), id))
    }
}

#[derive(Deserialize)]
struct Written {
    findings: Vec<Known>,
    flaws: Vec<Flaw>,
}

#[derive(Deserialize)]
struct Flaw {
    lockfile: String,
    package: String,
    id: String,
}

#[derive(Deserialize)]
struct Known {
    lockfile: String,
    package: String,
    id: String,
    aliases: Vec<String>,
}
