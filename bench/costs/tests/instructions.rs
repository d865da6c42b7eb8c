//! A change that makes every request dearer does not go unseen.
//!
//! Time differs from run to run; the instructions that valgrind counts do not. The figure on record is
//! `<name>.instructions.txt`, for x86-64 and the toolchain it names.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::fs;
use std::process::Command;

/// How often a side is run; twice as often the second time, so that what happens once cancels out.
const REQUESTS: u64 = 2_000;
/// In percent, either way: an improvement that nobody writes down would hide the next regression.
const TOLERANCE: u64 = 3;

#[test]
fn a_shield_costs_what_the_record_says() {
    holds("shield", "shielded", "a shield costs so many instructions a request");
}

#[test]
fn a_decision_in_memory_costs_what_the_record_says() {
    holds("counters", "hot", "a decision in memory costs so many instructions");
}

/// `side` of a measure without what its `bare` side costs.
fn holds(measure: &str, side: &str, what: &str) {
    let executable = optimised();
    let counted = each(&executable, measure, side) - each(&executable, measure, "bare");
    let rustc = rustc();
    let path = format!("{}/{measure}.instructions.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("PANOPLY_BLESS").is_some() {
        fs::write(&path, format!("{counted} instructions\n{rustc}\n")).expect("the record can be written");
    }

    let record = fs::read_to_string(&path).unwrap_or_default();
    let (figure, toolchain) = record.split_once('\n').unwrap_or_default();
    let recorded: u64 = figure.split(' ').next().unwrap_or_default().parse().unwrap_or(0);
    assert!(
        counted.abs_diff(recorded) * 100 <= recorded * TOLERANCE,
        "{what}: {counted}, and on record are {recorded}\n\
         here: {rustc}\non record: {}\n\
         hint: if that is worth it, write it down with PANOPLY_BLESS=1 cargo test -p panoply-costs",
        toolchain.trim()
    );
}

/// The program, built as users build theirs.
fn optimised() -> String {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--release", "--package=panoply-costs", "--bin=panoply-costs"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs this test, so it is there");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    built
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .find_map(|message| message.get("executable")?.as_str().map(ToOwned::to_owned))
        .expect("cargo names what it built")
}

fn each(executable: &str, measure: &str, side: &str) -> u64 {
    (count(executable, measure, side, 2 * REQUESTS) - count(executable, measure, side, REQUESTS)) / REQUESTS
}

fn count(executable: &str, measure: &str, side: &str, requests: u64) -> u64 {
    let counted = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            executable,
            measure,
            side,
            &requests.to_string(),
        ])
        .env_clear() // its size moves the stack
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .output()
        .expect("valgrind is there: apt-get install valgrind");
    let report = String::from_utf8_lossy(&counted.stderr);
    assert!(counted.status.success(), "{report}");
    report
        .lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
        .expect("callgrind says what it collected")
}

fn rustc() -> String {
    let version = Command::new("rustc").arg("--version").output().expect("rustc built this test");
    String::from_utf8_lossy(&version.stdout).trim().to_owned()
}
