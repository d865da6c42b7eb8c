use std::fmt;
use std::path::PathBuf;

use panoply::SettingError;
use serde::de::{Deserialize, Deserializer, MapAccess};

use super::discreet::{Discreet, Elsewhere, discreet};

/// A text that others must not see, or where it is. No error shows what may be one.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Secret {
    /// In the file of settings itself: whoever may read that may read it.
    Here(String),
    /// In an environment variable.
    Variable(String),
    /// In a file of its own; a line's end behind it is no part of it.
    File(PathBuf),
}

impl Secret {
    /// The variable that it is in, which is nobody else's to read.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Variable(name) => Some(name),
            Self::Here(_) | Self::File(_) => None,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(_) => f.write_str("Here([secret])"),
            Self::Variable(name) => f.debug_tuple("Variable").field(name).finish(),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl<'de> Discreet<'de> for Secret {
    const EXPECTED: &'static str = "a text, or a table with `env` or `file`";

    fn wrong() -> SettingError {
        SettingError::new(
            "expected a text in quotes, or where it is, but found something else",
            "write it in quotes, or where it is: `{ file = \"/etc/panoply/…\" }` or `{ env = \"PANOPLY_…\" }`",
        )
    }

    fn of_text(text: &str) -> Result<Self, SettingError> {
        if text.is_empty() { Err(Self::wrong()) } else { Ok(Self::Here(text.to_owned())) }
    }

    fn of_table<A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        Ok(match Elsewhere::of_table(table, Self::wrong)? {
            Elsewhere::Variable(name) => Self::Variable(name),
            Elsewhere::File(path) => Self::File(path),
        })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        discreet(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn a_secret_is_here_or_elsewhere_and_never_shown() {
        for (written, shown) in [
            ("'redis://:hunter2@127.0.0.1'", "Here([secret])"),
            ("{ env = 'PANOPLY_STORE' }", "Variable(\"PANOPLY_STORE\")"),
            ("{ file = '/etc/panoply/store' }", "File(\"/etc/panoply/store\")"),
        ] {
            let config = Config::parse(&format!("store.url = {written}")).unwrap();
            assert_eq!(format!("{:?}", config.store.url.unwrap()), shown);
        }
        for (written, says) in [
            ("''", "in quotes"),
            ("7", "in quotes"),
            ("['redis://:hunter2@127.0.0.1']", "in quotes"),
            ("{ env = 'redis://:hunter2@127.0.0.1' }", "none"),
            ("{ env = 'A', file = 'b' }", "in quotes"),
            ("{}", "in quotes"),
            ("{ path = 'hunter2' }", "no such setting"),
        ] {
            let error = Config::parse(&format!("store.url = {written}")).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("hunter2"), "{written}: {error}");
        }
    }
}
