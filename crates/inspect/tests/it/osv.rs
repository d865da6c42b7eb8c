//! OSV records, read whole or as far as they go.

use panoply_inspect::audit::advisory::{Affected, End, Severity};
use panoply_inspect::audit::graph::Ecosystem;
use panoply_inspect::audit::matching::affects;
use panoply_inspect::audit::osv::{self, Loss};
use panoply_inspect::audit::range::Range;
use panoply_inspect::audit::version::Version;

#[test]
fn real_records_are_read_without_a_complaint() {
    let mut packages = 0;
    for (line, record) in RECORDS.lines().enumerate() {
        let record = osv::read(record.as_bytes()).unwrap();
        let lost: Vec<_> =
            record.complaints.iter().filter(|complaint| complaint.loss == Loss::Answer).collect();
        assert!(lost.is_empty(), "line {}: {lost:?}", line + 1);
        for (ecosystem, advisory) in &record.advisories {
            packages += 1;
            assert_eq!(*ecosystem, Ecosystem::Npm, "{}", advisory.id);
            assert!(!advisory.summary.is_empty(), "{}", advisory.id);
            assert!(advisory.url.starts_with("http"), "{}", advisory.id);
        }
    }
    assert_eq!(packages, 467);
}

/// What tells it is a category in RustSec's export, a weakness in GitHub's records, and the id in those of attacks.
#[test]
fn an_attack_is_told_in_each_maker_s_way() {
    let record = |id: &str, of_package: &str, of_record: &str| {
        format!(
            r#"{{"id":"{id}","affected":[{{"package":{{"ecosystem":"crates.io","name":"a"}},
"ranges":[{{"type":"SEMVER","events":[{{"introduced":"0.0.0-0"}}]}}],"database_specific":{{{of_package}}}}}],
"database_specific":{{{of_record}}}}}"#
        )
    };
    for (id, of_package, of_record, malicious) in [
        ("RUSTSEC-2023-0115", r#""categories":["malicious"],"cvss":null,"informational":null"#, "", true),
        ("RUSTSEC-2023-0115", r#""categories":["crypto-failure"]"#, "", false),
        ("GHSA-1", "", r#""cwe_ids":["CWE-506"]"#, true),
        ("GHSA-1", "", r#""cwe_ids":["CWE-79"]"#, false),
        ("MAL-2024-1", "", "", true),
    ] {
        let text = record(id, of_package, of_record);
        let read = osv::read(text.as_bytes()).unwrap();
        assert_eq!(read.complaints, [], "{text}");
        assert_eq!(read.advisories[0].1.malicious, malicious, "{text}");
    }
}

/// The records came with npm's ranges beside OSV's events: two ways to say the same.
#[test]
fn spans_and_npms_ranges_agree() {
    let mut asked = 0;
    for line in RECORDS.lines() {
        let raw: serde_json::Value = serde_json::from_str(line).unwrap();
        let record = osv::read(line.as_bytes()).unwrap();
        let (_, advisory) = &record.advisories[0];
        let Some(range) = raw["database_specific"]["vulnerable_versions"].as_str() else { continue };
        let Some(range) = Range::parse(range) else { continue };
        for version in neighbours(&advisory.affected) {
            let told = affects(Ecosystem::Npm, &advisory.affected, &version.to_string());
            asked += 1;
            assert_eq!(told, Some(range.admits(&version)), "{}: {version} in {range}", advisory.id);
        }
    }
    assert!(asked > 2_000, "{asked}");
}

#[test]
fn a_field_of_another_type_costs_no_more_than_itself() {
    let record = |field: &str| {
        format!(
            r#"{{"id":"GHSA-1","unknown":[1],
 "affected":[{{"package":{{"ecosystem":"npm","name":"a"}},
  "ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"2.0.0"}}]}}]}}],
 {field}}}"#
        )
    };
    for (field, complaints) in [
        (r#""summary":"s""#, &[][..]),
        (r#""summary":7"#, &[(4, Loss::Detail)]),
        (r#""aliases":["CVE-1",{}]"#, &[(4, Loss::Detail)]),
        (r#""severity":[{"type":"CVSS_V9","score":"?"}]"#, &[]),
        (r#""severity":"HIGH""#, &[(4, Loss::Detail)]),
        (r#""references":[{"type":"WEB"}]"#, &[(4, Loss::Detail)]),
        (r#""database_specific":{"severity":3,"cwe_ids":"CWE-1"}"#, &[(4, Loss::Detail), (4, Loss::Detail)]),
        (r#""withdrawn":null"#, &[]),
        (r#""withdrawn":12"#, &[(4, Loss::Detail)]),
    ] {
        let read = osv::read(record(field).as_bytes()).unwrap();
        let told: Vec<_> = read.complaints.iter().map(|complaint| (complaint.line, complaint.loss)).collect();
        assert_eq!(told, complaints, "{field}: {:?}", read.complaints);
        assert!(!read.withdrawn, "{field}");
        let affected = &read.advisories[0].1.affected;
        assert_eq!(affects(Ecosystem::Npm, affected, "1.0.0"), Some(true), "{field}");
        assert_eq!(affects(Ecosystem::Npm, affected, "2.0.0"), Some(false), "{field}");
    }
}

#[test]
fn what_could_be_an_answer_is_never_read_as_no() {
    let record = |affected: &str| {
        format!(
            r#"{{"id":"GHSA-1","affected":[{{"package":{{"ecosystem":"npm","name":"a"}},{affected}}},
                {{"package":{{"ecosystem":"npm","name":"b"}},"versions":["1.0.0"]}}]}}"#
        )
    };
    for (affected, told) in [
        (r#""ranges":[{"type":"SEMVER","events":[{"introduced":"1.0.0"}]}]"#, Some(true)),
        (r#""ranges":"all""#, None),
        (r#""ranges":[7]"#, None),
        (r#""ranges":[{"type":"CALENDAR","events":[{"introduced":"0"}]}]"#, None),
        (r#""ranges":[{"type":"SEMVER","events":[{"introduced":1}]}]"#, None),
        (r#""ranges":[{"type":"SEMVER","events":[{"began":"0"}]}]"#, None),
        (r#""ranges":[{"type":"SEMVER","events":[{"introduced":"soon"}]}]"#, None),
        (r#""ranges":[{"type":"CALENDAR"}],"versions":["1.0.0"]"#, Some(true)),
        (r#""ranges":[{"type":"GIT","events":[{"introduced":"0"}]}],"versions":["0.9.0"]"#, Some(false)),
        (r#""versions":[]"#, Some(false)),
    ] {
        let read = osv::read(record(affected).as_bytes()).unwrap();
        let of = |name: &str| {
            let found = read.advisories.iter().find(|(_, advisory)| advisory.package == name);
            &found.unwrap_or_else(|| panic!("{affected}: nothing of {name}")).1.affected
        };
        assert_eq!(affects(Ecosystem::Npm, of("a"), "1.0.0"), told, "{affected}");
        assert_eq!(affects(Ecosystem::Npm, of("b"), "1.0.0"), Some(true), "{affected}");
    }
}

#[test]
fn a_record_that_is_lost_says_so() {
    for (text, line, loss) in [
        (&b"{\"id\":\"GHSA-1\",\n\"affected\":["[..], 2, Loss::Answer),
        (b"[]", 1, Loss::Answer),
        (b"{\"affected\":[]}", 1, Loss::Answer),
        (b"{\"id\":7}", 1, Loss::Answer),
        (b"{\"name\":\"a package.json\"}", 1, Loss::Detail),
        (b"{\"id\":\n\"\xff\"}", 2, Loss::Answer),
        (b"{\"id\":\"a\",\"id\":\"b\"}", 1, Loss::Answer),
    ] {
        let complaint = osv::read(text).unwrap_err();
        assert_eq!((complaint.line, complaint.loss), (line, loss), "{}", text.escape_ascii());
    }
    let affected = br#"{"id":"GHSA-1","affected":[{"package":{"name":"a"}}]}"#;
    assert_eq!(osv::read(affected).unwrap().complaints[0].loss, Loss::Answer);
}

#[test]
fn makers_say_the_same_in_different_places() {
    let github = osv::read(GITHUB.as_bytes()).unwrap();
    let names: Vec<_> = github.advisories.iter().map(|(_, advisory)| advisory.package.as_str()).collect();
    assert_eq!(names, ["lodash", "lodash-es"]);
    let lodash = &github.advisories[0].1;
    assert_eq!(lodash.severity, Some(Severity::High));
    assert_eq!(lodash.score, Some(7.2));
    assert_eq!(lodash.cwes, ["CWE-77"]);
    assert_eq!(lodash.functions, ["lodash.template"]);
    assert_eq!(lodash.url, "https://github.com/advisories/GHSA-35jh-r3h4-6jhm");
    assert_eq!(lodash.affected.spans.len(), 2, "two entries of one package are one");
    assert!(!lodash.malicious);

    let attack = osv::read(ATTACK.as_bytes()).unwrap();
    assert!(attack.advisories[0].1.malicious);
    assert_eq!(attack.advisories[0].1.summary, "It steals tokens.");

    let outside = osv::read(OUTSIDE.as_bytes()).unwrap();
    let affected = &outside.advisories[0].1.affected;
    assert_eq!(affects(Ecosystem::Npm, affected, "0.18.5"), Some(true));
    assert_eq!(affects(Ecosystem::Npm, affected, "0.20.2"), Some(false));
}

/// Every bound, and what lies beside it.
fn neighbours(affected: &Affected) -> Vec<Version> {
    let mut bounds = vec!["0.0.0", "999.0.0"];
    for span in &affected.spans {
        bounds.push(&span.introduced);
        match &span.end {
            End::Fixed(bound) | End::LastAffected(bound) => bounds.push(bound),
            End::Open => {}
        }
    }
    let beside = bounds.into_iter().flat_map(|bound| {
        let release = bound.split('-').next().unwrap_or_default();
        let (rest, patch) = release.rsplit_once('.').unwrap_or(("0.0", "0"));
        [bound.to_owned(), format!("{rest}.{}", patch.parse().unwrap_or(0) + 1)]
    });
    beside.filter_map(|version| Version::parse_bound(&version)).collect()
}

const RECORDS: &str = include_str!("../data/osv_npm.jsonl");

const GITHUB: &str = r#"{"schema_version":"1.4.0","id":"GHSA-35jh-r3h4-6jhm","aliases":["CVE-2021-23337"],
    "modified":"2024-04-17T18:39:19Z","summary":"Command Injection in lodash",
    "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H"}],
    "affected":[
      {"package":{"ecosystem":"npm","name":"lodash"},"ecosystem_specific":{"affected_functions":["lodash.template"]},
       "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"4.17.21"}]}]},
      {"package":{"ecosystem":"npm","name":"lodash-es"},
       "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"4.17.21"}]}]},
      {"package":{"ecosystem":"npm","name":"lodash"},
       "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"5.0.0-alpha.1"},{"fixed":"5.0.0"}]}]},
      {"package":{"ecosystem":"RubyGems","name":"lodash-rails"},
       "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}],
    "database_specific":{"severity":"HIGH","cwe_ids":["CWE-77"],"github_reviewed":true}}"#;
const ATTACK: &str = r#"{"id":"MAL-2025-191025","aliases":["GHSA-x"],"details":"\n# It steals tokens.\nMore.",
    "affected":[{"package":{"ecosystem":"npm","name":"a"},"versions":["0.0.7"]}]}"#;
const OUTSIDE: &str = r#"{"id":"GHSA-4r6h-8v6p-xvw6","summary":"Prototype Pollution in sheetJS",
    "affected":[{"package":{"ecosystem":"npm","name":"xlsx"},
      "ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],
      "database_specific":{"last_known_affected_version_range":"< 0.19.3"}}]}"#;
