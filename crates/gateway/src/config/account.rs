use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Reads a user or a group of the machine: a name, or a number, which is all that some containers have.
pub(super) fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(NameOrNumber).map(Some)
}

struct NameOrNumber;

impl Visitor<'_> for NameOrNumber {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name or the number of a user or a group")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<String, E> {
        Ok(name.to_owned())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
}
