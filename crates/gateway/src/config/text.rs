use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use panoply::SettingError;
use serde::de::{self, Deserializer, Visitor};

/// A setting that is written as a text in quotes and parsed on the way in.
pub(super) trait Text: FromStr<Err = SettingError> {
    /// What it is and how it is written: `an address with a port, such as "[::]:443"`.
    const EXPECTED: &'static str;
}

/// Reads a [`Text`]; anything but a text is refused with what was expected.
pub(super) fn text<'de, T: Text, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_str(Quoted(PhantomData))
}

/// Implements `Deserialize` for types that are a [`Text`].
macro_rules! deserialize_text {
    ($($setting:ty),+) => {$(
        impl<'de> serde::Deserialize<'de> for $setting {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::text::text(deserializer)
            }
        }
    )+};
}
pub(super) use deserialize_text;

/// As much of a text as a message shows: one line, and not all of a long one.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.escape_debug().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown.replace("\\\"", "\"").replace("\\'", "'")
}

struct Quoted<T>(PhantomData<T>);

impl<T: Text> Visitor<'_> for Quoted<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(SettingError::into_serde)
    }
}

/// Characters of a text that a message shows.
const SHOWN: usize = 80;
