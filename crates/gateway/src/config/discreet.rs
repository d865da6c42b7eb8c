//! Settings that may hold a secret. What is wrong with one is said without showing it, which serde's own errors would.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use panoply::SettingError;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::file_path;

/// What may be written for such a setting; what is not taken is refused unseen.
pub(super) trait Discreet<'de>: Sized {
    const EXPECTED: &'static str;

    fn wrong() -> SettingError;

    fn of_text(_text: &str) -> Result<Self, SettingError> {
        Err(Self::wrong())
    }

    fn of_list<A: SeqAccess<'de>>(_items: A) -> Result<Self, A::Error> {
        Err(Self::wrong().into_serde())
    }

    fn of_table<A: MapAccess<'de>>(mut table: A) -> Result<Self, A::Error> {
        while table.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Err(Self::wrong().into_serde())
    }
}

pub(super) fn discreet<'de, T: Discreet<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Quiet(PhantomData))
}

/// Where a secret is that is not in the file of settings.
pub(super) enum Elsewhere {
    Variable(String),
    File(PathBuf),
}

impl Elsewhere {
    /// Reads `{ env = "…" }` or `{ file = "…" }`, one of them.
    pub(super) fn of_table<'de, A: MapAccess<'de>>(
        mut table: A,
        wrong: fn() -> SettingError,
    ) -> Result<Self, A::Error> {
        let mut source = None;
        while let Some(place) = table.next_key::<String>()? {
            let found = match &*place {
                "env" => Self::Variable(table.next_value::<Variable>()?.0),
                "file" => Self::File(table.next_value::<File>()?.0),
                date if date.starts_with('$') => return Err(wrong().into_serde()), // as toml names one
                other => return Err(de::Error::unknown_field(other, &["env", "file"])),
            };
            if source.replace(found).is_some() {
                return Err(wrong().into_serde());
            }
        }
        source.ok_or_else(|| wrong().into_serde())
    }
}

/// A name, not what is in the variable: some shells would put that in its place.
struct Variable(String);

impl<'de> Discreet<'de> for Variable {
    const EXPECTED: &'static str = "the name of a variable";

    fn wrong() -> SettingError {
        SettingError::new(
            "`env` is the name of a variable, but this is none",
            "write the name alone, such as `{ env = \"PANOPLY_KEYS\" }`",
        )
    }

    fn of_text(name: &str) -> Result<Self, SettingError> {
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
        if is_name { Ok(Self(name.to_owned())) } else { Err(Self::wrong()) }
    }
}

impl<'de> Deserialize<'de> for Variable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        discreet(deserializer)
    }
}

struct File(PathBuf);

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        file_path::path(deserializer).map(Self)
    }
}

struct Quiet<T>(PhantomData<T>);

impl<'de, T: Discreet<'de>> Visitor<'de> for Quiet<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::of_text(text).map_err(SettingError::into_serde)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<T, A::Error> {
        T::of_list(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<T, A::Error> {
        T::of_table(table)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<T, E> {
        Err(T::wrong().into_serde())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<T, E> {
        Err(T::wrong().into_serde())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<T, E> {
        Err(T::wrong().into_serde())
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<T, E> {
        Err(T::wrong().into_serde())
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<T, E> {
        Err(T::wrong().into_serde())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<T, E> {
        Err(T::wrong().into_serde())
    }
}
