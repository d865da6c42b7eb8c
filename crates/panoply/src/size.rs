use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};

use crate::SettingError;

/// So many bytes: a plain number, or `500 B`, `16 KiB`, `10 MiB`, `2 GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many KiB, 1,024 bytes each.
    #[must_use]
    pub const fn kib(kib: u32) -> Self {
        Self((kib as u64) << 10)
    }

    /// So many MiB, 1,024 KiB each.
    #[must_use]
    pub const fn mib(mib: u32) -> Self {
        Self((mib as u64) << 20)
    }

    /// In bytes.
    #[must_use]
    pub const fn in_bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let (number, name) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let unit = UNITS.iter().find(|(unit, _)| *unit == name.trim_start());
        let bytes =
            number.parse::<u64>().ok().zip(unit).and_then(|(number, (_, unit))| number.checked_mul(*unit));
        bytes.map(Self).ok_or_else(|| {
            SettingError::new(
                format!("`{text}` is no size"),
                "write a whole number and B, KiB, MiB or GiB, such as `10 MiB`",
            )
        })
    }
}

/// In the largest unit that leaves a whole number.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |&(_, unit): &(&str, u64)| self.0.is_multiple_of(unit) && self.0 > 0;
        let (name, unit) = UNITS.into_iter().rfind(whole).unwrap_or(("B", 1));
        write!(f, "{} {name}", self.0 / unit)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number of bytes, or a size such as \"10 MiB\"")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
        bytes.try_into().map(Size).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(SettingError::into_serde)
    }
}

/// A size, or the word `unlimited`.
pub(crate) fn or_unlimited<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Size>, D::Error> {
    deserializer.deserialize_any(OrUnlimited)
}

struct OrUnlimited;

impl Visitor<'_> for OrUnlimited {
    type Value = Option<Size>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number of bytes, a size such as \"10 MiB\", or \"unlimited\"")
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Option<Size>, E> {
        let invalid = |_| E::invalid_value(Unexpected::Signed(bytes), &self);
        bytes.try_into().map(Size).map(Some).map_err(invalid)
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Option<Size>, E> {
        Ok(Some(Size(bytes)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<Size>, E> {
        if text == "unlimited" { Ok(None) } else { SizeVisitor.visit_str(text).map(Some) }
    }
}

/// The smallest first.
const UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_has_a_unit() {
        for (text, bytes, printed) in [
            ("500 B", 500, "500 B"),
            ("16 KiB", 16_384, "16 KiB"),
            ("10MiB", 10_485_760, "10 MiB"),
            ("1024 MiB", 1_073_741_824, "1 GiB"),
            ("0 B", 0, "0 B"),
        ] {
            let size = text.parse::<Size>().unwrap();
            assert_eq!((size.in_bytes(), size.to_string().as_str()), (bytes, printed));
        }
        for text in ["", "10", "10 MB", "10 mib", "-1 B", "1.5 MiB", "99999999999999 GiB"] {
            assert!(text.parse::<Size>().unwrap_err().hint().contains("`10 MiB`"), "{text}");
        }
    }

    #[test]
    fn a_file_may_say_plain_bytes() {
        #[derive(Debug, Deserialize)]
        struct File {
            size: Size,
        }
        let read = |text: &str| toml::from_str::<File>(text).map(|file| file.size.in_bytes());
        assert_eq!(read("size = 512"), Ok(512));
        assert_eq!(read("size = \"1 KiB\""), Ok(1024));
        assert!(read("size = -1").unwrap_err().to_string().contains("10 MiB"));
        assert!(read("size = \"1 kB\"").unwrap_err().to_string().contains("hint: "));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(bytes in any::<u64>(), shift in 0_u32..31) {
            let size = Size(bytes >> shift << shift);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
