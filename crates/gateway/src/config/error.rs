use std::fmt;
use std::path::Path;

use super::place::Position;

/// What is wrong with a configuration file: the place, the setting, what was found, and how to mend it.
///
/// It prints in full, as two lines:
/// ```text
/// error: panoply.toml:9:20: shield.csrf.trusted_origins: an origin ends at the port, but `https://pay.example/app` has a path
/// hint: write `https://pay.example`
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: String,
    position: Position,
    key: String,
    message: String,
    hint: String,
}

impl ConfigError {
    /// Whatever the file holds, message and hint stay on a line each.
    pub(super) fn new(position: Position, key: String, message: &str, hint: &str) -> Self {
        let one_line = |text: &str| text.replace(char::is_control, " ");
        Self {
            file: "panoply.toml".to_owned(),
            position,
            key,
            message: one_line(message),
            hint: one_line(hint),
        }
    }

    /// Names the file it was read from, where that is not `panoply.toml`.
    #[must_use]
    pub fn in_file(mut self, file: &Path) -> Self {
        self.file = file.display().to_string();
        self
    }

    /// The line, from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.position.line
    }

    /// The character in the line, from 1.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.position.column
    }

    /// The setting, such as `shield.csrf.trusted_origins`; empty where the file is no TOML.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What was found and what was expected.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How to mend it.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, position: Position { line, column }, key, message, hint } = self;
        write!(f, "error: {file}:{line}:{column}: ")?;
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        write!(f, "{message}\nhint: {hint}")
    }
}

impl std::error::Error for ConfigError {}
