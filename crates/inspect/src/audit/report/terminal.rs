//! The report for a person at a terminal: by package, worst first, with what to do beside what is wrong.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Report, words};
use crate::audit::advisory::Severity;
use crate::audit::database::imported;
use crate::audit::finding::Finding;
use crate::audit::flaw::Flawed;
use crate::audit::graph::Scope;

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Where it is read at a terminal.
    On,
    /// In a file or a pipe, and where `NO_COLOR` is set (no-color.org).
    Off,
}

/// The report.
#[must_use]
pub fn print(report: &Report, colour: Colour) -> String {
    let pen = Pen(colour);
    let mut page = String::new();
    let several = report.lockfiles.len() > 1;
    for package in packages(&report.findings) {
        print_package(&mut page, &package, pen, several);
    }
    print_flaws(&mut page, &report.flaws, pen, several);
    for stale in &report.stale {
        line(
            &mut page,
            &format!("{}  {}", pen.bold("panoply.ignore.toml"), words::shown(&words::stale(stale))),
        );
        line(
            &mut page,
            &format!("  mend      take the entry at line {} out, or look again\n", stale.entry.line),
        );
    }
    for doubt in report.doubts.iter().take(DOUBTS) {
        line(&mut page, &format!("{} {}", pen.bad("could not tell:"), words::shown(&doubt.to_string())));
        line(&mut page, &format!("  hint: {}\n", words::shown(&doubt.hint())));
    }
    if report.doubts.len() > DOUBTS {
        line(&mut page, &format!("and {} more reasons; JSON has all\n", report.doubts.len() - DOUBTS));
    }
    line(&mut page, &summary(report));
    line(&mut page, &database(report));
    page
}

/// All the holes of one version of one package in one lockfile.
struct Group<'r>(Vec<&'r Finding>);

/// In the order of the worst hole of each.
fn packages(findings: &[Finding]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for finding in findings {
        let key = (&finding.lockfile, &finding.package, &finding.version);
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(Group(Vec::new()));
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(place) {
            group.0.push(finding);
        }
    }
    groups
}

fn print_package(page: &mut String, group: &Group<'_>, pen: Pen, several: bool) {
    let Some(first) = group.0.first() else { return };
    let name = format!("{} {}", words::shown(&first.package), words::shown(&first.version));
    let scope = match first.scope {
        Scope::Production => String::new(),
        other => format!("  ({})", words::scope(other)),
    };
    let lockfile = if several { format!("  in {}", words::shown(&first.lockfile)) } else { String::new() };
    line(page, &format!("{}{}", pen.bold(&name), pen.dim(&format!("{scope}{lockfile}"))));

    let ids = group.0.iter().map(|finding| finding.hole.id.chars().count()).max().unwrap_or(0);
    for finding in &group.0 {
        let hole = &finding.hole;
        let severity = pen.severity(&format!("{:<13}", words::severity(hole)), hole.severity, hole.malicious);
        let id = words::shown(&hole.id);
        let summary = cut(&words::shown(&hole.summary), SUMMARY);
        line(page, &format!("  {severity}  {id:<ids$}  {summary}"));
        if !hole.url.is_empty() {
            line(page, &pen.dim(&format!("{:17}{}", "", words::shown(&hole.url))));
        }
    }
    print_paths(page, first);
    let mut mends: Vec<String> = group.0.iter().map(|finding| words::mend(finding)).collect();
    mends.dedup();
    let one_for_all = mends.len() == 1;
    for (finding, mend) in group.0.iter().zip(&mends) {
        let which = if one_for_all { String::new() } else { format!("{}: ", finding.hole.id) };
        line(page, &format!("  mend      {}", words::shown(&format!("{which}{mend}"))));
    }
    page.push('\n');
}

/// What is wrong each by itself; notes, of which there can be many, in a line a kind.
fn print_flaws(page: &mut String, flaws: &[Flawed], pen: Pen, several: bool) {
    let mut notes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for flawed in flaws {
        let name = format!("{} {}", words::shown(&flawed.package), words::shown(&flawed.version));
        let flaw = words::shown(&flawed.flaw.to_string());
        let Some(severity) = flawed.severity() else {
            let kind = format!("{}: {}", flawed.flaw.id(), words::shown(&flawed.flaw.hint()));
            notes.entry(kind).or_default().push(name);
            continue;
        };
        let lockfile =
            if several { format!("  in {}", words::shown(&flawed.lockfile)) } else { String::new() };
        line(page, &format!("{}{}", pen.bold(&name), pen.dim(&lockfile)));
        let word = pen.severity(&format!("{:<13}", words::name(severity)), Some(severity), false);
        line(page, &format!("  {word}  {}  {flaw}", flawed.flaw.id()));
        line(page, &format!("  mend      {}\n", words::shown(&flawed.flaw.hint())));
    }
    for (kind, names) in notes {
        let told = names.iter().take(NOTES).cloned().collect::<Vec<_>>().join(", ");
        let more = match names.len().saturating_sub(NOTES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        line(page, &pen.dim(&format!("note: {kind}")));
        line(page, &pen.dim(&format!("      {told}{more}\n")));
    }
}

fn print_paths(page: &mut String, finding: &Finding) {
    for (at, path) in finding.paths.iter().take(PATHS).enumerate() {
        let label = if at == 0 { "came by" } else { "" };
        line(page, &format!("  {label:<9} {}", words::shown(&path.join(" > "))));
    }
    let hidden = finding.paths.len().saturating_sub(PATHS);
    match (finding.more_paths, hidden) {
        (true, _) => line(page, "            and by others"),
        (false, 0) => {}
        (false, hidden) => line(page, &format!("            and by {hidden} more")),
    }
}

/// What was found, in a line.
fn summary(report: &Report) -> String {
    let findings = &report.findings;
    let scope = format!(
        "{} in {}",
        words::count(report.packages, "package"),
        words::count(report.lockfiles.len(), "lockfile")
    );
    let mut told = match findings.len() {
        0 if report.doubts.is_empty() => format!("no known holes in {scope}"),
        0 => format!("no answer for {scope}"),
        many => {
            let packages = words::count(packages(findings).len(), "package");
            format!("{} in {packages} ({}) of {scope}", words::count(many, "hole"), by_severity(findings))
        }
    };
    // A String takes whatever is written.
    if !report.stale.is_empty() {
        let _ = write!(told, "; {} of the ignore file to mend", words::count(report.stale.len(), "line"));
    }
    let flaws = report.flaws.iter().filter(|flawed| flawed.severity().is_some()).count();
    if flaws > 0 {
        let _ = write!(
            told,
            "; {}",
            match flaws {
                1 => "1 flaw of the lockfile".to_owned(),
                _ => format!("{flaws} flaws of the lockfile"),
            }
        );
    }
    let ignored = report.ignored.len() + report.ignored_flaws;
    if ignored > 0 {
        let _ = write!(told, "; {ignored} ignored");
    }
    if report.known > 0 {
        let _ = write!(told, "; {} known before", report.known);
    }
    told
}

fn by_severity(findings: &[Finding]) -> String {
    let attacks = findings.iter().filter(|finding| finding.hole.malicious).count();
    let of = |severity: Option<Severity>| {
        findings.iter().filter(|finding| !finding.hole.malicious && finding.hole.severity == severity).count()
    };
    let counts = [
        (attacks, "attack"),
        (of(Some(Severity::Critical)), "critical"),
        (of(Some(Severity::High)), "high"),
        (of(Some(Severity::Moderate)), "moderate"),
        (of(Some(Severity::Low)), "low"),
        (of(None), "unknown"),
    ];
    let told =
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}"));
    told.collect::<Vec<_>>().join(", ")
}

/// What it was gone by.
fn database(report: &Report) -> String {
    let Some(about) = &report.database else { return "advisories: none".to_owned() };
    let records = words::count(usize::try_from(about.records).unwrap_or(usize::MAX), "record");
    let imported = words::moment(imported(about));
    match about.newest.as_str() {
        "" => format!("advisories: {records}, imported {imported}"),
        newest => {
            format!("advisories: {records}, imported {imported}, the newest of {}", words::shown(newest))
        }
    }
}

fn line(page: &mut String, text: &str) {
    page.push_str(text.trim_end_matches(' '));
    page.push('\n');
}

fn cut(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text).trim_end()),
        None => text.to_owned(),
    }
}

/// ECMA-48's colours.
#[derive(Clone, Copy)]
struct Pen(Colour);

impl Pen {
    fn bold(self, text: &str) -> String {
        self.write("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.write("2", text)
    }

    fn bad(self, text: &str) -> String {
        self.write("1;31", text)
    }

    fn severity(self, text: &str, severity: Option<Severity>, malicious: bool) -> String {
        match severity {
            _ if malicious => self.write("1;41;97", text),
            Some(Severity::Critical) => self.write("1;31", text),
            Some(Severity::High) | None => self.write("31", text),
            Some(Severity::Moderate) => self.write("33", text),
            Some(Severity::Low) => self.write("36", text),
        }
    }

    fn write(self, code: &str, text: &str) -> String {
        match self.0 {
            Colour::On if !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}

/// Of each package so many paths are shown; JSON has more.
const PATHS: usize = 3;
/// So many reasons of not knowing are told.
const DOUBTS: usize = 20;
/// Of each kind of note so many packages are named; JSON has all.
const NOTES: usize = 8;
/// Characters of a summary.
const SUMMARY: usize = 90;
