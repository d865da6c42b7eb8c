//! What became known since the last time: a report is kept in the state folder for each project that is watched.

use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use panoply_gateway::state_folder;
use panoply_inspect::audit::advisory::Severity;
use panoply_inspect::audit::baseline::Baseline;
use panoply_inspect::audit::report::{Report, Verdict, json};

use super::whole;
use crate::trouble::Trouble;

/// What there is to keep for the next time, once this one was told.
pub(super) struct Told {
    file: PathBuf,
    text: String,
}

impl Told {
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn keep(&self) -> Result<(), Trouble> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .and_then(|()| whole::write(&self.file, &self.text))
            .map_err(|error| unusable(&self.file, &error))
    }
}

/// The report without what the last one had, and what takes that one's place. One that could not tell takes no place:
/// what it missed would be news to nobody.
pub(super) fn since_last(
    report: Report,
    level: Severity,
    root: &Path,
) -> Result<(Report, Option<Told>), Trouble> {
    let file = place(root)?;
    let last = match super::read(&file, super::LARGEST_REPORT) {
        Ok(text) => Baseline::parse(&text).map_err(|error| {
            Trouble::new(
                format_args!("`{}`: {error}", file.display()),
                "remove it: all will be told once more",
            )
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Baseline::default(),
        Err(error) => return Err(unusable(&file, &error)),
    };
    let can_tell = report.verdict(level) != Verdict::Unknown;
    let told = can_tell.then(|| Told { file, text: json::print(&report, level) });
    Ok((report.since(&last), told))
}

/// A folder for each folder, by its own path, so that two projects never share one.
fn place(root: &Path) -> Result<PathBuf, Trouble> {
    let whole = root.canonicalize().map_err(|error| unusable(root, &error))?;
    let inside: PathBuf = whole.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    Ok(state_folder(None)?.join("audit").join(inside).join("last.json"))
}

fn unusable(path: &Path, error: &io::Error) -> Trouble {
    Trouble::new(
        format_args!("--watch: `{}`: {error}", path.display()),
        "set STATE_DIRECTORY to a folder that can be written to",
    )
}
