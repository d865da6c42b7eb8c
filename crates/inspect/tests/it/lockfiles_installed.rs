//! What lies in `node_modules`, and what Cargo locks.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use panoply_inspect::audit::graph::{Graph, Kind, Scope, Source};
use panoply_inspect::audit::lockfile;

/// An empty folder of this name.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the target folder can be written to");
    folder
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("it has a folder")).expect("it can be made");
    fs::write(path, text).expect("it can be written");
}

fn versions(graph: &Graph) -> BTreeSet<String> {
    graph
        .packages
        .iter()
        .map(|package| format!("{} {}@{}", package.place, package.name, package.version))
        .collect()
}

/// The manifests of a tree without all else.
fn copy_manifests(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("`npm ci` in tests/node makes it") {
        let entry = entry.expect("it can be listed");
        if entry.file_type().expect("it has a type").is_dir() {
            copy_manifests(&entry.path(), &to.join(entry.file_name()));
        } else if entry.file_name() == "package.json" {
            write(&to.join("package.json"), &fs::read_to_string(entry.path()).expect("it is text"));
        }
    }
}

#[test]
fn what_lies_there_is_what_npm_says_lies_there() {
    let node = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/node"));
    let (said, doubts) = lockfile::read(&node.join("node_modules")).expect("npm wrote it");
    assert_eq!(doubts, []);
    assert!(said.file.ends_with("node_modules/.package-lock.json"), "{}", said.file.display());

    let copy = folder("installed");
    copy_manifests(&node.join("node_modules"), &copy.join("node_modules"));
    fs::copy(node.join("package.json"), copy.join("package.json")).expect("it is in the repository");
    let (lying, doubts) = lockfile::read(&copy.join("node_modules")).expect("all manifests can be read");
    assert_eq!(doubts, []);
    assert_eq!(versions(&lying), versions(&said));
    for graph in [&said, &lying] {
        assert_eq!(graph.projects.len(), 1);
        assert_eq!(graph.projects[0].name, "panoply-node-tests");
        assert!(graph.projects[0].wants.iter().all(|want| want.package.is_some()));
    }
}

#[test]
fn links_lead_to_where_a_package_is() {
    let root = folder("links");
    write(&root.join("package.json"), r#"{"name": "links", "dependencies": {"a": "1", "w": "*"}}"#);
    write(
        &root.join("w/package.json"),
        r#"{"name": "w", "version": "0.0.1", "devDependencies": {"b": "2"}}"#,
    );
    write(&root.join("w/node_modules/b/package.json"), r#"{"name": "b", "version": "2.0.0"}"#);
    let store = root.join("node_modules/.pnpm");
    write(
        &store.join("a@1.0.0/node_modules/a/package.json"),
        r#"{"name": "a", "version": "1.0.0", "dependencies": {"b": "1"}, "scripts": {"postinstall": "x"}}"#,
    );
    write(&store.join("b@1.0.0/node_modules/b/package.json"), r#"{"name": "b", "version": "1.0.0"}"#);
    for (target, link) in [
        (".pnpm/a@1.0.0/node_modules/a", "node_modules/a"),
        ("../../b@1.0.0/node_modules/b", "node_modules/.pnpm/a@1.0.0/node_modules/b"),
        ("../w", "node_modules/w"),
        ("../..", "node_modules/round"),
        ("nowhere", "node_modules/broken"),
    ] {
        symlink(target, root.join(link)).expect("links can be made");
    }
    let (graph, doubts) = lockfile::read(&root.join("node_modules")).expect("it can be read");
    assert_eq!(doubts, []);
    let scope_of = |name: &str, version: &str| {
        let found = graph.packages.iter().find(|package| package.name == name && package.version == version);
        let package = found.expect(name);
        (package.scope, package.install_script, matches!(package.source, Source::Folder(_)))
    };
    assert_eq!(scope_of("a", "1.0.0"), (Scope::Production, true, false));
    assert_eq!(scope_of("b", "1.0.0"), (Scope::Production, false, false));
    assert_eq!(scope_of("b", "2.0.0"), (Scope::Development, false, false));
    assert_eq!(scope_of("w", "0.0.1"), (Scope::Production, false, true));
    let a = graph.packages.iter().find(|package| package.name == "a").expect("it is there");
    let b = a.wants[0].package.expect("it got one");
    assert_eq!(graph.packages[b].version, "1.0.0");
}

#[test]
fn cargo_says_what_and_the_manifests_what_for() {
    let lockfile = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"));
    let text = fs::read_to_string(lockfile).expect("it is in the repository");
    let (graph, doubts) = lockfile::read(lockfile).expect("Cargo wrote it");
    assert_eq!(doubts, []);
    assert_eq!(graph.packages.len(), text.matches("[[package]]").count());
    let lines: Vec<_> = text.lines().collect();
    for package in &graph.packages {
        let line = package.line.expect("each has one");
        assert_eq!(lines[line - 1], "[[package]]", "{}", package.name);
        assert_eq!(lines[line], format!("name = \"{}\"", package.name));
    }
    let folders: BTreeSet<_> = graph.projects.iter().map(|project| project.folder.as_str()).collect();
    for folder in ["crates/panoply", "crates/gateway", "crates/inspect", "crates/cli", "fuzz"] {
        assert!(folders.contains(folder), "{folder}: {folders:?}");
    }
    for (name, scope) in [
        ("serde", Scope::Production),
        ("hyper", Scope::Production),
        ("proptest", Scope::Development),
        ("criterion", Scope::Development),
        ("redb", Scope::Optional),
    ] {
        let package = graph.packages.iter().find(|package| package.name == name).expect(name);
        assert_eq!(package.scope, scope, "{name}");
    }
    let library = graph.projects.iter().find(|project| project.name == "panoply").expect("it is a member");
    let redb = library.wants.iter().find(|want| want.name == "redb").expect("it asks for it");
    assert_eq!((redb.range.as_str(), redb.kind), ("4.6", Kind::Optional));
}
