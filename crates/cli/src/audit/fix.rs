//! `panoply audit fix`: the change is made in a copy, looked at, shown, and only then taken over.

mod installer;
mod settings;
mod sources;
mod workbench;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use panoply_inspect::audit::advisory::Severity;
use panoply_inspect::audit::finding::Finding;
use panoply_inspect::audit::fix::manager::Manager;
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
    let lockfile = root.join(&graph.file);
    let file_name = graph.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let manager = if lockfile.is_file() { Manager::of(file_name, &text(&lockfile)?) } else { None };
    let fix = manager.map(|manager| Fix::of(graph, &report.findings, Severity::Low, reach, manager));
    let (Some(manager), Some(mut fix)) = (manager, fix.filter(|fix| !fix.is_empty())) else {
        let why = match manager {
            Some(_) => "nothing here can be mended by a compatible version",
            None => "no package manager writes this",
        };
        say(&format!("{}: {why}; `panoply audit` says what to do about each", shown(&name)));
        return Ok(before.len());
    };
    let mut bench = Workbench::set_up(&lockfile, graph, manager)?;
    print_plan(&name, &fix, manager, &bench);

    bench.run(&fix)?;
    let (mut changed, mut after) = look(&bench, graph, basis)?;
    let held = changed.graphs.first().map(|graph| fix.hold(graph)).unwrap_or_default();
    if !held.is_empty() {
        let held = held.into_iter().collect::<Vec<_>>().join(" ");
        say(&shown(&format!("  overridden, since a range admits no better version: {held}")));
        bench.run(&fix)?;
        (changed, after) = look(&bench, graph, basis)?;
    }
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
    say(&format!("`{}` installs it", manager.install()));
    Ok(after.findings.len())
}

/// What an audit says of the copy.
fn look(bench: &Workbench, graph: &Graph, basis: &Basis) -> Result<(Project, Report), Trouble> {
    let changed = Project::read(&bench.lockfile())?.renamed(&graph.file);
    let report = basis.judge(&changed);
    Ok((changed, report))
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

fn print_plan(lockfile: &str, fix: &Fix, manager: Manager, bench: &Workbench) {
    say(&format!("{}:", shown(lockfile)));
    for raise in &fix.changes.raises {
        let manifest = bench.manifest(raise);
        say(&shown(&format!("  {}: {} {} becomes {}", manifest.display(), raise.name, raise.from, raise.to)));
    }
    for one in &fix.changes.overrides {
        let of = if manager.overrides_by_asker() {
            format!("of {} the dependency ", one.asker)
        } else {
            String::new()
        };
        say(&shown(&format!("  package.json: {of}{} is overridden with {}", one.name, one.to)));
    }
    let names: BTreeSet<&str> = fix.updates.keys().map(|installed| installed.name.as_str()).collect();
    say(&shown(&format!("  updated: {}", names.into_iter().collect::<Vec<_>>().join(" "))));
}

/// The versions of each package before and after.
fn print_changes(before: &Graph, after: &Graph) {
    let (old, new) = (versions(before), versions(after));
    for (name, now) in &new {
        let was = old.get(name).cloned().unwrap_or_default();
        let (gone, come) = (&was - now, now - &was);
        match (gone.is_empty(), come.is_empty()) {
            (true, true) => {}
            (true, false) => say(&shown(&format!("  + {name} {}", listed(&come)))),
            (false, true) => say(&shown(&format!("  {name} {} → {}", listed(&gone), listed(now)))),
            (false, false) => say(&shown(&format!("  {name} {} → {}", listed(&gone), listed(&come)))),
        }
    }
    for (name, was) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        say(&shown(&format!("  - {name} {}", listed(was))));
    }
}

fn versions(graph: &Graph) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &graph.packages {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    versions
}

fn listed(versions: &BTreeSet<&str>) -> String {
    versions.iter().copied().collect::<Vec<_>>().join(", ")
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
            "a lockfile needs its manifest beside it",
        )
    })
}
