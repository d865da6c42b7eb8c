//! What to do about a package that has a hole.
//!
//! No registry is asked: whether a newer version of whoever is in the way asks for a better one is not known here. What
//! is known is which ranges admit the version without the hole, and so which of the steps, from the smallest on, is
//! the first that can help.

use super::graph::{Ecosystem, Graph, Project, Source};
use super::hole::Fixed;
use super::paths::{Asker, Ways, Who};
use super::range::Range;
use super::version::Version;

/// The smallest step that can help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Every range that asks for it admits the better version: the lockfile alone has to change.
    Update {
        /// The better version.
        to: Fixed,
    },
    /// Only manifests of our own are in the way.
    Raise {
        /// The better version.
        to: Fixed,
        /// Whether that is a new major version, which may break what uses it.
        step: Step,
    },
    /// A package in between is in the way, but the better version is compatible with the one it has.
    Override {
        /// The better version.
        to: Fixed,
        /// Who is in the way.
        blockers: Vec<Blocker>,
    },
    /// A package in between is in the way, and the better version is not compatible: whoever brings it has to change.
    Upgrade {
        /// The better version.
        to: Fixed,
        /// Who is in the way.
        blockers: Vec<Blocker>,
        /// Our own dependencies that bring it, by name.
        directs: Vec<String>,
    },
    /// The package is an attack: it has to go, and what it could reach is to be taken for read.
    Remove,
    /// Nobody knows a version without the hole.
    Nothing,
}

/// How far a version is from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// As `^` allows.
    Compatible,
    /// Beyond.
    Major,
}

/// Somebody whose range keeps the better version out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocker {
    /// `name@version` of a package, or the manifest of a project.
    pub who: String,
    /// The range that it asks for.
    pub range: String,
}

impl Mend {
    /// The step for the package that is at all of `places` in one version, where `to` is a version without its holes.
    #[must_use]
    pub fn of(ways: &Ways<'_>, places: &[usize], to: Fixed) -> Self {
        let Some(package) = places.first().and_then(|&at| ways.graph().packages.get(at)) else {
            return Self::Nothing;
        };
        let (ecosystem, better) = (package.ecosystem, to.example());
        let bundled = places.iter().any(|&at| is_bundled(ways, at));
        let blocking: Vec<&Asker<'_>> = places
            .iter()
            .flat_map(|&at| ways.askers(at).iter().map(move |asker| (at, asker)))
            .filter(|(at, asker)| !is_admitted(ways.graph(), *at, asker, &to))
            .map(|(_, asker)| asker)
            .collect();
        if blocking.is_empty() {
            return Self::Update { to };
        }
        let step = step(ecosystem, &package.version, &better);
        let between: Vec<usize> = blocking
            .iter()
            .filter_map(|asker| match asker.who {
                Who::Package(at) => Some(at),
                Who::Project(_) => None,
            })
            .collect();
        if between.is_empty() {
            return Self::Raise { to, step };
        }
        let blockers = blockers(ways, &blocking);
        match (step, ecosystem) {
            (Step::Compatible, Ecosystem::Npm) if !bundled => Self::Override { to, blockers },
            _ => Self::Upgrade { to, blockers, directs: directs(ways, &between) },
        }
    }

    /// The version that it leads to.
    #[must_use]
    pub const fn to(&self) -> Option<&Fixed> {
        match self {
            Self::Update { to }
            | Self::Raise { to, .. }
            | Self::Override { to, .. }
            | Self::Upgrade { to, .. } => Some(to),
            Self::Remove | Self::Nothing => None,
        }
    }

    /// The word for it in reports.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Update { .. } => "update",
            Self::Raise { .. } => "raise",
            Self::Override { .. } => "override",
            Self::Upgrade { .. } => "upgrade",
            Self::Remove => "remove",
            Self::Nothing => "nothing",
        }
    }
}

/// Whether who asks for the package at `at` may get `to` instead.
pub(crate) fn is_admitted(graph: &Graph, at: usize, asker: &Asker<'_>, to: &Fixed) -> bool {
    let package = graph.packages.get(at).filter(|package| package.source != Source::Bundled);
    package
        .is_some_and(|package| admits(package.ecosystem, &asker.want.range, &to.example(), &package.version))
}

/// What came inside another package changes with that package alone: neither an update nor an override reaches it.
fn is_bundled(ways: &Ways<'_>, at: usize) -> bool {
    ways.graph().packages.get(at).is_some_and(|package| package.source == Source::Bundled)
}

/// Whether who asks for `range` may get `version`. Where the lockfile has no ranges (Cargo's, and of what packages ask for
/// pnpm's), what is compatible with what is `installed`.
fn admits(ecosystem: Ecosystem, range: &str, version: &str, installed: &str) -> bool {
    let Some(version) = Version::parse(version) else { return false };
    let range = match ecosystem {
        _ if range.is_empty() => format!("^{installed}"),
        Ecosystem::Npm => range.to_owned(),
        Ecosystem::CratesIo => requirement(range),
    };
    Range::parse(&range).is_some_and(|range| range.installs(&version))
}

/// Cargo's `1.2, <1.5` in npm's words: `^1.2 <1.5`.
fn requirement(range: &str) -> String {
    let caret = |part: &str| {
        let part = part.trim();
        if part.starts_with(|c: char| c.is_ascii_digit()) && !part.contains('*') {
            format!("^{part}")
        } else {
            part.to_owned()
        }
    };
    range.split(',').map(caret).collect::<Vec<_>>().join(" ")
}

fn step(ecosystem: Ecosystem, from: &str, to: &str) -> Step {
    if admits(ecosystem, &format!("^{from}"), to, from) { Step::Compatible } else { Step::Major }
}

fn blockers(ways: &Ways<'_>, blocking: &[&Asker<'_>]) -> Vec<Blocker> {
    let graph = ways.graph();
    let mut blockers: Vec<Blocker> = blocking
        .iter()
        .filter_map(|asker| {
            let who = match asker.who {
                Who::Package(at) => {
                    graph.packages.get(at).map(|one| format!("{}@{}", one.name, one.version))?
                }
                Who::Project(at) => graph.projects.get(at).map(manifest)?,
            };
            let bundled = asker.want.package.is_some_and(|at| is_bundled(ways, at));
            let range = &asker.want.range;
            Some(Blocker { who, range: if bundled { format!("{range} (bundled)") } else { range.clone() } })
        })
        .collect();
    blockers.sort();
    blockers.dedup();
    blockers
}

fn manifest(project: &Project) -> String {
    match project.folder.as_str() {
        "" => "the manifest".to_owned(),
        folder => format!("the manifest in {folder}"),
    }
}

/// What our own manifests ask for that leads to one of `between`.
fn directs(ways: &Ways<'_>, between: &[usize]) -> Vec<String> {
    let leading = ways.leading_to(between);
    let wants = ways.graph().projects.iter().flat_map(|project| &project.wants);
    let mut names: Vec<String> = wants
        .filter(|want| want.package.is_some_and(|at| leading.contains(&at)))
        .map(|want| want.name.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::sketch::sketch;

    /// What to do about `z`.
    fn mend(drawn: &str, to: &str) -> String {
        let graph = sketch(drawn);
        let places: Vec<usize> =
            (0..graph.packages.len()).filter(|&at| graph.packages[at].name == "z").collect();
        let to = match to.strip_prefix('>') {
            Some(last) => Fixed::After(last.to_owned()),
            None => Fixed::In(to.to_owned()),
        };
        let who = |blockers: &[Blocker]| {
            blockers.iter().map(|one| format!("{} {}", one.who, one.range)).collect::<Vec<_>>().join(", ")
        };
        match Mend::of(&Ways::of(&graph), &places, to) {
            Mend::Update { to } => format!("update to {to}"),
            Mend::Raise { to, step } => format!("raise to {to} {step:?}"),
            Mend::Override { to, blockers } => format!("override with {to} for {}", who(&blockers)),
            Mend::Upgrade { to, blockers, directs } => {
                format!("upgrade {} for {to} past {}", directs.join(" "), who(&blockers))
            }
            other => other.kind().to_owned(),
        }
    }

    #[test]
    fn the_smallest_step_that_can_help_is_told() {
        for (drawn, to, told) in [
            ("> z@1.2.0 ^1.0.0", "1.3.0", "update to 1.3.0"),
            ("> z@1.2.0 ^1.0.0", ">1.2.7", "update to >1.2.7"),
            ("> a; a > z@1.2.0 ^1.0.0", "1.3.0", "update to 1.3.0"),
            ("> z@1.2.0 1.2.0", "1.3.0", "raise to 1.3.0 Compatible"),
            ("> z@1.2.0 ^1.0.0", "2.0.0", "raise to 2.0.0 Major"),
            ("> z@0.2.0 ^0.2.0", "0.3.0", "raise to 0.3.0 Major"),
            ("> z@1.2.0 ^1.0.0; > a; a > z ~1.2.0", "1.3.0", "override with 1.3.0 for a@1.0.0 ~1.2.0"),
            ("> a; a > z@1.2.0 1.2.0", "1.3.0", "override with 1.3.0 for a@1.0.0 1.2.0"),
            ("> a; > x; a > b@2.0.0; b > z@1.2.0 ^1.0.0", "2.0.0", "upgrade a for 2.0.0 past b@2.0.0 ^1.0.0"),
            // Who asks for a tag or an address may get anything.
            ("> a; a > z@1.2.0 latest", "1.3.0", "override with 1.3.0 for a@1.0.0 latest"),
            // A pre-release is nothing that `^1` would install.
            ("> z@1.2.0 ^1.0.0", "1.3.0-rc.1", "raise to 1.3.0-rc.1 Major"),
        ] {
            assert_eq!(mend(drawn, to), told, "{drawn} to {to}");
        }
    }

    #[test]
    fn what_is_bundled_changes_with_who_bundles_it() {
        let mut graph = sketch("> a; a > b; b > z@1.2.0 ^1.0.0");
        graph.packages[2].source = Source::Bundled;
        let mend = Mend::of(&Ways::of(&graph), &[2], Fixed::In("1.3.0".to_owned()));
        assert!(matches!(&mend, Mend::Upgrade { directs, .. } if *directs == ["a"]), "{mend:?}");
    }

    #[test]
    fn a_root_that_is_among_the_packages_is_in_nobody_s_way() {
        let mut graph = sketch("> z@1.2.0 1.2.0; shop > z 1.2.0");
        graph.packages[1].source = Source::Folder(String::new());
        let mend = Mend::of(&Ways::of(&graph), &[0], Fixed::In("1.3.0".to_owned()));
        assert!(matches!(&mend, Mend::Raise { step: Step::Compatible, .. }), "{mend:?}");
    }

    #[test]
    fn cargo_takes_what_is_compatible_where_no_range_is_known() {
        for (range, installed, version, admitted) in [
            ("", "1.2.0", "1.3.0", true),
            ("", "1.2.0", "2.0.0", false),
            ("", "0.2.1", "0.2.2", true),
            ("", "0.2.1", "0.3.0", false),
            ("1.2", "1.2.0", "1.9.0", true),
            ("=1.2.0", "1.2.0", "1.2.1", false),
            (">=1.2, <1.5", "1.2.0", "1.4.0", true),
            (">=1.2, <1.5", "1.2.0", "1.5.0", false),
            ("1.*", "1.2.0", "1.5.0", true),
        ] {
            assert_eq!(admits(Ecosystem::CratesIo, range, version, installed), admitted, "{range} {version}");
        }
    }
}
