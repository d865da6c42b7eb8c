//! What a lockfile shows by itself, as a report tells it.

use super::advisory::Severity;
use super::finding::{Finding, file};
use super::graph::{Graph, Scope};
use super::hygiene::{self, Allowed, Flaw};

/// One flaw of one package of one lockfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flawed {
    /// What is wrong.
    pub flaw: Flaw,
    /// The package.
    pub package: String,
    /// The version that is installed.
    pub version: String,
    /// The lockfile.
    pub lockfile: String,
    /// Its line there, from 1.
    pub line: Option<usize>,
    /// What it is installed for.
    pub scope: Scope,
}

impl Flawed {
    /// The flaws of a graph, worst first.
    pub(crate) fn all(graph: &Graph, allowed: &Allowed) -> Vec<Self> {
        let mut flaws: Vec<Self> = hygiene::judge(graph, allowed)
            .into_iter()
            .filter_map(|blemish| {
                let package = graph.packages.get(blemish.package)?;
                Some(Self {
                    flaw: blemish.flaw,
                    package: package.name.clone(),
                    version: package.version.clone(),
                    lockfile: file(graph),
                    line: package.line,
                    scope: package.scope,
                })
            })
            .collect();
        flaws.sort_by_key(|flawed| std::cmp::Reverse(flawed.severity()));
        flaws
    }

    /// How bad it is; `None` is a note, which never fails an audit: a program that runs at installation, or a
    /// repository at a commit, is somebody's choice and not yet a fault.
    #[must_use]
    pub const fn severity(&self) -> Option<Severity> {
        match self.flaw {
            Flaw::ForeignHost { .. } | Flaw::PlainHttp { .. } | Flaw::LooksLike { .. } => {
                Some(Severity::High)
            }
            Flaw::EndOfLife { .. } | Flaw::ExpressUpdate { .. } => Some(Severity::High),
            Flaw::NoIntegrity | Flaw::Git { pinned: false, .. } => Some(Severity::Moderate),
            Flaw::InstallScript | Flaw::Git { pinned: true, .. } => None,
        }
    }

    /// Whether it counts from `level` on.
    #[must_use]
    pub fn is_at_least(&self, level: Severity) -> bool {
        self.severity().is_some_and(|severity| severity >= level)
    }

    /// Whether an advisory tells of the same: Express's own list is for those who have none.
    pub(crate) fn is_told_by(&self, finding: &Finding) -> bool {
        matches!(self.flaw, Flaw::ExpressUpdate { .. })
            && (&self.package, &self.version, &self.lockfile)
                == (&finding.package, &finding.version, &finding.lockfile)
    }
}
