//! The smallest change that mends what can be mended, for projects that npm installs.
//!
//! Decided here is what changes: which manifests ask for more, which package gets past whose range, and which names npm
//! is to look at again. The lockfile is npm's to write, since only the registry knows what a version brings along.

pub mod manifest;

use std::collections::BTreeSet;

use super::advisory::Severity;
use super::finding::Finding;
use super::graph::{Graph, Want};
use super::hole::Fixed;
use super::mend::{Mend, Step};
use super::paths::{Ways, Who};

/// What to change for one lockfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fix {
    /// Ranges of our own manifests that become wider or higher.
    pub raises: BTreeSet<Raise>,
    /// Versions that somebody gets whatever he asks for.
    pub overrides: BTreeSet<Override>,
    /// Names that are looked at again, as they are installed; those of the changes above too.
    pub updates: BTreeSet<String>,
    /// What no change here mends, by its place in the findings.
    pub left: Vec<usize>,
}

/// A range of a manifest of our own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Raise {
    /// The manifest's folder, relative to the lockfile's; empty for the lockfile's own.
    pub folder: String,
    /// The dependency, as it is asked for.
    pub name: String,
    /// The range so far.
    pub from: String,
    /// The range from now on.
    pub to: String,
}

/// An entry of `overrides` in the lockfile's own manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Override {
    /// Whose dependency it is: nobody else gets another version than he asks for.
    pub asker: String,
    /// The dependency, as it is asked for.
    pub name: String,
    /// The range that it gets.
    pub to: String,
}

/// Which steps may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To versions that are compatible with those that are installed.
    Compatible,
    /// And to new major versions of what our own manifests ask for.
    Majors,
}

impl Fix {
    /// What to change in the project of `graph`, where `findings` are those of an audit at least as bad as `level`.
    #[must_use]
    pub fn of(graph: &Graph, findings: &[Finding], level: Severity, reach: Reach) -> Self {
        let ways = Ways::of(graph);
        let lockfile = super::finding::file(graph);
        let mut fix = Self::default();
        for (at, finding) in findings.iter().enumerate() {
            if finding.lockfile == lockfile
                && finding.hole.is_at_least(level)
                && !fix.take(&ways, finding, reach)
            {
                fix.left.push(at);
            }
        }
        fix
    }

    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// Whether it is mended by it.
    fn take(&mut self, ways: &Ways<'_>, finding: &Finding, reach: Reach) -> bool {
        let to = match &finding.mend {
            Mend::Update { to } | Mend::Override { to, .. } | Mend::Raise { to, step: Step::Compatible } => {
                to
            }
            Mend::Raise { to, step: Step::Major } if reach == Reach::Majors => to,
            Mend::Raise { .. } | Mend::Upgrade { .. } | Mend::Remove | Mend::Nothing => return false,
        };
        for &at in &finding.places {
            for asker in ways.askers(at) {
                self.updates.insert(asker.want.name.clone());
                if !super::mend::is_admitted(ways.graph(), at, asker, to) {
                    self.change(ways.graph(), asker.who, asker.want, finding, to);
                }
            }
        }
        true
    }

    fn change(&mut self, graph: &Graph, who: Who, want: &Want, finding: &Finding, to: &Fixed) {
        // An alias is asked for as `npm:name@range`.
        let spec = |range: String| match want.name == finding.package {
            true => range,
            false => format!("npm:{}@{range}", finding.package),
        };
        match who {
            Who::Project(at) => {
                let folder = graph.projects.get(at).map(|project| project.folder.clone()).unwrap_or_default();
                let raise = Raise {
                    folder,
                    name: want.name.clone(),
                    from: spec(want.range.clone()),
                    to: spec(to.range()),
                };
                self.raises.insert(raise);
            }
            Who::Package(at) => {
                if let Some(asker) = graph.packages.get(at) {
                    self.overrides.insert(Override {
                        asker: asker.name.clone(),
                        name: want.name.clone(),
                        to: spec(to.range()),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::finding::Found;
    use crate::audit::sketch::{List, advisory, sketch};

    fn fix(drawn: &str, spans: &str, reach: Reach) -> String {
        let graph = sketch(drawn);
        let list = List(vec![advisory("z", "GHSA-1", "", spans)]);
        let findings = Found::of(&Ways::of(&graph), &list).findings;
        let fix = Fix::of(&graph, &findings, Severity::Low, reach);
        let mut told: Vec<String> = Vec::new();
        told.extend(
            fix.raises.iter().map(|one| format!("{}/{} {} to {}", one.folder, one.name, one.from, one.to)),
        );
        told.extend(fix.overrides.iter().map(|one| format!("{} > {} to {}", one.asker, one.name, one.to)));
        told.extend(fix.updates.iter().map(|name| format!("update {name}")));
        told.extend(fix.left.iter().map(|_| "left".to_owned()));
        told.join(", ")
    }

    #[test]
    fn as_little_is_changed_as_mends() {
        use Reach::{Compatible, Majors};
        for (drawn, spans, reach, told) in [
            ("> z@1.2.0 ^1.0.0", "0..1.3.0", Compatible, "update z"),
            ("> z@1.2.0 1.2.0", "0..1.3.0", Compatible, "/z 1.2.0 to ^1.3.0, update z"),
            ("web/ > z@1.2.0 1.2.0", "0..=1.2.9", Compatible, "web/z 1.2.0 to ^1.2.10, update z"),
            ("> z@1.2.0 ^1.0.0", "0..2.0.0", Compatible, "left"),
            ("> z@1.2.0 ^1.0.0", "0..2.0.0", Majors, "/z ^1.0.0 to ^2.0.0, update z"),
            // Who admits it needs no override, who does not gets one alone.
            (
                "> a; > b; a > z@1.2.0 ~1.2.0; b > z ^1.0.0",
                "0..1.3.0",
                Compatible,
                "a > z to ^1.3.0, update z",
            ),
            (
                "> a; > z@1.2.0 1.2.0; a > z ~1.2.0",
                "0..1.3.0",
                Compatible,
                "/z 1.2.0 to ^1.3.0, a > z to ^1.3.0, update z",
            ),
            ("> a; a > z@1.2.0 ^1.0.0", "0..2.0.0", Majors, "left"),
            ("> z@1.2.0 ^1.0.0", "0..", Majors, "left"),
        ] {
            assert_eq!(fix(drawn, spans, reach), told, "{drawn} {spans} {reach:?}");
        }
    }

    #[test]
    fn an_alias_stays_one() {
        let mut graph = sketch("> z@1.2.0 1.2.0");
        graph.projects[0].wants[0].name = "old-z".to_owned();
        let list = List(vec![advisory("z", "GHSA-1", "", "0..1.3.0")]);
        let findings = Found::of(&Ways::of(&graph), &list).findings;
        let fix = Fix::of(&graph, &findings, Severity::Low, Reach::Compatible);
        let raise = fix.raises.first().unwrap();
        assert_eq!((raise.from.as_str(), raise.to.as_str()), ("npm:z@1.2.0", "npm:z@^1.3.0"));
        assert_eq!(fix.updates.first().unwrap(), "old-z");
    }
}
