use std::path::PathBuf;

use panoply::{Keys, SettingError};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess};

use super::discreet::{Discreet, Elsewhere, discreet};

/// Where the keys are that cookies are sealed with. No error shows what may be a secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeySource {
    /// In the file of settings itself: whoever may read that may read them.
    Here(Keys),
    /// In an environment variable, one a line.
    Variable(String),
    /// In a file of their own, one a line.
    File(PathBuf),
}

impl KeySource {
    /// The variable with the keys, which is nobody else's to read.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Variable(name) => Some(name),
            Self::Here(_) | Self::File(_) => None,
        }
    }
}

impl<'de> Discreet<'de> for KeySource {
    const EXPECTED: &'static str = "a list of keys, or a table with `env` or `file`";

    fn wrong() -> SettingError {
        SettingError::new(
            "expected a list of keys, or where they are, but found something else",
            "write `keys = { file = \"/etc/panoply/keys\" }`, `{ env = \"PANOPLY_KEYS\" }` or a list",
        )
    }

    fn of_list<A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        let mut secrets = Vec::new();
        while let Some(Key(secret)) = items.next_element()? {
            secrets.push(secret);
        }
        Keys::new(secrets).map(Self::Here).map_err(SettingError::into_serde)
    }

    fn of_table<A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        Ok(match Elsewhere::of_table(table, Self::wrong)? {
            Elsewhere::Variable(name) => Self::Variable(name),
            Elsewhere::File(path) => Self::File(path),
        })
    }
}

impl<'de> Deserialize<'de> for KeySource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        discreet(deserializer)
    }
}

/// One key of a list.
struct Key(String);

impl<'de> Discreet<'de> for Key {
    const EXPECTED: &'static str = "a key";

    fn wrong() -> SettingError {
        SettingError::new(
            "a text in quotes was expected, but this is none",
            "make a key with `openssl rand -base64 32`",
        )
    }

    fn of_text(secret: &str) -> Result<Self, SettingError> {
        Ok(Self(secret.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        discreet(deserializer)
    }
}
