//! The dependencies of the app that panoply stands in front of.

use std::fs;
use std::time::{Duration, Instant};

use super::{Desk, LOCKFILE, record};
use crate::admin::ask;
use crate::gateway::Gateway;

#[test]
fn an_app_with_known_holes_is_not_started_where_the_policy_says_so() {
    // The app writes a file: whether it was started can be seen.
    let app = "require('fs').writeFileSync('started', '')";
    let hole = record("GHSA-1", "deep", "1.2.5");
    let dev = record("GHSA-1", "tool", "1.0.1");
    for (records, policy, lockfile, database, starts, said) in [
        (&hole, "high", true, true, false, "error: the app's dependencies have known holes"),
        (&hole, "critical", true, true, true, "dependencies have known holes"),
        (&hole, "observe", true, true, true, "dependencies have known holes"),
        (&hole, "off", true, true, true, ""),
        (&dev, "low", true, true, true, "dependencies have no known holes"),
        (
            &hole,
            "low",
            true,
            false,
            false,
            "error: could not tell whether the app's dependencies have known holes",
        ),
        (&hole, "observe", true, false, true, "not audited: there are no advisories yet"),
        (&hole, "low", false, true, false, "error: no lockfile says what the app installs"),
        (&hole, "observe", false, true, true, "not audited: no lockfile says what the app installs"),
    ] {
        let desk = Desk::with(records);
        if lockfile {
            desk.write("package-lock.json", LOCKFILE);
        }
        if !database {
            fs::remove_file(desk.database()).unwrap();
        }
        let row = format!("{policy} {lockfile} {database}");
        let run = ["run", "--https", "127.0.0.1:0", "--dependencies", policy, "--", "node", "-e", app];
        let ended = desk.panoply(&run);
        assert_eq!(desk.project().join("started").exists(), starts, "{row}: {ended:?}");
        assert!(ended.stderr.contains(said), "{row}: {ended:?}");
        if !starts {
            assert_eq!(ended.code, Some(2), "{row}: {ended:?}");
            assert!(ended.stderr.contains("\nhint: "), "{row}: {ended:?}");
        }
    }
}

#[test]
fn what_becomes_known_while_the_app_runs_is_in_its_metrics() {
    let desk = Desk::with(&record("GHSA-1", "express", "99.0.0"));
    let gateway = Gateway::start(
        &["run", "--https", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--", "node", "bare.js"],
        &[("PANOPLY_ADVISORIES", &desk.database().display().to_string())],
    );
    let figures = || ask(gateway.admin(), "GET /metrics", "", "");
    assert!(figures().contains("panoply_dependency_holes{severity=\"high\"} 1\n"), "{}", figures());
    gateway.logged("dependencies have known holes");
    desk.import(&(record("GHSA-1", "express", "99.0.0") + &record("GHSA-2", "helmet", "99.0.0")));
    let deadline = Instant::now() + Duration::from_secs(60);
    while !figures().contains("panoply_dependency_holes{severity=\"high\"} 2\n") {
        assert!(Instant::now() < deadline, "{}", figures());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn in_front_of_an_app_elsewhere_its_folder_is_audited_too() {
    let hole = record("GHSA-1", "deep", "1.2.5");
    let desk = Desk::with(&hole);
    desk.write("package-lock.json", LOCKFILE);
    let empty = desk.database().with_file_name("empty");
    fs::create_dir(&empty).unwrap();
    let (project, empty) = (desk.project().display().to_string(), empty.display().to_string());
    let serve = ["serve", "--to", "http://127.0.0.1:9", "--https", "127.0.0.1:0"];
    for (more, said) in [
        (&["--project", &project, "--dependencies", "high"][..], "the app's dependencies have known holes"),
        (&["--project", &empty, "--dependencies", "low"], "no lockfile says what the app installs"),
        (&["--project", "/nowhere", "--dependencies", "low"], "cannot look into `/nowhere`"),
        (&["--dependencies", "low"], "--project <DIR>"),
    ] {
        let ended = desk.panoply(&[&serve, more].concat());
        assert_eq!(ended.code, Some(2), "{more:?}: {ended:?}");
        assert!(ended.stderr.contains(said), "{more:?}: {ended:?}");
    }

    let gateway = Gateway::start(
        &[&serve[..], &["--admin", "127.0.0.1:0", "--project", &project]].concat(),
        &[("PANOPLY_ADVISORIES", &desk.database().display().to_string())],
    );
    gateway.logged("dependencies have known holes");
    let figures = || ask(gateway.admin(), "GET /metrics", "", "");
    assert!(figures().contains("panoply_dependency_holes{severity=\"high\"} 1\n"), "{}", figures());
    // Whoever deploys the app anew brings another lockfile.
    desk.write("package-lock.json", &LOCKFILE.replace("1.2.3", "1.2.5"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while !figures().contains("panoply_dependency_holes{severity=\"high\"} 0\n") {
        assert!(Instant::now() < deadline, "{}", figures());
        std::thread::sleep(Duration::from_millis(200));
    }
}
