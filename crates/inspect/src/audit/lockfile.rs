//! Reads what package managers write down of what they installed.
//!
//! A lockfile is read whole or not at all: what is cut short, says a thing twice or says it in a way that nobody
//! knows is a [`LockfileError`] with its line, since an audit of half the packages would look like a clean one.

mod bun;
mod cargo;
mod error;
mod fault;
mod installed;
mod json;
mod linked;
mod manifest;
mod npm;
mod places;
mod pnpm;
mod scope;
mod source;
mod surroundings;
mod syml;
mod workspaces;
mod yarn;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::graph::{Graph, Kind, Source, Want};
pub use error::{LockfileError, Warning};
use fault::Fault;
pub use surroundings::Surroundings;

/// A lockfile is this large at most, in bytes: 32 MiB, which is some hundred thousand packages; the largest in use have a
/// third of it. To read one takes six times (npm) to eighteen times (Cargo) its length of memory: at most 600 MiB.
pub const LARGEST: u64 = 32 << 20;

/// What bun wrote before 1.2. A bun that has both reads the text, but one of that time the binary form alone.
const BINARY: &str = "bun.lockb";

/// So many doubts are told of one lockfile; whoever reads ten of them knows.
const MOST_DOUBTS: usize = 100;

/// A family of lockfiles, told by the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// `package-lock.json` and `npm-shrinkwrap.json`, versions 1 to 3.
    Npm,
    /// `yarn.lock`, of version 1 and of berry.
    Yarn,
    /// `pnpm-lock.yaml`, versions 5, 6 and 9.
    Pnpm,
    /// `bun.lock`, the text.
    Bun,
    /// `Cargo.lock`.
    Cargo,
}

impl Dialect {
    /// The dialect of a file of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "package-lock.json" | "npm-shrinkwrap.json" | ".package-lock.json" => Some(Self::Npm),
            "yarn.lock" => Some(Self::Yarn),
            "pnpm-lock.yaml" => Some(Self::Pnpm),
            "bun.lock" => Some(Self::Bun),
            "Cargo.lock" => Some(Self::Cargo),
            _ => None,
        }
    }
}

/// Whether a file of this name says what is installed, in a form that is read here or not.
#[must_use]
pub fn is_lockfile(name: &str) -> bool {
    name == BINARY || Dialect::of(name).is_some()
}

/// What the lockfile `path` says is installed, with what makes the answer doubtful.
///
/// Manifests beside it are read where the lockfile does not tell what is for development only.
///
/// # Errors
/// When it cannot be read whole.
pub fn read(path: &Path) -> Result<(Graph, Vec<Warning>), LockfileError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(dialect) = Dialect::of(name) else { return read_unlocked(path, name) };
    let text = text_of(path)?;
    let (mut graph, warnings) =
        parse(dialect, &text, &Surroundings::of(path)).map_err(|fault| fault.in_file(path))?;
    path.clone_into(&mut graph.file);
    Ok((graph, warnings))
}

/// What is installed where nothing locks it. npm keeps a lockfile in there, which says more.
fn read_unlocked(path: &Path, name: &str) -> Result<(Graph, Vec<Warning>), LockfileError> {
    match name {
        BINARY => Err(LockfileError::Binary { path: path.to_owned() }),
        "package.json" | "Cargo.toml" => Err(LockfileError::Unlocked { path: path.to_owned() }),
        "node_modules" => {
            let hidden = path.join(".package-lock.json");
            if hidden.is_file() {
                return read(&hidden);
            }
            let mut graph = installed::read(path)?;
            path.clone_into(&mut graph.file);
            let doubts = doubts(&graph);
            Ok((graph, doubts))
        }
        _ => Err(LockfileError::Unknown { path: path.to_owned() }),
    }
}

/// The same of a text at hand. [`Graph::file`] stays empty.
///
/// # Errors
/// When it cannot be read whole.
pub fn parse(
    dialect: Dialect,
    text: &str,
    surroundings: &Surroundings,
) -> Result<(Graph, Vec<Warning>), Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let graph = match dialect {
        Dialect::Npm => npm::parse(text, surroundings)?,
        Dialect::Yarn => yarn::parse(text, surroundings)?,
        Dialect::Pnpm => pnpm::parse(text, surroundings)?,
        Dialect::Bun => bun::parse(text)?,
        Dialect::Cargo => cargo::parse(text, surroundings)?,
    };
    let doubts = doubts(&graph);
    Ok((graph, doubts))
}

/// What a whole lockfile would have and this one has not.
fn doubts(graph: &Graph) -> Vec<Warning> {
    let unversioned =
        graph.packages.iter().filter(|package| package.version.is_empty()).filter_map(|package| {
            let local = matches!(package.source, Source::Folder(_));
            (!local)
                .then(|| Warning { line: package.line, text: format!("`{}` has no version", package.place) })
        });
    let unmet = |asker: &str, line: Option<usize>, want: &Want| {
        let needed = matches!(want.kind, Kind::Production | Kind::Development) && want.package.is_none();
        let space = if want.range.is_empty() { "" } else { " " };
        let Want { name, range, .. } = want;
        needed.then(|| Warning {
            line,
            text: format!("{asker} asks for `{name}`{space}{range}, and the lockfile has none"),
        })
    };
    let of_packages = graph.packages.iter().flat_map(|package| {
        let asker = format!("`{}`", package.place);
        package.wants.iter().filter_map(move |want| unmet(&asker, package.line, want))
    });
    let of_projects = graph.projects.iter().flat_map(|project| {
        let asker = if project.folder.is_empty() {
            "the project".to_owned()
        } else {
            format!("`{}`", project.folder)
        };
        project.wants.iter().filter_map(move |want| unmet(&asker, None, want))
    });
    unversioned.chain(of_projects).chain(of_packages).take(MOST_DOUBTS).collect()
}

fn text_of(path: &Path) -> Result<String, LockfileError> {
    let unread = |source| LockfileError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(unread)?;
    let mut text = String::new();
    // The length is asked for first, so that nothing is read in vain; what grows meanwhile is cut off all the same.
    let length = file.metadata().map_err(unread)?.len();
    if length <= LARGEST {
        file.take(LARGEST + 1).read_to_string(&mut text).map_err(unread)?;
    }
    if length.max(text.len() as u64) > LARGEST {
        return Err(LockfileError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}
