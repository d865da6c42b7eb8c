//! `package-lock.json`, `npm-shrinkwrap.json` and the lockfile that npm hides in `node_modules`.
//!
//! Versions 2 and 3 name each package by the place where it lies; version 2 says it all once more in the way of
//! version 1, for npm 6, and that is passed over.

mod v1;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fault::Fault;
use super::json::{Lines, Maybe, Names, Text};
use super::manifest::{self, Asks, PeerMeta};
use super::places::{DEEPEST, Places, ROOT, Step, Steps};
use super::surroundings::Surroundings;
use super::{scope, source};
use crate::audit::graph::{Ecosystem, Graph, Package, Project, Scope, Source};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lockfile<'a> {
    #[serde(borrow, default)]
    name: Maybe<'a>,
    lockfile_version: Option<u64>,
    #[serde(borrow)]
    packages: Option<Names<'a, Entry<'a>>>,
    #[serde(borrow)]
    dependencies: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    name: Maybe<'a>,
    #[serde(borrow)]
    version: Maybe<'a>,
    #[serde(borrow)]
    resolved: Maybe<'a>,
    #[serde(borrow)]
    integrity: Maybe<'a>,
    #[serde(borrow)]
    deprecated: Maybe<'a>,
    link: bool,
    dev: bool,
    optional: bool,
    dev_optional: bool,
    in_bundle: bool,
    has_install_script: bool,
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
}

pub(super) fn parse(text: &str, surroundings: &Surroundings) -> Result<Graph, Fault> {
    let lockfile: Lockfile<'_> = serde_json::from_str(text)?;
    match (lockfile.lockfile_version, &lockfile.packages, lockfile.dependencies) {
        (Some(1) | None, None, Some(nested)) => of_version_1(text, nested, surroundings),
        // What asks for nothing has no `dependencies`.
        (Some(1), None, None) => Ok(Graph::default()),
        (None, None, None) => Err(Fault::at(1, "there is neither `packages` nor `dependencies`")),
        (Some(2 | 3) | None, Some(entries), _) => {
            let tree = Tree::of(text, entries)?;
            let mut graph = Graph {
                projects: tree.projects(&lockfile.name, surroundings)?,
                packages: tree.packages.iter().map(|lying| tree.package(lying)).collect(),
                ..Graph::default()
            };
            scope::adopt_orphans(&mut graph);
            Ok(graph)
        }
        (Some(2 | 3), None, _) => Err(Fault::at(1, "there is no `packages`")),
        (Some(version), ..) => {
            Err(Fault::at(1, format!("`lockfileVersion` is {version}, and panoply knows 1, 2 and 3")))
        }
    }
}

/// What the project asks for is in its manifest alone.
fn of_version_1(text: &str, nested: &RawValue, surroundings: &Surroundings) -> Result<Graph, Fault> {
    let before = Lines::of(text).line(&Text(nested.get().into())).unwrap_or(1);
    let entries: Names<'_, v1::Entry<'_>> =
        serde_json::from_str(nested.get()).map_err(|error| Fault::at(before + error.line() - 1, error))?;
    let (packages, places) = v1::packages(text, &entries)?;
    let mut graph = Graph { packages, ..Graph::default() };
    if let Some(text) = manifest::beside(surroundings, "")? {
        let root = manifest::parse(&text)?;
        graph.projects.push(Project {
            name: root.name.to_owned().unwrap_or_default(),
            folder: String::new(),
            wants: root.asks().of_project(|name, _| places.find(ROOT, name)),
        });
        // The flags say nothing of what is both optional and for development.
        scope::tell(&mut graph);
    }
    scope::adopt_orphans(&mut graph);
    Ok(graph)
}

/// The entries by their places.
struct Tree<'t, 'a> {
    root: Option<&'t Entry<'a>>,
    places: Places<'t>,
    packages: Vec<Lying<'t, 'a>>,
    folders: BTreeMap<&'t str, (usize, &'t Entry<'a>)>,
}

/// An entry that is a package.
struct Lying<'t, 'a> {
    path: &'t str,
    /// The name of the folder that it lies in.
    name: &'t str,
    entry: &'t Entry<'a>,
    line: Option<usize>,
    place: usize,
}

impl<'t, 'a> Tree<'t, 'a> {
    fn of(text: &'t str, entries: &'t Names<'a, Entry<'a>>) -> Result<Self, Fault> {
        let mut lines = Lines::of(text);
        let mut tree = Self {
            root: None,
            places: Places::new(),
            packages: Vec::with_capacity(entries.len()),
            folders: BTreeMap::new(),
        };
        for (path, entry) in entries.iter() {
            let line = lines.line(path);
            let place = tree.places.path(path).ok_or_else(|| {
                Fault::at(line.unwrap_or(1), format!("a place lies more than {DEEPEST} folders deep"))
            })?;
            match Steps(path).last() {
                Some(Step::Package(name)) => {
                    tree.places.put(place, tree.packages.len());
                    tree.packages.push(Lying { path, name, entry, line, place });
                }
                Some(Step::Folder(_)) => {
                    tree.folders.insert(path, (place, entry));
                }
                None => tree.root = Some(entry),
            }
        }
        Ok(tree)
    }

    /// The root, then each workspace and each folder that is linked: npm installs what these are developed with, too.
    fn projects(&self, root_name: &Maybe<'_>, surroundings: &Surroundings) -> Result<Vec<Project>, Fault> {
        let mut projects = Vec::new();
        if let Some(root) = self.root {
            let name = root.name.text().or(root_name.text()).unwrap_or_default();
            projects.push(self.project("", ROOT, name, root.asks()));
        } else if let Some(text) = manifest::beside(surroundings, "")? {
            let root = manifest::parse(&text)?;
            projects.push(self.project("", ROOT, root.name.text().unwrap_or_default(), root.asks()));
        }
        for (path, (place, entry)) in &self.folders {
            let name = entry.name.text().unwrap_or_else(|| path.rsplit('/').next().unwrap_or(path));
            projects.push(self.project(path, *place, name, entry.asks()));
        }
        Ok(projects)
    }

    fn project(&self, folder: &str, place: usize, name: &str, asks: Asks<'_, '_>) -> Project {
        Project {
            name: name.to_owned(),
            folder: folder.to_owned(),
            wants: asks.of_project(|name, _| self.places.find(place, name)),
        }
    }

    fn package(&self, lying: &Lying<'_, '_>) -> Package {
        let target = lying.entry.resolved.text().filter(|_| lying.entry.link);
        // What a link leads to asks for its dependencies from where it really lies.
        let (place, entry) =
            target.and_then(|target| self.folders.get(target).copied()).unwrap_or((lying.place, lying.entry));
        Package {
            ecosystem: Ecosystem::Npm,
            name: entry.name.text().unwrap_or(lying.name).to_owned(),
            version: entry.version.to_owned().unwrap_or_default(),
            place: lying.path.to_owned(),
            line: lying.line,
            scope: lying.entry.scope(),
            source: lying.entry.source(),
            integrity: entry.integrity.to_owned(),
            install_script: entry.has_install_script,
            deprecated: entry.deprecated.to_owned(),
            wants: entry.asks().of_package(|name, _| self.places.find(place, name)),
        }
    }
}

impl<'a> Entry<'a> {
    fn asks(&self) -> Asks<'_, 'a> {
        Asks {
            production: &self.dependencies,
            development: &self.dev_dependencies,
            optional: &self.optional_dependencies,
            peers: &self.peer_dependencies,
            peers_meta: &self.peer_dependencies_meta,
        }
    }

    /// `devOptional` is on the way of development and on an optional one of production.
    fn scope(&self) -> Scope {
        if self.dev {
            Scope::Development
        } else if self.optional || self.dev_optional {
            Scope::Optional
        } else {
            Scope::Production
        }
    }

    fn source(&self) -> Source {
        match self.resolved.text() {
            Some(folder) if self.link => Source::Folder(folder.to_owned()),
            _ if self.in_bundle => Source::Bundled,
            resolved => source::of(resolved),
        }
    }
}
