//! `Cargo.lock`. What is optional, or for building and testing, stands in the manifests alone.

use std::collections::HashMap;

use serde::Deserialize;
use toml::Spanned;

use super::fault::Fault;
use super::surroundings::Surroundings;
use super::{scope, source};
use crate::audit::graph::{Ecosystem, Graph, Kind, Package, Project, Scope, Source, Want};

mod members;
use members::{Ask, Members};

#[derive(Deserialize)]
struct Lockfile {
    version: Option<u64>,
    #[serde(default)]
    package: Vec<Spanned<Entry>>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

pub(super) fn parse(text: &str, surroundings: &Surroundings) -> Result<Graph, Fault> {
    let lockfile: Lockfile = toml::from_str(text).map_err(|error| {
        Fault::at(line_at(text, error.span().map_or(0, |span| span.start)), error.message().to_owned())
    })?;
    if let Some(version @ (0 | 5..)) = lockfile.version {
        return Err(Fault::at(1, format!("`version` is {version}, and panoply knows those up to 4")));
    }
    let members = Members::of(surroundings)?;
    let entries: Vec<_> = lockfile.package.iter().map(Spanned::get_ref).collect();
    let names = Names::of(&entries);
    let mut lines = Counted { text, offset: 0, line: 1 };
    let mut graph = Graph::default();
    for spanned in &lockfile.package {
        let entry = spanned.get_ref();
        let asks = entry.source.is_none().then(|| members.asks(&entry.name)).flatten();
        let wants: Vec<_> = entry.dependencies.iter().map(|asked| names.want(asked, asks)).collect();
        let mut package = entry.package(lines.at(spanned.span().start));
        if entry.source.is_none() {
            let folder = members.folder(&entry.name).unwrap_or_default();
            package.source = Source::Folder(folder.to_owned());
            let project = Project { name: entry.name.clone(), folder: folder.to_owned(), wants };
            package.wants = project.wants_as_package();
            graph.projects.push(project);
        } else {
            package.wants = wants;
        }
        graph.packages.push(package);
    }
    scope::adopt_orphans(&mut graph);
    scope::tell(&mut graph);
    Ok(graph)
}

impl Entry {
    fn package(&self, line: usize) -> Package {
        Package {
            ecosystem: Ecosystem::CratesIo,
            name: self.name.clone(),
            version: self.version.clone(),
            place: format!("{} {}", self.name, self.version),
            line: Some(line),
            scope: Scope::Production,
            source: self.source(),
            integrity: self.checksum.clone(),
            install_script: false,
            deprecated: None,
            wants: Vec::new(),
        }
    }

    fn source(&self) -> Source {
        let source = self.source.as_deref().unwrap_or_default();
        match source.strip_prefix("registry+").or(source.strip_prefix("sparse+")) {
            Some(index) => Source::Registry(Some(index.to_owned())),
            None => source::of(Some(source)),
        }
    }
}

/// The packages by all the ways a dependency may be written: `name`, `name version`, `name version (source)`.
struct Names {
    by_name: HashMap<String, usize>,
    names: Vec<String>,
}

impl Names {
    fn of(entries: &[&Entry]) -> Self {
        let mut by_name = HashMap::with_capacity(entries.len() * 3);
        for (number, entry) in entries.iter().enumerate() {
            let Entry { name, version, source, .. } = entry;
            by_name.entry(name.clone()).or_insert(number);
            by_name.entry(format!("{name} {version}")).or_insert(number);
            if let Some(source) = source {
                by_name.insert(format!("{name} {version} ({source})"), number);
            }
        }
        Self { by_name, names: entries.iter().map(|entry| entry.name.clone()).collect() }
    }

    fn want(&self, asked: &str, asks: Option<&HashMap<String, Ask>>) -> Want {
        let package = self.by_name.get(asked).copied();
        let name = package.and_then(|package| self.names.get(package)).map(String::as_str);
        let name = name.unwrap_or_else(|| asked.split(' ').next().unwrap_or(asked));
        let ask = asks.and_then(|asks| asks.get(name));
        Want {
            name: name.to_owned(),
            range: ask.map_or("", |ask| &ask.range).to_owned(),
            kind: ask.map_or(Kind::Production, |ask| ask.kind),
            package,
        }
    }
}

/// Counts each line once, asked in the order of the text.
struct Counted<'t> {
    text: &'t str,
    offset: usize,
    line: usize,
}

impl Counted<'_> {
    fn at(&mut self, offset: usize) -> usize {
        let between = self.text.as_bytes().get(self.offset..offset).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count();
        self.offset = self.offset.max(offset);
        self.line
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    Counted { text, offset: 0, line: 1 }.at(offset)
}
