//! `package.json`: what a project or a package asks for.

use std::collections::HashSet;

use serde::Deserialize;

use super::fault::Fault;
use super::json::{Maybe, Names, Text};
use super::surroundings::Surroundings;
use super::workspaces;
use crate::audit::graph::{Kind, Want};

/// The parts of a `package.json` that lead to packages.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Manifest<'a> {
    #[serde(borrow)]
    pub(super) name: Maybe<'a>,
    #[serde(borrow)]
    pub(super) version: Maybe<'a>,
    #[serde(borrow)]
    dependencies: Names<'a, Text<'a>>,
    #[serde(borrow)]
    dev_dependencies: Names<'a, Text<'a>>,
    #[serde(borrow)]
    optional_dependencies: Names<'a, Text<'a>>,
    #[serde(borrow)]
    peer_dependencies: Names<'a, Text<'a>>,
    #[serde(borrow)]
    peer_dependencies_meta: Names<'a, PeerMeta>,
    workspaces: Option<Workspaces>,
}

/// A list of patterns, or an object that has one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Workspaces {
    List(Vec<String>),
    Object {
        #[serde(default)]
        packages: Vec<String>,
    },
}

impl<'a> Manifest<'a> {
    pub(super) fn asks(&self) -> Asks<'_, 'a> {
        Asks {
            production: &self.dependencies,
            development: &self.dev_dependencies,
            optional: &self.optional_dependencies,
            peers: &self.peer_dependencies,
            peers_meta: &self.peer_dependencies_meta,
        }
    }

    /// The folders that `workspaces` names.
    pub(super) fn workspace_folders(&self, surroundings: &Surroundings) -> Result<Vec<String>, Fault> {
        let Some(Workspaces::List(patterns) | Workspaces::Object { packages: patterns }) = &self.workspaces
        else {
            return Ok(Vec::new());
        };
        workspaces::folders(patterns, surroundings, "package.json")
            .map_err(|error| Fault::beside("package.json", error))
    }
}

/// The text of the `package.json` in a folder beside a lockfile; the lockfile's own folder is empty.
pub(super) fn beside(surroundings: &Surroundings, folder: &str) -> Result<Option<String>, Fault> {
    let path = if folder.is_empty() { "package.json".to_owned() } else { format!("{folder}/package.json") };
    surroundings.read(&path).map_err(|error| Fault::beside(&path, error))
}

pub(super) fn parse(text: &str) -> Result<Manifest<'_>, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::beside("package.json", error))
}

/// `peerDependenciesMeta` of one name.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PeerMeta {
    optional: bool,
}

impl PeerMeta {
    pub(super) fn optional() -> Self {
        Self { optional: true }
    }
}

/// The lists of dependencies, wherever they are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asks<'b, 'a> {
    pub(super) production: &'b [(Text<'a>, Text<'a>)],
    pub(super) development: &'b [(Text<'a>, Text<'a>)],
    pub(super) optional: &'b [(Text<'a>, Text<'a>)],
    pub(super) peers: &'b [(Text<'a>, Text<'a>)],
    pub(super) peers_meta: &'b [(Text<'a>, PeerMeta)],
}

impl Asks<'_, '_> {
    /// What is asked for where this is a project. `find` is given the name and the range as written.
    pub(super) fn of_project(&self, find: impl FnMut(&str, &str) -> Option<usize>) -> Vec<Want> {
        self.wants(self.development, find)
    }

    /// What is asked for where this is installed for others: without what it is developed with.
    pub(super) fn of_package(&self, find: impl FnMut(&str, &str) -> Option<usize>) -> Vec<Want> {
        self.wants(&[], find)
    }

    /// What is both optional and not is optional, as npm has it; an optional peer is asked for like an optional.
    fn wants(
        &self,
        development: &[(Text<'_>, Text<'_>)],
        mut find: impl FnMut(&str, &str) -> Option<usize>,
    ) -> Vec<Want> {
        let optional: HashSet<&str> = self.optional.iter().map(|(name, _)| &**name).collect();
        let optional_peers: HashSet<&str> =
            self.peers_meta.iter().filter(|(_, meta)| meta.optional).map(|(name, _)| &**name).collect();
        let production = self.production.iter().filter(|(name, _)| !optional.contains(&**name));
        let peer = |name: &str| if optional_peers.contains(name) { Kind::Optional } else { Kind::Peer };
        (production.map(|ask| (ask, Kind::Production)))
            .chain(self.optional.iter().map(|ask| (ask, Kind::Optional)))
            .chain(self.peers.iter().map(|ask| (ask, peer(&ask.0))))
            .chain(development.iter().map(|ask| (ask, Kind::Development)))
            .map(|((name, range), kind)| Want {
                name: (**name).to_owned(),
                range: range_of(range).to_owned(),
                kind,
                package: find(name, range),
            })
            .collect()
    }
}

/// A range without an alias' `npm:name@`.
pub(super) fn range_of(spec: &str) -> &str {
    alias_of(spec).map_or(spec, |(_, range)| range)
}

/// The name and the range of `npm:name@range`; `None` where it names no other package.
pub(super) fn alias_of(spec: &str) -> Option<(&str, &str)> {
    let aliased = spec.strip_prefix("npm:")?;
    let (name, range) = split_version(aliased);
    Some((name, range.unwrap_or_default()))
}

/// Splits `name@version`, where the name may begin with `@`.
pub(super) fn split_version(text: &str) -> (&str, Option<&str>) {
    let skip = usize::from(text.starts_with('@'));
    let at = text.get(skip..).and_then(|rest| rest.find('@')).map(|at| at + skip);
    match at {
        Some(at) => (text.get(..at).unwrap_or(text), text.get(at + 1..)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_split_from_names_with_and_without_scope() {
        for (text, name, version) in [
            ("a@1.0.0", "a", Some("1.0.0")),
            ("@s/a@^1", "@s/a", Some("^1")),
            ("@s/a", "@s/a", None),
            ("a", "a", None),
            ("a@npm:b@1", "a", Some("npm:b@1")),
            ("", "", None),
            ("@", "@", None),
        ] {
            assert_eq!(split_version(text), (name, version), "{text}");
        }
        assert_eq!(alias_of("npm:@s/b@^2"), Some(("@s/b", "^2")));
        assert_eq!((range_of("npm:b@^2"), range_of("^1"), range_of("npm:b")), ("^2", "^1", ""));
    }

    #[test]
    fn what_is_optional_too_is_optional_and_development_is_the_projects_own() {
        let manifest: Manifest<'_> = serde_json::from_str(
            r#"{"dependencies": {"a": "1", "b": "1"}, "optionalDependencies": {"b": "2"},
                "peerDependencies": {"p": "*", "q": "*"}, "peerDependenciesMeta": {"q": {"optional": true}},
                "devDependencies": {"d": "1"}}"#,
        )
        .unwrap();
        let kinds = |wants: Vec<Want>| -> Vec<_> {
            wants.into_iter().map(|want| format!("{} {} {:?}", want.name, want.range, want.kind)).collect()
        };
        let installed = ["a 1 Production", "b 2 Optional", "p * Peer", "q * Optional"];
        assert_eq!(kinds(manifest.asks().of_package(|_, _| None)), installed);
        let all = [&installed[..], &["d 1 Development"]].concat();
        assert_eq!(kinds(manifest.asks().of_project(|_, _| None)), all);
    }
}
