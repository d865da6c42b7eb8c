//! `yarn.lock`, of version 1 and of berry: what was asked for, by name and range, and what that got.
//!
//! What is for development stands in the manifests alone, since neither tells it.

mod berry;
mod classic;

use std::collections::HashMap;

use super::fault::Fault;
use super::manifest::split_version;
use super::surroundings::Surroundings;
use super::syml;
use crate::audit::graph::Graph;

pub(super) fn parse(text: &str, surroundings: &Surroundings) -> Result<Graph, Fault> {
    let nodes = syml::parse(text)?;
    if let Some(node) = nodes.iter().find(|node| node.value.is_some()) {
        return Err(Fault::at(node.line, format!("`{}` is no package with its facts below", node.key())));
    }
    match nodes.iter().any(|node| node.key() == "__metadata") {
        true => berry::graph(&nodes, surroundings),
        false => classic::graph(&nodes, surroundings),
    }
}

/// Which package `name@range` got.
#[derive(Debug, Default)]
struct Answers<'t> {
    exact: HashMap<&'t str, usize>,
    /// The one package of this name; `None` where there are more.
    only: HashMap<&'t str, Option<usize>>,
}

impl<'t> Answers<'t> {
    fn put(&mut self, pattern: &'t str, package: usize) {
        self.exact.insert(pattern, package);
        let (name, _) = split_version(pattern);
        let only = self.only.entry(name).or_insert(Some(package));
        if *only != Some(package) {
            *only = None;
        }
    }

    /// An override of the root (`resolutions`) leaves no entry for the range that is overridden.
    fn get(&self, name: &str, range: &str) -> Option<usize> {
        let exact = self.exact.get(format!("{name}@{range}").as_str()).copied();
        exact.or_else(|| self.only.get(name).copied().flatten())
    }
}
