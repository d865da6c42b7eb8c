//! Berry. Workspaces are entries of their own, each with all that its manifest asks for, whatever it is for.

use std::collections::HashMap;

use super::super::fault::Fault;
use super::super::manifest;
use super::super::surroundings::Surroundings;
use super::super::syml::Node;
use super::super::{scope, source};
use super::Answers;
use crate::audit::graph::{Ecosystem, Graph, Kind, Package, Project, Scope, Source, Want};

pub(super) fn graph(nodes: &[Node<'_>], surroundings: &Surroundings) -> Result<Graph, Fault> {
    let entries: Vec<_> = nodes.iter().filter(|node| node.key() != "__metadata").collect();
    let entries: Vec<_> = entries.into_iter().filter(|node| !is_of_yarn(node)).collect();
    let mut answers = Answers::default();
    for (number, node) in entries.iter().enumerate() {
        for pattern in node.key().split(',').map(str::trim) {
            answers.put(pattern, number);
        }
    }
    let mut graph = Graph::default();
    for node in entries {
        let resolution = node
            .text("resolution")
            .ok_or_else(|| Fault::at(node.line, format!("`{}` has no `resolution`", node.key())))?;
        let (name, reference) = manifest::split_version(resolution);
        let reference = reference.unwrap_or_default();
        if let Some(folder) = workspace(reference) {
            graph.projects.push(project(name, folder, node, &answers, surroundings)?);
        }
        graph.packages.push(package(name, reference, node, &answers));
    }
    scope::adopt_orphans(&mut graph);
    scope::tell(&mut graph);
    Ok(graph)
}

/// Patches that yarn brings itself: the package beside is the same.
fn is_of_yarn(node: &Node<'_>) -> bool {
    let resolution = node.text("resolution").unwrap_or_default();
    resolution.contains("@patch:") && resolution.contains("builtin<")
}

/// What is for development is what the manifest says so of.
fn project(
    name: &str,
    folder: &str,
    node: &Node<'_>,
    answers: &Answers<'_>,
    surroundings: &Surroundings,
) -> Result<Project, Fault> {
    let text = manifest::beside(surroundings, folder)?;
    let manifest = text.as_deref().map(manifest::parse).transpose()?.unwrap_or_default();
    let asks = manifest.asks();
    let mut kinds: HashMap<&str, Kind> = HashMap::new();
    kinds.extend(asks.development.iter().map(|(name, _)| (&**name, Kind::Development)));
    kinds.extend(asks.production.iter().map(|(name, _)| (&**name, Kind::Production)));
    kinds.extend(asks.optional.iter().map(|(name, _)| (&**name, Kind::Optional)));
    let mut wants = wants(node, answers);
    for want in wants.iter_mut().filter(|want| want.kind == Kind::Production) {
        want.kind = kinds.get(want.name.as_str()).copied().unwrap_or(Kind::Production);
    }
    Ok(Project { name: name.to_owned(), folder: folder.to_owned(), wants })
}

fn package(name: &str, reference: &str, node: &Node<'_>, answers: &Answers<'_>) -> Package {
    let version = node.text("version").unwrap_or_default();
    let source = source(reference);
    Package {
        ecosystem: Ecosystem::Npm,
        name: name.to_owned(),
        // `0.0.0-use.local` is yarn's word for no version.
        version: if matches!(source, Source::Folder(_)) { "" } else { version }.to_owned(),
        place: node.key().to_owned(),
        line: Some(node.line),
        scope: Scope::Production,
        source,
        integrity: node.text("checksum").map(str::to_owned),
        install_script: false,
        deprecated: None,
        wants: wants(node, answers),
    }
}

fn wants(node: &Node<'_>, answers: &Answers<'_>) -> Vec<Want> {
    let optional = |list: &str, name: &str| {
        let meta = node.get(list).and_then(|meta| meta.get(name));
        meta.and_then(|meta| meta.text("optional")) == Some("true")
    };
    let of_packages = node.list("dependencies").map(|(name, range)| {
        (name, range, if optional("dependenciesMeta", name) { Kind::Optional } else { Kind::Production })
    });
    let peers = node.list("peerDependencies").map(|(name, range)| {
        (name, range, if optional("peerDependenciesMeta", name) { Kind::Optional } else { Kind::Peer })
    });
    of_packages
        .map(|(name, range, kind)| (name, range, kind, answers.get(name, &protocol(range))))
        // Whose peer it is decides what it gets: the lockfile knows where there is one alone.
        .chain(peers.map(|(name, range, kind)| (name, range, kind, answers.get(name, &protocol(range)))))
        .map(|(name, range, kind, package)| Want {
            name: name.to_owned(),
            range: range_of(range).to_owned(),
            kind,
            package,
        })
        .collect()
}

/// Berry before 4 left `npm:` away where it asks, and never where it answers.
fn protocol(range: &str) -> std::borrow::Cow<'_, str> {
    if range.contains(':') { range.into() } else { format!("npm:{range}").into() }
}

/// `npm:^1` is a range, `npm:name@^1` an alias' range.
fn range_of(written: &str) -> &str {
    let bare = written.strip_prefix("npm:").unwrap_or(written);
    match manifest::split_version(bare) {
        (_, Some(range)) if written.starts_with("npm:") => range,
        _ => bare,
    }
}

/// The folder of a workspace; of the root, which is `workspace:.`, it is empty.
fn workspace(reference: &str) -> Option<&str> {
    Some(reference.strip_prefix("workspace:")?.trim_start_matches('.').trim_start_matches('/'))
}

fn source(reference: &str) -> Source {
    let place = reference.split("::").next().unwrap_or(reference);
    if place.starts_with("npm:") || place.starts_with("patch:") {
        return Source::Registry(archive(reference));
    }
    if let Some(folder) = workspace(place) {
        return Source::Folder(folder.to_owned());
    }
    for local in ["link:", "portal:"] {
        if let Some(folder) = place.strip_prefix(local) {
            return Source::Folder(folder.to_owned());
        }
    }
    match place.strip_prefix("file:") {
        Some(path) if !source::is_tarball(path.split('#').next().unwrap_or(path)) => {
            Source::Folder(path.split('#').next().unwrap_or(path).to_owned())
        }
        _ if place.contains("#commit=") => Source::Git(place.to_owned()),
        _ => source::of(Some(place)),
    }
}

/// Where a registry is not the one that is configured, berry notes the address as `__archiveUrl`.
fn archive(reference: &str) -> Option<String> {
    let (_, address) = reference.split_once("__archiveUrl=")?;
    let address = address.split('&').next().unwrap_or(address);
    Some(address.replace("%3A", ":").replace("%2F", "/").replace("%40", "@"))
}
