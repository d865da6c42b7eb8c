//! The report as JSON: for programs, and as a baseline. `docs/audit.md` has its shape, which only grows.

use serde::Serialize;

use super::{Report, Verdict, words};
use crate::audit::advisory::Severity;
use crate::audit::database::imported;
use crate::audit::finding::Finding;
use crate::audit::flaw::Flawed;
use crate::audit::graph::Scope;
use crate::audit::mend::{Blocker, Mend};

/// The report, indented.
#[must_use]
pub fn print(report: &Report, level: Severity) -> String {
    let verdict: Verdict = report.verdict(level);
    let page = Page {
        verdict: verdict.as_str(),
        findings: report.findings.iter().map(Line::of).collect(),
        flaws: report.flaws.iter().map(Mark::of).collect(),
        stale_ignores: report
            .stale
            .iter()
            .map(|one| Entry { id: &one.entry.id, line: one.entry.line, message: words::stale(one) })
            .collect(),
        ignored: report.ignored.len() + report.ignored_flaws,
        known: report.known,
        packages: report.packages,
        lockfiles: &report.lockfiles,
        database: report.database.as_ref().map(|database| Database {
            records: database.records,
            imported: words::moment(imported(database)),
            newest: &database.newest,
        }),
        doubts: report
            .doubts
            .iter()
            .map(|doubt| Trouble { message: doubt.to_string(), hint: doubt.hint() })
            .collect(),
    };
    // What is serialised are texts, numbers and lists, which cannot fail.
    serde_json::to_string_pretty(&page).unwrap_or_default() + "\n"
}

#[derive(Serialize)]
struct Page<'r> {
    verdict: &'static str,
    findings: Vec<Line<'r>>,
    flaws: Vec<Mark<'r>>,
    stale_ignores: Vec<Entry<'r>>,
    ignored: usize,
    known: usize,
    packages: usize,
    lockfiles: &'r [String],
    database: Option<Database<'r>>,
    doubts: Vec<Trouble>,
}

#[derive(Serialize)]
struct Line<'r> {
    id: &'r str,
    aliases: &'r [String],
    ecosystem: &'static str,
    package: &'r str,
    version: &'r str,
    severity: Option<&'static str>,
    score: Option<f64>,
    malicious: bool,
    summary: &'r str,
    url: &'r str,
    cwes: &'r [String],
    functions: &'r [String],
    dev: bool,
    scope: &'static str,
    lockfile: &'r str,
    line: Option<usize>,
    paths: &'r [Vec<String>],
    more_paths: bool,
    fixed: Option<String>,
    mend: Step<'r>,
}

#[derive(Serialize)]
struct Mark<'r> {
    id: &'static str,
    package: &'r str,
    version: &'r str,
    severity: Option<&'static str>,
    dev: bool,
    lockfile: &'r str,
    line: Option<usize>,
    message: String,
    hint: String,
}

#[derive(Serialize)]
struct Step<'r> {
    kind: &'static str,
    to: Option<String>,
    command: Option<String>,
    upgrade: &'r [String],
    blockers: Vec<Block<'r>>,
    message: String,
}

#[derive(Serialize)]
struct Block<'r> {
    who: &'r str,
    range: &'r str,
}

#[derive(Serialize)]
struct Entry<'r> {
    id: &'r str,
    line: usize,
    message: String,
}

#[derive(Serialize)]
struct Database<'r> {
    records: u64,
    imported: String,
    newest: &'r str,
}

#[derive(Serialize)]
struct Trouble {
    message: String,
    hint: String,
}

impl<'r> Line<'r> {
    fn of(finding: &'r Finding) -> Self {
        let hole = &finding.hole;
        Self {
            id: &hole.id,
            aliases: &hole.aliases,
            ecosystem: finding.ecosystem.as_str(),
            package: &finding.package,
            version: &finding.version,
            severity: hole.severity.map(words::name),
            score: hole.score.map(|score| (f64::from(score) * 10.0).round() / 10.0),
            malicious: hole.malicious,
            summary: &hole.summary,
            url: &hole.url,
            cwes: &hole.cwes,
            functions: &hole.functions,
            dev: finding.scope == Scope::Development,
            scope: words::scope(finding.scope),
            lockfile: &finding.lockfile,
            line: finding.line,
            paths: &finding.paths,
            more_paths: finding.more_paths,
            fixed: finding.fixed.as_ref().map(ToString::to_string),
            mend: Step::of(finding),
        }
    }
}

impl<'r> Mark<'r> {
    fn of(flawed: &'r Flawed) -> Self {
        Self {
            id: flawed.flaw.id(),
            package: &flawed.package,
            version: &flawed.version,
            severity: flawed.severity().map(words::name),
            dev: flawed.scope == Scope::Development,
            lockfile: &flawed.lockfile,
            line: flawed.line,
            message: flawed.flaw.to_string(),
            hint: flawed.flaw.hint(),
        }
    }
}

impl<'r> Step<'r> {
    fn of(finding: &'r Finding) -> Self {
        let (blockers, upgrade): (&[Blocker], &[String]) = match &finding.mend {
            Mend::Override { blockers, .. } => (blockers, &[]),
            Mend::Upgrade { blockers, directs, .. } => (blockers, directs),
            Mend::Update { .. } | Mend::Raise { .. } | Mend::Remove | Mend::Nothing => (&[], &[]),
        };
        Self {
            kind: finding.mend.kind(),
            to: finding.mend.to().map(ToString::to_string),
            command: words::command(finding),
            upgrade,
            blockers: blockers.iter().map(|one| Block { who: &one.who, range: &one.range }).collect(),
            message: words::mend(finding),
        }
    }
}
