//! Changes a package.json where it has to change, and nowhere else: order, indentation and line ends stay.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::value::RawValue;

use super::{Override, Raise};

/// A manifest's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    text: String,
}

/// Why a manifest cannot be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is no JSON object, or what is to be changed is none.
    #[error("no package.json: {0}")]
    Json(#[from] serde_json::Error),
    /// It does not say what the lockfile says of it.
    #[error("package.json does not ask for `{name}` as `{range}`, but the lockfile says so")]
    Changed {
        /// The dependency.
        name: String,
        /// As the lockfile has it.
        range: String,
    },
    /// Somebody has overridden it already, for a reason of his own.
    #[error("package.json overrides `{name}` already")]
    Overridden {
        /// The dependency.
        name: String,
    },
}

type Object<'t> = BTreeMap<String, &'t RawValue>;

impl Manifest {
    /// A manifest of this text, which is looked at when it is changed.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self { text }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Writes the new range wherever the old one is asked for.
    ///
    /// # Errors
    /// When it is asked for nowhere.
    pub fn raise(&mut self, raise: &Raise) -> Result<(), ManifestError> {
        let manifest: Object<'_> = serde_json::from_str(&self.text)?;
        let mut places: Vec<Range<usize>> = Vec::new();
        for list in LISTS.iter().filter_map(|list| manifest.get(*list)) {
            let dependencies: Object<'_> = serde_json::from_str(list.get())?;
            if let Some(range) = dependencies.get(&raise.name) {
                let written: String = serde_json::from_str(range.get())?;
                if written.trim() == raise.from.trim() {
                    places.push(self.place(range));
                }
            }
        }
        if places.is_empty() {
            return Err(ManifestError::Changed { name: raise.name.clone(), range: raise.from.clone() });
        }
        places.sort_by_key(|place| std::cmp::Reverse(place.start));
        for place in places {
            self.text.replace_range(place, &quoted(&raise.to));
        }
        Ok(())
    }

    /// Adds an override of one dependency of one package.
    ///
    /// # Errors
    /// When there is another one for it already.
    pub fn add_override(&mut self, one: &Override) -> Result<(), ManifestError> {
        let manifest: Object<'_> = serde_json::from_str(&self.text)?;
        let taken = || ManifestError::Overridden { name: one.name.clone() };
        let Some(overrides) = manifest.get("overrides") else {
            let entry = format!("{}: {{ {} }}", quoted(&one.asker), pair(&one.name, &one.to));
            let (indent, end) = (self.indent(), self.newline());
            let list = format!("{{{end}{indent}{indent}{entry}{end}{indent}}}");
            return self.append_to_root(&format!("{}: {list}", quoted("overrides")));
        };
        let known: Object<'_> = serde_json::from_str(overrides.get())?;
        if known.contains_key(&one.name) {
            return Err(taken());
        }
        match known.get(&one.asker) {
            None => {
                let entry = format!("{}: {{ {} }}", quoted(&one.asker), pair(&one.name, &one.to));
                let place = self.place(overrides);
                self.insert_first(place, known.is_empty(), &entry);
            }
            Some(asker) if asker.get().starts_with('{') => {
                let inside: Object<'_> = serde_json::from_str(asker.get())?;
                if inside.contains_key(&one.name) {
                    return Err(taken());
                }
                let place = self.place(asker);
                let between = if inside.is_empty() { "" } else { "," };
                self.text.insert_str(place.start + 1, &format!(" {}{between}", pair(&one.name, &one.to)));
            }
            // The asker itself is overridden by a version: that stays its own.
            Some(asker) => {
                let list = format!("{{ \".\": {}, {} }}", asker.get(), pair(&one.name, &one.to));
                let place = self.place(asker);
                self.text.replace_range(place, &list);
            }
        }
        Ok(())
    }

    /// As the first entry of the object at `place`, in a line of its own.
    fn insert_first(&mut self, place: Range<usize>, is_empty: bool, entry: &str) {
        let (indent, end) = (self.indent(), self.newline());
        let (between, after) = if is_empty { ("", format!("{end}{indent}")) } else { (",", String::new()) };
        self.text.insert_str(place.start + 1, &format!("{end}{indent}{indent}{entry}{between}{after}"));
    }

    fn append_to_root(&mut self, entry: &str) -> Result<(), ManifestError> {
        let root: Object<'_> = serde_json::from_str(&self.text)?;
        let between = if root.is_empty() { "" } else { "," };
        let (indent, end) = (self.indent(), self.newline());
        // What parses as an object ends with its brace and blanks.
        let body = self.text.trim_end().len().saturating_sub(1);
        let last = self.text.get(..body).map_or(0, |body| body.trim_end().len());
        self.text.insert_str(last, &format!("{between}{end}{indent}{entry}"));
        Ok(())
    }

    /// Where a value stands that was read from the text.
    fn place(&self, value: &RawValue) -> Range<usize> {
        let start = value.get().as_ptr() as usize - self.text.as_ptr() as usize;
        start..start + value.get().len()
    }

    /// What the first entry is indented by.
    fn indent(&self) -> String {
        let second = self.text.lines().nth(1).unwrap_or("  ");
        let blanks = second.len() - second.trim_start().len();
        second.get(..blanks).filter(|blanks| !blanks.is_empty()).unwrap_or("  ").to_owned()
    }

    fn newline(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }
}

fn pair(name: &str, range: &str) -> String {
    format!("{}: {}", quoted(name), quoted(range))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

const LISTS: [&str; 3] = ["dependencies", "devDependencies", "optionalDependencies"];

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(text: &str, name: &str, from: &str, to: &str) -> Result<String, String> {
        let mut manifest = Manifest::new(text.to_owned());
        let raise =
            Raise { folder: String::new(), name: name.to_owned(), from: from.to_owned(), to: to.to_owned() };
        manifest.raise(&raise).map(|()| manifest.text).map_err(|error| error.to_string())
    }

    fn overridden(text: &str) -> Result<String, String> {
        let mut manifest = Manifest::new(text.to_owned());
        let one = Override { asker: "a".to_owned(), name: "z".to_owned(), to: "^1.3.0".to_owned() };
        manifest.add_override(&one).map_err(|error| error.to_string())?;
        let _: serde_json::Value = serde_json::from_str(&manifest.text).unwrap();
        Ok(manifest.text)
    }

    #[test]
    fn a_range_is_raised_where_it_stands() {
        for (text, told) in [
            ("{\"dependencies\":{\"z\":\"1.2.0\"}}", Ok("{\"dependencies\":{\"z\":\"^1.3.0\"}}")),
            (
                "{\r\n\t\"z\": \"1.2.0\",\r\n\t\"devDependencies\": {\"y\": \"1.2.0\", \"z\" : \"1.2.0\" }\r\n}\r\n",
                Ok(
                    "{\r\n\t\"z\": \"1.2.0\",\r\n\t\"devDependencies\": {\"y\": \"1.2.0\", \"z\" : \"^1.3.0\" }\r\n}\r\n",
                ),
            ),
            (
                "{\"dependencies\":{\"z\":\"1.2.0\"},\"optionalDependencies\":{\"z\":\"1.2.0\"}}",
                Ok("{\"dependencies\":{\"z\":\"^1.3.0\"},\"optionalDependencies\":{\"z\":\"^1.3.0\"}}"),
            ),
            (
                "{\"dependencies\":{\"z\":\"2.0.0\"}}",
                Err("package.json does not ask for `z` as `1.2.0`, but the lockfile says so"),
            ),
            ("{}", Err("package.json does not ask for `z` as `1.2.0`, but the lockfile says so")),
        ] {
            let told = told.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(raised(text, "z", "1.2.0", "^1.3.0"), told, "{text}");
        }
        assert!(raised("[]", "z", "1", "2").is_err());
    }

    #[test]
    fn an_override_is_added_and_nothing_else_changes() {
        for (text, told) in [
            (
                "{\n  \"name\": \"shop\"\n}\n",
                Ok(
                    "{\n  \"name\": \"shop\",\n  \"overrides\": {\n    \"a\": { \"z\": \"^1.3.0\" }\n  }\n}\n",
                ),
            ),
            ("{}", Ok("{\n  \"overrides\": {\n    \"a\": { \"z\": \"^1.3.0\" }\n  }}")),
            (
                "{\n\t\"overrides\": {\n\t\t\"b\": \"1\"\n\t}\n}",
                Ok("{\n\t\"overrides\": {\n\t\t\"a\": { \"z\": \"^1.3.0\" },\n\t\t\"b\": \"1\"\n\t}\n}"),
            ),
            (
                "{\n  \"overrides\": {}\n}",
                Ok("{\n  \"overrides\": {\n    \"a\": { \"z\": \"^1.3.0\" }\n  }\n}"),
            ),
            (
                "{\"overrides\":{\"a\":{\"y\":\"1\"}}}",
                Ok("{\"overrides\":{\"a\":{ \"z\": \"^1.3.0\",\"y\":\"1\"}}}"),
            ),
            (
                "{\"overrides\":{\"a\":\"2\"}}",
                Ok("{\"overrides\":{\"a\":{ \".\": \"2\", \"z\": \"^1.3.0\" }}}"),
            ),
            ("{\"overrides\":{\"z\":\"1\"}}", Err("package.json overrides `z` already")),
            ("{\"overrides\":{\"a\":{\"z\":\"1\"}}}", Err("package.json overrides `z` already")),
        ] {
            let told = told.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(overridden(text), told, "{text}");
        }
        assert!(overridden("{\"overrides\":[]}").is_err());
    }
}
