//! `panoply audit fix` with the package managers themselves: what they wrote, they have to take again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{Desk, Ended, ended, record};
use crate::node;

/// ms is pinned by the project and by debug 2, mime by send; statuses is locked below what http-errors admits.
const MANIFEST: &str = r#"{
  "name": "shop",
  "version": "1.0.0",
  "dependencies": {
    "debug": "^2.6.8",
    "http-errors": "1.6.3",
    "ms": "2.0.0",
    "send": "0.16.2"
  }
}
"#;

/// A manager of npm's world: how it is called, what it locks, and how it installs just what is locked.
struct Manager {
    name: &'static str,
    /// Below tests/node/node_modules; what ends with `js` is started by node.
    program: &'static str,
    command: &'static str,
    lockfile: &'static str,
    lock: &'static [&'static str],
    install: &'static [&'static str],
    /// A list of overrides with one entry, and without.
    overrides: fn(&str) -> String,
}

const MANAGERS: &[Manager] = &[
    Manager {
        name: "pnpm",
        program: "pnpm/bin/pnpm.cjs",
        command: "pnpm",
        lockfile: "pnpm-lock.yaml",
        lock: &["install", "--lockfile-only", "--no-frozen-lockfile", "--ignore-scripts"],
        install: &["install", "--frozen-lockfile", "--ignore-scripts"],
        overrides: |entry| format!("\"pnpm\": {{ \"overrides\": {{ \"http-errors>{entry} }} }}"),
    },
    Manager {
        name: "yarn 1",
        program: "yarn/bin/yarn.js",
        command: "yarn",
        lockfile: "yarn.lock",
        lock: &["install", "--ignore-scripts", "--non-interactive"],
        install: &["install", "--frozen-lockfile", "--ignore-scripts", "--non-interactive"],
        overrides: |entry| format!("\"resolutions\": {{ \"**/http-errors/{entry} }}"),
    },
    Manager {
        name: "yarn 4",
        program: "@yarnpkg/cli-dist/bin/yarn.js",
        command: "yarn",
        lockfile: "yarn.lock",
        lock: &["install", "--mode=update-lockfile"],
        install: &["install", "--immutable"],
        overrides: |entry| format!("\"resolutions\": {{ \"http-errors/{entry} }}"),
    },
    Manager {
        name: "bun",
        program: "bun/bin/bun.exe",
        command: "bun",
        lockfile: "bun.lock",
        lock: &["install", "--lockfile-only", "--save-text-lockfile", "--ignore-scripts"],
        install: &["install", "--frozen-lockfile", "--ignore-scripts"],
        overrides: |entry| format!("\"overrides\": {{ \"{entry} }}"),
    },
];

impl Manager {
    /// A desk where this manager is the first on PATH, and MANIFEST is locked by it with an old version of statuses.
    fn desk(&self, records: &str) -> (Desk, String) {
        let desk = Desk::with(records);
        let folder = desk.database().with_file_name("bin");
        fs::create_dir(&folder).unwrap();
        self.put_into(&folder);
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        if self.name == "yarn 4" {
            desk.write("yarn.lock", "");
        }
        let old = (self.overrides)("statuses\": \"1.4.0\"");
        desk.write("package.json", &MANIFEST.replacen('{', &format!("{{\n  {old},"), 1));
        self.run(&desk, &path, self.lock);
        desk.write("package.json", MANIFEST);
        self.run(&desk, &path, self.lock);
        let _ = fs::remove_dir_all(desk.project().join("node_modules"));
        (desk, path)
    }

    fn put_into(&self, folder: &Path) {
        let program = node::folder().join("node_modules").join(self.program).canonicalize().unwrap();
        let start = if self.program.ends_with("js") { "node " } else { "" };
        let script = folder.join(self.command);
        fs::write(&script, format!("#!/bin/sh\nexec {start}'{}' \"$@\"\n", program.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, desk: &Desk, path: &str, arguments: &[&str]) {
        let mut command = Command::new(desk.database().with_file_name("bin").join(self.command));
        command.args(arguments).current_dir(desk.project()).env("PATH", path);
        command.env("YARN_ENABLE_TELEMETRY", "0").env("YARN_ENABLE_IMMUTABLE_INSTALLS", "0");
        let ended = ended(&mut command);
        assert_eq!(ended.code, Some(0), "{} {arguments:?}: {ended:?}", self.name);
    }
}

fn fix(desk: &Desk, path: &str, arguments: &[&str]) -> Ended {
    ended(desk.command(&[&["audit", "fix"], arguments].concat()).env("PATH", path))
}

#[test]
fn what_can_be_mended_is_and_each_manager_accepts_it() {
    let records = record("GHSA-1", "ms", "2.1.0")
        + &record("GHSA-2", "mime", "1.4.2")
        + &record("GHSA-3", "send", "0.19.0")
        + &record("GHSA-4", "statuses", "1.5.0");
    for manager in MANAGERS {
        let name = manager.name;
        let (desk, path) = manager.desk(&records);
        let before = desk.audit(&[]);
        for said in ["ms 2.0.0", "mime 1.4.1", "send 0.16.2", "statuses 1.4.0"] {
            assert!(before.stdout.contains(said), "{name}: {said}: {before:?}");
        }
        let lockfile = desk.read(manager.lockfile);

        let shown = fix(&desk, &path, &["--dry-run"]);
        assert_eq!(shown.code, Some(1), "{name}: {shown:?}");
        for said in [
            "package.json: ms 2.0.0 becomes ^2.1.0",
            "  mime 1.4.1 → 1.6.0",
            "left: GHSA-3 in send 0.16.2",
            "nothing was written",
        ] {
            assert!(shown.stdout.contains(said), "{name}: {said}: {shown:?}");
        }
        assert_eq!(
            (desk.read("package.json"), desk.read(manager.lockfile)),
            (MANIFEST.to_owned(), lockfile),
            "{name}"
        );

        let fixed = fix(&desk, &path, &["--yes"]);
        assert_eq!(fixed.code, Some(1), "{name}: {fixed:?}");
        manager.run(&desk, &path, manager.install);
        let after = desk.audit(&[]);
        assert!(
            after.stdout.contains("GHSA-3") && after.stdout.contains("1 hole in 1 package"),
            "{name}: {after:?}"
        );
        // What the range of http-errors admits is in the lockfile alone.
        let manifest = desk.read("package.json");
        assert!(
            !manifest.contains("http-errors>") && !manifest.contains("http-errors/"),
            "{name}: {manifest}"
        );

        let major = fix(&desk, &path, &["--yes", "--major"]);
        assert_eq!(major.code, Some(0), "{name}: {major:?}");
        manager.run(&desk, &path, manager.install);
    }
}

#[test]
fn a_manager_that_is_not_there_changes_nothing() {
    for manager in MANAGERS {
        let (desk, _) = manager.desk(&record("GHSA-1", "ms", "2.1.0"));
        let lockfile = desk.read(manager.lockfile);
        let ended = fix(&desk, &desk.database().with_file_name("none").display().to_string(), &["--yes"]);
        assert_eq!(ended.code, Some(2), "{}: {ended:?}", manager.name);
        let said = format!("error: {} cannot be started", manager.command);
        assert!(ended.stderr.contains(&said) && ended.stderr.contains("\nhint: install it ("), "{ended:?}");
        assert_eq!((desk.read("package.json"), desk.read(manager.lockfile)), (MANIFEST.to_owned(), lockfile));
    }
}

#[test]
fn another_yarn_than_the_lockfile_s_writes_nothing() {
    let (one, four) = (&MANAGERS[1], &MANAGERS[2]);
    for (lockfile_of, on_path) in [(one, four), (four, one)] {
        let (desk, path) = lockfile_of.desk(&record("GHSA-1", "ms", "2.1.0"));
        let lockfile = desk.read("yarn.lock");
        on_path.put_into(&desk.database().with_file_name("bin"));
        let ended = fix(&desk, &path, &["--yes"]);
        assert_eq!(ended.code, Some(2), "{}: {ended:?}", lockfile_of.name);
        assert!(ended.stderr.contains("the lockfile is of another yarn"), "{ended:?}");
        assert_eq!(desk.read("yarn.lock"), lockfile);
    }
}

#[test]
fn a_lockfile_keeps_its_format() {
    let four = &MANAGERS[2];
    let (desk, path) = four.desk(&record("GHSA-1", "ms", "2.1.0"));
    let older: String = desk
        .read("yarn.lock")
        .split_inclusive('\n')
        .map(|line| if line.starts_with("  version: ") && line.len() <= 14 { "  version: 6\n" } else { line })
        .collect();
    assert!(older.contains("__metadata:\n  version: 6\n"), "{older}");
    desk.write("yarn.lock", &older);
    let ended = fix(&desk, &path, &["--yes"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("writes lockfiles of another format"), "{ended:?}");
    assert_eq!((desk.read("package.json"), desk.read("yarn.lock")), (MANIFEST.to_owned(), older));
}

#[test]
fn overrides_of_pnpm_go_where_it_reads_them_and_no_program_of_the_project_runs() {
    let pnpm = &MANAGERS[0];
    let (desk, path) = pnpm.desk(&record("GHSA-1", "ms", "2.1.0"));
    desk.write("pnpm-workspace.yaml", "packages:\n  - web\noverrides:\n  'nothing>here': '1'\n");
    pnpm.run(&desk, &path, pnpm.lock);
    desk.write(".pnpmfile.cjs", "require('fs').writeFileSync('started', '')\nmodule.exports = {}\n");
    let refused = fix(&desk, &path, &["--yes"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("no program of the project is run"), "{refused:?}");
    assert!(!desk.project().join("started").exists());

    fs::remove_file(desk.project().join(".pnpmfile.cjs")).unwrap();
    let fixed = fix(&desk, &path, &["--yes"]);
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert!(desk.read("pnpm-workspace.yaml").contains("  'debug>ms': '^2.1.0'\n"), "{fixed:?}");
    pnpm.run(&desk, &path, pnpm.install);
}

/// smallvec is locked below what its requirement admits, itoa is pinned.
const CRATE: &str = "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\nsmallvec = \"1.6.0\"\nitoa = \"=1.0.1\" # pinned\n\n[workspace]\n";

#[test]
fn a_cargo_project_is_mended_and_cargo_accepts_it() {
    let records = (record("RUSTSEC-1", "smallvec", "1.6.1") + &record("RUSTSEC-2", "itoa", "1.0.4"))
        .replace("\"npm\"", "\"crates.io\"");
    let desk = Desk::with(&records);
    fs::create_dir_all(desk.project().join("src/bin")).unwrap();
    desk.write("src/lib.rs", "");
    desk.write("src/bin/tool.rs", "fn main() {}");
    desk.write("Cargo.toml", &format!("{CRATE}\n[[bin]]\nname = \"tool\"\n"));
    let cargo = |arguments: &[&str]| {
        let ended = ended(Command::new("cargo").args(arguments).current_dir(desk.project()));
        assert_eq!(ended.code, Some(0), "cargo {arguments:?}: {ended:?}");
    };
    cargo(&["update", "-p", "smallvec", "--precise", "1.6.0"]);
    // A setting that would start a program.
    fs::create_dir(desk.project().join(".cargo")).unwrap();
    desk.write(".cargo/config.toml", "[build]\nrustc = \"./started\"\n");
    let lockfile = desk.read("Cargo.lock");

    let shown = desk.audit(&["fix", "--dry-run"]);
    assert_eq!(shown.code, Some(1), "{shown:?}");
    for said in
        ["Cargo.toml: itoa =1.0.1 becomes ^1.0.4", "smallvec 1.6.0 → 1.6.1", "holes: 2 before, 0 after"]
    {
        assert!(shown.stdout.contains(said), "{said}: {shown:?}");
    }
    assert_eq!(desk.read("Cargo.lock"), lockfile);

    let fixed = desk.audit(&["fix", "--yes"]);
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert!(desk.read("Cargo.toml").contains("itoa = \"^1.0.4\" # pinned\n"), "{}", desk.read("Cargo.toml"));
    fs::remove_file(desk.project().join(".cargo/config.toml")).unwrap();
    cargo(&["metadata", "--locked", "--format-version", "1"]);
    assert_eq!(desk.audit(&[]).code, Some(0));
}

#[test]
fn what_crates_inherit_is_raised_at_their_workspaces_root() {
    let records = record("RUSTSEC-2", "itoa", "1.0.4").replace("\"npm\"", "\"crates.io\"");
    let desk = Desk::with(&records);
    for member in ["web", "api"] {
        fs::create_dir_all(desk.project().join(member).join("src")).unwrap();
        desk.write(&format!("{member}/src/lib.rs"), "");
        let package = format!("[package]\nname = \"{member}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        desk.write(
            &format!("{member}/Cargo.toml"),
            &format!("{package}\n[dependencies]\nitoa.workspace = true\n"),
        );
    }
    let root = "[workspace]\nmembers = [\"web\", \"api\"]\nresolver = \"2\"\n\n[workspace.dependencies]\nitoa = \"=1.0.1\" # pinned\n";
    desk.write("Cargo.toml", root);
    let cargo = |arguments: &[&str]| {
        let ended = ended(Command::new("cargo").args(arguments).current_dir(desk.project()));
        assert_eq!(ended.code, Some(0), "cargo {arguments:?}: {ended:?}");
    };
    cargo(&["generate-lockfile"]);
    let member = desk.read("web/Cargo.toml");
    let fixed = desk.audit(&["fix", "--yes"]);
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert!(fixed.stdout.contains("  Cargo.toml: itoa =1.0.1 becomes ^1.0.4\n"), "{fixed:?}");
    assert_eq!(desk.read("Cargo.toml"), root.replace("\"=1.0.1\"", "\"^1.0.4\""));
    assert_eq!(desk.read("web/Cargo.toml"), member);
    cargo(&["metadata", "--locked", "--format-version", "1"]);
    assert_eq!(desk.audit(&[]).code, Some(0));
}
