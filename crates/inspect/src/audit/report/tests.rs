//! Every format of one report that has something of everything.

use std::time::Duration;

use jsonschema::Validator;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::terminal::Colour;
use super::*;
use crate::audit::Audit;
use crate::audit::advisory::Advisory;
use crate::audit::graph::{Graph, Scope, Source};
use crate::audit::ignore::Ignores;
use crate::audit::sketch::{List, advisory, sketch};

#[test]
fn the_table_is_by_package_and_says_what_to_do() {
    let (report, _) = whole();
    assert_eq!(terminal::print(&report, Colour::Off), TABLE);
}

#[test]
fn colours_change_nothing_but_colours() {
    let (report, _) = whole();
    let coloured = terminal::print(&report, Colour::On);
    assert!(coloured.contains("\u{1b}[1;41;97mattack"), "{coloured}");
    let mut plain = String::new();
    for (at, part) in coloured.split('\u{1b}').enumerate() {
        plain.push_str(if at == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    let trimmed: String = plain.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    assert_eq!(trimmed, TABLE);
}

#[test]
fn nobody_s_summary_moves_the_cursor() {
    let mut record = advisory("z", "GHSA-1", "", "0..");
    record.summary = "clean\u{1b}[2J\r\u{202e}kcatta".to_owned();
    let report = audit(&[sketch("> z")], vec![record], "");
    let table = terminal::print(&report, Colour::Off);
    assert!(!table.contains(['\u{1b}', '\r', '\u{202e}']), "{table}");
    assert!(table.contains(r"clean\u{1b}[2J\u{d}\u{202e}kcatta"), "{table}");
}

#[test]
fn json_has_the_shape_that_is_documented() {
    let (report, _) = whole();
    let page: Value = serde_json::from_str(&json::print(&report, Severity::Low)).unwrap();
    assert_eq!(keys(&page), KEYS);
    assert_eq!(keys(&page["findings"][0]), FINDING_KEYS);
    let finding = page["findings"].as_array().unwrap().iter().find(|one| one["package"] == "deep").unwrap();
    assert_eq!(
        *finding,
        json!({
            "id": "GHSA-4", "aliases": [], "ecosystem": "npm", "package": "deep", "version": "1.2.0",
            "severity": "moderate", "score": 5.3, "malicious": false,
            "summary": "what is wrong with deep", "url": "https://advisories.example/GHSA-4",
            "cwes": ["CWE-400"], "functions": [], "dev": false, "scope": "production",
            "lockfile": "package-lock.json", "line": 5,
            "paths": [["frame@2.0.0", "deep@1.2.0"]], "more_paths": false, "fixed": "2.0.0",
            "mend": {
                "kind": "upgrade", "to": "2.0.0", "command": null, "upgrade": ["frame"],
                "blockers": [{ "who": "frame@2.0.0", "range": "^1.0.0" }],
                "message": "upgrade frame to a version that takes deep 2.0.0: frame@2.0.0 asks for ^1.0.0",
            },
        })
    );
    assert_eq!(
        (&page["packages"], &page["ignored"], &page["verdict"]),
        (&json!(8), &json!(1), &json!("findings"))
    );
    let database =
        json!({ "records": 7, "imported": "1970-01-11T00:00:00Z", "newest": "1970-01-10T00:00:00Z" });
    assert_eq!(page["database"], database);
}

#[test]
fn what_was_in_an_earlier_report_is_no_news() {
    let (report, _) = whole();
    let earlier = Baseline::parse(&json::print(&report, Severity::Low)).unwrap();
    let again = report.clone().since(&earlier);
    assert_eq!((again.findings.len(), again.known), (0, report.findings.len()));
    // The same hole by another name is known, another hole of the same package is not.
    for (id, aliases, known) in
        [("GHSA-1", "", true), ("CVE-1", "", true), ("OSV-9", "CVE-1", true), ("GHSA-9", "", false)]
    {
        let record = advisory("update", id, aliases, "0..1.3.0");
        let now = audit(&[sketch("> update@1.2.5 ^1.0.0")], vec![record], "").since(&earlier);
        assert_eq!(now.findings.is_empty(), known, "{id} {aliases}");
    }
    assert!(Baseline::parse("{}").is_err());
}

#[test]
fn sarif_is_valid_by_its_schema() {
    let schema = schema("sarif-schema-2.1.0.json");
    let sarif = jsonschema::options().build(&schema).unwrap();
    for (name, report) in every_kind() {
        valid(&sarif, &sarif::print(&report, Severity::Low), name);
    }
    assert!(!sarif.is_valid(&json!({ "version": "2.1.0", "runs": [{}] })), "a schema that refuses nothing");
}

#[test]
fn sarif_leads_to_the_line_and_leaves_out_what_is_ignored() {
    let (report, _) = whole();
    let log: Value = serde_json::from_str(&sarif::print(&report, Severity::Low)).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "package-lock.json");
    assert_eq!(place["region"]["startLine"], 7);
    assert!(results.iter().all(|result| result["ruleId"] != "GHSA-6"));
    assert_eq!(results.len(), report.findings.len() + report.stale.len());
    for result in results {
        let rule = &log["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
    }
}

#[test]
fn cyclonedx_is_valid_by_its_schema_and_says_what_is_claimed() {
    let (bom, jsf, spdx) =
        (schema("bom-1.6.schema.json"), schema("jsf-0.82.schema.json"), schema("spdx.schema.json"));
    let registry = jsonschema::Registry::new()
        .add("http://cyclonedx.org/schema/jsf-0.82.schema.json", &jsf)
        .unwrap()
        .add("http://cyclonedx.org/schema/spdx.schema.json", &spdx)
        .unwrap()
        .prepare()
        .unwrap();
    let validator = jsonschema::options().with_registry(&registry).build(&bom).unwrap();
    let graphs = [graph()];
    for (name, report) in every_kind() {
        valid(&validator, &cyclonedx::print(&report, &graphs, now()), name);
    }
    assert!(!validator.is_valid(&json!({ "bomFormat": "CycloneDX", "specVersion": "1.6", "x": 1 })));

    let (report, graphs) = whole();
    let bom: Value = serde_json::from_str(&cyclonedx::print(&report, &graphs, now())).unwrap();
    let of = |id: &str| {
        bom["vulnerabilities"].as_array().unwrap().iter().find(|one| one["id"] == id).unwrap().clone()
    };
    assert_eq!(
        of("GHSA-6")["analysis"],
        json!({ "state": "not_affected", "detail": "never called (until 1970-02-01)" })
    );
    assert_eq!(of("GHSA-1").get("analysis"), None);
    let references: Vec<_> =
        bom["components"].as_array().unwrap().iter().map(|one| &one["bom-ref"]).collect();
    for vulnerability in bom["vulnerabilities"].as_array().unwrap() {
        assert!(references.contains(&&vulnerability["affects"][0]["ref"]), "{vulnerability}");
    }
}

#[test]
fn markdown_is_a_table_of_one_row_a_hole() {
    let (report, _) = whole();
    let page = markdown::print(&report, Severity::Low);
    assert!(page.starts_with("### Dependencies: 7 findings\n"), "{page}");
    let rows = page.lines().filter(|line| line.starts_with("| ")).count() - 1;
    assert_eq!(rows, report.findings.len());
    assert!(page.contains("| high 7.5 | update 1.2.0 | [GHSA-1](https://advisories.example/GHSA-1) what is wrong with update | update&#64;1.2.0 | <code>npm update update</code>"), "{page}");
}

#[test]
fn the_verdict_is_by_level_and_a_doubt_goes_before_all() {
    let high = || vec![advisory("z", "GHSA-1", "", "0..")];
    let stale = "[[ignore]]\nid = 'GHSA-9'\nreason = 'x'\n";
    for (records, ignores, doubts, level, verdict) in [
        (vec![], "", vec![], Severity::Low, Verdict::Clean),
        (high(), "", vec![], Severity::Low, Verdict::Findings),
        (high(), "", vec![], Severity::High, Verdict::Findings),
        (high(), "", vec![], Severity::Critical, Verdict::Clean),
        (high(), "", vec![Doubt::Incomplete], Severity::Low, Verdict::Unknown),
        (vec![], "", vec![Doubt::Incomplete], Severity::Critical, Verdict::Unknown),
        (vec![], stale, vec![], Severity::Low, Verdict::Findings),
        (vec![], stale, vec![], Severity::High, Verdict::Clean),
        (vec![], stale, vec![Doubt::Incomplete], Severity::Low, Verdict::Unknown),
    ] {
        let told = format!("{records:?} {ignores} {doubts:?} {level:?}");
        let report = judge(&[sketch("> z")], records, ignores, doubts, &[]);
        assert_eq!(report.verdict(level), verdict, "{told}");
    }
}

#[test]
fn what_is_omitted_is_neither_told_nor_makes_its_entry_needless() {
    let graph = [sketch("> z 1 dev")];
    let record = || vec![advisory("z", "GHSA-1", "", "0..")];
    let ignores = "[[ignore]]\nid = 'GHSA-1'\nreason = 'x'\n";
    for (ignores, omit, findings, ignored) in [
        ("", &[][..], 1, 0),
        ("", &[Scope::Development], 0, 0),
        ("", &[Scope::Optional], 1, 0),
        (ignores, &[], 0, 1),
        (ignores, &[Scope::Development], 0, 0),
    ] {
        let report = judge(&graph, record(), ignores, vec![], omit);
        let told = (report.findings.len(), report.ignored.len(), report.stale.len());
        assert_eq!(told, (findings, ignored, 0), "{ignores} {omit:?}");
    }
}

#[test]
fn what_the_lockfile_shows_needs_no_advisory_and_a_note_fails_nothing() {
    let http = || Source::Registry(Some("http://registry.example/z.tgz".to_owned()));
    for (source, script, ignores, level, flaws, ignored, verdict) in [
        (Source::Registry(None), false, "", Severity::Low, &[][..], 0, Verdict::Clean),
        (Source::Registry(None), true, "", Severity::Low, &["install-script"], 0, Verdict::Clean),
        (http(), false, "", Severity::Low, &["plain-http"], 0, Verdict::Findings),
        (http(), true, "", Severity::High, &["plain-http", "install-script"], 0, Verdict::Findings),
        (http(), false, "", Severity::Critical, &["plain-http"], 0, Verdict::Clean),
        (http(), false, "plain-http", Severity::Low, &[], 1, Verdict::Clean),
        (http(), false, "install-script", Severity::Low, &["plain-http"], 0, Verdict::Findings),
    ] {
        let mut graph = sketch("> z");
        (graph.packages[0].source, graph.packages[0].install_script) = (source, script);
        let row = format!("{:?} {script} {ignores} {level:?}", graph.packages[0].source);
        let ignores = match ignores {
            "" => String::new(),
            id => format!("[[ignore]]\nid = '{id}'\npackage = 'z'\nreason = 'ours'\n"),
        };
        let report = audit(&[graph], vec![], &ignores);
        let told: Vec<_> = report.flaws.iter().map(|flawed| flawed.flaw.id()).collect();
        assert_eq!((told.as_slice(), report.ignored_flaws), (flaws, ignored), "{row}");
        assert_eq!(report.verdict(level), verdict, "{row}");
        let known = Baseline::parse(&json::print(&report, level)).unwrap();
        assert!(report.since(&known).flaws.is_empty(), "{row}");
    }
}

#[test]
fn express_s_own_list_is_for_who_has_no_advisory() {
    let graph = || sketch("> express@4.17.1 ^4.17.0");
    let told = |records| {
        let report = audit(&[graph()], records, "");
        (report.findings.len(), report.flaws.len())
    };
    assert_eq!(told(vec![]), (0, 1));
    assert_eq!(told(vec![advisory("express", "GHSA-1", "", "0..4.19.2")]), (1, 0));
    assert_eq!(told(vec![advisory("express", "GHSA-1", "", "0..4.17.0")]), (0, 1));
}

/// A finding of each kind, one that is ignored, and an entry that is needless.
fn whole() -> (Report, Vec<Graph>) {
    let graph = graph();
    let mut records: Vec<Advisory> = [
        ("update", "GHSA-1", "CVE-1", "0..1.3.0"),
        ("raise", "GHSA-2", "", "0..2.0.0"),
        ("pinned", "GHSA-3", "", "0..=1.2.5"),
        ("deep", "GHSA-4", "", "0..2.0.0"),
        ("tool", "GHSA-5", "", "0.."),
        ("frame", "GHSA-6", "", "0..3.0.0"),
        ("evil", "MAL-7", "", "0.."),
    ]
    .map(|(package, id, aliases, spans)| advisory(package, id, aliases, spans))
    .to_vec();
    for (record, severity, score) in [
        (2, Some(Severity::Critical), Some(9.8)),
        (3, Some(Severity::Moderate), Some(5.3)),
        (4, None, None),
        (6, None, None),
    ] {
        (records[record].severity, records[record].score) = (severity, score);
    }
    records[6].malicious = true;
    records[4].url = String::new();
    let ignores = "[[ignore]]\nid = 'GHSA-6'\nreason = 'never called'\nexpires = 1970-02-01\nstate = 'not_affected'\n\
                   [[ignore]]\nid = 'GHSA-99'\nreason = 'gone'\n";
    (audit(std::slice::from_ref(&graph), records, ignores), vec![graph])
}

fn graph() -> Graph {
    let mut graph = sketch(
        "> update@1.2.0 ^1.0.0; > raise@1.0.0 ^1.0.0; > frame@2.0.0 ^2.0.0; frame > pinned@1.2.0 1.2.0; \
         frame > deep@1.2.0 ^1.0.0; > @scope/tool@0.1.0 ^0.1.0 dev; > evil@0.0.1 *; @scope/tool > tool@3.0.0 * dev",
    );
    graph.packages[4].line = Some(5);
    graph
}

/// Reports that a format could stumble over.
fn every_kind() -> Vec<(&'static str, Report)> {
    let (full, _) = whole();
    let mut flawed = full.clone();
    let mut graph = sketch("> express@3.0.0; > z");
    graph.packages[1].source = Source::Git("git+http://code.example/my z#main".to_owned());
    graph.packages[1].install_script = true;
    flawed.flaws = audit(&[graph], vec![], "").flaws;
    let mut doubtful = full.clone();
    doubtful.doubts = vec![
        Doubt::Incomplete,
        Doubt::Unread { what: "a/package-lock.json:3: cut short".to_owned(), hint: "again".to_owned() },
    ];
    let odd = {
        let mut odd = full.clone();
        for finding in &mut odd.findings {
            finding.lockfile = "my shop/päckage{lock}|.json".to_owned();
            finding.line = None;
            finding.hole.summary = String::new();
            finding.hole.cwes = vec!["CWE-x".to_owned(), "CWE-0".to_owned(), String::new()];
            finding.hole.url = "javascript:alert(1)".to_owned();
        }
        odd
    };
    vec![
        ("full", full),
        ("flawed", flawed),
        ("doubtful", doubtful),
        ("odd", odd),
        ("empty", Report::default()),
    ]
}

fn audit(graphs: &[Graph], records: Vec<Advisory>, ignores: &str) -> Report {
    judge(graphs, records, ignores, Vec::new(), &[])
}

fn judge(
    graphs: &[Graph],
    records: Vec<Advisory>,
    ignores: &str,
    doubts: Vec<Doubt>,
    omit: &[Scope],
) -> Report {
    let database = About {
        imported: 10 * 86_400,
        newest: "1970-01-10T00:00:00Z".to_owned(),
        records: records.len() as u64,
        ..About::default()
    };
    let list = List(records);
    let ignores = Ignores::parse(ignores).unwrap();
    let registries = ignores.registries();
    let audit = Audit { advisories: Some(&list), ignores: &ignores, registries, omit, now: now() };
    let mut report = audit.judge(graphs, doubts);
    report.database = Some(database);
    report
}

fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::from_secs(11 * 86_400)
}

fn schema(name: &str) -> Value {
    let path = format!("{}/tests/data/schemas/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn valid(validator: &Validator, page: &str, name: &str) {
    let page: Value = serde_json::from_str(page).unwrap();
    let wrong: Vec<_> =
        validator.iter_errors(&page).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{name}: {wrong:#?}");
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

const KEYS: [&str; 10] = [
    "database",
    "doubts",
    "findings",
    "flaws",
    "ignored",
    "known",
    "lockfiles",
    "packages",
    "stale_ignores",
    "verdict",
];
const FINDING_KEYS: [&str; 20] = [
    "aliases",
    "cwes",
    "dev",
    "ecosystem",
    "fixed",
    "functions",
    "id",
    "line",
    "lockfile",
    "malicious",
    "mend",
    "more_paths",
    "package",
    "paths",
    "scope",
    "score",
    "severity",
    "summary",
    "url",
    "version",
];
const TABLE: &str = include_str!("../../../tests/data/report.txt");
