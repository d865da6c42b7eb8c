//! Ranges and versions, as npm's own module answers.

use panoply_inspect::audit::range::Range;
use panoply_inspect::audit::version::Version;

#[test]
fn every_answer_is_npms() {
    let mut cases = 0;
    let mut wrong = Vec::new();
    for (line, case) in CASES.lines().enumerate() {
        let [version, range, audit, default] = case.split('\t').collect::<Vec<_>>()[..] else {
            panic!("line {}: {case:?}", line + 1);
        };
        cases += 1;
        let (told_audit, told_default) = (in_audit(version, range), by_default(version, range));
        if (told_audit, told_default) != (audit, default) {
            wrong.push(format!(
                "line {}: {version} in {range:?}: {told_audit} {told_default}, npm says {audit} {default}",
                line + 1
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(cases, 44_630);
}

/// What nobody writes on purpose, and some have written: made at random, answered by npm's module.
#[test]
fn odd_ranges_mean_what_they_mean_to_npm() {
    let mut wrong = Vec::new();
    for (line, case) in ODD_CASES.lines().enumerate() {
        let [version, range, audit, loose, default] = case.split('\t').collect::<Vec<_>>()[..] else {
            panic!("line {}: {case:?}", line + 1);
        };
        let installs = |version: Option<Version>, range: Option<Range>| match (version, range) {
            (_, None) => "B",
            (None, _) => "0",
            (Some(version), Some(range)) => answer(range.installs(&version)),
        };
        let told = [
            in_audit(version, range).get(..1).unwrap(),
            installs(Version::parse(version), Range::parse(range)),
            installs(Version::parse_strict(version), Range::parse_strict(range)),
        ];
        if told != [audit, loose, default] {
            wrong.push(format!("line {}: {case:?}: {told:?}", line + 1));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// `includePrerelease` and `loose`.
fn in_audit(version: &str, range: &str) -> &'static str {
    match (Version::parse(version), Range::parse(range)) {
        (_, None) => "BAD",
        (None, _) => "0",
        (Some(version), Some(range)) => answer(range.admits(&version)),
    }
}

/// Without either.
fn by_default(version: &str, range: &str) -> &'static str {
    match (Version::parse_strict(version), Range::parse_strict(range)) {
        (Some(version), Some(range)) => answer(range.installs(&version)),
        _ => "0",
    }
}

fn answer(yes: bool) -> &'static str {
    if yes { "1" } else { "0" }
}

/// Version, range, `satisfies` with `includePrerelease` and `loose`, `satisfies` without; `BAD` is a refused range.
const CASES: &str = include_str!("../data/semver_cases.tsv");
/// Version, range, and `satisfies` with both, with `loose`, with neither; `B` is a refused range.
const ODD_CASES: &str = include_str!("../data/semver_odd_cases.tsv");
