//! Folders beside a lockfile that stand for packages, where the lockfile itself only points at them.

use std::collections::HashMap;

use super::fault::Fault;
use super::manifest;
use super::surroundings::Surroundings;
use crate::audit::graph::{Ecosystem, Package, Scope, Source};

/// The packages that stand for folders, by folder; each is made when it is first asked for.
#[derive(Debug, Default)]
pub(super) struct Linked {
    folders: HashMap<String, usize>,
}

impl Linked {
    /// The number of the package that stands for `folder`.
    pub(super) fn package(&mut self, folder: String, name: &str, packages: &mut Vec<Package>) -> usize {
        *self.folders.entry(folder).or_insert_with_key(|folder| {
            packages.push(of_folder(folder, name));
            packages.len() - 1
        })
    }

    /// Tells each of what it asks for, when all the projects are known. What is no project is not in the lockfile, so
    /// that whatever its manifest asks for is missing.
    pub(super) fn fill(
        self,
        projects: &[super::super::graph::Project],
        packages: &mut [Package],
        surroundings: &Surroundings,
    ) -> Result<(), Fault> {
        let by_folder: HashMap<&str, _> =
            projects.iter().map(|project| (project.folder.as_str(), project)).collect();
        for (folder, number) in self.folders {
            let Some(package) = packages.get_mut(number) else { continue };
            let text = manifest::beside(surroundings, &folder)?;
            let manifest = text.as_deref().map(manifest::parse).transpose()?.unwrap_or_default();
            package.version = manifest.version.to_owned().unwrap_or_default();
            package.wants = match by_folder.get(folder.as_str()) {
                Some(project) => project.wants_as_package(),
                None => manifest.asks().of_package(|_, _| None),
            };
        }
        Ok(())
    }
}

fn of_folder(folder: &str, name: &str) -> Package {
    Package {
        ecosystem: Ecosystem::Npm,
        name: name.to_owned(),
        version: String::new(),
        place: folder.to_owned(),
        line: None,
        scope: Scope::Production,
        source: Source::Folder(folder.to_owned()),
        integrity: None,
        install_script: false,
        deprecated: None,
        wants: Vec::new(),
    }
}

/// `../b` from `packages/a` is `packages/b`.
pub(super) fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_from_folder_to_folder() {
        for (folder, path, to) in [
            ("packages/a", "../b", "packages/b"),
            (".", "lib", "lib"),
            ("", "./lib", "lib"),
            ("a", "../../b", "../b"),
        ] {
            assert_eq!(joined(folder, path), to, "{folder} {path}");
        }
    }
}
