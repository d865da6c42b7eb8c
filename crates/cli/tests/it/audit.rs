//! `panoply audit`, as it is used: with real lockfiles, real records, and npm itself.

mod examples;
mod fix;
mod gate;
mod managers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::node;
use crate::scratch::Scratch;

/// A folder with a project in it, a database, and a state folder.
pub(crate) struct Desk {
    scratch: Scratch,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Desk {
    /// With the records, one JSON object to a line.
    pub(crate) fn with(records: &str) -> Self {
        let desk = Self { scratch: Scratch::new() };
        fs::create_dir(desk.project()).unwrap();
        desk.import(records);
        desk
    }

    pub(crate) fn import(&self, records: &str) {
        let file = self.scratch.path().join("records.jsonl");
        fs::write(&file, records).unwrap();
        let ended = self.panoply(&["advisories", "import", &file.display().to_string()]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.scratch.path().join("shop")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.scratch.path().join("advisories.db")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.project().join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.project().join(name)).unwrap()
    }

    pub(crate) fn audit(&self, arguments: &[&str]) -> Ended {
        self.panoply(&[&["audit"], arguments].concat())
    }

    /// In the project's folder.
    pub(crate) fn panoply(&self, arguments: &[&str]) -> Ended {
        ended(&mut self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_panoply"));
        command
            .args(arguments)
            .current_dir(self.project())
            .env("PANOPLY_ADVISORIES", self.database())
            .env("STATE_DIRECTORY", self.scratch.path().join("state"));
        command
    }

    pub(crate) fn npm(&self, arguments: &[&str]) -> Ended {
        let quiet = ["--no-audit", "--no-fund", "--ignore-scripts"];
        let ended = ended(Command::new("npm").args(arguments).args(quiet).current_dir(self.project()));
        assert_eq!(ended.code, Some(0), "npm {arguments:?}: {ended:?}");
        ended
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.audit(&[&["--format", "json"], arguments].concat());
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"))
    }
}

fn ended(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Data of the inspector's own tests.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../inspect/tests/data").join(name)
}

/// One record of one package, fixed in a version.
pub(crate) fn record(id: &str, package: &str, fixed: &str) -> String {
    format!(
        r#"{{"id":"{id}","modified":"2026-01-01T00:00:00Z","summary":"a hole in {package}","affected":[{{"package":{{"ecosystem":"npm","name":"{package}"}},"ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}],"database_specific":{{"severity":"HIGH"}}}}"#
    ) + "\n"
}

/// Two packages, one under the other, and one for development.
const LOCKFILE: &str = r#"{
  "name": "shop", "lockfileVersion": 3, "requires": true,
  "packages": {
    "": { "name": "shop", "dependencies": { "frame": "^1.0.0" }, "devDependencies": { "tool": "^1.0.0" } },
    "node_modules/frame": { "version": "1.0.0", "dependencies": { "deep": "~1.2.0" } },
    "node_modules/deep": { "version": "1.2.3" },
    "node_modules/tool": { "version": "1.0.0", "dev": true }
  }
}
"#;

#[test]
fn real_lockfiles_have_the_holes_that_npm_s_own_semver_finds() {
    let records = fs::read_to_string(data("osv_npm.jsonl")).unwrap();
    let desk = Desk::with(&records);
    let mut found = 0;
    for name in ["goof", "nodegoat"] {
        let lockfile = data(&format!("lockfiles/real/{name}.package-lock.json"));
        fs::copy(&lockfile, desk.project().join("package-lock.json")).unwrap();
        let report = desk.json(&["package-lock.json"]);
        let mut ours: Vec<String> = Vec::new();
        for finding in report["findings"].as_array().unwrap() {
            let text = |key: &str| finding[key].as_str().unwrap_or("-").to_owned();
            let step = if finding["mend"]["kind"] == "update" { "update" } else { "other" };
            ours.push(
                [&text("id"), &text("package"), &text("version"), &text("fixed"), step]
                    .map(AsRef::<str>::as_ref)
                    .join(" "),
            );
        }
        ours.sort();
        let theirs = ended(
            Command::new("node")
                .arg("audit.js")
                .args([lockfile, data("osv_npm.jsonl")].map(|path| path.canonicalize().unwrap()))
                .current_dir(node::folder()),
        );
        assert_eq!(theirs.code, Some(0), "{theirs:?}");
        let theirs: Vec<&str> = theirs.stdout.lines().collect();
        assert_eq!(ours, theirs, "{name}");
        found += ours.len();
    }
    assert!(found > 30, "{found} findings are too few to compare");
}

#[test]
fn the_exit_code_is_clean_findings_or_could_not_tell() {
    let desk = Desk::with(&record("GHSA-1", "deep", "1.2.5"));
    let dev = Desk::with(&record("GHSA-1", "tool", "1.0.1"));
    let clean = Desk::with(&record("GHSA-1", "other", "1.0.1"));
    for desk in [&desk, &dev, &clean] {
        desk.write("package-lock.json", LOCKFILE);
    }
    for (desk, arguments, code, said) in [
        (&desk, &[][..], 1, "deep 1.2.3"),
        (&desk, &["--severity", "high"], 1, "deep 1.2.3"),
        (&desk, &["--severity", "critical"], 0, "deep 1.2.3"),
        (&desk, &["--omit", "dev"], 1, "deep 1.2.3"),
        (&dev, &[], 1, "tool 1.0.0  (development)"),
        (&dev, &["--omit", "dev"], 0, "no known holes in 3 packages in 1 lockfile"),
        (&dev, &["--omit", "optional"], 1, "tool 1.0.0"),
        (&clean, &[], 0, "no known holes in 3 packages in 1 lockfile"),
        (&clean, &["package-lock.json"], 0, "no known holes in 3 packages in 1 lockfile"),
        (&clean, &["--max-age", "1h", "--severity", "low"], 0, "no known holes"),
        (
            &clean,
            &["--database", "/nowhere/x"],
            2,
            "could not tell: no advisories at `/nowhere/x`: there is no such file",
        ),
        (
            &clean,
            &["--database", "package-lock.json"],
            2,
            "could not tell: no advisories at `package-lock.json`",
        ),
    ] {
        let ended = desk.audit(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        assert!(ended.stdout.contains(said), "{arguments:?}: {ended:?}");
    }
    for arguments in [
        &["/nowhere"][..],
        &["--max-age", "soon"],
        &["--baseline", "/nowhere"],
        &["--ignore-file", "/nowhere"],
    ] {
        let ended = clean.audit(arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains("\nhint: "), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn what_cannot_be_told_is_never_green() {
    let npm = record("GHSA-1", "other", "1.0.1");
    let broken = npm.clone() + "{\"id\": \"GHSA-2\", \"affected\": 7}\n";
    let crates = npm.replace("\"npm\"", "\"crates.io\"");
    let cut = &LOCKFILE[..LOCKFILE.len() / 2];
    let git = LOCKFILE.replace("\"1.2.3\"", "\"git+https://code.example/deep\"");
    for (records, lockfile, said, hint) in [
        (&npm, None, "no lockfile in `.`", "install"),
        (&npm, Some(cut), "package-lock.json", "package manager"),
        (&npm, Some("[]"), "package-lock.json", "package manager"),
        (&crates, Some(LOCKFILE), "the advisories have none for npm", "panoply advisories import"),
        (
            &record("GHSA-1", "deep", "1.2.5"),
            Some(&git),
            "deep@git+https://code.example/deep may have GHSA-1",
            "panoply.ignore.toml",
        ),
    ] {
        let desk = Desk::with(records);
        if let Some(lockfile) = lockfile {
            desk.write("package-lock.json", lockfile);
        }
        for format in ["text", "json", "sarif", "cyclonedx", "markdown"] {
            let ended = desk.audit(&["--format", format]);
            assert_eq!(ended.code, Some(2), "{said} {format}: {ended:?}");
            let told = if format == "text" { &ended.stdout } else { &ended.stderr };
            assert!(told.contains("could not tell: ") && told.contains(said), "{said} {format}: {ended:?}");
            assert!(told.contains("hint: ") && told.contains(hint), "{said} {format}: {ended:?}");
            assert!(!ended.stdout.contains("no known holes"), "{said} {format}: {ended:?}");
        }
    }
    // Some records were lost: an import says so, and every audit after it.
    let desk = Desk::with(&npm);
    desk.write("package-lock.json", LOCKFILE);
    fs::write(desk.scratch.path().join("records.jsonl"), &broken).unwrap();
    assert_eq!(desk.panoply(&["advisories", "import", "../records.jsonl"]).code, Some(2));
    let ended = desk.audit(&[]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stdout.contains("the advisories are not whole"), "{ended:?}");
}

#[test]
fn advisories_that_are_too_old_are_no_answer() {
    let desk = Desk::with(&record("GHSA-1", "other", "1.0.1"));
    desk.write("package-lock.json", LOCKFILE);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    for (age, code) in [("1s", 2), ("14d", 0), ("off", 0)] {
        let ended = desk.audit(&["--max-age", age]);
        assert_eq!(ended.code, Some(code), "{age}: {ended:?}");
    }
}

#[test]
fn what_is_ignored_is_counted_and_what_is_ignored_in_vain_is_told() {
    let desk = Desk::with(&record("GHSA-1", "deep", "1.2.5"));
    desk.write("package-lock.json", LOCKFILE);
    for (ignores, code, said) in [
        ("id = 'GHSA-1'\nreason = 'never called'", 0, "; 1 ignored"),
        ("id = 'GHSA-1'\nreason = 'never called'\npath = 'frame > *'", 0, "; 1 ignored"),
        (
            "id = 'GHSA-1'\nreason = 'never called'\npath = 'tool > *'",
            1,
            "is ignored, but nothing that is installed has it by tool > *",
        ),
        (
            "id = 'GHSA-1'\nreason = 'never called'\nexpires = 2026-01-01",
            1,
            "GHSA-1 was ignored until 2026-01-01",
        ),
        ("id = 'GHSA-1'\nreason = 'never called'\nexpires = 2999-01-01", 0, "; 1 ignored"),
        ("id = 'GHSA-1'", 2, "panoply.ignore.toml:1: missing field `reason`"),
    ] {
        desk.write("panoply.ignore.toml", &format!("[[ignore]]\n{ignores}\n"));
        let ended = desk.audit(&[]);
        assert_eq!(ended.code, Some(code), "{ignores}: {ended:?}");
        assert!(format!("{}{}", ended.stdout, ended.stderr).contains(said), "{ignores}: {ended:?}");
        assert!(code != 0 || !ended.stdout.contains("a hole in deep"), "{ignores}: {ended:?}");
    }
}

#[test]
fn a_baseline_leaves_what_is_new() {
    let desk = Desk::with(&record("GHSA-1", "deep", "1.2.5"));
    desk.write("package-lock.json", LOCKFILE);
    desk.write("baseline.json", &desk.audit(&["--format", "json"]).stdout);
    let known = desk.audit(&["--baseline", "baseline.json"]);
    assert_eq!(known.code, Some(0), "{known:?}");
    assert!(known.stdout.contains("; 1 known before"), "{known:?}");
    desk.import(&(record("GHSA-1", "deep", "1.2.5") + &record("GHSA-2", "deep", "1.2.6")));
    let new = desk.audit(&["--baseline", "baseline.json"]);
    assert_eq!(new.code, Some(1), "{new:?}");
    assert!(new.stdout.contains("GHSA-2") && !new.stdout.contains("GHSA-1"), "{new:?}");
}

#[test]
fn who_watches_is_told_once() {
    let desk = Desk::with(&record("GHSA-1", "deep", "1.2.5"));
    desk.write("package-lock.json", LOCKFILE);
    assert_eq!(desk.audit(&["--watch"]).code, Some(1));
    assert_eq!(desk.audit(&["--watch"]).code, Some(0));
    assert_eq!(desk.audit(&[]).code, Some(1), "only who watches is spared");
    desk.import(&(record("GHSA-1", "deep", "1.2.5") + &record("GHSA-2", "tool", "1.0.1")));
    // A run that could not tell has told nothing.
    assert_eq!(desk.audit(&["--watch", "--database", "/nowhere"]).code, Some(2));
    let new = desk.audit(&["--watch"]);
    assert_eq!(new.code, Some(1), "{new:?}");
    assert!(new.stdout.contains("GHSA-2") && !new.stdout.contains("GHSA-1"), "{new:?}");
}

#[test]
fn a_report_that_cannot_be_written_is_no_answer() {
    let desk = Desk::with(&record("GHSA-1", "other", "1.0.1"));
    desk.write("package-lock.json", LOCKFILE);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = desk.command(&["audit"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn several_projects_of_one_tree_are_told_apart() {
    let desk = Desk::with(&record("GHSA-1", "deep", "1.2.5"));
    for folder in ["web", "api"] {
        fs::create_dir(desk.project().join(folder)).unwrap();
        desk.write(&format!("{folder}/package-lock.json"), LOCKFILE);
    }
    let ended = desk.audit(&[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for said in [
        "deep 1.2.3  in api/package-lock.json",
        "deep 1.2.3  in web/package-lock.json",
        "2 holes in 2 packages",
    ] {
        assert!(ended.stdout.contains(said), "{said}: {ended:?}");
    }
}

#[test]
fn what_bun_wrote_in_its_binary_form_is_never_green() {
    let bun = r#"{ "lockfileVersion": 1, "workspaces": { "": { "name": "shop" } }, "packages": {} }"#;
    for beside in [None, Some(("bun.lock", bun)), Some(("package-lock.json", LOCKFILE))] {
        let desk = Desk::with(&record("GHSA-1", "other", "1.0.1"));
        if let Some((name, text)) = beside {
            desk.write(name, text);
        }
        assert_eq!(desk.audit(&[]).code, Some(if beside.is_some() { 0 } else { 2 }), "{beside:?}");
        desk.write("bun.lockb", "#!/usr/bin/env bun\nbun-lockfile-format-v0\n\0");
        for path in [".", "bun.lockb"] {
            let ended = desk.audit(&[path]);
            assert_eq!(ended.code, Some(2), "{beside:?} {path}: {ended:?}");
            let hint = "hint: `bun install --save-text-lockfile --lockfile-only`";
            assert!(ended.stdout.contains(hint), "{beside:?} {path}: {ended:?}");
        }
    }
}

#[test]
fn packages_come_from_the_registries_that_are_allowed() {
    let desk = Desk::with(&record("GHSA-1", "other", "1.0.1"));
    let resolved = r#""version": "1.0.0", "resolved": "https://npm.company.example/frame/-/frame-1.0.0.tgz""#;
    desk.write("package-lock.json", &LOCKFILE.replacen("\"version\": \"1.0.0\"", resolved, 1));
    for (flags, file, code, said) in [
        (&[][..], "", 0, "no known holes"),
        (&["--registry", "npm.company.example"], "", 0, "no known holes"),
        (&["--registry", "registry.npmjs.org"], "", 1, "comes from `npm.company.example`"),
        (&[], "registries = ['registry.npmjs.org']", 1, "comes from `npm.company.example`"),
        (&[], "registries = ['registry.npmjs.org', 'npm.company.example']", 0, "no known holes"),
        (&["--registry", "npm.company.example"], "registries = ['registry.npmjs.org']", 0, "no known holes"),
        (
            &["--registry", "https://npm.company.example"],
            "",
            2,
            "--registry: a registry is named by its host",
        ),
        (&[], "\nregistries = ['npm.company.example/x']", 2, "toml:2: a registry is named by its host"),
        (&[], "registries = 7", 2, "panoply.ignore.toml:1: "),
    ] {
        desk.write("panoply.ignore.toml", file);
        let ended = desk.audit(flags);
        assert_eq!(ended.code, Some(code), "{flags:?} {file}: {ended:?}");
        assert!(format!("{}{}", ended.stdout, ended.stderr).contains(said), "{flags:?} {file}: {ended:?}");
    }
}
