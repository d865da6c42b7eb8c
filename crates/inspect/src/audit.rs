//! Are the dependencies safe?
//!
//! A [`Graph`] is what a lockfile says is installed and why; an [`Advisory`](advisory::Advisory) is what is
//! known of a package. Where the two meet is a [`Finding`], and all of them are a [`Report`].

pub mod advisory;
pub mod baseline;
pub mod database;
mod desugar;
pub mod doubt;
mod events;
pub mod finding;
pub mod fix;
pub mod flaw;
pub mod graph;
pub mod hole;
pub mod hygiene;
pub mod ignore;
pub mod import;
pub mod index;
pub mod lockfile;
pub mod matching;
pub mod mend;
pub mod osv;
pub mod paths;
pub mod pattern;
pub mod projects;
pub mod range;
pub mod report;
mod scan;
mod severity;
#[cfg(test)]
mod sketch;
pub mod update;
pub mod version;

use time::OffsetDateTime;

use advisory::Advisories;
use doubt::Doubt;
use finding::{Finding, Found, file, path};
use flaw::Flawed;
use graph::{Graph, Scope};
use hygiene::Allowed;
use ignore::{Ignores, Judge, Ruling};
use paths::Ways;
use report::Report;

/// What an audit goes by.
#[derive(Clone, Copy)]
pub struct Audit<'a> {
    /// What is known; `None` where there is nothing, which is a doubt of its own.
    pub advisories: Option<&'a dyn Advisories>,
    /// What somebody has looked at and lives with.
    pub ignores: &'a Ignores,
    /// The registries that packages may come from; none: the one that most come from.
    pub registries: &'a Allowed,
    /// Packages that are installed for this alone are not told of.
    pub omit: &'a [Scope],
    /// Entries of the ignore file end on a day.
    pub now: OffsetDateTime,
}

impl Audit<'_> {
    /// Judges what is installed. `doubts` are those that are known already: they stay in the report, and where there are
    /// any, no entry of the ignore file is called needless.
    #[must_use]
    pub fn judge(&self, graphs: &[Graph], doubts: Vec<Doubt>) -> Report {
        let mut report = Report {
            doubts,
            packages: graphs.iter().map(|graph| graph.packages.len()).sum(),
            lockfiles: graphs.iter().map(file).collect(),
            ..Report::default()
        };
        let mut judge = self.ignores.on(self.now);
        for graph in graphs {
            let ways = Ways::of(graph);
            if let Some(advisories) = self.advisories {
                self.sort_out(Found::of(&ways, advisories), &ways, &mut judge, &mut report);
            }
            self.sort_out_flaws(Flawed::all(graph, self.registries), &mut judge, &mut report);
        }
        report.findings.sort_by_cached_key(Finding::rank);
        report.stale = judge.stale(report.doubts.is_empty());
        report
    }

    /// An entry is used where its finding is, whether that is omitted afterwards or not: else `--omit dev` would call
    /// needless what is needed without it.
    fn sort_out(&self, found: Found, ways: &Ways<'_>, judge: &mut Judge<'_>, report: &mut Report) {
        report.doubts.extend(found.failures);
        for (doubt, hole) in found.doubts {
            let covered = matches!(&doubt, Doubt::Version { package, .. } if judge.covers(|name| hole.is_called(name), package));
            if !covered {
                report.doubts.push(doubt);
            }
        }
        for mut finding in found.findings {
            let ruling = judge.rule(&finding, ways);
            if self.omit.contains(&finding.scope) {
                continue;
            }
            match ruling {
                Ruling::Ignored(entry) => report.ignored.push((finding, entry.clone())),
                Ruling::Told(way) => {
                    if let Some(way) = way {
                        finding.tell_first(path(ways.graph(), &way));
                    }
                    report.findings.push(finding);
                }
            }
        }
    }
}

impl Audit<'_> {
    /// What a lockfile shows by itself is ignored by the flaw's word and the package.
    fn sort_out_flaws(&self, flaws: Vec<Flawed>, judge: &mut Judge<'_>, report: &mut Report) {
        for flawed in flaws {
            let ignored = judge.covers(|name| name == flawed.flaw.id(), &flawed.package);
            let told = report.findings.iter().any(|finding| flawed.is_told_by(finding));
            if ignored {
                report.ignored_flaws += 1;
            } else if !told && !self.omit.contains(&flawed.scope) {
                report.flaws.push(flawed);
            }
        }
    }
}

impl std::fmt::Debug for Audit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").field("omit", &self.omit).field("now", &self.now).finish_non_exhaustive()
    }
}
