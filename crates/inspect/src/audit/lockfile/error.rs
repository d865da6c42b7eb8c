use std::fmt;
use std::io;
use std::path::PathBuf;

use super::LARGEST;
use super::fault::Fault;

/// Why a lockfile gives no answer. [`hint`](Self::hint) says the mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockfileError {
    /// It cannot be read, or is not UTF-8.
    #[error("cannot read `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is larger than [`LARGEST`].
    #[error("`{path}` is larger than {LARGEST} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Its name is that of no lockfile.
    #[error("`{path}` is no lockfile by its name")]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// `bun.lockb`: bun's own binary form, of versions before 1.2.
    #[error("`{path}` is in bun's older, binary form")]
    Binary {
        /// The file.
        path: PathBuf,
    },
    /// A manifest that nothing locks: what it would install today is not known.
    #[error("nothing says which versions `{path}` installs")]
    Unlocked {
        /// The manifest.
        path: PathBuf,
    },
    /// What is in it is not what its dialect allows.
    #[error("`{path}`, line {line}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        source: Fault,
    },
}

impl LockfileError {
    /// How to mend it, in one line.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File { .. } => {
                "check that the path is right, that this user may read it, and that it is text"
            }
            Self::TooLarge { .. } => "check that this is a lockfile: none is as large",
            Self::Unknown { .. } => {
                "name a package-lock.json, npm-shrinkwrap.json, yarn.lock, pnpm-lock.yaml, bun.lock or Cargo.lock, \
                 or a folder node_modules"
            }
            Self::Binary { .. } => {
                "`bun install --save-text-lockfile --lockfile-only` writes bun.lock; then remove bun.lockb"
            }
            Self::Unlocked { .. } => {
                "install once with the package manager, and commit the lockfile it writes"
            }
            Self::Malformed { .. } => {
                "take it from the last good commit, or have the package manager write it again"
            }
        }
    }
}

/// Something that was read, but leaves a doubt: the answer may lack what it would have led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The line of the lockfile, from 1, where it is known.
    pub line: Option<usize>,
    /// What was found and what was expected.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}
