//! Where in the file a setting stands.

use std::ops::Range;

use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::text::shown;

/// The way from the top of the file to a setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
}

impl Place {
    /// Goes on to a key of the table here.
    pub(super) fn key(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    /// Goes on to an item of the list here, counted from 0.
    pub(super) fn item(mut self, index: usize) -> Self {
        self.0.push(Step::Item(index));
        self
    }

    /// The table or list that it is in, and its own key unless it is an item.
    pub(super) fn split_last_key(mut self) -> (Self, Option<String>) {
        match self.0.pop() {
            Some(Step::Key(key)) => (self, Some(key)),
            Some(Step::Item(_)) | None => (self, None),
        }
    }

    /// Whether some table on the way has this name.
    pub(super) fn is_in(&self, table: &str) -> bool {
        self.keys().any(|key| key == table)
    }

    pub(super) fn ends_in(&self, key: &str) -> bool {
        matches!(self.0.last(), Some(Step::Key(last)) if last == key)
    }

    pub(super) fn ends_in_item(&self) -> bool {
        matches!(self.0.last(), Some(Step::Item(_)))
    }

    /// `shield.csrf.trusted_origins`: the keys alone, since the line says which item.
    pub(super) fn dotted(&self) -> String {
        let keys: Vec<_> = self.keys().map(shown).collect();
        keys.join(".")
    }

    /// The table's header as it is written: `[tls]`, `[[site.rule]]`.
    pub(super) fn header(&self) -> String {
        if self.ends_in_item() { format!("[[{}]]", self.dotted()) } else { format!("[{}]", self.dotted()) }
    }

    /// What stands there, with the span of its key.
    pub(super) fn find<'t, 'i>(&self, root: &'t DeTable<'i>) -> Option<Found<'t, 'i>> {
        let mut table = Some(root);
        let mut found: Option<Found<'t, 'i>> = None;
        for step in &self.0 {
            let next = match step {
                Step::Key(name) => {
                    let (key, value) = table?.iter().find(|(key, _)| key.get_ref() == name)?;
                    Found { key: Some(key.span()), value }
                }
                Step::Item(index) => {
                    let DeValue::Array(list) = found?.value.get_ref() else { return None };
                    Found { key: None, value: list.get(*index)? }
                }
            };
            table = next.value.get_ref().as_table();
            found = Some(next);
        }
        found
    }

    /// What stands there, or else the nearest table or list around it.
    pub(super) fn nearest<'t, 'i>(&self, root: &'t DeTable<'i>) -> Option<Found<'t, 'i>> {
        let mut place = self.clone();
        loop {
            if let Some(found) = place.find(root) {
                return Some(found);
            }
            place.0.pop()?;
        }
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item(_) => None,
        })
    }
}

impl From<&serde_path_to_error::Path> for Place {
    fn from(path: &serde_path_to_error::Path) -> Self {
        let step = |segment: &Segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { variant } => Some(Step::Key(variant.clone())),
            Segment::Seq { index } => Some(Step::Item(*index)),
            Segment::Unknown => None,
        };
        Self(path.iter().map_while(step).collect())
    }
}

/// A value of the file.
#[derive(Clone, Debug)]
pub(super) struct Found<'t, 'i> {
    /// Bytes of the key; an item of a list has none.
    pub(super) key: Option<Range<usize>>,
    pub(super) value: &'t Spanned<DeValue<'i>>,
}

/// A line and a character in it, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Position {
    /// The character that the byte at `offset` belongs to.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let (mut line, mut column) = (1, 1);
        for (_, c) in text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= offset) {
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        Self { line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        for (text, offset, line, column) in [
            ("", 0, 1, 1),
            ("ab", 1, 1, 2),
            ("ü = x", 3, 1, 3),
            ("ü", 1, 1, 1), // inside of the character
            ("a\nbc", 3, 2, 2),
            ("a\r\nb", 3, 2, 1),
            ("a\n", 2, 2, 1),
            ("a", 9, 1, 2),
        ] {
            assert_eq!(Position::of(text, offset), Position { line, column }, "{text:?} {offset}");
        }
    }

    #[test]
    fn a_place_is_found_by_keys_and_items() {
        let text = "[[site]]\n[[site.rule]]\nshield.csrf.mode = 'x'\npath = '/'";
        let tree = DeTable::parse(text).unwrap();
        let rule = Place::default().key("site").item(0).key("rule").item(0);
        for (place, at) in [
            (rule.clone().key("path"), Some("'/'")),
            (rule.clone().key("shield").key("csrf").key("mode"), Some("'x'")),
            (rule.clone().key("shield").key("hosts"), None),
            (rule.item(0), None),
            (Place::default(), None),
        ] {
            let found = place.find(tree.get_ref()).and_then(|found| text.get(found.value.span()));
            assert_eq!(found, at, "{}", place.dotted());
        }
    }
}
