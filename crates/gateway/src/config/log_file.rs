use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use panoply::SettingError;

use super::file_path::FilePath;
use super::text::{Text, deserialize_text};

/// Where a log goes: a file, or with `-` this program's own output.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFile {
    /// Standard output.
    Stdout,
    /// A file, to the end of which lines are added; a pipe will do.
    At(PathBuf),
}

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::At(path) => path.display().fmt(f),
        }
    }
}

impl Text for LogFile {
    const EXPECTED: &'static str = "the path of a file, such as \"/var/log/panoply/access.log\"";
}

deserialize_text!(LogFile);

impl FromStr for LogFile {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        match text {
            "-" => Ok(Self::Stdout),
            "stdout" => Err(SettingError::new(
                "`stdout` would be a file of that name",
                "write `-` for standard output, or `./stdout` for the file",
            )),
            path => path.parse().map(|FilePath(path)| Self::At(path)),
        }
    }
}
