//! What is at the place that is to be audited.

use std::path::{Path, PathBuf};

use panoply_inspect::audit::doubt::Doubt;
use panoply_inspect::audit::graph::Graph;
use panoply_inspect::audit::lockfile::{self, is_lockfile};
use panoply_inspect::audit::projects;

use crate::trouble::{Trouble, chain};

/// The lockfiles of a folder and what they say, or the one that was named.
#[derive(Debug)]
pub(crate) struct Project {
    /// The folder that names of lockfiles in reports begin from.
    pub(super) root: PathBuf,
    pub(super) graphs: Vec<Graph>,
    pub(super) doubts: Vec<Doubt>,
}

impl Project {
    /// What cannot be read whole is a doubt; that there is nothing at all at `path` is an error.
    pub(super) fn read(path: &Path) -> Result<Self, Trouble> {
        let there = path.metadata().map_err(|error| {
            Trouble::new(
                format_args!("cannot read `{}`: {error}", path.display()),
                "name the project's folder, or its lockfile",
            )
        })?;
        // A folder node_modules that is named is what is installed, not a place to look for lockfiles in.
        let is_lockfile = there.is_file() || path.file_name().is_some_and(|name| name == "node_modules");
        let (root, found) = if is_lockfile {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            (folder.unwrap_or(Path::new(".")).to_owned(), vec![path.to_owned()])
        } else {
            let found = projects::find(path).map_err(|error| Trouble::chained(&error, error.hint()))?;
            (path.to_owned(), found)
        };
        let mut project = Self { root, graphs: Vec::new(), doubts: Vec::new() };
        if found.is_empty() {
            project.doubts.push(Doubt::NoLockfile { path: path.to_owned() });
        }
        for lockfile in found {
            project.add(&lockfile);
        }
        Ok(project)
    }

    /// The lockfiles of `folder` alone, not of what is below it; of none there is no doubt.
    pub(super) fn here(folder: &Path) -> Result<Self, Trouble> {
        let listed = folder.read_dir().map_err(|error| {
            Trouble::new(format_args!("cannot look into `{}`: {error}", folder.display()), "check its rights")
        })?;
        let mut project = Self { root: folder.to_owned(), graphs: Vec::new(), doubts: Vec::new() };
        for entry in listed.filter_map(Result::ok) {
            if entry.file_name().to_str().is_some_and(is_lockfile) {
                project.add(&entry.path());
            }
        }
        Ok(project)
    }

    /// The same under the name that it has where it is at home.
    pub(super) fn renamed(mut self, name: &Path) -> Self {
        for graph in &mut self.graphs {
            name.clone_into(&mut graph.file);
        }
        self
    }

    fn add(&mut self, path: &Path) {
        let name = path.strip_prefix(&self.root).unwrap_or(path).to_owned();
        match lockfile::read(path) {
            Ok((mut graph, warnings)) => {
                self.doubts.extend(warnings.iter().map(|warning| Doubt::Unread {
                    what: format!("{}: {warning}", name.display()),
                    hint: "let the package manager write the lockfile anew".to_owned(),
                }));
                graph.file = name;
                self.graphs.push(graph);
            }
            Err(error) => {
                self.doubts.push(Doubt::Unread { what: chain(&error), hint: error.hint().to_owned() });
            }
        }
    }
}
