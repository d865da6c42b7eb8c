//! `node_modules`: what really lies there, when nothing is written down of it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::fault::Fault;
use super::json::Maybe;
use super::places::{DEEPEST, Places, ROOT};
use super::surroundings::Surroundings;
use super::{LockfileError, manifest, scope, surroundings};
use crate::audit::graph::{Ecosystem, Graph, Package, Project, Scope, Source};

/// So many packages are read at most.
const MOST: usize = 200_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Scripts<'a> {
    #[serde(borrow)]
    scripts: Steps<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Steps<'a> {
    #[serde(borrow)]
    preinstall: Maybe<'a>,
    #[serde(borrow)]
    install: Maybe<'a>,
    #[serde(borrow)]
    postinstall: Maybe<'a>,
}

/// Reads the folder `node_modules` at `path`.
pub(super) fn read(path: &Path) -> Result<Graph, LockfileError> {
    let root = path.parent().unwrap_or(Path::new(""));
    let walk = Walk::of(root).map_err(|(path, source)| LockfileError::File { path, source })?;
    graph(&walk, &Surroundings::of(&root.join("package.json"))).map_err(|fault| fault.in_file(path))
}

/// What was found, by its path from the project's folder.
#[derive(Debug, Default)]
struct Walk {
    root: PathBuf,
    found: Vec<Found>,
    /// Links to packages that lie elsewhere in `node_modules`, as all of pnpm's do.
    links: Vec<(String, String)>,
    open: Vec<String>,
}

#[derive(Debug)]
struct Found {
    path: String,
    /// Where a link leads that leaves `node_modules`: to a workspace, say.
    folder: Option<String>,
    text: String,
}

type Unread = (PathBuf, io::Error);

impl Walk {
    fn of(root: &Path) -> Result<Self, Unread> {
        let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
        let root = root.canonicalize().map_err(|error| (root.to_owned(), error))?;
        let mut walk = Self { root, open: vec!["node_modules".to_owned()], ..Self::default() };
        while let Some(folder) = walk.open.pop() {
            for name in walk.names(&folder)? {
                walk.entry(&format!("{folder}/{name}"), &name)?;
            }
        }
        Ok(walk)
    }

    /// The names of the folders and links in one.
    fn names(&self, folder: &str) -> Result<Vec<String>, Unread> {
        let path = self.root.join(folder);
        let list = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() || kind.is_symlink() {
                    names.extend(entry.file_name().into_string().ok());
                }
            }
            names.sort();
            Ok(names)
        };
        list().map_err(|error| (path.clone(), error))
    }

    fn entry(&mut self, path: &str, name: &str) -> Result<(), Unread> {
        let inside_store = path.rsplit_once('/').is_some_and(|(folder, _)| folder.ends_with("/.pnpm"));
        let full = self.root.join(path);
        if inside_store {
            // `.pnpm/a@1.0.0` holds a `node_modules` with the package and links to what it asks for.
            self.push_inside(path);
        } else if name == ".pnpm" || name.starts_with('@') {
            self.open.push(path.to_owned());
        } else if name.starts_with('.') {
        } else if full.is_symlink() {
            self.link(path)?;
        } else {
            self.package(path, None)?;
            self.push_inside(path);
        }
        Ok(())
    }

    fn push_inside(&mut self, path: &str) {
        let inside = format!("{path}/node_modules");
        if self.root.join(&inside).is_dir() {
            self.open.push(inside);
        }
    }

    fn link(&mut self, path: &str) -> Result<(), Unread> {
        let full = self.root.join(path);
        // A link that leads nowhere holds no package.
        let Ok(target) = full.canonicalize() else { return Ok(()) };
        let inside = target.strip_prefix(&self.root).ok().and_then(Path::to_str).map(str::to_owned);
        match inside {
            Some(inside) if inside.split('/').any(|part| part == "node_modules") => {
                self.links.push((path.to_owned(), inside));
            }
            Some(folder) => {
                self.package(path, Some(folder.clone()))?;
                self.push_inside(&folder);
            }
            None => self.package(path, Some(path.to_owned()))?,
        }
        Ok(())
    }

    /// A folder without a manifest is no package.
    fn package(&mut self, path: &str, folder: Option<String>) -> Result<(), Unread> {
        let manifest = self.root.join(path).join("package.json");
        let text = surroundings::text_of(&manifest).map_err(|error| (manifest, error))?;
        self.found.extend(text.map(|text| Found { path: path.to_owned(), folder, text }));
        if self.found.len() > MOST {
            let error = io::Error::other(format!("there are more than {MOST} packages"));
            return Err((self.root.clone(), error));
        }
        Ok(())
    }
}

fn graph(walk: &Walk, surroundings: &Surroundings) -> Result<Graph, Fault> {
    let mut places = Places::new();
    let mut lying = Vec::with_capacity(walk.found.len());
    let mut by_path = HashMap::new();
    for (number, found) in walk.found.iter().enumerate() {
        let place = place(&mut places, &found.path)?;
        places.put(place, number);
        by_path.insert(found.path.as_str(), number);
        lying.push(match &found.folder {
            Some(folder) => self::place(&mut places, folder)?,
            None => place,
        });
    }
    for (path, target) in &walk.links {
        if let Some(number) = by_path.get(target.as_str()) {
            let place = place(&mut places, path)?;
            places.put(place, *number);
        }
    }
    let mut graph = Graph::default();
    let root = manifest::beside(surroundings, "")?;
    if let Some(text) = &root {
        let root = manifest::parse(text)?;
        let wants = root.asks().of_project(|name, _| places.find(ROOT, name));
        graph.projects.push(Project {
            name: root.name.to_owned().unwrap_or_default(),
            folder: String::new(),
            wants,
        });
    }
    for (found, place) in walk.found.iter().zip(&lying) {
        let at_fault = |error| Fault::beside(&format!("{}/package.json", found.path), error);
        let manifest: manifest::Manifest<'_> = serde_json::from_str(&found.text).map_err(at_fault)?;
        let Scripts { scripts } = serde_json::from_str(&found.text).map_err(at_fault)?;
        let find = |name: &str, _: &str| places.find(*place, name);
        if let Some(folder) = &found.folder {
            graph.projects.push(Project {
                name: manifest.name.to_owned().unwrap_or_default(),
                folder: folder.clone(),
                wants: manifest.asks().of_project(find),
            });
        }
        graph.packages.push(Package {
            ecosystem: Ecosystem::Npm,
            name: manifest.name.to_owned().unwrap_or_default(),
            version: manifest.version.to_owned().unwrap_or_default(),
            place: found.path.clone(),
            line: None,
            scope: Scope::Production,
            source: found.folder.clone().map_or(Source::Registry(None), Source::Folder),
            integrity: None,
            install_script: scripts.run(),
            deprecated: None,
            wants: manifest.asks().of_package(find),
        });
    }
    scope::adopt_orphans(&mut graph);
    scope::tell(&mut graph);
    Ok(graph)
}

impl Steps<'_> {
    fn run(&self) -> bool {
        [&self.preinstall, &self.install, &self.postinstall].iter().any(|step| step.text().is_some())
    }
}

fn place<'a>(places: &mut Places<'a>, path: &'a str) -> Result<usize, Fault> {
    places.path(path).ok_or_else(|| Fault::at(1, format!("`{path}` lies more than {DEEPEST} folders deep")))
}
