use std::error::Error;
use std::path::Path;

use super::LockfileError;

/// What is wrong with the text of a lockfile, and in which line.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    cause: Box<dyn Error + Send + Sync>,
}

impl Fault {
    pub(super) fn at(line: usize, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { line: line.max(1), cause: cause.into() }
    }

    /// A fault of another file that is needed to understand this one.
    pub(super) fn beside(file: &str, cause: impl Error) -> Self {
        Self::at(1, format!("`{file}` beside it: {cause}"))
    }

    /// The same where the text is the end of a longer one.
    pub(super) fn after(mut self, lines: usize) -> Self {
        self.line += lines;
        self
    }

    pub(super) fn in_file(self, path: &Path) -> LockfileError {
        LockfileError::Malformed { path: path.to_owned(), line: self.line, source: self }
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::at(error.line(), error)
    }
}

impl From<serde_saphyr::Error> for Fault {
    fn from(error: serde_saphyr::Error) -> Self {
        let line = error.location().map_or(1, |location| location.line());
        Self::at(usize::try_from(line).unwrap_or(1), error)
    }
}
