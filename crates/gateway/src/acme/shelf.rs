//! What lies in an authority's folder, for who looks and does not order.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use panoply::shared::LONGEST_VALUE;

use super::authority;
use super::record::Record;
use crate::GatewayError;

/// A certificate that is kept.
#[derive(Debug)]
pub(crate) struct Shelved {
    pub(crate) file: PathBuf,
    /// When it is replaced, as far as that is written down.
    at: Option<u64>,
}

impl Shelved {
    /// When one of that life is replaced: when it is written down, which an older one's time may be, else at two thirds.
    pub(crate) fn renewal(&self, begin: SystemTime, end: SystemTime) -> SystemTime {
        let known = self.at.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at)));
        let by_life = || begin + end.duration_since(begin).unwrap_or_default() / 3 * 2;
        known.filter(|at| (begin..end).contains(at)).unwrap_or_else(by_life)
    }
}

/// What is kept of the authority at `directory`.
///
/// # Errors
/// When the folder cannot be listed.
pub(crate) fn shelf(state: &Path, directory: &str) -> Result<Vec<Shelved>, GatewayError> {
    let folder = state.join("acme").join(authority(directory));
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| GatewayError::File { verb: "list", path: folder, source })?,
    };
    let files = entries.take(MOST).filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "pem")).collect();
    files.sort();
    let at = |file: &Path| record(&file.with_extension("json"))?.renewal.map(|renewal| renewal.at);
    Ok(files.into_iter().map(|file| Shelved { at: at(&file), file }).collect())
}

fn record(file: &Path) -> Option<Record> {
    let mut text = Vec::new();
    File::open(file).ok()?.take(LONGEST_VALUE as u64).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Files, two for each name.
const MOST: usize = 10_000;
