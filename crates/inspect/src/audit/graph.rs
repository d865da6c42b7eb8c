//! What is installed, and who asked for it: every lockfile is read into this.

use std::path::PathBuf;

/// The packages of one lockfile, and the projects that they are installed for.
///
/// Packages are named by their place in [`packages`](Self::packages); a [`Want`] leads from who asks to what it got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// The lockfile, or the folder `node_modules`.
    pub file: PathBuf,
    /// The projects whose dependencies these are: one, or each workspace. They are not packages themselves.
    pub projects: Vec<Project>,
    /// Everything that is installed, each version once for every place where it is.
    pub packages: Vec<Package>,
}

/// A project with a manifest of its own: the root of the lockfile, a workspace, or a folder that is linked.
///
/// Where no manifest is at hand it asks for whatever nobody else does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// Its name; empty where the manifest gives none.
    pub name: String,
    /// Its folder, relative to the lockfile's; empty for the lockfile's own.
    pub folder: String,
    /// What its manifest asks for.
    pub wants: Vec<Want>,
}

impl Project {
    /// What is installed of it where another asks for it: all but what it is developed with.
    #[must_use]
    pub fn wants_as_package(&self) -> Vec<Want> {
        self.wants.iter().filter(|want| want.kind != Kind::Development).cloned().collect()
    }
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Which registry's names these are.
    pub ecosystem: Ecosystem,
    /// The name under which it was published, whatever name it is installed under.
    pub name: String,
    /// The version as the lockfile writes it: an address where that is all it has (npm before 7, bun, of what is from
    /// git or a tarball); empty for a folder that has none.
    pub version: String,
    /// Where it is: `node_modules/a/node_modules/b`, or the lockfile's own key.
    pub place: String,
    /// The line of the lockfile that names it, from 1.
    pub line: Option<usize>,
    /// What it is installed for.
    pub scope: Scope,
    /// Where its files came from.
    pub source: Source,
    /// The checksum that the lockfile holds, as written.
    pub integrity: Option<String>,
    /// Whether installing it runs a program of its own; `false` too where the lockfile does not tell (npm before 7,
    /// yarn, bun, pnpm since 9).
    pub install_script: bool,
    /// What its publisher says to those who still use it.
    pub deprecated: Option<String>,
    /// What it asks for itself.
    pub wants: Vec<Want>,
}

/// One line of somebody's dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// The name it is asked by; an alias is not the package's [`name`](Package::name).
    pub name: String,
    /// The range as written, such as `^1.2.3`, without an alias' `npm:name@`; empty where the lockfile keeps none
    /// (pnpm and Cargo, for what packages ask for).
    pub range: String,
    /// How much it is needed.
    pub kind: Kind,
    /// The package that it got; `None` where an optional or a peer is not installed.
    pub package: Option<usize>,
}

/// How much a dependency is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// At run time.
    Production,
    /// Brought along by whoever uses the package.
    Peer,
    /// Where it can be installed.
    Optional,
    /// To build and test.
    Development,
}

/// What a package is installed for, by all the ways that lead to it: the first that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Some way leads to it by production dependencies alone.
    Production,
    /// Every way of production passes an optional dependency.
    Optional,
    /// Only development leads to it.
    Development,
}

/// Whose names and versions these are, in OSV's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecosystem {
    /// The npm registry, whichever package manager installs from it.
    Npm,
    /// crates.io.
    CratesIo,
}

impl Ecosystem {
    /// The name in OSV records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::CratesIo => "crates.io",
        }
    }
}

/// Where a package's files came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A registry; the URL where the lockfile has one.
    Registry(Option<String>),
    /// A repository, with the commit where it is named.
    Git(String),
    /// A tarball at an address that is no registry's.
    Tarball(String),
    /// A folder of the same machine: a workspace, or a link. No registry's advisory is about it.
    Folder(String),
    /// Inside the package that it came with.
    Bundled,
}
