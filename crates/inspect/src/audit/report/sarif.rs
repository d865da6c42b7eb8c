//! The report in SARIF 2.1.0, for code scanning. What is ignored is left out: nobody is to look at it twice.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Report, Verdict, words};
use crate::audit::advisory::Severity;
use crate::audit::finding::Finding;
use crate::audit::flaw::Flawed;
use crate::audit::hole::Hole;

/// The report as one run.
#[must_use]
pub fn print(report: &Report, level: Severity) -> String {
    let rules = Rules::of(report);
    let findings = report.findings.iter().map(|finding| rules.result(finding));
    let flaws = report.flaws.iter().map(|flawed| rules.flaw(flawed));
    let results: Vec<Value> = findings.chain(flaws).chain(rules.stale(report)).collect();
    let verdict = report.verdict(level);
    let run = json!({
        "tool": { "driver": {
            "name": "panoply",
            "version": env!("CARGO_PKG_VERSION"),
            "informationUri": env!("CARGO_PKG_REPOSITORY"),
            "rules": rules.list,
        }},
        "invocations": [{
            "executionSuccessful": verdict != Verdict::Unknown,
            "exitCode": verdict.exit_code(),
            "toolExecutionNotifications": report.doubts.iter().map(|doubt| json!({
                "level": "error",
                "message": { "text": format!("{doubt}\nhint: {}", doubt.hint()) },
            })).collect::<Vec<_>>(),
        }],
        "columnKind": "unicodeCodePoints",
        "results": results,
    });
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    });
    // What is serialised is a value already, which cannot fail.
    serde_json::to_string_pretty(&log).unwrap_or_default() + "\n"
}

/// Each hole is a rule, told once.
struct Rules<'r> {
    list: Vec<Value>,
    places: BTreeMap<&'r str, usize>,
}

impl<'r> Rules<'r> {
    fn of(report: &'r Report) -> Self {
        let mut rules = Self { list: Vec::new(), places: BTreeMap::new() };
        for finding in &report.findings {
            rules.add(&finding.hole.id, || rule(finding));
        }
        for flawed in &report.flaws {
            rules.add(flawed.flaw.id(), || {
                json!({
                    "id": flawed.flaw.id(),
                    "shortDescription": { "text": format!("A package of the lockfile {}", flawed.flaw) },
                    "defaultConfiguration": { "level": flaw_level(flawed) },
                })
            });
        }
        if !report.stale.is_empty() {
            rules.add(STALE, || {
                json!({
                    "id": STALE,
                    "shortDescription": { "text": "An entry of panoply.ignore.toml does nothing" },
                    "defaultConfiguration": { "level": "note" },
                })
            });
        }
        rules
    }

    fn add(&mut self, id: &'r str, rule: impl FnOnce() -> Value) {
        if !self.places.contains_key(id) {
            self.places.insert(id, self.list.len());
            self.list.push(rule());
        }
    }

    fn result(&self, finding: &Finding) -> Value {
        let hole = &finding.hole;
        let path =
            finding.paths.first().map_or(String::new(), |path| format!("\ncame by {}", path.join(" > ")));
        let text = format!(
            "{} {} has {}: {}{path}\nmend: {}",
            finding.package,
            finding.version,
            hole.id,
            hole.summary,
            words::mend(finding)
        );
        let print = [&finding.lockfile, &finding.package, &hole.id].map(|part| encoded(part)).join("|");
        json!({
            "ruleId": hole.id,
            "ruleIndex": self.places.get(hole.id.as_str()),
            "level": level(hole),
            "message": { "text": text },
            "locations": [place(&finding.lockfile, finding.line.unwrap_or(1))],
            "partialFingerprints": { "panoply/v1": print },
        })
    }

    fn flaw(&self, flawed: &Flawed) -> Value {
        let Flawed { flaw, package, version, lockfile, .. } = flawed;
        let print = [lockfile.as_str(), package, flaw.id()].map(encoded).join("|");
        json!({
            "ruleId": flaw.id(),
            "ruleIndex": self.places.get(flaw.id()),
            "level": flaw_level(flawed),
            "message": { "text": format!("{package} {version}: {flaw}\nmend: {}", flaw.hint()) },
            "locations": [place(lockfile, flawed.line.unwrap_or(1))],
            "partialFingerprints": { "panoply/v1": print },
        })
    }

    fn stale(&self, report: &'r Report) -> impl Iterator<Item = Value> {
        report.stale.iter().map(|stale| {
            json!({
                "ruleId": STALE,
                "ruleIndex": self.places.get(STALE),
                "level": "note",
                "message": { "text": words::stale(stale) },
                "locations": [place("panoply.ignore.toml", stale.entry.line)],
                "partialFingerprints": { "panoply/v1": format!("{STALE}|{}", encoded(&stale.entry.id)) },
            })
        })
    }
}

fn rule(finding: &Finding) -> Value {
    let hole = &finding.hole;
    let cwes = hole.cwes.iter().map(|cwe| format!("external/cwe/{}", cwe.to_lowercase()));
    let tags: Vec<String> = std::iter::once("security".to_owned()).chain(cwes).collect();
    let mut rule = json!({
        "id": hole.id,
        "shortDescription": { "text": if hole.summary.is_empty() { &hole.id } else { &hole.summary } },
        "fullDescription": { "text": format!("{} ({})", hole.summary, hole.names().collect::<Vec<_>>().join(", ")) },
        "defaultConfiguration": { "level": level(hole) },
        "properties": {
            "security-severity": score(hole),
            "tags": tags,
        },
    });
    if let (Some(object), true) = (rule.as_object_mut(), hole.url.starts_with("https://")) {
        object.insert("helpUri".to_owned(), encoded(&hole.url).into());
    }
    rule
}

/// GitHub sorts by this text; where there is no vector it is the middle of what the word stands for.
fn score(hole: &Hole) -> String {
    let middle = match hole.severity {
        _ if hole.malicious => 10.0,
        Some(Severity::Critical) => 9.5,
        Some(Severity::High) | None => 8.0,
        Some(Severity::Moderate) => 5.5,
        Some(Severity::Low) => 2.0,
    };
    format!("{:.1}", hole.score.filter(|score| *score > 0.0).unwrap_or(middle))
}

fn level(hole: &Hole) -> &'static str {
    match hole.severity {
        _ if hole.malicious => "error",
        Some(Severity::Critical | Severity::High) | None => "error",
        Some(Severity::Moderate) => "warning",
        Some(Severity::Low) => "note",
    }
}

fn flaw_level(flawed: &Flawed) -> &'static str {
    match flawed.severity() {
        Some(Severity::Critical | Severity::High) => "error",
        Some(Severity::Moderate) => "warning",
        Some(Severity::Low) | None => "note",
    }
}

fn place(file: &str, line: usize) -> Value {
    json!({ "physicalLocation": {
        "artifactLocation": { "uri": encoded(file) },
        "region": { "startLine": line },
    }})
}

/// As a URI reference holds it (RFC 3986 § 2.1); what is encoded already stays so.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, OUTSIDE_URI).to_string()
}

const OUTSIDE_URI: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
const STALE: &str = "panoply-ignore";
