//! Which lockfiles a folder has, its own and those of the projects inside it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::lockfile::is_lockfile;

/// How deep a project may lie below the folder that is asked about.
pub const DEEPEST: usize = 64;

/// How many folders are looked into.
pub const MOST_FOLDERS: usize = 100_000;

/// Why the projects of a folder are not known. [`hint`](Self::hint) says the mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectsError {
    /// A folder cannot be read: a lockfile may lie in it.
    #[error("cannot look into `{path}`")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There are more than [`MOST_FOLDERS`].
    #[error("there are more than {MOST_FOLDERS} folders below `{path}`")]
    TooMany {
        /// The folder that was asked about.
        path: PathBuf,
    },
}

impl ProjectsError {
    /// How to mend it, in one line.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "check that the path is right and that this user may read it",
            Self::TooMany { .. } => "name the projects' own folders",
        }
    }
}

/// The lockfiles in `root` and below, sorted; what [`lockfile::read`](super::lockfile::read) takes.
///
/// Where nothing is locked the folder `node_modules` stands for the lockfile, if there is one. Where there is nothing
/// at all but a manifest in `root`, the manifest is named: to read it is an error that says so. Not looked into:
/// `node_modules`, `target`, folders whose name begins with a dot, links.
///
/// # Errors
/// When a folder cannot be read, or when there are too many, or they lie too deep.
pub fn find(root: &Path) -> Result<Vec<PathBuf>, ProjectsError> {
    let mut found = Vec::new();
    let mut left = MOST_FOLDERS;
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        left = left.checked_sub(1).ok_or_else(|| ProjectsError::TooMany { path: root.to_owned() })?;
        let listed =
            Listing::of(&folder).map_err(|source| ProjectsError::Folder { path: folder.clone(), source })?;
        found.extend(listed.lockfiles());
        if depth == DEEPEST && !listed.folders.is_empty() {
            return Err(ProjectsError::TooMany { path: root.to_owned() });
        }
        open.extend(listed.folders.into_iter().map(|inside| (inside, depth + 1)));
    }
    if found.is_empty() {
        found.extend(bare(root));
    }
    found.sort();
    Ok(found)
}

/// What a folder holds that matters here.
struct Listing {
    folder: PathBuf,
    names: Vec<String>,
    folders: Vec<PathBuf>,
}

impl Listing {
    fn of(folder: &Path) -> io::Result<Self> {
        let mut listing = Self { folder: folder.to_owned(), names: Vec::new(), folders: Vec::new() };
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // A link to a file counts: what it shows is what the package manager reads.
            if entry.file_type()?.is_dir() {
                let passed = name.starts_with('.') || PASSED.contains(&&*name);
                listing.folders.extend((!passed).then(|| entry.path()));
            } else {
                listing.names.push(name.into_owned());
            }
        }
        Ok(listing)
    }

    /// npm passes over `package-lock.json` where there is a shrinkwrap. Two managers' lockfiles both count, since
    /// nothing says which one installs.
    fn lockfiles(&self) -> impl Iterator<Item = PathBuf> {
        let shrinkwrap = self.names.iter().any(|name| name == "npm-shrinkwrap.json");
        self.names
            .iter()
            .filter(|name| is_lockfile(name))
            .filter(move |name| !(shrinkwrap && *name == "package-lock.json"))
            .map(|name| self.folder.join(name))
    }
}

/// A project that nothing locks: what is installed, or at least its manifest.
fn bare(root: &Path) -> Option<PathBuf> {
    let installed = root.join("node_modules");
    if installed.is_dir() {
        return Some(installed);
    }
    ["package.json", "Cargo.toml"].into_iter().map(|name| root.join(name)).find(|path| path.is_file())
}

const PASSED: &[&str] = &["node_modules", "target"];
