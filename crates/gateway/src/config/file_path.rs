use std::path::PathBuf;
use std::str::FromStr;

use panoply::SettingError;
use serde::Deserializer;

use super::text::{Text, shown, text};

/// Reads the path of a file or folder.
pub(super) fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    path(deserializer).map(Some)
}

pub(super) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    text::<FilePath, D>(deserializer).map(|path| path.0)
}

pub(super) struct FilePath(pub(super) PathBuf);

impl Text for FilePath {
    const EXPECTED: &'static str = "a path, such as \"/var/lib/panoply\"";
}

impl FromStr for FilePath {
    type Err = SettingError;

    fn from_str(path: &str) -> Result<Self, SettingError> {
        if path.is_empty() {
            return Err(SettingError::new("the path is empty", "write a path, or leave the setting out"));
        }
        // Only a shell knows these; a folder that is called `~` would be made without a word.
        if path.starts_with('~') || path.contains('$') {
            return Err(SettingError::new(
                format!("a path is taken as it is written, but `{}` waits for a shell", shown(path)),
                "write the whole path, from `/`",
            ));
        }
        if path.contains('\0') {
            return Err(SettingError::new("a path holds no NUL", "take the NUL out"));
        }
        Ok(Self(path.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_as_it_is_written() {
        for (path, taken) in [
            ("/etc/panoply/shop.pem", true),
            ("certs/shop.pem", true),
            ("C:\\certs\\shop.pem", true),
            ("~/shop.pem", false),
            ("$HOME/shop.pem", false),
            ("shop\0.pem", false),
            ("", false),
        ] {
            assert_eq!(path.parse::<FilePath>().is_ok(), taken, "{path:?}");
        }
    }
}
