//! Changes a package.json where it has to change, and nowhere else: order, indentation and line ends stay.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::value::RawValue;

use super::manager::Manager;
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
    /// It is no TOML.
    #[error("no Cargo.toml: {0}")]
    Toml(#[from] toml::de::Error),
    /// It does not say what the lockfile says of it.
    #[error("{manifest} does not ask for `{name}` as `{range}`, but the lockfile says so")]
    Changed {
        /// The manifest's name.
        manifest: &'static str,
        /// The dependency.
        name: String,
        /// As the lockfile has it.
        range: String,
    },
    /// Somebody has overridden it already, for a reason of his own.
    #[error("`{name}` is overridden already")]
    Overridden {
        /// The dependency.
        name: String,
    },
    /// A list that has no line of its own for another entry.
    #[error("`overrides` of pnpm-workspace.yaml is written in one line")]
    OneLine,
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
            return Err(ManifestError::Changed {
                manifest: "package.json",
                name: raise.name.clone(),
                range: raise.from.clone(),
            });
        }
        places.sort_by_key(|place| std::cmp::Reverse(place.start));
        for place in places {
            self.text.replace_range(place, &quoted(&raise.to));
        }
        Ok(())
    }

    /// Adds an override of one dependency of one package, as `manager` reads it.
    ///
    /// # Errors
    /// When there is another one for it already.
    pub fn add_override(&mut self, one: &Override, manager: Manager) -> Result<(), ManifestError> {
        let (asker, name) = (&one.asker, &one.name);
        match manager {
            Manager::Pnpm => self.add_to_list(&["pnpm", "overrides"], &format!("{asker}>{name}"), one),
            Manager::Yarn => self.add_to_list(&["resolutions"], &format!("**/{asker}/{name}"), one),
            Manager::Berry => self.add_to_list(&["resolutions"], &format!("{asker}/{name}"), one),
            Manager::Bun => self.add_to_list(&["overrides"], name, one),
            Manager::Npm | Manager::Cargo => self.add_below_asker(one),
        }
    }

    /// `key: range` in the list at `path`, which is made where it is not there.
    fn add_to_list(&mut self, path: &[&str], key: &str, one: &Override) -> Result<(), ManifestError> {
        let mut object: Object<'_> = serde_json::from_str(&self.text)?;
        let (mut place, mut missing) = (None, path);
        while let Some((word, rest)) = missing.split_first()
            && let Some(inside) = object.get(*word).copied()
        {
            object = serde_json::from_str(inside.get())?;
            (place, missing) = (Some(self.place(inside)), rest);
        }
        if missing.is_empty() {
            // Of a list without askers two of them are one entry.
            if object.get(key).is_some_and(|known| known.get() == quoted(&one.to)) {
                return Ok(());
            }
            if object.keys().any(|known| overrides(known, one)) {
                return Err(ManifestError::Overridden { name: one.name.clone() });
            }
        }
        let (depth, is_empty) = (path.len() - missing.len(), object.is_empty());
        let entry = self.nested(missing, depth, pair(key, &one.to));
        match place {
            Some(place) => self.insert_first(place, is_empty, depth, &entry),
            None => self.append_to_root(&entry)?,
        }
        Ok(())
    }

    /// An entry in an object of its own for each of `words`, `depth` objects deep.
    fn nested(&self, words: &[&str], depth: usize, entry: String) -> String {
        let Some((word, rest)) = words.split_first() else { return entry };
        let entry = self.nested(rest, depth + 1, entry);
        let (end, inner, outer) =
            (self.newline(), self.indent().repeat(depth + 2), self.indent().repeat(depth + 1));
        format!("{}: {{{end}{inner}{entry}{end}{outer}}}", quoted(word))
    }

    fn add_below_asker(&mut self, one: &Override) -> Result<(), ManifestError> {
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
                self.insert_first(place, known.is_empty(), 1, &entry);
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

    /// As the first entry of the object at `place`, which is `depth` objects deep, in a line of its own.
    fn insert_first(&mut self, place: Range<usize>, is_empty: bool, depth: usize, entry: &str) {
        let (outer, inner, end) =
            (self.indent().repeat(depth), self.indent().repeat(depth + 1), self.newline());
        let (between, after) = if is_empty { ("", format!("{end}{outer}")) } else { (",", String::new()) };
        self.text.insert_str(place.start + 1, &format!("{end}{inner}{entry}{between}{after}"));
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

/// Whether an entry of a list of overrides is of this dependency: `name`, `name@1`, `asker>name`, `**/asker/name`.
pub(super) fn overrides(key: &str, one: &Override) -> bool {
    let (asker, last) = match key.rsplit_once('>') {
        Some((askers, last)) => (askers.rsplit('>').next(), last),
        None => (None, key),
    };
    if asker.is_some_and(|asker| without_range(asker) != one.asker) {
        return false;
    }
    let Some(before) = without_range(last).strip_suffix(one.name.as_str()) else { return false };
    match before.strip_suffix('/') {
        None => before.is_empty(),
        Some(askers) => askers == "**" || askers == one.asker || askers.ends_with(&format!("/{}", one.asker)),
    }
}

/// `name@1` without what is behind the name, which may begin with `@` itself.
fn without_range(written: &str) -> &str {
    let written = written.trim();
    let scoped = written.rfind('/').map_or(0, |slash| slash + 1);
    let at = written.get(scoped + 1..).and_then(|rest| rest.find('@')).map(|at| scoped + 1 + at);
    at.and_then(|at| written.get(..at)).unwrap_or(written)
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

    fn overridden(text: &str, manager: Manager) -> Result<String, String> {
        let mut manifest = Manifest::new(text.to_owned());
        let one = Override { asker: "a".to_owned(), name: "z".to_owned(), to: "^1.3.0".to_owned() };
        manifest.add_override(&one, manager).map_err(|error| error.to_string())?;
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
            ("{\"overrides\":{\"z\":\"1\"}}", Err("`z` is overridden already")),
            ("{\"overrides\":{\"a\":{\"z\":\"1\"}}}", Err("`z` is overridden already")),
        ] {
            let told = told.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(overridden(text, Manager::Npm), told, "{text}");
        }
        assert!(overridden("{\"overrides\":[]}", Manager::Npm).is_err());
    }

    #[test]
    fn each_manager_reads_its_own_list() {
        use Manager::{Berry, Bun, Pnpm, Yarn};
        let taken = Err("`z` is overridden already");
        for (manager, text, told) in [
            (
                Pnpm,
                "{\n  \"name\": \"shop\"\n}\n",
                Ok(
                    "{\n  \"name\": \"shop\",\n  \"pnpm\": {\n    \"overrides\": {\n      \"a>z\": \"^1.3.0\"\n    }\n  }\n}\n",
                ),
            ),
            (
                Pnpm,
                "{\n  \"pnpm\": {\n    \"neverBuiltDependencies\": []\n  }\n}",
                Ok(
                    "{\n  \"pnpm\": {\n    \"overrides\": {\n      \"a>z\": \"^1.3.0\"\n    },\n    \"neverBuiltDependencies\": []\n  }\n}",
                ),
            ),
            (
                Pnpm,
                "{\n  \"pnpm\": {\n    \"overrides\": {}\n  }\n}",
                Ok("{\n  \"pnpm\": {\n    \"overrides\": {\n      \"a>z\": \"^1.3.0\"\n    }\n  }\n}"),
            ),
            (Pnpm, "{\"pnpm\":{\"overrides\":{\"z@<1\":\"1\"}}}", taken),
            (Pnpm, "{\"pnpm\":{\"overrides\":{\"a>z\":\"1\"}}}", taken),
            (
                Yarn,
                "{\n  \"resolutions\": {\n    \"zz\": \"1\"\n  }\n}",
                Ok("{\n  \"resolutions\": {\n    \"**/a/z\": \"^1.3.0\",\n    \"zz\": \"1\"\n  }\n}"),
            ),
            (Yarn, "{\"resolutions\":{\"**/z\":\"1\"}}", taken),
            (Berry, "{}", Ok("{\n  \"resolutions\": {\n    \"a/z\": \"^1.3.0\"\n  }}")),
            (Berry, "{\"resolutions\":{\"z@npm:^1\":\"1\"}}", taken),
            (Bun, "{}", Ok("{\n  \"overrides\": {\n    \"z\": \"^1.3.0\"\n  }}")),
            (Bun, "{\"overrides\":{\"z\":\"1\"}}", taken),
        ] {
            let told = told.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(overridden(text, manager), told, "{manager:?} {text}");
        }
        for (key, of) in [
            ("@s/z", true),
            ("@s/z@1", true),
            ("@s/z@npm:^1.0.0", true),
            ("@t/a@2>@s/z@^1", true),
            ("b>@t/a>@s/z", true),
            ("b>@s/z", false),
            ("**/@s/z", true),
            ("**/@t/a/@s/z", true),
            ("**/a/@s/z", false),
            ("@t/a/@s/z", true),
            ("@s/zz", false),
            ("@t/z", false),
            ("@s/z>b", false),
            ("z", false),
        ] {
            let one = Override { asker: "@t/a".to_owned(), name: "@s/z".to_owned(), to: "1".to_owned() };
            assert_eq!(overrides(key, &one), of, "{key}");
        }
    }
}
