use std::fmt;
use std::path::PathBuf;

use panoply::{Network, Period, SettingError};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::file_path;

/// `maintenance`: the app is worked on, and visitors get 503. `true`, the path of a page, or a table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Maintenance {
    /// A page in HTML, of at most 1 MiB; `None`: a plain one.
    #[serde(deserialize_with = "file_path::some")]
    pub page: Option<PathBuf>,
    /// Whoever comes from here gets the app all the same; nobody unless told.
    pub allow: Vec<Network>,
    /// When visitors are told to come back; five minutes unless told.
    pub retry_after: Period,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self { page: None, allow: Vec::new(), retry_after: Period::seconds(300) }
    }
}

/// `false` is none.
pub(super) fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Maintenance>, D::Error> {
    deserializer.deserialize_any(Written)
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Option<Maintenance>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, the path of a page, or a table with `page`, `allow` and `retry_after`")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Self::Value, E> {
        Ok(on.then(Maintenance::default))
    }

    fn visit_str<E: de::Error>(self, path: &str) -> Result<Self::Value, E> {
        let path: file_path::FilePath = path.parse().map_err(SettingError::into_serde)?;
        Ok(Some(Maintenance { page: Some(path.0), ..Maintenance::default() }))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
        Maintenance::deserialize(MapAccessDeserializer::new(table)).map(Some)
    }
}
