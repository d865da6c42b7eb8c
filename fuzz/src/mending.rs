use panoply_inspect::audit::baseline::Baseline;
use panoply_inspect::audit::fix::manager::Manager;
use panoply_inspect::audit::fix::manifest::Manifest;
use panoply_inspect::audit::fix::{Override, Raise, cargo, workspace};
use panoply_inspect::audit::ignore::Ignores;
use panoply_inspect::audit::pattern::Pattern;
use serde_json::Value;

use crate::text;

/// What somebody ignores is read or refused with a line that is there.
pub fn ignores(input: &[u8]) {
    let text = text(input);
    if let Err(error) = Ignores::parse(text) {
        assert!((1..=text.matches('\n').count() + 1).contains(&error.line), "{error}");
    }
    if let Ok(pattern) = text.parse::<Pattern>() {
        assert_eq!(pattern.to_string().parse::<Pattern>(), Ok(pattern));
    }
}

/// An earlier report, or something else.
pub fn baseline(input: &[u8]) {
    let _ = Baseline::parse(text(input));
}

/// A change of a manifest changes that, and leaves JSON.
pub fn manifest(input: &[u8]) {
    let before = text(input);
    let one = Override { asker: "a".to_owned(), name: "z".to_owned(), to: "^1.3.0".to_owned() };
    for (manager, place) in [
        (Manager::Npm, "/overrides/a/z"),
        (Manager::Pnpm, "/pnpm/overrides/a>z"),
        (Manager::Yarn, "/resolutions/**~1a~1z"),
        (Manager::Berry, "/resolutions/a~1z"),
        (Manager::Bun, "/overrides/z"),
    ] {
        let mut manifest = Manifest::new(before.to_owned());
        if manifest.add_override(&one, manager).is_ok() {
            let after: Value = serde_json::from_str(manifest.as_str()).expect("JSON stays JSON");
            assert_eq!(after.pointer(place), Some(&Value::from("^1.3.0")), "{manager:?} {before}");
        }
    }
    let mut manifest = Manifest::new(before.to_owned());
    let (from, to) = ("1.2.0".to_owned(), "^1.3.0".to_owned());
    if manifest.raise(&Raise { folder: String::new(), name: "z".to_owned(), from, to }).is_ok() {
        let after: Value = serde_json::from_str(manifest.as_str()).expect("JSON stays JSON");
        let lists = ["/dependencies/z", "/devDependencies/z", "/optionalDependencies/z"];
        let raised = Value::from("^1.3.0");
        assert!(lists.iter().any(|list| after.pointer(list) == Some(&raised)), "{before}");
    }
}

/// A change of a Cargo.toml, a crate's or its workspace's, leaves TOML, and one of a pnpm-workspace.yaml adds a line.
pub fn other_manifests(input: &[u8]) {
    let before = text(input);
    let (from, to) = ("=1.2.0".to_owned(), "^1.3.0".to_owned());
    let raise = Raise { folder: String::new(), name: "z".to_owned(), from, to };
    if let Ok(Some(after)) = cargo::raise(before, &raise) {
        assert!(after.contains("\"^1.3.0\"") && after.parse::<toml::Table>().is_ok(), "{before}");
    }
    let (inherits, shares) =
        ("[dependencies]\nz.workspace = true\n", "[workspace.dependencies]\nz = \"=1.2.0\"\n");
    if let Ok(Some(after)) = cargo::raise_shared(before, inherits, &raise) {
        assert!(after.contains("\"^1.3.0\"") && after.parse::<toml::Table>().is_ok(), "{before}");
        let again = cargo::raise_shared(&after, inherits, &raise);
        assert_eq!(again.ok().flatten().as_ref(), Some(&after), "{before}");
    }
    if let Ok(Some(after)) = cargo::raise_shared(shares, before, &raise) {
        assert_eq!(after, "[workspace.dependencies]\nz = \"^1.3.0\"\n", "{before}");
    }
    let one = Override { asker: "a".to_owned(), name: "z".to_owned(), to: "^1.3.0".to_owned() };
    if let Ok(after) = workspace::add_override(before, &one) {
        assert!(after.contains("'a>z': '^1.3.0'"), "{before}");
        assert_eq!(workspace::add_override(&after, &one).ok().as_ref(), Some(&after), "{before}");
    }
}
