//! JSON as lockfiles need it: a name given twice is an error, and a name knows its line.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

/// A string, borrowed from the text where it has no escapes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

/// A string; anything else is as good as nothing (npm has written `"resolved": false`).
#[derive(Clone, Debug, Default)]
pub(super) struct Maybe<'a>(pub(super) Option<Cow<'a, str>>);

impl Maybe<'_> {
    /// Empty is nothing too.
    pub(super) fn text(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }

    pub(super) fn to_owned(&self) -> Option<String> {
        self.text().map(str::to_owned)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Maybe<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(MaybeVisitor)
    }
}

struct MaybeVisitor;

impl<'de> Visitor<'de> for MaybeVisitor {
    type Value = Maybe<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Maybe(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Maybe(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Maybe(None))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Maybe(None))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Maybe(None))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Maybe(None))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Maybe(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Maybe(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Maybe(None))
    }
}

/// An object with names of its own, in the order of the file. serde_json alone would keep the last of two.
#[derive(Clone, Debug)]
pub(super) struct Names<'a, V>(pub(super) Vec<(Text<'a>, V)>);

impl<V> Default for Names<'_, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'a, V> Deref for Names<'a, V> {
    type Target = [(Text<'a>, V)];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Names<'a, V> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NamesVisitor(PhantomData))
    }
}

struct NamesVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for NamesVisitor<V> {
    type Value = Names<'de, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Names::default())
    }

    /// `"requires": true` of old lockfiles.
    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Names::default())
    }

    /// Old packages were published with `"dependencies": []`.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        match items.next_element::<IgnoredAny>()? {
            Some(_) => Err(Error::invalid_type(Unexpected::Seq, &self)),
            None => Ok(Names::default()),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<Text<'de>>()? {
            if !seen.insert(name.clone()) {
                return Err(Error::custom(format_args!("`{}` is here twice", &*name)));
            }
            entries.push((name, map.next_value()?));
        }
        Ok(Names(entries))
    }
}

/// Tells the lines of what was borrowed from a text. Asked in the order of the text it counts each line once.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, offset: 0, line: 1 }
    }

    /// The line of `part`, from 1; `None` where it is no slice of the text.
    pub(super) fn line(&mut self, part: &Text<'_>) -> Option<usize> {
        let Cow::Borrowed(part) = &part.0 else { return None };
        let offset = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
        if offset < self.offset {
            (self.offset, self.line) = (0, 1);
        }
        let between = self.text.as_bytes().get(self.offset..offset)?;
        self.line += between.iter().filter(|byte| **byte == b'\n').count();
        self.offset = offset;
        Some(self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_once() {
        for (text, names) in [
            (r#"{"a": 1, "b": 2}"#, Ok(2)),
            (r#"{"a": 1, "b": 2, "a": 3}"#, Err(1)),
            ("{\"a\": 1,\n \"\\u0061\": 3}", Err(2)),
            ("{}", Ok(0)),
        ] {
            let read = serde_json::from_str::<Names<'_, u8>>(text);
            assert_eq!(read.map(|names| names.len()).map_err(|error| error.line()), names, "{text}");
        }
    }

    #[test]
    fn a_borrowed_name_knows_its_line_in_any_order() {
        let text = "{\n\"a\": 1,\n\n\"b\": 2, \"\\u0063\": 3\n}";
        let names: Names<'_, u8> = serde_json::from_str(text).unwrap();
        let mut lines = Lines::of(text);
        for (name, line) in [(1, Some(4)), (0, Some(2)), (2, None), (1, Some(4))] {
            assert_eq!(lines.line(&names[name].0), line, "{name}");
        }
    }
}
