//! `panoply audit fix`: the change is made in a copy, looked at, shown, and only then taken over.

mod workbench;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use panoply_inspect::audit::advisory::Severity;
use panoply_inspect::audit::finding::Finding;
use panoply_inspect::audit::fix::{Fix, Reach};
use panoply_inspect::audit::flaw::Flawed;
use panoply_inspect::audit::graph::Graph;
use panoply_inspect::audit::hygiene::Flaw;
use panoply_inspect::audit::report::{Report, Verdict};

use super::basis::Basis;
use super::project::Project;
use crate::args;
use crate::ask::shown;
use crate::trouble::Trouble;
use workbench::Workbench;

pub(super) fn fix(command: &args::Fix) -> Result<ExitCode, Trouble> {
    let project = Project::read(&command.path)?;
    let basis = Basis::open(&command.grounds, &project.root)?;
    let report = basis.judge(&project);
    if !report.doubts.is_empty() {
        super::tell(&report.doubts);
        return Ok(ExitCode::from(Verdict::Unknown.exit_code()));
    }
    let reach = if command.major { Reach::Majors } else { Reach::Compatible };
    let mut left =
        report.stale.len() + report.flaws.iter().filter(|flawed| flawed.severity().is_some()).count();
    for graph in &project.graphs {
        left += mend(graph, &project.root, &basis, &report, reach, command)?;
    }
    Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::from(Verdict::Findings.exit_code()) })
}

/// Mends one lockfile; how many holes are left in it.
fn mend(
    graph: &Graph,
    root: &Path,
    basis: &Basis,
    report: &Report,
    reach: Reach,
    command: &args::Fix,
) -> Result<usize, Trouble> {
    let name = graph.file.display().to_string();
    let before: Vec<&Finding> = report.findings.iter().filter(|finding| finding.lockfile == name).collect();
    if before.is_empty() {
        say(&format!("{}: nothing to mend", shown(&name)));
        return Ok(0);
    }
    let fix = Fix::of(graph, &report.findings, Severity::Low, reach);
    let npm = graph
        .file
        .file_name()
        .is_some_and(|name| name == "package-lock.json" || name == "npm-shrinkwrap.json");
    if fix.is_empty() || !npm {
        let why = if npm {
            "nothing here can be mended by a compatible version"
        } else {
            "only npm's lockfiles are written"
        };
        say(&format!("{}: {why}; `panoply audit` says what to do about each", shown(&name)));
        return Ok(before.len());
    }
    print_plan(&name, &fix);

    let bench = Workbench::set_up(&root.join(&graph.file), graph, &fix)?;
    bench.run(&fix)?;
    let changed = Project::read(bench.lockfile())?.renamed(&graph.file);
    let after = basis.judge(&changed);
    let news = news(&before, &after);
    if let Some(graph_after) = changed.graphs.first() {
        print_changes(graph, graph_after);
    }
    print_outcome(&before, &after);
    let flaws = new_flaws(report, &after);
    if !after.doubts.is_empty() || !news.is_empty() || !flaws.is_empty() {
        super::tell(&after.doubts);
        return Err(Trouble::new(
            format_args!("{}: the change would bring {}", shown(&name), told(&news, &flaws, &after)),
            "nothing was written; `panoply audit` says what to do about each",
        ));
    }
    if after.findings.len() >= before.len() {
        say("nothing would be mended: nothing was written");
        return Ok(before.len());
    }
    if command.dry_run {
        say("nothing was written");
        return Ok(before.len());
    }
    if !command.yes && !agreed()? {
        say("nothing was written");
        return Ok(before.len());
    }
    for file in bench.take_over()? {
        say(&format!("wrote {}", shown(&file.display().to_string())));
    }
    say("`npm ci` installs it");
    Ok(after.findings.len())
}

/// What was not there before.
fn news<'r>(before: &[&Finding], after: &'r Report) -> Vec<&'r Finding> {
    let known = |one: &&Finding| {
        before
            .iter()
            .any(|old| old.package == one.package && old.hole.names().any(|name| one.hole.is_called(name)))
    };
    after.findings.iter().filter(|one| !known(one)).collect()
}

/// Packages from elsewhere, or without a checksum. What Express's own list says is of versions, and an older one is
/// worse.
fn new_flaws<'r>(before: &Report, after: &'r Report) -> Vec<&'r Flawed> {
    let of_source = |one: &&Flawed| !matches!(one.flaw, Flaw::EndOfLife { .. } | Flaw::ExpressUpdate { .. });
    let known =
        |one: &&Flawed| before.flaws.iter().any(|old| old.package == one.package && old.flaw == one.flaw);
    let counts = |one: &&Flawed| one.severity().is_some();
    after.flaws.iter().filter(counts).filter(of_source).filter(|one| !known(one)).collect()
}

fn told(news: &[&Finding], flaws: &[&Flawed], after: &Report) -> String {
    let mut told: Vec<String> =
        news.iter().map(|one| format!("{} in {} {}", one.hole.id, one.package, one.version)).collect();
    told.extend(flaws.iter().map(|one| format!("{} in {} {}", one.flaw.id(), one.package, one.version)));
    if !after.doubts.is_empty() {
        told.push("doubts".to_owned());
    }
    shown(&told.join(", "))
}

fn print_plan(lockfile: &str, fix: &Fix) {
    say(&format!("{}:", shown(lockfile)));
    for raise in &fix.raises {
        let manifest = Path::new(&raise.folder).join("package.json");
        say(&shown(&format!("  {}: {} {} becomes {}", manifest.display(), raise.name, raise.from, raise.to)));
    }
    for one in &fix.overrides {
        say(&shown(&format!(
            "  package.json: of {} the dependency {} is overridden with {}",
            one.asker, one.name, one.to
        )));
    }
    let names: Vec<&str> = fix.updates.iter().map(String::as_str).collect();
    say(&shown(&format!("  updated: {}", names.join(" "))));
}

/// What is at each place before and after.
fn print_changes(before: &Graph, after: &Graph) {
    let versions = |graph: &Graph| -> std::collections::BTreeMap<String, String> {
        graph.packages.iter().map(|package| (package.place.clone(), package.version.clone())).collect()
    };
    let (old, new) = (versions(before), versions(after));
    for (place, version) in &new {
        match old.get(place) {
            None => say(&shown(&format!("  + {place} {version}"))),
            Some(was) if was != version => say(&shown(&format!("  {place} {was} → {version}"))),
            Some(_) => {}
        }
    }
    for (place, version) in old.iter().filter(|(place, _)| !new.contains_key(*place)) {
        say(&shown(&format!("  - {place} {version}")));
    }
}

fn print_outcome(before: &[&Finding], after: &Report) {
    say(&format!("holes: {} before, {} after", before.len(), after.findings.len()));
    for finding in &after.findings {
        say(&shown(&format!("  left: {} in {} {}", finding.hole.id, finding.package, finding.version)));
    }
}

#[expect(clippy::print_stderr, reason = "a question is no data")]
fn agreed() -> Result<bool, Trouble> {
    if !io::stdin().is_terminal() {
        return Err(Trouble::new(
            "nobody is here to ask",
            "say --yes to write the change, or --dry-run to see it",
        ));
    }
    eprint!("write this? [y/N] ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Trouble::new(format_args!("no answer: {error}"), "say --yes to write the change"))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[expect(clippy::print_stdout, reason = "what is changed is this command's data")]
fn say(line: &str) {
    println!("{line}");
}

/// A file of the project, with the reason where it cannot be read.
fn text(path: &Path) -> Result<String, Trouble> {
    fs::read_to_string(path).map_err(|error| {
        Trouble::new(
            format_args!("cannot read `{}`: {error}", path.display()),
            "a lockfile needs its package.json beside it",
        )
    })
}
