//! `panoply audit fix`, against the npm that is installed and the registry that it asks.

use super::{Desk, record};

/// Real packages in real versions: each needs another step.
const MANIFEST: &str = r#"{
    "name": "shop",
    "version": "1.0.0",
    "dependencies": {
        "ms": "2.0.0",
        "send": "0.16.2",
        "debug": "^2.6.8"
    }
}
"#;

/// A project whose lockfile npm has written.
fn desk(records: &str) -> Desk {
    let desk = Desk::with(records);
    desk.write("package.json", MANIFEST);
    desk.npm(&["install", "--package-lock-only"]);
    desk
}

#[test]
fn what_can_be_mended_is_and_npm_accepts_it() {
    // ms is pinned by the project itself and by debug 2; mime is pinned by send.
    let desk = desk(
        &(record("GHSA-1", "ms", "2.1.0")
            + &record("GHSA-2", "mime", "1.4.2")
            + &record("GHSA-3", "send", "0.19.0")),
    );
    let before = desk.audit(&[]);
    assert_eq!(before.code, Some(1), "{before:?}");
    let lockfile = desk.read("package-lock.json");

    let shown = desk.audit(&["fix", "--dry-run"]);
    assert_eq!(shown.code, Some(1), "{shown:?}");
    for said in [
        "package.json: ms 2.0.0 becomes ^2.1.0",
        "package.json: of debug the dependency ms is overridden with ^2.1.0",
        "package.json: of send the dependency mime is overridden with ^1.4.2",
        "  mime 1.4.1 → 1.6.0",
        "left: GHSA-3 in send 0.16.2",
        "nothing was written",
    ] {
        assert!(shown.stdout.contains(said), "{said}: {shown:?}");
    }
    assert_eq!((desk.read("package.json"), desk.read("package-lock.json")), (MANIFEST.to_owned(), lockfile));
    let unasked = desk.audit(&["fix"]);
    assert_eq!(unasked.code, Some(2), "{unasked:?}");
    assert!(unasked.stderr.contains("hint: say --yes"), "{unasked:?}");

    let fixed = desk.audit(&["fix", "--yes"]);
    assert_eq!(fixed.code, Some(1), "{fixed:?}");
    assert!(fixed.stdout.contains("wrote ./package-lock.json"), "{fixed:?}");
    desk.npm(&["ci"]);
    let after = desk.audit(&[]);
    assert_eq!(after.code, Some(1), "{after:?}");
    assert!(after.stdout.contains("GHSA-3") && after.stdout.contains("1 hole in 1 package"), "{after:?}");
    // Four blanks, and the order of before.
    assert!(
        desk.read("package.json").starts_with("{\n    \"name\": \"shop\",\n"),
        "{}",
        desk.read("package.json")
    );

    // The rest is a new major version, which has to be asked for.
    let major = desk.audit(&["fix", "--yes", "--major"]);
    assert_eq!(major.code, Some(0), "{major:?}");
    desk.npm(&["ci"]);
    assert_eq!(desk.audit(&[]).code, Some(0));
}

#[test]
fn an_update_within_the_ranges_changes_the_lockfile_alone() {
    let desk = Desk::with(&record("GHSA-1", "debug", "2.6.9"));
    desk.write("package.json", &MANIFEST.replace("^2.6.8", "2.6.8"));
    desk.npm(&["install", "--package-lock-only"]);
    desk.write("package.json", MANIFEST);
    desk.npm(&["install", "--package-lock-only"]);
    assert_eq!(desk.audit(&[]).code, Some(1), "debug 2.6.8 is locked");
    let fixed = desk.audit(&["fix", "--yes"]);
    assert!(fixed.stdout.contains("2.6.8 → 2.6.9"), "{fixed:?}");
    assert_eq!(desk.read("package.json"), MANIFEST);
    desk.npm(&["ci"]);
}

#[test]
fn workspaces_are_mended_in_their_own_manifests() {
    let desk = Desk::with(&record("GHSA-1", "ms", "2.1.0"));
    desk.write("package.json", r#"{ "name": "shop", "private": true, "workspaces": ["web"] }"#);
    std::fs::create_dir(desk.project().join("web")).unwrap();
    desk.write(
        "web/package.json",
        r#"{ "name": "web", "version": "1.0.0", "dependencies": { "ms": "2.0.0" } }"#,
    );
    desk.npm(&["install", "--package-lock-only"]);
    let fixed = desk.audit(&["fix", "--yes"]);
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert!(desk.read("web/package.json").contains(r#""ms": "^2.1.0""#), "{}", desk.read("web/package.json"));
    assert!(!desk.read("package.json").contains("overrides"), "{}", desk.read("package.json"));
    desk.npm(&["ci"]);
}

#[test]
fn nothing_is_changed_by_an_answer_that_may_be_wrong() {
    let desk = desk(&record("GHSA-1", "ms", "2.1.0"));
    let lockfile = desk.read("package-lock.json");
    for arguments in [&["fix", "--yes", "--database", "/nowhere"][..], &["fix", "--yes", "/nowhere"]] {
        let ended = desk.audit(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains("hint: "), "{arguments:?}: {ended:?}");
    }
    assert_eq!((desk.read("package.json"), desk.read("package-lock.json")), (MANIFEST.to_owned(), lockfile));
}
