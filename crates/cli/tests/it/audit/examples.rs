//! The examples of docs/audit.md, run as they are written: the steps in a shell, the hook by pre-commit itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Desk, Ended, LOCKFILE, ended, record};

/// The YAML blocks of the page.
fn blocks() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/audit.md");
    let page = fs::read_to_string(page).unwrap();
    page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The commands of the workflow, in their order.
fn steps(workflow: &str) -> Vec<&str> {
    workflow.lines().filter_map(|line| line.trim().strip_prefix("- run: ")).collect()
}

/// A checkout whose dependencies have the hole in a package, and PATH with the program under its name.
fn checkout(hole_in: &str) -> (Desk, String) {
    let desk = Desk::with(&record("GHSA-1", hole_in, "99.0.0"));
    desk.write("package-lock.json", LOCKFILE);
    let folder = desk.database().with_file_name("bin");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_panoply"), folder.join("panoply")).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    (desk, path)
}

fn run(desk: &Desk, path: &str, program: impl AsRef<Path>, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program.as_ref());
    command
        .args(arguments)
        .current_dir(desk.project())
        .env("PATH", path)
        .env("PANOPLY_ADVISORIES", desk.database())
        .env("PRE_COMMIT_HOME", desk.database().with_file_name("pre-commit"))
        // Nobody's own settings of git.
        .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_SYSTEM", "/dev/null")])
        .envs(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"].map(|name| (name, "shop")))
        .envs(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "shop@shop.example")));
    for name in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"] {
        command.env_remove(name);
    }
    ended(&mut command)
}

#[test]
fn the_steps_of_the_workflow_go_red_for_a_hole_and_only_then() {
    let blocks = blocks();
    let steps = steps(blocks.iter().find(|block| block.contains("jobs:")).unwrap());
    let [install, update, audit] = steps[..] else { panic!("{steps:?}") };
    // The program and its database are here already.
    assert!(install.starts_with("cargo install --locked "), "{install}");
    assert_eq!(update, "panoply advisories update");
    // As the runner starts a step.
    for (hole_in, code, found) in [("deep", 1, 1), ("tool", 0, 0), ("other", 0, 0)] {
        let (desk, path) = checkout(hole_in);
        let ended = run(&desk, &path, "bash", &["-e", "-c", audit]);
        assert_eq!(ended.code, Some(code), "{hole_in}: {ended:?}");
        let report: Value = serde_json::from_str(&desk.read("audit.sarif")).unwrap();
        assert_eq!(report["runs"][0]["results"].as_array().unwrap().len(), found, "{hole_in}: {report}");
    }
}

#[test]
fn a_commit_of_a_lockfile_with_a_hole_is_stopped() {
    let pre_commit: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../pre-commit/bin/pre-commit");
    assert!(pre_commit.exists(), "pre-commit is not installed: run scripts/test");
    let blocks = blocks();
    let hook = blocks.iter().find(|block| block.contains(".pre-commit-config.yaml")).unwrap();
    for (hole_in, code) in [("deep", 1), ("other", 0)] {
        let (desk, path) = checkout(hole_in);
        desk.write(".pre-commit-config.yaml", hook);
        let git = |arguments: &[&str]| run(&desk, &path, "git", arguments);
        assert_eq!(git(&["init", "--quiet"]).code, Some(0));
        let installed = run(&desk, &path, &pre_commit, &["install"]);
        assert_eq!(installed.code, Some(0), "{installed:?}");
        // What is no lockfile is committed, whatever is installed.
        git(&["add", ".pre-commit-config.yaml"]);
        let other = git(&["commit", "-m", "the hook"]);
        assert_eq!(other.code, Some(0), "{hole_in}: {other:?}");
        git(&["add", "package-lock.json"]);
        let commit = git(&["commit", "-m", "the dependencies"]);
        assert_eq!(commit.code, Some(code), "{hole_in}: {commit:?}");
        let said = format!("{}{}", commit.stdout, commit.stderr);
        assert_eq!(said.contains("GHSA-1"), code == 1, "{hole_in}: {commit:?}");
    }
}
