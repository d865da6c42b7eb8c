//! Version 1. Workspaces are not in it, so the manifests are read for them.

use super::super::fault::Fault;
use super::super::linked::{Linked, joined};
use super::super::manifest::{self, Manifest};
use super::super::surroundings::Surroundings;
use super::super::syml::Node;
use super::super::{scope, source};
use super::Answers;
use crate::audit::graph::{Ecosystem, Graph, Kind, Package, Project, Scope, Source, Want};

pub(super) fn graph(nodes: &[Node<'_>], surroundings: &Surroundings) -> Result<Graph, Fault> {
    let members = members(surroundings)?;
    let mut answers = Answers::default();
    for (number, node) in nodes.iter().enumerate() {
        for pattern in &node.keys {
            answers.put(pattern, number);
        }
    }
    let manifests = members
        .iter()
        .map(|(folder, text)| Ok((folder.as_str(), manifest::parse(text)?)))
        .collect::<Result<Vec<_>, Fault>>()?;
    // A workspace that another asks for is a package too, after those of the lockfile.
    let workspaces = manifests.iter().filter(|(folder, _)| !folder.is_empty());
    for (number, (_, manifest)) in workspaces.clone().enumerate() {
        if let Some(name) = manifest.name.text() {
            answers.only.insert(name, Some(nodes.len() + number));
        }
    }
    let mut packages: Vec<_> = nodes.iter().map(|node| package(node, &answers)).collect();
    packages.extend(workspaces.map(|(folder, manifest)| workspace(folder, manifest, &answers)));
    let projects = manifests.iter().map(|(folder, manifest)| Project {
        name: manifest.name.to_owned().unwrap_or_default(),
        folder: (*folder).to_owned(),
        wants: manifest.asks().of_project(|name, range| answers.get(name, range)),
    });
    let mut projects: Vec<_> = projects.collect();
    // `link:` is nowhere but in the manifest.
    let mut links = Linked::default();
    for project in &mut projects {
        for want in project.wants.iter_mut().filter(|want| want.package.is_none()) {
            if let Some(folder) = want.range.strip_prefix("link:") {
                let folder = joined(&project.folder, folder);
                want.package = Some(links.package(folder, &want.name, &mut packages));
            }
        }
    }
    links.fill(&projects, &mut packages, surroundings)?;
    let mut graph = Graph { projects, packages, ..Graph::default() };
    scope::adopt_orphans(&mut graph);
    scope::tell(&mut graph);
    Ok(graph)
}

/// The root's manifest and those of its workspaces, by folder.
fn members(surroundings: &Surroundings) -> Result<Vec<(String, String)>, Fault> {
    let Some(root) = manifest::beside(surroundings, "")? else { return Ok(Vec::new()) };
    let folders = manifest::parse(&root)?.workspace_folders(surroundings)?;
    let mut members = vec![(String::new(), root)];
    for folder in folders {
        if let Some(text) = manifest::beside(surroundings, &folder)? {
            members.push((folder, text));
        }
    }
    Ok(members)
}

fn package(node: &Node<'_>, answers: &Answers<'_>) -> Package {
    let (asked, range) = manifest::split_version(node.key());
    let range = range.unwrap_or_default();
    let name = manifest::alias_of(range).map_or(asked, |(name, _)| name);
    let want = |kind: Kind| {
        move |(name, range): (&str, &str)| Want {
            name: name.to_owned(),
            range: manifest::range_of(range).to_owned(),
            kind,
            package: answers.get(name, range),
        }
    };
    Package {
        ecosystem: Ecosystem::Npm,
        name: name.to_owned(),
        version: node.text("version").unwrap_or_default().to_owned(),
        place: node.keys.join(", "),
        line: Some(node.line),
        scope: Scope::Production,
        source: match range.strip_prefix("file:") {
            Some(path) if !source::is_tarball(path) => Source::Folder(path.to_owned()),
            _ => source::of(node.text("resolved")),
        },
        integrity: node.text("integrity").map(str::to_owned),
        install_script: false,
        deprecated: None,
        wants: (node.list("dependencies").map(want(Kind::Production)))
            .chain(node.list("optionalDependencies").map(want(Kind::Optional)))
            .collect(),
    }
}

fn workspace(folder: &str, manifest: &Manifest<'_>, answers: &Answers<'_>) -> Package {
    Package {
        ecosystem: Ecosystem::Npm,
        name: manifest.name.to_owned().unwrap_or_default(),
        version: manifest.version.to_owned().unwrap_or_default(),
        place: folder.to_owned(),
        line: None,
        scope: Scope::Production,
        source: Source::Folder(folder.to_owned()),
        integrity: None,
        install_script: false,
        deprecated: None,
        wants: manifest.asks().of_package(|name, range| answers.get(name, range)),
    }
}
