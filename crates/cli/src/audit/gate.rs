//! The dependencies of the app that panoply stands in front of: audited before it starts, and again when other advisories
//! come, or another lockfile.
//!
//! What is installed for development alone is left out: it does not run here.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use panoply_gateway::dependencies::{Dependencies, Standing};
use panoply_inspect::audit::advisory::Severity;
use panoply_inspect::audit::doubt::Doubt;
use panoply_inspect::audit::lockfile::is_lockfile;
use panoply_inspect::audit::report::{Report, Verdict};

use super::basis::Basis;
use super::project::Project;
use crate::advisories;
use crate::args::{Database, Gate, Grounds, Level, Omit};
use crate::trouble::Trouble;

/// An app whose dependencies are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Gated {
    gate: Gate,
    /// Where its lockfile is.
    project: PathBuf,
    told: Dependencies,
}

impl Gated {
    pub(crate) fn new(gate: Gate, project: impl Into<PathBuf>, told: Dependencies) -> Self {
        Self { gate, project: project.into(), told }
    }

    /// Tells how the dependencies stand, and says no where the policy does.
    pub(crate) async fn admit(&self) -> Result<(), Trouble> {
        let Some(refused) = self.gate.refused() else {
            return Ok(());
        };
        match self.look().await {
            // Who never imported advisories is told where to begin, and not warned at every start.
            Ok(Some(report)) if refused.is_none() && lacks_database(&report) => {
                tracing::info!(
                    practice = "dependencies",
                    "not audited: there are no advisories yet; `panoply advisories update` gets them"
                );
                Ok(())
            }
            Ok(Some(report)) => {
                self.told.tell(standing(&report));
                refused.map_or(Ok(()), |level| refuse(&report, level, &self.project))
            }
            Ok(None) if refused.is_none() => {
                tracing::info!(
                    practice = "dependencies",
                    "not audited: no lockfile says what the app installs"
                );
                Ok(())
            }
            Ok(None) => Err(Trouble::new(
                "no lockfile says what the app installs, so its dependencies cannot be audited",
                "name the project's folder, which `panoply run` is started in, or leave out --dependencies",
            )),
            Err(trouble) if refused.is_some() => Err(trouble),
            Err(trouble) => {
                tracing::warn!(practice = "dependencies", %trouble, "not audited");
                Ok(())
            }
        }
    }

    /// Looks again whenever the database or a lockfile is another one; never ends.
    pub(crate) async fn keep(self) {
        let database = advisories::place(&Database::default()).ok();
        let (Some(database), Some(_)) = (database, self.gate.refused()) else {
            return std::future::pending().await;
        };
        let mut seen = changed(&database, &self.project);
        loop {
            tokio::time::sleep(PAUSE).await;
            let now = changed(&database, &self.project);
            if now != seen {
                seen = now;
                match self.look().await {
                    Ok(Some(report)) => self.told.tell(standing(&report)),
                    Ok(None) => {}
                    Err(trouble) => tracing::warn!(practice = "dependencies", %trouble, "not audited"),
                }
            }
        }
    }

    /// An audit of the folder; `None` where nothing in it is locked.
    async fn look(&self) -> Result<Option<Report>, Trouble> {
        let project = self.project.clone();
        tokio::task::spawn_blocking(move || look(&project)).await.unwrap_or_else(|error| {
            Err(Trouble::new(format_args!("the audit ended: {error}"), "leave out --dependencies"))
        })
    }
}

fn look(folder: &Path) -> Result<Option<Report>, Trouble> {
    let project = Project::here(folder)?;
    if project.graphs.is_empty() && project.doubts.is_empty() {
        return Ok(None);
    }
    let grounds = Grounds { omit: vec![Omit::Dev], ..Grounds::default() };
    Ok(Some(Basis::open(&grounds, &project.root)?.judge(&project)))
}

fn refuse(report: &Report, level: Level, project: &Path) -> Result<(), Trouble> {
    match report.verdict(level.severity()) {
        Verdict::Clean => Ok(()),
        Verdict::Findings => Err(Trouble::new(
            "the app's dependencies have known holes",
            format_args!(
                "`panoply audit --omit dev {}` says which, and what to do about each",
                project.display()
            ),
        )),
        Verdict::Unknown => {
            let what = "could not tell whether the app's dependencies have known holes";
            report.doubts.first().map_or(Ok(()), |doubt| Err(Trouble::doubt(what, doubt)))
        }
    }
}

fn lacks_database(report: &Report) -> bool {
    report.doubts.iter().any(|doubt| matches!(doubt, Doubt::NoDatabase { .. }))
}

fn standing(report: &Report) -> Standing {
    let mut standing = Standing { doubts: report.doubts.len(), ..Standing::default() };
    for finding in &report.findings {
        let hole = &finding.hole;
        let count = match hole.severity {
            _ if hole.malicious => &mut standing.attacks,
            Some(Severity::Critical) => &mut standing.critical,
            Some(Severity::High) => &mut standing.high,
            Some(Severity::Moderate) => &mut standing.moderate,
            Some(Severity::Low) => &mut standing.low,
            None => &mut standing.unknown,
        };
        *count += 1;
    }
    standing
}

/// The database and each lockfile, and by what each would be seen to be another one.
fn changed(database: &Path, project: &Path) -> Vec<(PathBuf, Option<Mark>)> {
    let entries = project.read_dir().into_iter().flatten().filter_map(Result::ok);
    let lockfiles = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_lockfile));
    let mut files: Vec<PathBuf> = lockfiles.map(|entry| entry.path()).collect();
    files.push(database.to_owned());
    files.sort();
    let mark = |path: &Path| path.metadata().ok().as_ref().map(Mark::of);
    files.into_iter().map(|path| (path.clone(), mark(&path))).collect()
}

/// What a file is told by. Images and archives give all files one time of change, which is why it is not enough; that of the
/// entry in the file system nobody sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

impl Gate {
    /// `None`: there is no audit; `Some(None)`: it refuses nothing.
    const fn refused(self) -> Option<Option<Level>> {
        match self {
            Self::Off => None,
            Self::Observe => Some(None),
            Self::Low => Some(Some(Level::Low)),
            Self::Moderate => Some(Some(Level::Moderate)),
            Self::High => Some(Some(Level::High)),
            Self::Critical => Some(Some(Level::Critical)),
        }
    }
}

/// Between two looks at the times of change.
const PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_lockfile_is_another_one_whatever_its_time_of_change_says() {
        let folder = tempfile::tempdir().unwrap();
        let lockfile = folder.path().join("yarn.lock");
        let write = |path: &Path, text: &str| {
            fs::write(path, text).unwrap();
            fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        write(&lockfile, "a@1");
        let mut seen = changed(Path::new("/none"), folder.path());
        assert_eq!(changed(Path::new("/none"), folder.path()), seen, "nothing has changed");
        for how in ["replaced by one of the same length", "written over", "written over, longer"] {
            std::thread::sleep(Duration::from_millis(30)); // times are those of a clock that ticks
            match how {
                "replaced by one of the same length" => {
                    let other = folder.path().join("other");
                    write(&other, "a@2");
                    fs::rename(other, &lockfile).unwrap();
                }
                "written over" => write(&lockfile, "a@3"),
                _ => write(&lockfile, "a@3.1"),
            }
            let now = changed(Path::new("/none"), folder.path());
            assert_ne!(now, seen, "{how}");
            seen = now;
        }
    }
}
