use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use panoply_inspect::audit::graph::{Graph, Scope, Source};
use panoply_inspect::audit::lockfile::{self, Dialect, Surroundings};

fn data(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lockfiles")).join(path)
}

fn read_text(dialect: Dialect, path: &str) -> Graph {
    let text = fs::read_to_string(data(path)).expect(path);
    let (graph, doubts) = lockfile::parse(dialect, &text, &Surroundings::none()).expect(path);
    assert_eq!(doubts, [], "{path}");
    graph
}

#[test]
fn real_lockfiles_are_read_whole() {
    for (path, entries, direct) in
        [("real/goof.package-lock.json", 1274, 35), ("real/nodegoat.package-lock.json", 1479, 36)]
    {
        let graph = read_text(Dialect::Npm, path);
        assert_eq!(graph.packages.len(), entries, "{path}");
        assert_eq!(graph.projects[0].wants.len(), direct, "{path}");
        let text = fs::read_to_string(data(path)).unwrap();
        let lines: Vec<_> = text.lines().collect();
        for package in &graph.packages {
            let line = lines[package.line.unwrap() - 1];
            assert!(line.contains(&format!("\"{}\": {{", package.place)), "{path}: {line}");
        }
    }
}

/// What a dialect does not lock: npm 6 knew no workspaces.
const NOT_LOCKED: &[&str] = &["workspaces/npm-6"];

/// pnpm 6 made a link of `file:lib`, and locks nothing of what `lib` asks for.
const DOUBTED: &[(&str, &str, &str)] =
    &[("peers/pnpm-6", "`lib` asks for `depd` 2.0.0, and the lockfile has none", "depd@2.0.0 production")];

#[test]
fn all_dialects_say_the_same_of_the_same_project() {
    for (project, count) in [("plain", 20), ("workspaces", 15), ("peers", 11)] {
        let mut said: Vec<(String, BTreeSet<String>)> = Vec::new();
        for (made, dialect) in made(project) {
            let key = format!("{project}/{}", made.file_stem().unwrap().to_str().unwrap());
            if NOT_LOCKED.contains(&key.as_str()) {
                continue;
            }
            let text = fs::read_to_string(&made).unwrap();
            let beside = Surroundings::of(&data(&format!("projects/{project}/package.json")));
            let (graph, doubts) = lockfile::parse(dialect, &text, &beside).unwrap();
            let doubted: Vec<_> = DOUBTED.iter().filter(|(doubted, ..)| *doubted == key).collect();
            let texts: Vec<_> = doubts.iter().map(|doubt| doubt.text.as_str()).collect();
            assert_eq!(texts, doubted.iter().map(|(_, text, _)| *text).collect::<Vec<_>>(), "{key}");
            let mut packages = packages(&graph);
            packages.extend(doubted.iter().map(|(.., package)| (*package).to_owned()));
            said.push((key, packages));
        }
        assert!(said.len() >= 10, "{project}: {}", said.len());
        let (first, expected) = &said[0];
        for (key, packages) in &said {
            let missing: Vec<_> = expected.difference(packages).collect();
            let more: Vec<_> = packages.difference(expected).collect();
            assert!(
                missing.is_empty() && more.is_empty(),
                "{key} against {first}: lacks {missing:?}, has {more:?}"
            );
        }
        assert_eq!(expected.len(), count, "{project}: {expected:#?}");
    }
}

/// The manager and the version that wrote a lockfile, and the file.
fn made(project: &str) -> Vec<(PathBuf, Dialect)> {
    let managers =
        [("npm", Dialect::Npm), ("yarn", Dialect::Yarn), ("pnpm", Dialect::Pnpm), ("bun", Dialect::Bun)];
    let dialect = |path: &Path| {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("names are ASCII");
        let (manager, _) = name.split_once('-').expect("names are a manager's and its version");
        let known = managers.iter().find(|(name, _)| *name == manager);
        known.expect("the manager is one of these").1
    };
    let mut made: Vec<_> = fs::read_dir(data(&format!("made/{project}")))
        .expect("it is in the repository")
        .map(|entry| entry.expect("it can be listed").path())
        .map(|path| (path.clone(), dialect(&path)))
        .collect();
    made.sort_by(|(path, _), (other, _)| path.cmp(other));
    made
}

/// Name, version and scope of all that comes from elsewhere; two of a kind are one.
fn packages(graph: &Graph) -> BTreeSet<String> {
    let letter = |scope| match scope {
        Scope::Production => "production",
        Scope::Optional => "optional",
        Scope::Development => "development",
    };
    let from_elsewhere = graph.packages.iter().filter(|package| !matches!(package.source, Source::Folder(_)));
    from_elsewhere
        .map(|package| format!("{}@{} {}", package.name, package.version, letter(package.scope)))
        .collect()
}

/// What no fixture holds, since it is not to be had without a registry's or a repository's address.
#[test]
fn where_a_package_comes_from_is_told() {
    let registry = |address: &str| Source::Registry(Some(address.to_owned()));
    let git = |address: &str| Source::Git(address.to_owned());
    let tarball = |address: &str| Source::Tarball(address.to_owned());
    let folder = |path: &str| Source::Folder(path.to_owned());
    for (dialect, text, name, version, source) in [
        (
            Dialect::Npm,
            r#"{"packages": {"node_modules/a": {"version": "1.0.0", "resolved": "https://registry.npmjs.org/a/-/a-1.0.0.tgz"}}}"#,
            "a",
            "1.0.0",
            registry("https://registry.npmjs.org/a/-/a-1.0.0.tgz"),
        ),
        (
            Dialect::Npm,
            r#"{"packages": {"node_modules/x": {"name": "a", "version": "1.0.0", "resolved": "git+ssh://git@h/a.git#1"}}}"#,
            "a",
            "1.0.0",
            git("git+ssh://git@h/a.git#1"),
        ),
        (
            Dialect::Npm,
            r#"{"packages": {"node_modules/b/node_modules/a": {"version": "1.0.0", "inBundle": true}}}"#,
            "a",
            "1.0.0",
            Source::Bundled,
        ),
        (
            Dialect::Npm,
            r#"{"lockfileVersion": 1, "dependencies": {"a": {"version": "github:o/a#1", "from": "github:o/a"}}}"#,
            "a",
            "github:o/a#1",
            git("github:o/a#1"),
        ),
        (
            Dialect::Npm,
            r#"{"lockfileVersion": 1, "dependencies": {"x": {"version": "npm:@s/a@1.0.0", "resolved": false}}}"#,
            "@s/a",
            "1.0.0",
            Source::Registry(None),
        ),
        (
            Dialect::Yarn,
            "\"a@https://h/a.tar.gz\":\n  version \"1.0.0\"\n  resolved \"https://h/a.tar.gz#0a\"\n",
            "a",
            "1.0.0",
            tarball("https://h/a.tar.gz#0a"),
        ),
        (Dialect::Yarn, "\"x@npm:@s/a@^1\":\n  version \"1.0.0\"\n", "@s/a", "1.0.0", Source::Registry(None)),
        (
            Dialect::Yarn,
            "__metadata:\n  version: 8\n\"a@git@h:o/a.git\":\n  version: 1.0.0\n  resolution: \"a@git@h:o/a.git#commit=0a\"\n",
            "a",
            "1.0.0",
            git("git@h:o/a.git#commit=0a"),
        ),
        (
            Dialect::Yarn,
            "__metadata:\n  version: 8\n\"a@npm:^1\":\n  version: 1.0.0\n  resolution: \"a@npm:1.0.0::__archiveUrl=https%3A%2F%2Fh%2Fa%2F-%2Fa.tgz\"\n",
            "a",
            "1.0.0",
            registry("https://h/a/-/a.tgz"),
        ),
        (
            Dialect::Yarn,
            "__metadata:\n  version: 8\n\"a@portal:./a::locator=x\":\n  version: 0.0.0-use.local\n  resolution: \"a@portal:./a::locator=x\"\n  linkType: soft\n",
            "a",
            "",
            folder("./a"),
        ),
        (
            Dialect::Pnpm,
            "lockfileVersion: '6.0'\npackages:\n  github.com/o/a/0a:\n    resolution: {tarball: https://codeload.github.com/o/a/tar.gz/0a}\n    name: a\n    version: 1.0.0\n",
            "a",
            "1.0.0",
            tarball("https://codeload.github.com/o/a/tar.gz/0a"),
        ),
        (
            Dialect::Pnpm,
            "lockfileVersion: '9.0'\npackages:\n  a@git+https://h/a.git#0a:\n    resolution: {commit: 0a, repo: https://h/a.git, type: git}\n    version: 1.0.0\nsnapshots:\n  a@git+https://h/a.git#0a: {}\n",
            "a",
            "1.0.0",
            git("https://h/a.git#0a"),
        ),
        (
            Dialect::Bun,
            r#"{"lockfileVersion": 1, "packages": {"a": ["a@1.0.0", "https://h/a/-/a.tgz", {}, "sha512-x"]}}"#,
            "a",
            "1.0.0",
            registry("https://h/a/-/a.tgz"),
        ),
        (
            Dialect::Bun,
            r#"{"lockfileVersion": 1, "packages": {"a": ["a@github:o/a#0a", {}, "o-a-0a"]}}"#,
            "a",
            "github:o/a#0a",
            git("github:o/a#0a"),
        ),
        (
            Dialect::Cargo,
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"git+https://h/a?rev=1#0a\"\n",
            "a",
            "1.0.0",
            git("git+https://h/a?rev=1#0a"),
        ),
    ] {
        let (graph, _) = lockfile::parse(dialect, text, &Surroundings::none()).expect(text);
        let [package] = &graph.packages[..] else { panic!("{text}: {:?}", graph.packages) };
        assert_eq!(
            (package.name.as_str(), package.version.as_str(), &package.source),
            (name, version, &source),
            "{text}"
        );
    }
}

/// An override leaves no entry for what was asked for, an alias and a patch have names of their own.
#[test]
fn who_asks_gets_what_was_installed_for_it() {
    for (dialect, text, asker, asked, got) in [
        (
            Dialect::Yarn,
            "a@^1:\n  version \"1.0.0\"\n  dependencies:\n    b \"^3\"\nb@4.0.0:\n  version \"4.0.0\"\n",
            "a",
            "b",
            "b@4.0.0",
        ),
        (
            Dialect::Yarn,
            "a@^1:\n  version \"1.0.0\"\n  dependencies:\n    x \"npm:b@^1\"\n\"x@npm:b@^1\":\n  version \"1.1.0\"\n",
            "a",
            "x",
            "b@1.1.0",
        ),
        (
            Dialect::Yarn,
            "__metadata:\n  version: 4\n\"a@npm:^1\":\n  version: 1.0.0\n  resolution: \"a@npm:1.0.0\"\n  dependencies:\n    b: ^2\n\"b@npm:^2\":\n  version: 2.0.0\n  resolution: \"b@npm:2.0.0\"\n\"b@npm:^1\":\n  version: 1.0.0\n  resolution: \"b@npm:1.0.0\"\n",
            "a",
            "b",
            "b@2.0.0",
        ),
        (
            Dialect::Pnpm,
            "lockfileVersion: 5.4\npackages:\n  /a/1.0.0:\n    dependencies:\n      x: /@s/b/2.0.0_c@1.0.0\n  /@s/b/2.0.0_c@1.0.0: {}\n  /c/1.0.0: {}\n",
            "a",
            "x",
            "@s/b@2.0.0",
        ),
        (
            Dialect::Bun,
            r#"{"lockfileVersion": 1, "packages": {"b": ["b@1.0.0"], "a": ["a@1.0.0", "", {"dependencies": {"b": "2"}}], "a/b": ["b@2.0.0"]}}"#,
            "a",
            "b",
            "b@2.0.0",
        ),
        (
            Dialect::Cargo,
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\ndependencies = [\"b 2.0.0\"]\n[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\nsource = \"registry+x\"\n",
            "a",
            "b",
            "b@2.0.0",
        ),
    ] {
        let (graph, _) = lockfile::parse(dialect, text, &Surroundings::none()).expect(text);
        let package = graph.packages.iter().find(|package| package.name == asker).expect(text);
        let want = package.wants.iter().find(|want| want.name == asked).expect(text);
        let found = want
            .package
            .map(|package| format!("{}@{}", graph.packages[package].name, graph.packages[package].version));
        assert_eq!(found.as_deref(), Some(got), "{text}");
    }
}
