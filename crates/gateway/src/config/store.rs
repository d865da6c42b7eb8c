use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::Secret;

/// `[store]`: where counts are that must be seen by several machines. It is not asked at the start: a site starts
/// without it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Store {
    /// Its URL, which may hold a password; `None`: this process's memory.
    pub url: Option<Secret>,
    /// How many gateways share it, at least one, which it is unless told: while the store is down each lets pass that
    /// part of a limit.
    pub machines: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self { url: None, machines: 1 }
    }
}

/// Reads the table, or the URL alone: an error about a text where a table is expected would show the password in it.
pub(super) fn table_or_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Store, D::Error> {
    deserializer.deserialize_any(TableOrUrl)
}

struct TableOrUrl;

impl<'de> Visitor<'de> for TableOrUrl {
    type Value = Store;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Store, A::Error> {
        Store::deserialize(MapAccessDeserializer::new(table))
    }

    fn visit_str<E: de::Error>(self, url: &str) -> Result<Store, E> {
        Ok(Store { url: Some(Secret::Here(url.to_owned())), ..Store::default() })
    }
}
