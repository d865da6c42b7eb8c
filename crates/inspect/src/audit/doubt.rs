//! Why an answer may be wrong. An audit with a doubt is never green.

use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;

use super::graph::Ecosystem;

/// One reason for which it cannot be told whether the dependencies are safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// There is nothing to compare with.
    #[error("no advisories at `{}`: {reason}", path.display())]
    NoDatabase {
        /// Where they were looked for.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// What is known may be out of date.
    #[error("the advisories were imported {} ago, and may be {} old at most", days(*age), days(*allowed))]
    TooOld {
        /// Since the import.
        age: Duration,
        /// What `--max-age` says.
        allowed: Duration,
    },
    /// A clock is wrong.
    #[error("the advisories were imported at {imported}, which is yet to come")]
    FromTheFuture {
        /// When.
        imported: OffsetDateTime,
    },
    /// Records were left out of the database.
    #[error("the advisories are not whole: of the records that were imported, some could not be read")]
    Incomplete,
    /// Nothing is known of these packages.
    #[error("the advisories have none for {}, and {file} asks for it", ecosystem.as_str())]
    NoData {
        /// Whose packages.
        ecosystem: Ecosystem,
        /// The lockfile.
        file: String,
    },
    /// A lockfile, or a part of it, could not be read.
    #[error("{what}")]
    Unread {
        /// File, line and reason.
        what: String,
        /// The mend.
        hint: String,
    },
    /// There is nothing to audit.
    #[error("no lockfile in `{}`, nor below it", path.display())]
    NoLockfile {
        /// The folder.
        path: PathBuf,
    },
    /// An advisory names the package, and whether the version is affected cannot be told.
    #[error("{file}: {package}@{version} may have {id}: its version cannot be compared")]
    Version {
        /// The lockfile.
        file: String,
        /// The package.
        package: String,
        /// Its version as the lockfile writes it.
        version: String,
        /// The advisory.
        id: String,
    },
    /// The index failed in between.
    #[error("the advisories on `{package}` cannot be read: {reason}")]
    Lookup {
        /// The package.
        package: String,
        /// What the system says.
        reason: String,
    },
}

impl Doubt {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoDatabase { .. } => {
                "get them with `panoply advisories update`, or read what you have with \
                                        `panoply advisories import PATH`"
                    .to_owned()
            }
            Self::TooOld { .. } => "`panoply advisories update`; `--max-age off` takes any age".to_owned(),
            Self::FromTheFuture { .. } => {
                "set the clock, or import them again with `panoply advisories import PATH`".to_owned()
            }
            Self::Incomplete => "`panoply advisories info` says which; import them again".to_owned(),
            Self::NoData { ecosystem, .. } => {
                format!("import records of {} with `panoply advisories import PATH`", ecosystem.as_str())
            }
            Self::Unread { hint, .. } => hint.clone(),
            Self::NoLockfile { .. } => {
                "name the project's folder, or install its packages so that there is a lockfile".to_owned()
            }
            Self::Version { .. } => "ask the registry for a version with a number, or say in \
                                     panoply.ignore.toml why it is safe"
                .to_owned(),
            Self::Lookup { .. } => "import them again with `panoply advisories import PATH`".to_owned(),
        }
    }
}

fn days(time: Duration) -> String {
    match time.as_secs() / DAY {
        0 => format!("{} hours", time.as_secs() / 3600),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

const DAY: u64 = 86_400;
