//! The smallest change that mends what can be mended.
//!
//! Decided here is what changes: which manifests ask for more, which package gets past whose range, and which versions
//! are to be looked at again. The lockfile is the package manager's to write, since only the registry knows what a
//! version brings along.

pub mod cargo;
pub mod manager;
pub mod manifest;
pub mod workspace;

use std::collections::{BTreeMap, BTreeSet};

use super::advisory::Severity;
use super::finding::Finding;
use super::graph::{Graph, Package, Want};
use super::hole::Fixed;
use super::mend::{Mend, Step};
use super::paths::{Asker, Ways, Who};
use manager::Manager;

/// What to change for one lockfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fix {
    /// What the manifests say from now on.
    pub changes: Changes,
    /// What they say for as long as the lockfile is made: the better version is in it then, and stays, since the ranges
    /// as they are admit it.
    pub pins: Changes,
    /// Versions that are looked at again, those of the changes above too, and where each is to go.
    pub updates: BTreeMap<Installed, Fixed>,
    /// What no change here mends, by its place in the findings.
    pub left: Vec<usize>,
}

/// What manifests ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Ranges of our own manifests that become wider or higher.
    pub raises: BTreeSet<Raise>,
    /// Versions that somebody gets whatever he asks for.
    pub overrides: BTreeSet<Override>,
}

/// A version that is installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Installed {
    /// The name by which it is asked for.
    pub name: String,
    /// The name under which it was published.
    pub package: String,
    /// The version.
    pub version: String,
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

/// An override in the lockfile's own manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Override {
    /// Whose dependency it is: nobody else gets another version than he asks for, where the manager can tell them apart.
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
    pub fn of(graph: &Graph, findings: &[Finding], level: Severity, reach: Reach, manager: Manager) -> Self {
        let ways = Ways::of(graph);
        let lockfile = super::finding::file(graph);
        let mut fix = Self::default();
        for (at, finding) in findings.iter().enumerate() {
            if finding.lockfile == lockfile
                && finding.hole.is_at_least(level)
                && !fix.take(&ways, finding, reach, manager)
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

    /// Makes overrides of the pins that did not hold: who asks got the old version again in `after`, since his range
    /// admits no other. pnpm's lockfile does not tell. The names of what is overridden by it.
    pub fn hold(&mut self, after: &Graph) -> BTreeSet<String> {
        let updates = &self.updates;
        let got_the_old = |one: &Override| {
            let askers = after.packages.iter().filter(|package| package.name == one.asker);
            let mut wants = askers.flat_map(|asker| &asker.wants).filter(|want| want.name == one.name);
            wants.any(|want| {
                let package = want.package.and_then(|at| after.packages.get(at));
                package.is_some_and(|package| updates.contains_key(&Installed::of(want, package)))
            })
        };
        let (held, rest): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(&mut self.pins.overrides).into_iter().partition(got_the_old);
        self.pins.overrides = rest;
        let names = held.iter().map(|one| one.name.clone()).collect();
        self.changes.overrides.extend(held);
        names
    }

    /// Whether it is mended by it.
    fn take(&mut self, ways: &Ways<'_>, finding: &Finding, reach: Reach, manager: Manager) -> bool {
        let to = match &finding.mend {
            Mend::Update { to } | Mend::Raise { to, step: Step::Compatible } => to,
            Mend::Override { to, .. } if manager.overrides_by_asker() || is_alone(ways.graph(), finding) => {
                to
            }
            Mend::Raise { to, step: Step::Major } if reach == Reach::Majors => to,
            Mend::Override { .. }
            | Mend::Raise { .. }
            | Mend::Upgrade { .. }
            | Mend::Remove
            | Mend::Nothing => return false,
        };
        let askers =
            || finding.places.iter().flat_map(|&at| ways.askers(at).iter().map(move |asker| (at, asker)));
        // What a catalog says is said for others too.
        if askers().any(|(_, asker)| asker.want.range.starts_with("catalog:")) {
            return false;
        }
        for (at, asker) in askers() {
            if let Some(package) = ways.graph().packages.get(at) {
                self.updates.entry(Installed::of(asker.want, package)).or_insert_with(|| to.clone());
            }
            let admitted = super::mend::is_admitted(ways.graph(), at, asker, to);
            let changes = if admitted { &mut self.pins } else { &mut self.changes };
            changes.add(ways.graph(), asker, finding, to);
        }
        true
    }
}

impl Installed {
    fn of(want: &Want, package: &Package) -> Self {
        Self { name: want.name.clone(), package: package.name.clone(), version: package.version.clone() }
    }
}

impl Changes {
    fn add(&mut self, graph: &Graph, asker: &Asker<'_>, finding: &Finding, to: &Fixed) {
        let want: &Want = asker.want;
        // An alias is asked for as `npm:name@range`.
        let spec = |range: String| match want.name == finding.package {
            true => range,
            false => format!("npm:{}@{range}", finding.package),
        };
        match asker.who {
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

/// Whether no other version of the package is installed: an override for everybody changes what somebody else gets.
fn is_alone(graph: &Graph, finding: &Finding) -> bool {
    let mut same = graph.packages.iter().filter(|package| package.name == finding.package);
    same.all(|package| package.version == finding.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::finding::Found;
    use crate::audit::sketch::{List, advisory, sketch};

    fn fix(drawn: &str, spans: &str, reach: Reach, manager: Manager) -> String {
        let graph = sketch(drawn);
        let list = List(vec![advisory("z", "GHSA-1", "", spans)]);
        let findings = Found::of(&Ways::of(&graph), &list).findings;
        let fix = Fix::of(&graph, &findings, Severity::Low, reach, manager);
        let mut told: Vec<String> = Vec::new();
        for (verb, changes) in [("", &fix.changes), ("pin ", &fix.pins)] {
            let raised =
                |one: &Raise| format!("{verb}{}/{} {} to {}", one.folder, one.name, one.from, one.to);
            told.extend(changes.raises.iter().map(raised));
            let overridden = |one: &Override| format!("{verb}{} > {} to {}", one.asker, one.name, one.to);
            told.extend(changes.overrides.iter().map(overridden));
        }
        told.extend(fix.updates.keys().map(|one| format!("update {}@{}", one.name, one.version)));
        told.extend(fix.left.iter().map(|_| "left".to_owned()));
        told.join(", ")
    }

    #[test]
    fn as_little_is_changed_as_mends() {
        use Reach::{Compatible, Majors};
        for (drawn, spans, reach, told) in [
            ("> z@1.2.0 ^1.0.0", "0..1.3.0", Compatible, "pin /z ^1.0.0 to ^1.3.0, update z@1.2.0"),
            ("> z@1.2.0 1.2.0", "0..1.3.0", Compatible, "/z 1.2.0 to ^1.3.0, update z@1.2.0"),
            ("web/ > z@1.2.0 1.2.0", "0..=1.2.9", Compatible, "web/z 1.2.0 to ^1.2.10, update z@1.2.0"),
            ("> z@1.2.0 ^1.0.0", "0..2.0.0", Compatible, "left"),
            ("> z@1.2.0 ^1.0.0", "0..2.0.0", Majors, "/z ^1.0.0 to ^2.0.0, update z@1.2.0"),
            // Who admits it needs no override, who does not gets one alone.
            (
                "> a; > b; a > z@1.2.0 ~1.2.0; b > z ^1.0.0",
                "0..1.3.0",
                Compatible,
                "a > z to ^1.3.0, pin b > z to ^1.3.0, update z@1.2.0",
            ),
            (
                "> a; > z@1.2.0 1.2.0; a > z ~1.2.0",
                "0..1.3.0",
                Compatible,
                "/z 1.2.0 to ^1.3.0, a > z to ^1.3.0, update z@1.2.0",
            ),
            ("> a; a > z@1.2.0 ^1.0.0", "0..2.0.0", Majors, "left"),
            ("> z@1.2.0 ^1.0.0", "0..", Majors, "left"),
            ("> z@1.2.0 catalog:", "0..1.3.0", Majors, "left"),
        ] {
            assert_eq!(fix(drawn, spans, reach, Manager::Npm), told, "{drawn} {spans} {reach:?}");
        }
    }

    #[test]
    fn an_override_for_everybody_changes_nobody_else_s_version() {
        let alone = "> a; a > z@1.2.0 ~1.2.0";
        let beside = "> a; > b; a > z@1.2.0 ~1.2.0; b > z@2.0.0 ^2.0.0";
        for (drawn, manager, told) in [
            (alone, Manager::Bun, "a > z to ^1.3.0, update z@1.2.0"),
            (beside, Manager::Bun, "left"),
            (beside, Manager::Pnpm, "a > z to ^1.3.0, update z@1.2.0"),
        ] {
            assert_eq!(fix(drawn, "0..1.3.0", Reach::Compatible, manager), told, "{drawn} {manager:?}");
        }
    }

    #[test]
    fn a_pin_that_does_not_hold_becomes_an_override() {
        let graph = sketch("> a; > b; a > z@1.2.0 ^1.0.0; b > y@1.2.0 ^1.0.0");
        let list = List(["y", "z"].map(|name| advisory(name, "GHSA-1", "", "0..1.3.0")).into());
        let findings = Found::of(&Ways::of(&graph), &list).findings;
        let mut fix = Fix::of(&graph, &findings, Severity::Low, Reach::Compatible, Manager::Pnpm);
        assert_eq!((fix.changes.overrides.len(), fix.pins.overrides.len()), (0, 2));
        // y has moved on, z has not.
        let after = sketch("> a; > b; a > z@1.2.0 ^1.0.0; b > y@1.3.0 ^1.0.0");
        assert_eq!(fix.hold(&after).into_iter().collect::<Vec<_>>(), ["z"]);
        assert!(fix.hold(&after).is_empty());
        let names = |changes: &Changes| -> Vec<String> {
            changes.overrides.iter().map(|one| one.name.clone()).collect()
        };
        assert_eq!((names(&fix.changes), names(&fix.pins)), (vec!["z".to_owned()], vec!["y".to_owned()]));
    }

    #[test]
    fn an_alias_stays_one() {
        let mut graph = sketch("> z@1.2.0 1.2.0");
        graph.projects[0].wants[0].name = "old-z".to_owned();
        let list = List(vec![advisory("z", "GHSA-1", "", "0..1.3.0")]);
        let findings = Found::of(&Ways::of(&graph), &list).findings;
        let fix = Fix::of(&graph, &findings, Severity::Low, Reach::Compatible, Manager::Npm);
        let raise = fix.changes.raises.first().unwrap();
        assert_eq!((raise.from.as_str(), raise.to.as_str()), ("npm:z@1.2.0", "npm:z@^1.3.0"));
        assert_eq!(fix.updates.first_key_value().unwrap().0.name, "old-z");
    }
}
