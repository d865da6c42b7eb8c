//! What a lockfile shows without any database: where packages come from, what they run, and what they are taken for.
//!
//! Whoever can change a lockfile can point a known name at files of his own; few read the ten thousand lines of such a
//! change. **Finds** other registries, plain HTTP, missing checksums, git, programs that run at installation, names
//! that look like another's, and the versions of Express that its own list of security updates warns of. **Leaves**
//! what a registry itself serves under the right name.

mod express;
mod hosts;
mod names;

use std::fmt;

use super::graph::{Ecosystem, Graph, Package, Scope, Source};
use hosts::{Host, Usual};

/// One thing that is wrong with one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blemish {
    /// Its place in [`Graph::packages`].
    pub package: usize,
    /// What is wrong.
    pub flaw: Flaw,
}

/// What is wrong with a package.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// Its files come from another host than those of the others, or than is allowed.
    ForeignHost {
        /// Where they come from.
        host: String,
        /// Where they should.
        usual: String,
    },
    /// Its files travel so that anybody on the way can change them.
    PlainHttp {
        /// The address.
        address: String,
    },
    /// Nothing tells whether its files are those that were locked, though others have a checksum.
    NoIntegrity,
    /// It is fetched from a repository.
    Git {
        /// The address.
        address: String,
        /// Whether it names a commit, which alone stays what it is.
        pinned: bool,
    },
    /// A program of its own runs when it is installed.
    InstallScript,
    /// Its name is almost that of a package that everybody knows.
    LooksLike {
        /// The name that it is almost.
        known: &'static str,
    },
    /// This major version of Express gets no more security updates.
    EndOfLife {
        /// The major version.
        major: u64,
    },
    /// Express's own list of security updates has one that this version lacks.
    ExpressUpdate {
        /// The first version that has all of them.
        fixed: &'static str,
        /// What the oldest of them that is missing mends.
        what: &'static str,
    },
}

impl Flaw {
    /// The word by which a report, or a list of what to ignore, names it.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::ForeignHost { .. } => "foreign-registry",
            Self::PlainHttp { .. } => "plain-http",
            Self::NoIntegrity => "missing-integrity",
            Self::Git { .. } => "git-dependency",
            Self::InstallScript => "install-script",
            Self::LooksLike { .. } => "name-confusion",
            Self::EndOfLife { .. } => "express-end-of-life",
            Self::ExpressUpdate { .. } => "express-update",
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::ForeignHost { host, .. } => {
                format!("if `{host}` is yours, allow it; otherwise find out who changed the lockfile")
            }
            Self::PlainHttp { .. } => "name the registry with https and install again".to_owned(),
            Self::NoIntegrity => {
                "remove the entry and install again, so that the checksum is written".to_owned()
            }
            Self::Git { pinned: true, .. } => "prefer a published version, which has a checksum".to_owned(),
            Self::Git { pinned: false, .. } => {
                "name a commit: a branch or a tag can be moved to other files".to_owned()
            }
            Self::InstallScript => {
                "read what it runs, or install with `ignore-scripts` and allow the few that need it"
                    .to_owned()
            }
            Self::LooksLike { known } => format!("make sure that `{known}` was not meant"),
            Self::EndOfLife { .. } => {
                "move to a major version that is maintained: 5, or 4 for the time being".to_owned()
            }
            Self::ExpressUpdate { fixed, .. } => format!("update to {fixed} or later"),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignHost { host, usual } => {
                write!(f, "comes from `{host}`, and the others from {usual}")
            }
            Self::PlainHttp { address } => write!(f, "travels unencrypted from {address}"),
            Self::NoIntegrity => f.write_str("has no checksum, and the others have"),
            Self::Git { address, pinned: true } => write!(f, "comes from the repository {address}"),
            Self::Git { address, pinned: false } => {
                write!(f, "comes from the repository {address}, without a commit")
            }
            Self::InstallScript => f.write_str("runs a program when it is installed"),
            Self::LooksLike { known } => write!(f, "is almost called `{known}`"),
            Self::EndOfLife { major } => write!(f, "Express {major} gets no more security updates"),
            Self::ExpressUpdate { fixed, what } => {
                write!(f, "lacks security updates of Express up to {fixed}, the oldest of them: {what}")
            }
        }
    }
}

/// What is right although it looks wrong. By default nothing is named, and the host that most packages come from is
/// the one that all should.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    hosts: Vec<String>,
}

/// What names no registry's host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a registry is named by its host, such as `npm.company.example` or `localhost:4873`, but found `{0}`"
)]
pub struct HostError(String);

impl Allowed {
    /// Lets packages come from `host`, and from no other that is not allowed too: `registry.npmjs.org`, or
    /// `localhost:4873` with its port; `crates.io` is all of crates.io's own.
    ///
    /// # Errors
    /// Where it is more or less than a host.
    pub fn host(mut self, host: &str) -> Result<Self, HostError> {
        let written = host.to_ascii_lowercase();
        let read = Host::of(&format!("https://{written}"));
        let is_plain = !written.contains(|c: char| c.is_whitespace() || c.is_control());
        let whole = read.name().filter(|name| is_plain && *name == hosts::canonical(&written));
        let host = whole.ok_or_else(|| HostError(host.to_owned()))?;
        self.hosts.push(host.to_owned());
        Ok(self)
    }

    /// Those of both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.hosts.extend(other.hosts.iter().cloned());
        self
    }
}

/// All that is wrong with the packages of a graph, in their order. Folders of the same machine are nobody's but ours.
#[must_use]
pub fn judge(graph: &Graph, allowed: &Allowed) -> Vec<Blemish> {
    let usual = Usual::of(graph, &allowed.hosts);
    let integrity_is_usual = integrity_is_usual(graph);
    let mut blemishes = Vec::new();
    for (number, package) in graph.packages.iter().enumerate() {
        if matches!(package.source, Source::Folder(_)) {
            continue;
        }
        let mut note = |flaw| blemishes.push(Blemish { package: number, flaw });
        source_flaws(package, &usual, &mut note);
        if integrity_is_usual && lacks_integrity(package) {
            note(Flaw::NoIntegrity);
        }
        if package.install_script {
            note(Flaw::InstallScript);
        }
        if package.ecosystem == Ecosystem::Npm {
            if let Some(known) = names::almost(&package.name) {
                note(Flaw::LooksLike { known });
            }
            express::flaws(package).into_iter().for_each(note);
        }
    }
    blemishes
}

fn source_flaws(package: &Package, usual: &Usual, note: &mut impl FnMut(Flaw)) {
    let (Source::Registry(Some(address)) | Source::Tarball(address) | Source::Git(address)) = &package.source
    else {
        return;
    };
    let host = Host::of(address);
    if host.is_readable_on_the_way() {
        note(Flaw::PlainHttp { address: address.clone() });
    }
    if let Source::Git(address) = &package.source {
        note(Flaw::Git { address: address.clone(), pinned: names_commit(address) });
    } else if let Some(foreign) = host.name().filter(|name| !usual.is(name)) {
        note(Flaw::ForeignHost { host: foreign.to_owned(), usual: usual.to_string() });
    }
}

/// SHA-1 or SHA-256 of a commit, whole.
fn names_commit(address: &str) -> bool {
    let after = address.rsplit(['#', '=']).next().unwrap_or_default();
    matches!(after.len(), 40 | 64) && after.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A lockfile without any checksum is of a kind that has none.
fn integrity_is_usual(graph: &Graph) -> bool {
    let fetched = || graph.packages.iter().filter(|package| has_checksums(package));
    let with = fetched().filter(|package| package.integrity.is_some()).count();
    with * 2 > fetched().count()
}

fn lacks_integrity(package: &Package) -> bool {
    has_checksums(package) && package.integrity.is_none()
}

/// What comes from a registry has a checksum there. Berry, whose keys name the protocol, writes none of what is
/// optional and for other machines, since it never fetched it.
fn has_checksums(package: &Package) -> bool {
    let unfetched = package.scope == Scope::Optional && package.place.contains("@npm:");
    matches!(package.source, Source::Registry(_)) && !unfetched
}
