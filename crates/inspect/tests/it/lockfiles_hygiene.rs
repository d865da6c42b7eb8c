//! What a lockfile shows without a database.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use panoply_inspect::audit::hygiene::{self, Allowed, Flaw};
use panoply_inspect::audit::lockfile::{self, Dialect, Surroundings};

/// Each flaw as its package, its id and what it says.
fn flaws(dialect: Dialect, text: &str, allowed: &Allowed) -> Vec<(String, &'static str, String)> {
    let (graph, _) = lockfile::parse(dialect, text, &Surroundings::none()).expect("it is whole");
    let told = |blemish: &hygiene::Blemish| {
        let package = graph.packages.get(blemish.package).expect("it is one of them");
        assert!(!blemish.flaw.hint().is_empty());
        (package.name.clone(), blemish.flaw.id(), blemish.flaw.to_string())
    };
    hygiene::judge(&graph, allowed).iter().map(told).collect()
}

fn allowed(hosts: &[&str]) -> Allowed {
    hosts.iter().fold(Allowed::default(), |allowed, host| allowed.host(host).expect("it is a host"))
}

#[test]
fn a_registry_is_allowed_by_its_host_alone() {
    for host in ["npm.example", "localhost:4873", "crates.io", "index.crates.io", "[::1]:4873"] {
        assert!(Allowed::default().host(host).is_ok(), "{host}");
    }
    for host in
        ["", "https://npm.example", "npm.example/", "me@npm.example", "npm.example?a", "npm example", "a\\b"]
    {
        let error = Allowed::default().host(host).unwrap_err();
        assert!(error.to_string().contains("named by its host"), "{host}");
    }
}

const ENTRY: &str = r#""version": "1.0.0", "resolved": "https://registry.npmjs.org/x/-/x-1.0.0.tgz", "integrity": "sha512-x""#;

/// Three sound packages, and one that is not.
fn lockfile(odd: &str) -> String {
    let sound = ["a", "b", "c"].map(|name| format!(r#""node_modules/{name}": {{{ENTRY}}}"#)).join(",\n");
    format!("{{\"lockfileVersion\": 3, \"packages\": {{\"\": {{}},\n{sound},\n{odd}}}}}")
}

#[test]
fn each_flaw_is_found_where_it_is() {
    for (odd, found) in [
        (format!(r#""node_modules/sound": {{{ENTRY}}}"#), &[][..]),
        (
            r#""node_modules/d": {"version": "1.0.0", "resolved": "https://evil.example/d/-/d-1.0.0.tgz",
               "integrity": "sha512-x"}"#
                .to_owned(),
            &[("d", "foreign-registry", "comes from `evil.example`, and the others from `registry.npmjs.org`")],
        ),
        (
            r#""node_modules/d": {"version": "1.0.0", "resolved": "https://evil.example/d.tgz"}"#.to_owned(),
            &[("d", "foreign-registry", "comes from `evil.example`, and the others from `registry.npmjs.org`")],
        ),
        (
            r#""node_modules/d": {"version": "1.0.0", "resolved": "http://registry.npmjs.org/d/-/d-1.0.0.tgz",
               "integrity": "sha512-x"}"#
                .to_owned(),
            &[("d", "plain-http", "travels unencrypted from http://registry.npmjs.org/d/-/d-1.0.0.tgz")],
        ),
        (
            r#""node_modules/d": {"version": "1.0.0", "resolved": "https://registry.npmjs.org/d/-/d-1.0.0.tgz"}"#
                .to_owned(),
            &[("d", "missing-integrity", "has no checksum, and the others have")],
        ),
        (
            r#""node_modules/d": {"version": "1.0.0", "resolved": "git+ssh://git@github.com/o/d.git#0123456789012345678901234567890123456789"}"#
                .to_owned(),
            &[(
                "d",
                "git-dependency",
                "comes from the repository git+ssh://git@github.com/o/d.git#0123456789012345678901234567890123456789",
            )],
        ),
        (
            r#""node_modules/d": {"version": "1.0.0", "resolved": "git://github.com/o/d.git#main"}"#.to_owned(),
            &[
                ("d", "plain-http", "travels unencrypted from git://github.com/o/d.git#main"),
                ("d", "git-dependency", "comes from the repository git://github.com/o/d.git#main, without a commit"),
            ],
        ),
        (
            format!(r#""node_modules/d": {{{ENTRY}, "hasInstallScript": true}}"#),
            &[("d", "install-script", "runs a program when it is installed")],
        ),
        (
            format!(r#""node_modules/exprees": {{{ENTRY}}}"#),
            &[("exprees", "name-confusion", "is almost called `express`")],
        ),
        (
            format!(r#""node_modules/express": {{{ENTRY}, "name": "exprees"}}"#),
            &[("exprees", "name-confusion", "is almost called `express`")],
        ),
        (
            r#""exprees": {"version": "1.0.0"}, "node_modules/exprees": {"resolved": "exprees", "link": true}"#.to_owned(),
            &[],
        ),
        (r#""node_modules/d": {"version": "1.0.0", "inBundle": true}"#.to_owned(), &[]),
    ] {
        let told = flaws(Dialect::Npm, &lockfile(&odd), &Allowed::default());
        let told: Vec<_> = told.iter().map(|(name, id, text)| (name.as_str(), *id, text.as_str())).collect();
        assert_eq!(told, found, "{odd}");
    }
}

#[test]
fn express_is_judged_by_its_own_list() {
    for (version, found) in [
        ("2.5.11", Some(("express-end-of-life", "Express 2 gets no more security updates"))),
        ("3.21.2", Some(("express-end-of-life", "Express 3 gets no more security updates"))),
        (
            "4.0.0",
            Some((
                "express-update",
                "lacks security updates of Express up to 4.21.2, the oldest of them: a query string can take all memory or all time",
            )),
        ),
        (
            "4.17.2",
            Some((
                "express-update",
                "lacks security updates of Express up to 4.21.2, the oldest of them: a query string can stop the app (`qs`, CVE-2022-24999)",
            )),
        ),
        (
            "4.21.1",
            Some((
                "express-update",
                "lacks security updates of Express up to 4.21.2, the oldest of them: a path can take all time (`path-to-regexp`, CVE-2024-52798)",
            )),
        ),
        ("4.21.2", None),
        ("4.22.0", None),
        ("5.0.0-beta.3", None),
        ("5.3.0", None),
        ("nonsense", None),
    ] {
        let odd = format!(
            r#""node_modules/express": {{{}}}"#,
            ENTRY.replace("\"1.0.0\"", &format!("\"{version}\""))
        );
        let told = flaws(Dialect::Npm, &lockfile(&odd), &Allowed::default());
        let told = told.first().map(|(_, id, text)| (*id, text.as_str()));
        assert_eq!(told, found, "{version}");
    }
}

#[test]
fn an_allowed_host_is_one_among_those_named_alone() {
    let odd = r#""node_modules/d": {"version": "1.0.0", "resolved": "https://npm.example:8443/d/-/d-1.0.0.tgz",
                 "integrity": "sha512-x"}"#;
    for (allowed, foreign) in [
        (Allowed::default(), &["d"][..]),
        (allowed(&["registry.npmjs.org", "NPM.example:8443"]), &[]),
        (allowed(&["registry.yarnpkg.com", "npm.example"]), &["d"]),
        (allowed(&["npm.example:8443"]), &["a", "b", "c"]),
    ] {
        let told = flaws(Dialect::Npm, &lockfile(odd), &allowed);
        let names: Vec<_> = told.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, foreign, "{allowed:?}");
    }
}

/// Real trees of old and new packages: what is said of them is true, and little.
#[test]
fn real_lockfiles_are_accused_of_what_they_did_alone() {
    for (path, expected) in [
        ("real/goof.package-lock.json", &[("express-update", 1), ("install-script", 4)][..]),
        // One tarball is GitHub's own.
        (
            "real/nodegoat.package-lock.json",
            &[("express-update", 1), ("foreign-registry", 1), ("install-script", 3)],
        ),
        // bun and yarn 1, for the tests of audit fix.
        ("../../../../../tests/node/package-lock.json", &[("install-script", 2)]),
    ] {
        let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lockfiles")).join(path);
        let text = fs::read_to_string(&file).expect(path);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (name, id, text) in flaws(Dialect::Npm, &text, &Allowed::default()) {
            let key = if id == "name-confusion" { format!("{id} {name} {text}") } else { id.to_owned() };
            *counts.entry(key).or_default() += 1;
        }
        let counts: Vec<_> = counts.iter().map(|(id, count)| (id.as_str(), *count)).collect();
        assert_eq!(counts, expected, "{path}");
    }
}

#[test]
fn what_the_managers_write_has_no_flaw() {
    let made: PathBuf = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lockfiles/made").into();
    for project in fs::read_dir(made).expect("it is in the repository") {
        for file in fs::read_dir(project.expect("it can be listed").path()).expect("it is a folder") {
            let path = file.expect("it can be listed").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("names are ASCII");
            let dialect = match name.split('-').next() {
                Some("npm") => Dialect::Npm,
                Some("yarn") => Dialect::Yarn,
                Some("pnpm") => Dialect::Pnpm,
                _ => Dialect::Bun,
            };
            let text = fs::read_to_string(&path).expect(name);
            assert_eq!(flaws(dialect, &text, &Allowed::default()), [], "{}", path.display());
        }
    }
    let confusion = Flaw::LooksLike { known: "express" };
    assert_eq!(confusion.hint(), "make sure that `express` was not meant");
}
