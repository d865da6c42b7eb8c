use std::fmt;
use std::path::PathBuf;

use panoply::{Keys, SettingError};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::file_path;

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

impl<'de> Deserialize<'de> for KeySource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Source)
    }
}

struct Source;

impl<'de> Visitor<'de> for Source {
    type Value = KeySource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of keys, or a table with `env` or `file`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<KeySource, A::Error> {
        let mut secrets = Vec::new();
        while let Some(Secret(secret)) = items.next_element()? {
            secrets.push(secret);
        }
        Keys::new(secrets).map(KeySource::Here).map_err(SettingError::into_serde)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<KeySource, A::Error> {
        let mut source = None;
        while let Some(place) = table.next_key::<String>()? {
            let found = match &*place {
                "env" => KeySource::Variable(table.next_value::<Variable>()?.0),
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

    fn visit_str<E: de::Error>(self, _: &str) -> Result<KeySource, E> {
        Err(wrong().into_serde())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<KeySource, E> {
        Err(wrong().into_serde())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<KeySource, E> {
        Err(wrong().into_serde())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<KeySource, E> {
        Err(wrong().into_serde())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<KeySource, E> {
        Err(wrong().into_serde())
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<KeySource, E> {
        Err(wrong().into_serde())
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<KeySource, E> {
        Err(wrong().into_serde())
    }
}

/// One key of a list; what is none is not shown.
struct Secret(String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretText)
    }
}

struct SecretText;

impl<'de> Visitor<'de> for SecretText {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, secret: &str) -> Result<Secret, E> {
        Ok(Secret(secret.to_owned()))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Err(no_text().into_serde())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(no_text().into_serde())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(no_text().into_serde())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
        Err(no_text().into_serde())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Secret, A::Error> {
        while table.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Err(no_text().into_serde())
    }
}

/// A name, not what is in the variable: some shells would put that in its place.
pub(super) struct Variable(pub(super) String);

impl<'de> Deserialize<'de> for Variable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Secret(name) = Secret::deserialize(deserializer)?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
        if !is_name {
            let error = SettingError::new("`env` is the name of a variable, but this is none", HINT_ENV);
            return Err(error.into_serde());
        }
        Ok(Self(name))
    }
}

struct File(KeySource);

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = file_path::some(deserializer)?;
        path.map(|path| Self(KeySource::File(path))).ok_or_else(|| wrong().into_serde())
    }
}

fn wrong() -> SettingError {
    SettingError::new(
        "expected a list of keys, or where they are, but found something else",
        "write `keys = { file = \"/etc/panoply/keys\" }`, `{ env = \"PANOPLY_KEYS\" }` or a list",
    )
}

fn no_text() -> SettingError {
    SettingError::new(
        "a text in quotes was expected, but this is none",
        "make a key with `openssl rand -base64 32`",
    )
}

const HINT_ENV: &str = "write the name alone, such as `{ env = \"PANOPLY_KEYS\" }`";
