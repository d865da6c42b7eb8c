//! Where what is installed meets what is known: a hole in one version of one package of one lockfile.

use std::collections::BTreeMap;

use super::advisory::{Advisories, Severity};
use super::doubt::Doubt;
use super::graph::{Ecosystem, Graph, Package, Scope, Source};
use super::hole::{Fixed, Hole};
use super::mend::Mend;
use super::paths::{Way, Ways};

/// A hole in one version of a package, once for each lockfile, wherever it is installed there.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What is wrong.
    pub hole: Hole,
    /// Whose names and versions these are.
    pub ecosystem: Ecosystem,
    /// The package, by the name that it was published under.
    pub package: String,
    /// The version that is installed.
    pub version: String,
    /// The lockfile.
    pub lockfile: String,
    /// Its line there, from 1.
    pub line: Option<usize>,
    /// What it is installed for.
    pub scope: Scope,
    /// The shortest ways by which it came, each from a direct dependency down to it, as `name@version`; one that
    /// begins in a workspace has its folder first, as `./folder`.
    pub paths: Vec<Vec<String>>,
    /// Whether there are other ways.
    pub more_paths: bool,
    /// The nearest version without this hole.
    pub fixed: Option<Fixed>,
    /// What to do about it.
    pub mend: Mend,
    /// Where it is in the graph.
    pub(crate) places: Vec<usize>,
}

impl Finding {
    /// Puts the path before all others that shows why it is told.
    pub(crate) fn tell_first(&mut self, path: Vec<String>) {
        self.paths.retain(|other| *other != path);
        self.paths.insert(0, path);
    }

    /// Worst first: an attack, then by severity (who does not say is taken for high, as npm does), then by name.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let severity =
            if self.hole.malicious { None } else { Some(self.hole.severity.unwrap_or(Severity::High)) };
        let score = self.hole.score.map_or(0, |score| (score * 10.0).round() as u32);
        (
            severity.map(std::cmp::Reverse),
            std::cmp::Reverse(score),
            self.package.clone(),
            self.version.clone(),
            self.lockfile.clone(),
            self.hole.id.clone(),
        )
    }
}

/// All that is found in one graph, and what could not be told of it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) findings: Vec<Finding>,
    pub(crate) doubts: Vec<(Doubt, Hole)>,
    pub(crate) failures: Vec<Doubt>,
}

impl Found {
    /// Each name is looked up once, however often it is installed.
    pub(crate) fn of(ways: &Ways<'_>, advisories: &dyn Advisories) -> Self {
        let mut found = Self::default();
        for ((ecosystem, name), versions) in by_name(ways.graph()) {
            match advisories.of(ecosystem, name) {
                Ok(records) if records.is_empty() => {}
                Ok(records) => {
                    let holes = Hole::all(records);
                    for (version, places) in versions {
                        found.judge(ways, &holes, version, &places);
                    }
                }
                Err(error) => {
                    found
                        .failures
                        .push(Doubt::Lookup { package: name.to_owned(), reason: error.to_string() });
                }
            }
        }
        found
    }

    fn judge(&mut self, ways: &Ways<'_>, holes: &[Hole], version: &str, places: &[usize]) {
        let graph = ways.graph();
        let Some(package) = places.first().and_then(|&at| graph.packages.get(at)) else { return };
        let mut affecting = Vec::new();
        for hole in holes {
            match hole.affects(package.ecosystem, version) {
                Some(true) => affecting.push(hole),
                Some(false) => {}
                None => self.doubts.push((
                    Doubt::Version {
                        file: file(graph),
                        package: package.name.clone(),
                        version: version.to_owned(),
                        id: hole.id.clone(),
                    },
                    hole.clone(),
                )),
            }
        }
        if affecting.is_empty() {
            return;
        }
        let goal = Goal::of(package.ecosystem, &affecting, version);
        let shortest = ways.shortest(places);
        let paths: Vec<_> = shortest.ways.iter().map(|way| path(graph, way)).collect();
        for (hole, fixed) in affecting.into_iter().zip(goal.each) {
            self.findings.push(Finding {
                mend: match (&fixed, hole.malicious) {
                    (_, true) => Mend::Remove,
                    (None, false) => Mend::Nothing,
                    (Some(own), false) => {
                        Mend::of(ways, places, goal.all.clone().unwrap_or_else(|| own.clone()))
                    }
                },
                hole: hole.clone(),
                ecosystem: package.ecosystem,
                package: package.name.clone(),
                version: version.to_owned(),
                lockfile: file(graph),
                line: package.line,
                scope: scope(graph, places),
                paths: paths.clone(),
                more_paths: shortest.more,
                fixed,
                places: places.to_vec(),
            });
        }
    }
}

/// Where to go from a version: out of each hole, and out of all that there is a way out of.
struct Goal {
    each: Vec<Option<Fixed>>,
    all: Option<Fixed>,
}

impl Goal {
    fn of(ecosystem: Ecosystem, holes: &[&Hole], version: &str) -> Self {
        let each: Vec<_> = holes.iter().map(|hole| Fixed::of(ecosystem, &[hole], version)).collect();
        let mendable: Vec<&Hole> =
            holes.iter().zip(&each).filter(|(_, fixed)| fixed.is_some()).map(|(hole, _)| *hole).collect();
        Self { all: Fixed::of(ecosystem, &mendable, version), each }
    }
}

/// The places of each version of each name. A folder of our own is no package of the registry, whatever its name.
fn by_name(graph: &Graph) -> BTreeMap<(Ecosystem, &str), BTreeMap<&str, Vec<usize>>> {
    let mut names: BTreeMap<_, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
    for (at, package) in graph.packages.iter().enumerate() {
        if !matches!(package.source, Source::Folder(_)) {
            let versions = names.entry((package.ecosystem, package.name.as_str())).or_default();
            versions.entry(package.version.as_str()).or_default().push(at);
        }
    }
    names
}

/// A way in words.
pub(crate) fn path(graph: &Graph, way: &Way) -> Vec<String> {
    let folder = graph.projects.get(way.project).map_or("", |project| project.folder.as_str());
    let workspace = (!folder.is_empty()).then(|| format!("./{folder}"));
    let named = |&at: &usize| graph.packages.get(at).map(label);
    workspace.into_iter().chain(way.packages.iter().filter_map(named)).collect()
}

/// `name@version`.
pub(crate) fn label(package: &Package) -> String {
    format!("{}@{}", package.name, package.version)
}

/// As a report writes the lockfile.
pub(crate) fn file(graph: &Graph) -> String {
    graph.file.display().to_string()
}

fn scope(graph: &Graph, places: &[usize]) -> Scope {
    let scopes = places.iter().filter_map(|&at| graph.packages.get(at)).map(|package| package.scope);
    scopes.min().unwrap_or(Scope::Production)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::sketch::{List, advisory, sketch};

    fn found(drawn: &str, records: &[(&str, &str, &str)]) -> Vec<String> {
        let graph = sketch(drawn);
        let list =
            List(records.iter().map(|(package, id, spans)| advisory(package, id, "", spans)).collect());
        let mut found = Found::of(&Ways::of(&graph), &list);
        found.findings.sort_by_cached_key(Finding::rank);
        let line = |one: &Finding| {
            let fixed = one.fixed.as_ref().map_or("-".to_owned(), ToString::to_string);
            let to = one.mend.to().map_or("-".to_owned(), ToString::to_string);
            let paths: Vec<_> = one.paths.iter().map(|path| path.join(" > ")).collect();
            let paths = paths.join(", ");
            format!(
                "{} {}@{} {fixed} {} {to}: {paths}",
                one.hole.id,
                one.package,
                one.version,
                one.mend.kind()
            )
        };
        found.findings.iter().map(line).collect()
    }

    #[test]
    fn a_hole_is_found_once_for_each_version() {
        for (drawn, records, told) in [
            (
                "> a ^1; a > z@1.2.0 ^1",
                &[("z", "GHSA-1", "0..1.3.0")][..],
                &["GHSA-1 z@1.2.0 1.3.0 update 1.3.0: a@1.0.0 > z@1.2.0"][..],
            ),
            ("> a ^1; a > z@1.2.0 ^1", &[("z", "GHSA-1", "0..1.2.0"), ("y", "GHSA-2", "0..")], &[]),
            (
                "> z@1.2.0 ^1; > a ^1; a > z@0.9.0 0.9.0",
                &[("z", "GHSA-1", "0..1.3.0")],
                &[
                    "GHSA-1 z@0.9.0 1.3.0 upgrade 1.3.0: a@1.0.0 > z@0.9.0",
                    "GHSA-1 z@1.2.0 1.3.0 update 1.3.0: z@1.2.0",
                ],
            ),
            // One step leads out of both; a hole without a way out does not keep the other from its own.
            (
                "> z@1.2.0 ^1",
                &[("z", "GHSA-1", "0..1.3.0"), ("z", "GHSA-2", "0..1.4.0"), ("z", "GHSA-3", "0..")],
                &[
                    "GHSA-1 z@1.2.0 1.3.0 update 1.4.0: z@1.2.0",
                    "GHSA-2 z@1.2.0 1.4.0 update 1.4.0: z@1.2.0",
                    "GHSA-3 z@1.2.0 - nothing -: z@1.2.0",
                ],
            ),
            (
                "web/ > z@1.2.0 ^1",
                &[("z", "GHSA-1", "0..=1.2.5")],
                &["GHSA-1 z@1.2.0 >1.2.5 update >1.2.5: ./web > z@1.2.0"],
            ),
        ] {
            assert_eq!(found(drawn, records), told, "{drawn}");
        }
    }

    #[test]
    fn an_attack_is_removed_and_comes_first() {
        let graph = sketch("> a ^1; > z@1.2.0 ^1");
        let mut attack = advisory("z", "MAL-1", "", "0..");
        (attack.malicious, attack.severity) = (true, None);
        let list = List(vec![advisory("a", "GHSA-1", "", "0..2.0.0"), attack]);
        let mut found = Found::of(&Ways::of(&graph), &list).findings;
        found.sort_by_cached_key(Finding::rank);
        assert_eq!((found[0].hole.id.as_str(), &found[0].mend), ("MAL-1", &Mend::Remove));
    }

    #[test]
    fn what_cannot_be_compared_is_a_doubt_and_a_folder_of_ours_is_no_package() {
        let mut graph = sketch("> z@1.2.0; > y@2.0.0");
        graph.packages[0].version = "git+https://code.example/z".to_owned();
        graph.packages[1].source = Source::Folder("y".to_owned());
        let list = List(vec![advisory("z", "GHSA-1", "", "0..1.0.0"), advisory("y", "GHSA-2", "", "0..")]);
        let found = Found::of(&Ways::of(&graph), &list);
        assert_eq!((found.findings.len(), found.doubts.len()), (0, 1));
    }
}
