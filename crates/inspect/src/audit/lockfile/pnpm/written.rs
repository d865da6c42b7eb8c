//! The file as pnpm writes it, as far as it is read.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::audit::graph::Source;
use crate::audit::lockfile::json::{Maybe, Names, Text};
use crate::audit::lockfile::source;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lockfile<'a> {
    #[serde(borrow)]
    pub(super) lockfile_version: Text<'a>,
    #[serde(borrow, default)]
    pub(super) importers: Names<'a, Importer<'a>>,
    #[serde(borrow, default)]
    pub(super) packages: Names<'a, Entry<'a>>,
    #[serde(borrow, default)]
    pub(super) snapshots: Names<'a, Snapshot<'a>>,
    // The one project of a lockfile without `importers`.
    #[serde(borrow, default)]
    pub(super) specifiers: Names<'a, Text<'a>>,
    #[serde(borrow, default)]
    pub(super) dependencies: Names<'a, Answer<'a>>,
    #[serde(borrow, default)]
    pub(super) dev_dependencies: Names<'a, Answer<'a>>,
    #[serde(borrow, default)]
    pub(super) optional_dependencies: Names<'a, Answer<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Importer<'a> {
    #[serde(borrow)]
    pub(super) specifiers: Names<'a, Text<'a>>,
    #[serde(borrow)]
    pub(super) dependencies: Names<'a, Answer<'a>>,
    #[serde(borrow)]
    pub(super) dev_dependencies: Names<'a, Answer<'a>>,
    #[serde(borrow)]
    pub(super) optional_dependencies: Names<'a, Answer<'a>>,
    // What pnpm is set up with, and pnpm itself: neither is there when the app runs.
    #[serde(borrow)]
    pub(super) config_dependencies: Names<'a, Answer<'a>>,
    #[serde(borrow)]
    pub(super) package_manager_dependencies: Names<'a, Answer<'a>>,
}

/// A version, or since version 6 an object of specifier and version.
#[derive(Clone, Debug)]
pub(super) struct Answer<'a> {
    pub(super) specifier: Option<Text<'a>>,
    pub(super) version: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Entry<'a> {
    #[serde(borrow)]
    pub(super) name: Maybe<'a>,
    #[serde(borrow)]
    pub(super) version: Maybe<'a>,
    #[serde(borrow)]
    pub(super) resolution: Resolution<'a>,
    #[serde(borrow)]
    pub(super) deprecated: Maybe<'a>,
    pub(super) requires_build: bool,
    pub(super) optional: bool,
    #[serde(borrow)]
    pub(super) dependencies: Names<'a, Text<'a>>,
    #[serde(borrow)]
    pub(super) optional_dependencies: Names<'a, Text<'a>>,
}

/// What a package asks for, since version 9 apart from what it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Snapshot<'a> {
    #[serde(borrow)]
    pub(super) dependencies: Names<'a, Text<'a>>,
    #[serde(borrow)]
    pub(super) optional_dependencies: Names<'a, Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resolution<'a> {
    #[serde(borrow)]
    pub(super) integrity: Maybe<'a>,
    #[serde(borrow)]
    pub(super) tarball: Maybe<'a>,
    #[serde(borrow)]
    pub(super) repo: Maybe<'a>,
    #[serde(borrow)]
    pub(super) commit: Maybe<'a>,
    #[serde(borrow)]
    pub(super) directory: Maybe<'a>,
}

impl Resolution<'_> {
    pub(super) fn source(&self) -> Source {
        if let Some(repository) = self.repo.text() {
            let commit = self.commit.text().unwrap_or_default();
            return Source::Git(format!("{repository}#{commit}"));
        }
        match self.directory.text() {
            Some(folder) => Source::Folder(folder.to_owned()),
            None => source::of(self.tarball.text()),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Answer<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnswerVisitor)
    }
}

struct AnswerVisitor;

impl<'de> Visitor<'de> for AnswerVisitor {
    type Value = Answer<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version, or `specifier` and `version`")
    }

    fn visit_borrowed_str<E: Error>(self, version: &'de str) -> Result<Self::Value, E> {
        Ok(Answer { specifier: None, version: Text(version.into()) })
    }

    fn visit_str<E: Error>(self, version: &str) -> Result<Self::Value, E> {
        Ok(Answer { specifier: None, version: Text(version.to_owned().into()) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut specifier, mut version) = (None, None);
        while let Some(name) = map.next_key::<Text<'de>>()? {
            match &*name {
                "specifier" => specifier = Some(map.next_value()?),
                "version" => version = Some(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let version = version.ok_or_else(|| Error::missing_field("version"))?;
        Ok(Answer { specifier, version })
    }
}
