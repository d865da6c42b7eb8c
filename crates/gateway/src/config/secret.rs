use std::fmt;
use std::path::PathBuf;

use panoply::SettingError;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::file_path;
use super::keys::Variable;

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

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Source)
    }
}

struct Source;

impl<'de> Visitor<'de> for Source {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or a table with `env` or `file`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        if text.is_empty() {
            return Err(wrong().into_serde());
        }
        Ok(Secret::Here(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Secret, A::Error> {
        let mut source = None;
        while let Some(place) = table.next_key::<String>()? {
            let found = match &*place {
                "env" => Secret::Variable(table.next_value::<Variable>()?.0),
                "file" => table.next_value::<File>()?.0,
                date if date.starts_with('$') => return Err(wrong().into_serde()),
                other => return Err(de::Error::unknown_field(other, &["env", "file"])),
            };
            if source.replace(found).is_some() {
                return Err(wrong().into_serde());
            }
        }
        source.ok_or_else(|| wrong().into_serde())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
        Err(wrong().into_serde())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Err(wrong().into_serde())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(wrong().into_serde())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(wrong().into_serde())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
        Err(wrong().into_serde())
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Secret, E> {
        Err(wrong().into_serde())
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Secret, E> {
        Err(wrong().into_serde())
    }
}

struct File(Secret);

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = file_path::some(deserializer)?;
        path.map(|path| Self(Secret::File(path))).ok_or_else(|| wrong().into_serde())
    }
}

fn wrong() -> SettingError {
    SettingError::new(
        "expected a text in quotes, or where it is, but found something else",
        "write it in quotes, or where it is: `{ file = \"/etc/panoply/…\" }` or `{ env = \"PANOPLY_…\" }`",
    )
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
