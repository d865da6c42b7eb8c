//! The manifests of a Cargo workspace.

use std::collections::{HashMap, HashSet};

use toml::{Table, Value};

use super::super::fault::Fault;
use super::super::linked::joined;
use super::super::surroundings::Surroundings;
use super::super::workspaces;
use crate::audit::graph::Kind;

/// What a manifest says of a dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) range: String,
    pub(super) kind: Kind,
}

/// The crates of a workspace by their names: where they are, and what they ask for.
#[derive(Debug, Default)]
pub(super) struct Members {
    by_name: HashMap<String, Member>,
}

#[derive(Debug)]
struct Member {
    folder: String,
    asks: HashMap<String, Ask>,
}

impl Members {
    /// The root, the folders that it names, and those that `path` leads to from there.
    pub(super) fn of(surroundings: &Surroundings) -> Result<Self, Fault> {
        let mut members = Self::default();
        let Some(root) = read("", surroundings)? else { return Ok(members) };
        let workspace = table(&root, "workspace").cloned().unwrap_or_default();
        let patterns: Vec<String> = workspace
            .get("members")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default();
        let mut open = workspaces::folders(&patterns, surroundings, "Cargo.toml")
            .map_err(|error| Fault::beside("Cargo.toml", error))?;
        open.push(String::new());
        let shared = table(&workspace, "dependencies").cloned().unwrap_or_default();
        for dependency in shared.values() {
            open.extend(path_of(dependency).map(|path| joined("", path)));
        }
        let mut seen = HashSet::new();
        while let Some(folder) = open.pop() {
            if !seen.insert(folder.clone()) {
                continue;
            }
            let Some(manifest) = read(&folder, surroundings)? else { continue };
            let mut asks = HashMap::new();
            for (name, dependency, kind) in dependencies(&manifest) {
                open.extend(path_of(dependency).map(|path| joined(&folder, path)));
                note(&mut asks, name, dependency, kind, &shared);
            }
            let name = table(&manifest, "package").and_then(|package| package.get("name"));
            if let Some(name) = name.and_then(Value::as_str) {
                members.by_name.insert(name.to_owned(), Member { folder, asks });
            }
        }
        Ok(members)
    }

    pub(super) fn folder(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(|member| member.folder.as_str())
    }

    pub(super) fn asks(&self, name: &str) -> Option<&HashMap<String, Ask>> {
        self.by_name.get(name).map(|member| &member.asks)
    }
}

fn read(folder: &str, surroundings: &Surroundings) -> Result<Option<Table>, Fault> {
    let path = joined(folder, "Cargo.toml");
    let text = surroundings.read(&path).map_err(|error| Fault::beside(&path, error))?;
    text.map(|text| text.parse().map_err(|error: toml::de::Error| Fault::beside(&path, error))).transpose()
}

/// All lists of a manifest, those for one target included.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&str, &Value, Kind)> {
    let targets = table(manifest, "target").into_iter().flat_map(Table::values).filter_map(Value::as_table);
    std::iter::once(manifest).chain(targets).flat_map(|table_of| {
        [
            ("dependencies", Kind::Production),
            ("build-dependencies", Kind::Development),
            ("dev-dependencies", Kind::Development),
        ]
        .into_iter()
        .flat_map(move |(list, kind)| {
            let list = table(table_of, list).into_iter().flatten();
            list.map(move |(name, dependency)| (name.as_str(), dependency, kind))
        })
    })
}

/// What is asked for in two lists counts for the more serious.
fn note(asks: &mut HashMap<String, Ask>, name: &str, dependency: &Value, kind: Kind, shared: &Table) {
    let field = |of: &Value, field: &str| of.get(field).cloned();
    let inherited = field(dependency, "workspace").and_then(|_| shared.get(name));
    let written = inherited.unwrap_or(dependency);
    let optional = field(dependency, "optional").and_then(|optional| optional.as_bool()) == Some(true);
    let kind = if optional { kind.max(Kind::Optional) } else { kind };
    let range = written
        .as_str()
        .map(str::to_owned)
        .or_else(|| field(written, "version").and_then(|version| version.as_str().map(str::to_owned)));
    let package = field(written, "package").and_then(|package| package.as_str().map(str::to_owned));
    let package = package.unwrap_or_else(|| name.to_owned());
    let ask = Ask { range: range.unwrap_or_default(), kind };
    let known = asks.entry(package).or_insert_with(|| ask.clone());
    if ask.kind < known.kind {
        *known = ask;
    }
}

fn path_of(dependency: &Value) -> Option<&str> {
    dependency.get("path")?.as_str()
}

fn table<'t>(of: &'t Table, name: &str) -> Option<&'t Table> {
    of.get(name)?.as_table()
}
