//! `[shield.headers.csp]` as it is written.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::{Csp, DEFAULT_SRC, name_of};
use crate::SettingError;

/// A policy: the header's text, or a table of directives over Helmet's.
pub(in super::super) struct WrittenCsp {
    pub(in super::super) csp: Csp,
    pub(in super::super) report_only: bool,
}

/// A policy as the header's text alone.
pub(in super::super) struct CspText(pub(in super::super) Csp);

impl<'de> Deserialize<'de> for CspText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().and_then(Csp::checked).map(Self).map_err(SettingError::into_serde)
    }
}

impl<'de> Deserialize<'de> for WrittenCsp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PolicyVisitor)
    }
}

struct PolicyVisitor;

impl<'de> Visitor<'de> for PolicyVisitor {
    type Value = WrittenCsp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Content-Security-Policy, or a table with `directives`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<WrittenCsp, E> {
        let CspText(csp) = CspText::deserialize(text.into_deserializer())?;
        Ok(WrittenCsp { csp, report_only: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<WrittenCsp, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(table))?;
        let base = match (table.use_defaults, table.report_only) {
            (false, _) => Csp::empty(),
            (true, false) => Csp::default(),
            (true, true) => Csp::reported(),
        };
        let csp = base
            .changed(table.directives.0, table.danger_without_default_src)
            .map_err(SettingError::into_serde)?;
        Ok(WrittenCsp { csp, report_only: table.report_only })
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Table {
    use_defaults: bool,
    report_only: bool,
    danger_without_default_src: bool,
    directives: Directives,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            use_defaults: true,
            report_only: false,
            danger_without_default_src: false,
            directives: Directives::default(),
        }
    }
}

/// Directives in the order in which they come; a TOML table has none of its own, and its keys come sorted.
#[derive(Default)]
struct Directives(Vec<(String, Change)>);

impl<'de> Deserialize<'de> for Directives {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DirectivesVisitor)
    }
}

struct DirectivesVisitor;

impl<'de> Visitor<'de> for DirectivesVisitor {
    type Value = Directives;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of directives")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Directives, A::Error> {
        let mut directives = Vec::new();
        while let Some(name) = table.next_key::<String>()? {
            let change = table.next_value_seed(ChangeOf(&name))?;
            directives.push((name, change));
        }
        Ok(Directives(directives))
    }
}

/// Reads one directive; its name is known, so that a mistake is reported at its own place.
struct ChangeOf<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for ChangeOf<'_> {
    type Value = Change;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Change, D::Error> {
        let name = self.0;
        let change = deserializer.deserialize_any(self)?;
        let outcome = match &change {
            Change::Set(sources) => Csp::empty().directive(name, sources),
            Change::Remove => Csp::default().without(name),
        };
        outcome.map(|_| change).map_err(SettingError::into_serde)
    }
}

impl<'de> Visitor<'de> for ChangeOf<'_> {
    type Value = Change;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sources, one source, or `false` to leave the directive out")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Change, E> {
        if on {
            return Err(SettingError::new(
                format!("`true` is no source of {}", self.0),
                "write `[]` for a directive without sources",
            )
            .into_serde());
        }
        Ok(Change::Remove)
    }

    fn visit_str<E: de::Error>(self, source: &str) -> Result<Change, E> {
        if source == "off" {
            return Err(SettingError::new(
                format!("`off` in {} would be read as a host", self.0),
                "write `false` to leave the directive out",
            )
            .into_serde());
        }
        Ok(Change::Set(vec![source.to_owned()]))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Change, E> {
        Ok(Change::Remove)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Change, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Change::Set)
    }
}

/// What a table of directives does to one of them.
#[derive(Debug)]
enum Change {
    Set(Vec<String>),
    Remove,
}

impl Csp {
    /// Lays a table of directives over `self`, each name in it once, and asks for a `default-src` at the end
    /// unless `danger_without_default_src` is said.
    fn changed(
        mut self,
        changes: Vec<(String, Change)>,
        danger_without_default_src: bool,
    ) -> Result<Self, SettingError> {
        let mut seen: Vec<String> = Vec::new();
        for (name, change) in changes {
            let plain = name_of(&name)?;
            if seen.contains(&plain) {
                return Err(SettingError::new(
                    format!("a directive is set once, but `{plain}` is there twice"),
                    "leave one of them out; `scriptSrc` and `script-src` are the same",
                ));
            }
            self = match change {
                Change::Set(sources) => self.directive(&name, sources)?,
                Change::Remove => self.removed(&plain)?,
            };
            seen.push(plain);
        }
        if danger_without_default_src {
            return self.danger_without_default_src();
        }
        self = self.some()?;
        if self.sources(DEFAULT_SRC).is_none() {
            return Err(SettingError::new(
                "a Content-Security-Policy needs a default-src, but there is none",
                "add `default-src = [\"'self'\"]`, or `danger_without_default_src = true` if you mean it",
            ));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, sources: &[&str]) -> (String, Change) {
        (name.to_owned(), Change::Set(sources.iter().map(|&source| source.to_owned()).collect()))
    }

    fn remove(name: &str) -> (String, Change) {
        (name.to_owned(), Change::Remove)
    }

    #[test]
    fn a_table_is_merged_as_helmet_does() {
        let none = Csp::empty;
        for (base, changes, danger, printed) in [
            (
                none(),
                vec![set("scriptSrc", &["a"]), set("defaultSrc", &[])],
                false,
                Some("script-src a;default-src"),
            ),
            (none(), vec![set("defaultSrc", &["'self'", ""])], false, Some("default-src 'self' ")),
            (none(), vec![remove("imgSrc"), set("default-src", &["a"])], false, Some("default-src a")),
            (none(), vec![set("img-src", &["*"])], true, Some("img-src *")),
            (none(), vec![set("default-src", &["*"]), set("img-src", &["*"])], true, Some("img-src *")),
            (none(), vec![], false, None),
            (none(), vec![], true, None),
            (none(), vec![set("img-src", &["*"])], false, None),
            (Csp::default(), vec![remove("default-src")], false, None),
            (Csp::default(), vec![set("scriptSrc", &["a"]), set("script-src", &["a"])], false, None),
            (Csp::default(), vec![remove("imgSrc"), remove("img-src")], false, None),
            (Csp::default(), vec![set("Img", &["a"])], false, None),
        ] {
            let case = format!("{changes:?}");
            let csp = base.changed(changes, danger).ok();
            assert_eq!(csp.map(|csp| csp.to_string()).as_deref(), printed, "{case}");
        }
    }
}
