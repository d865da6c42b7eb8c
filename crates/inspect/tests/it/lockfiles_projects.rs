//! Which lockfiles a tree has.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use panoply_inspect::audit::projects::{self, DEEPEST};

#[test]
fn each_project_of_a_tree_is_found_once() {
    let deep = format!("{}package-lock.json", "d/".repeat(DEEPEST));
    for (name, files, found) in [
        ("one", &["package.json", "package-lock.json"][..], &["package-lock.json"][..]),
        ("shrinkwrap", &["npm-shrinkwrap.json", "package-lock.json"], &["npm-shrinkwrap.json"]),
        ("two-managers", &["package-lock.json", "yarn.lock"], &["package-lock.json", "yarn.lock"]),
        (
            "several",
            &["Cargo.lock", "a/yarn.lock", "b/c/pnpm-lock.yaml", "bun.lock"],
            &["Cargo.lock", "a/yarn.lock", "b/c/pnpm-lock.yaml", "bun.lock"],
        ),
        (
            "passed",
            &[
                "yarn.lock",
                "node_modules/x/yarn.lock",
                "target/yarn.lock",
                ".git/yarn.lock",
                ".yarn/yarn.lock",
            ],
            &["yarn.lock"],
        ),
        ("unlocked", &["package.json", "sub/readme.md"], &["package.json"]),
        ("unlocked-crate", &["Cargo.toml"], &["Cargo.toml"]),
        ("installed", &["package.json", "node_modules/a/package.json"], &["node_modules"]),
        ("locked-below", &["package.json", "a/yarn.lock"], &["a/yarn.lock"]),
        ("nothing", &["readme.md"], &[]),
        ("deep", &[&deep], &[&deep]),
    ] {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects").join(name);
        let _ = fs::remove_dir_all(&root);
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().expect("it has a folder")).expect("it can be made");
            fs::write(path, "").expect("it can be written");
        }
        symlink(&root, root.join("round")).expect("links can be made");
        let all = projects::find(&root).expect(name);
        let all: Vec<_> = all.iter().map(|path| path.strip_prefix(&root).expect("below it")).collect();
        assert_eq!(all, found.iter().map(Path::new).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn what_lies_too_deep_to_look_into_is_not_passed_over() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects").join("too-deep");
    fs::create_dir_all(root.join("d/".repeat(DEEPEST + 1))).expect("it can be made");
    fs::write(root.join("yarn.lock"), "").expect("it can be written");
    projects::find(&root).expect_err("there may be another lockfile");
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let error = projects::find(Path::new("/no/such/folder")).expect_err("it is not there");
    assert_eq!(error.to_string(), "cannot look into `/no/such/folder`");
    assert!(!error.hint().is_empty());
}
