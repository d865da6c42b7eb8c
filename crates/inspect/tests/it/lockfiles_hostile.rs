//! Lockfiles that somebody bent: each is an error with its line, or is read in bounded time and memory.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::Path;

use panoply_inspect::audit::hygiene::{self, Allowed};
use panoply_inspect::audit::lockfile::{self, Dialect, LARGEST, LockfileError, Surroundings};

fn parse(dialect: Dialect, text: &str) -> Result<(usize, Vec<String>), (usize, String)> {
    match lockfile::parse(dialect, text, &Surroundings::none()) {
        Ok((graph, doubts)) => Ok((graph.packages.len(), doubts.iter().map(ToString::to_string).collect())),
        Err(fault) => Err((fault.line, fault.to_string())),
    }
}

#[test]
fn what_is_bent_is_an_error_with_its_line() {
    for (dialect, text, line, words) in [
        (Dialect::Npm, "", 1, "EOF"),
        (Dialect::Npm, "{}", 1, "neither"),
        (Dialect::Npm, "{\"lockfileVersion\": 4, \"packages\": {}}", 1, "`lockfileVersion` is 4"),
        (Dialect::Npm, "{\"lockfileVersion\": 3}", 1, "`packages`"),
        (
            Dialect::Npm,
            "{\"packages\": {\n\"node_modules/a\": {},\n\"node_modules/a\": {}}}",
            3,
            "here twice",
        ),
        (Dialect::Npm, "{\"packages\": {}, \n\"packages\": {}}", 2, "duplicate field"),
        (
            Dialect::Npm,
            "{\"packages\": {\"node_modules/a\":\n {\"version\": \"1\", \"version\": \"2\"}}}",
            2,
            "duplicate",
        ),
        (
            Dialect::Npm,
            "{\"packages\": {\"node_modules/a\":\n {\"dependencies\": {\"b\": 1}}}}",
            2,
            "invalid type",
        ),
        (
            Dialect::Npm,
            "{\"packages\": {\"node_modules/a\":\n {\"dependencies\": [\"b\"]}}}",
            2,
            "invalid type",
        ),
        (Dialect::Npm, "{\"packages\": {\"node_modules/a\":\n {\"dev\": \"true\"}}}", 2, "invalid type"),
        (Dialect::Npm, "{\"packages\": {\"node_modules/a\": {}}\n", 2, "EOF"),
        (Dialect::Npm, "{\"packages\": {}}\n}", 2, "trailing"),
        (
            Dialect::Npm,
            "{\"lockfileVersion\": 1,\n\"dependencies\": {\n\"a\": {}, \"a\": {}}}",
            3,
            "here twice",
        ),
        (Dialect::Npm, "{\"lockfileVersion\": 1,\n\"dependencies\": {\n\"a\": 1}}", 3, "invalid type"),
        (Dialect::Yarn, "a@1:\n  version \"1\n", 2, "without an end"),
        (Dialect::Yarn, "a@1:\n  version \"1\"\na@1:\n  version \"1\"\n", 3, "here twice"),
        (Dialect::Yarn, "<<<<<<< HEAD\na@1:\n  version \"1\"\n", 1, "no package"),
        (Dialect::Yarn, "__metadata:\n  version: 8\n\"a@npm:1\":\n  version: 1\n", 3, "`resolution`"),
        (Dialect::Pnpm, "", 1, "expected"),
        (Dialect::Pnpm, "lockfileVersion: '7.0'\n", 1, "`lockfileVersion` is 7.0"),
        (Dialect::Pnpm, "lockfileVersion: 5.4\npackages:\n  /a/1.0.0: {}\n  /a/1.0.0: {}\n", 4, "duplicate"),
        (Dialect::Pnpm, "lockfileVersion: 5.4\npackages:\n  /a/1.0.0: [1]\n", 3, "expected"),
        (Dialect::Pnpm, "lockfileVersion: 5.4\npackages:\n  /a/1.0.0: {dev\n", 3, "unclosed"),
        (Dialect::Pnpm, "lockfileVersion: &a 5.4\npackages: *a\n", 1, "anchors"),
        (Dialect::Bun, "{\"lockfileVersion\": 1,\n\"packages\": {\"a\": [],},}", 2, "invalid length"),
        (Dialect::Bun, "{\"lockfileVersion\": 9}", 1, "`lockfileVersion` is 9"),
        (
            Dialect::Bun,
            "{\"lockfileVersion\": 1,\n\"packages\": {\"a\": [\"a@1\"],\n\"a\": [\"a@1\"]}}",
            3,
            "here twice",
        ),
        (Dialect::Cargo, "version = 9", 1, "`version` is 9"),
        (Dialect::Cargo, "[[package]]\nname = \"a\"\n", 1, "version"),
        (Dialect::Cargo, "[[package]]\nname = \"a\"\nname = \"b\"\nversion = \"1\"", 3, "duplicate"),
        (Dialect::Cargo, "[[package]]\nname = \"a", 2, "string"),
    ] {
        let (found, said) = parse(dialect, text).expect_err(text);
        assert!(said.contains(words), "{text}: {said}");
        assert_eq!(found, line, "{text}: {said}");
    }
}

#[test]
fn what_is_missing_is_a_doubt() {
    for (dialect, text, doubt) in [
        (
            Dialect::Npm,
            "{\"packages\": {\"\": {},\n\"node_modules/a\": {\"version\": \"1.0.0\", \"dependencies\": {\"b\": \"^1\"}}}}",
            "line 2: `node_modules/a` asks for `b` ^1, and the lockfile has none",
        ),
        (
            Dialect::Npm,
            "{\"packages\": {\"\": {\"devDependencies\": {\"b\": \"^1\"}}}}",
            "the project asks for `b` ^1, and the lockfile has none",
        ),
        (
            Dialect::Npm,
            "{\"packages\": {\"\": {},\n\"node_modules/a\": {}}}",
            "line 2: `node_modules/a` has no version",
        ),
        (
            Dialect::Yarn,
            "a@1:\n  version \"1.0.0\"\n  dependencies:\n    b \"^1\"\n",
            "line 1: `a@1` asks for `b` ^1, and the lockfile has none",
        ),
        (
            Dialect::Cargo,
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://x\"\ndependencies = [\"b\"]",
            "line 1: `a 1.0.0` asks for `b`, and the lockfile has none",
        ),
    ] {
        assert_eq!(
            parse(dialect, text),
            Ok((usize::from(!text.contains("devDep")), vec![doubt.to_owned()])),
            "{text}"
        );
    }
}

/// Every lockfile cut anywhere is an error; only those whose lines stand for themselves may end at the end of one.
#[test]
fn what_is_cut_short_is_never_whole() {
    let made = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lockfiles/made/plain"));
    for (name, dialect) in [
        ("npm-6.json", Dialect::Npm),
        ("npm-8.json", Dialect::Npm),
        ("npm-11.json", Dialect::Npm),
        ("bun-1.lock", Dialect::Bun),
    ] {
        let text = fs::read_to_string(made.join(name)).expect(name);
        let end = text.trim_end().len();
        for cut in (0..end).step_by(7) {
            assert!(parse(dialect, &text[..cut]).is_err(), "{name} at {cut}");
        }
        assert!(parse(dialect, &text[..end]).is_ok(), "{name}");
    }
}

#[test]
fn ten_thousand_levels_are_an_error() {
    let deep = 10_000;
    let nested = "{\"lockfileVersion\": 1, \"dependencies\": ".to_owned()
        + &"{\"a\": {\"dependencies\": ".repeat(deep)
        + "{}"
        + &"}}".repeat(deep)
        + "}";
    let path = vec!["node_modules/a"; deep].join("/");
    let key = vec!["a"; deep].join("/");
    for (dialect, text) in [
        (Dialect::Npm, nested),
        (Dialect::Npm, "[".repeat(deep)),
        (Dialect::Npm, format!("{{\"packages\": {{\"{path}\": {{}}}}}}")),
        (Dialect::Npm, format!("{{\"packages\": {{\"\": {{\"x\": {}}}}}}}", "[".repeat(deep))),
        (Dialect::Yarn, (0..deep).fold(String::new(), |text, level| text + &"  ".repeat(level) + "a:\n")),
        (Dialect::Pnpm, format!("lockfileVersion: 5.4\nx: {}", "[".repeat(deep))),
        (Dialect::Pnpm, (0..deep).fold(String::new(), |text, level| text + &" ".repeat(level) + "a:\n")),
        (Dialect::Bun, format!("{{\"lockfileVersion\": 1, \"packages\": {{\"{key}\": [\"a@1.0.0\"]}}}}")),
        (Dialect::Cargo, format!("x = {}", "[".repeat(deep))),
        (Dialect::Cargo, format!("[{}]", vec!["a"; deep].join("."))),
    ] {
        assert!(parse(dialect, &text).is_err(), "{text:.60}");
    }
}

#[test]
fn a_ring_of_packages_ends() {
    let ring = |name: &str, next: &str| {
        format!(
            "\"node_modules/{name}\": {{\"version\": \"1.0.0\", \"dependencies\": {{\"{next}\": \"1\"}}}}"
        )
    };
    let npm = format!("{{\"packages\": {{{}, {}}}}}", ring("a", "b"), ring("b", "a"));
    let yarn = "a@1:\n  version \"1\"\n  dependencies:\n    b \"1\"\nb@1:\n  version \"1\"\n  dependencies:\n    a \"1\"\n";
    let pnpm = "lockfileVersion: '9.0'\npackages:\n  a@1.0.0: {}\n  b@1.0.0: {}\nsnapshots:\n  a@1.0.0:\n    dependencies: {b: 1.0.0}\n  b@1.0.0:\n    dependencies: {a: 1.0.0}\n";
    for (dialect, text) in [(Dialect::Npm, npm.as_str()), (Dialect::Yarn, yarn), (Dialect::Pnpm, pnpm)] {
        assert_eq!(parse(dialect, text), Ok((2, vec![])), "{text}");
    }
}

/// A thousandfold of what is common. The time of each is that of its length: `bench/` says how long that is.
#[test]
fn a_large_lockfile_is_read_whole() {
    let count = 20_000;
    let mut npm = "{\"packages\": {\"\": {}".to_owned();
    let mut yarn = String::new();
    let mut pnpm = "lockfileVersion: '6.0'\npackages:\n".to_owned();
    let mut bun = "{\"lockfileVersion\": 1, \"packages\": {".to_owned();
    let mut cargo = "version = 4\n".to_owned();
    for number in 0..count {
        let next = (number + 1) % count;
        write!(npm, ",\n\"node_modules/p{number}\": {{\"version\": \"1.0.0\", \"dependencies\": {{\"p{next}\": \"^1\"}}}}")
            .expect("it fits");
        write!(yarn, "p{number}@^1:\n  version \"1.0.0\"\n  dependencies:\n    p{next} \"^1\"\n")
            .expect("it fits");
        write!(pnpm, "  /p{number}@1.0.0:\n    dependencies:\n      p{next}: 1.0.0\n").expect("it fits");
        writeln!(
            bun,
            "\"p{number}\": [\"p{number}@1.0.0\", \"\", {{\"dependencies\": {{\"p{next}\": \"^1\"}}}}, \"\"],"
        )
        .expect("it fits");
        write!(cargo, "[[package]]\nname = \"p{number}\"\nversion = \"1.0.0\"\nsource = \"registry+https://x\"\ndependencies = [\"p{next}\"]\n")
            .expect("it fits");
    }
    npm.push_str("}}");
    bun.push_str("}}");
    for (dialect, text) in [
        (Dialect::Npm, npm),
        (Dialect::Yarn, yarn),
        (Dialect::Pnpm, pnpm),
        (Dialect::Bun, bun),
        (Dialect::Cargo, cargo),
    ] {
        let (graph, doubts) = lockfile::parse(dialect, &text, &Surroundings::none()).expect("it is whole");
        assert_eq!((graph.packages.len(), doubts), (count, vec![]), "{dialect:?}");
        assert!(hygiene::judge(&graph, &Allowed::default()).len() <= count, "{dialect:?}");
    }
}

#[test]
fn doubts_are_told_up_to_a_hundred() {
    let mut text = "{\"packages\": {\"\": {\"dependencies\": {\"x\": \"1\"".to_owned();
    for number in 0..1_000 {
        write!(text, ", \"x{number}\": \"1\"").expect("it fits");
    }
    text.push_str("}}}}");
    assert_eq!(parse(Dialect::Npm, &text).map(|(_, doubts)| doubts.len()), Ok(100));
}

#[test]
fn what_is_no_lockfile_says_what_is() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-lockfile");
    fs::create_dir_all(&folder).expect("it can be made");
    let large = folder.join("yarn.lock");
    let length = File::create(&large).and_then(|file| file.set_len(LARGEST + 1));
    length.expect("a file of holes takes no room");
    fs::write(folder.join("bun.lock"), [0xff, 0xfe]).expect("it can be written");
    fs::write(folder.join("package-lock.json"), "{\n]").expect("it can be written");
    for (name, told, source) in [
        ("yarn.lock", "is larger than 33554432 bytes", ""),
        ("bun.lock", "cannot read", "UTF-8"),
        ("pnpm-lock.yaml", "cannot read", "No such file"),
        ("package.json", "nothing says which versions", ""),
        ("readme.md", "is no lockfile by its name", ""),
        ("package-lock.json", ", line 2", "line 2"),
    ] {
        let error = lockfile::read(&folder.join(name)).expect_err(name);
        assert!(error.to_string().contains(told), "{name}: {error}");
        let chained = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(chained.contains(source), "{name}: {chained}");
        assert!(!error.hint().is_empty());
        assert_eq!(matches!(error, LockfileError::Malformed { .. }), name == "package-lock.json");
    }
    fs::remove_dir_all(folder).expect("it is ours");
}
