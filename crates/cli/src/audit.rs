//! `panoply audit`: are the dependencies safe?

mod basis;
mod fix;
pub(crate) mod gate;
mod project;
mod watch;
mod whole;

use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

use panoply_inspect::audit::advisory::Severity;
use panoply_inspect::audit::baseline::Baseline;
use panoply_inspect::audit::doubt::Doubt;
use panoply_inspect::audit::report::terminal::Colour;
use panoply_inspect::audit::report::{cyclonedx, json, markdown, sarif, terminal};

use crate::args::{Audit, AuditAct, Level, ReportFormat};
use crate::trouble::Trouble;
use basis::Basis;
use project::Project;

pub(crate) fn audit(command: Audit) -> Result<ExitCode, Trouble> {
    if let Some(AuditAct::Fix(fix)) = command.act {
        return fix::fix(&fix);
    }
    let project = Project::read(&command.path)?;
    let basis = Basis::open(&command.grounds, &project.root)?;
    let level = command.severity.severity();
    let mut report = basis.judge(&project);
    if let Some(file) = &command.baseline {
        report = report.since(&baseline(file)?);
    }
    let mut told = None;
    if command.watch {
        (report, told) = watch::since_last(report, level, &project.root)?;
    }
    let verdict = report.verdict(level);
    let page = match command.format {
        ReportFormat::Text => terminal::print(&report, colour()),
        ReportFormat::Json => json::print(&report, level),
        ReportFormat::Sarif => sarif::print(&report, level),
        ReportFormat::Cyclonedx => cyclonedx::print(&report, &project.graphs, basis.now),
        ReportFormat::Markdown => markdown::print(&report, level),
    };
    write(&page)?;
    if let Some(told) = told {
        told.keep()?;
    }
    if command.format != ReportFormat::Text {
        tell(&report.doubts);
    }
    Ok(ExitCode::from(verdict.exit_code()))
}

/// A report that could not be written is no answer; but who closes the pipe has read enough.
fn write(page: &str) -> Result<(), Trouble> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(page.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Trouble::new(
            format_args!("the report cannot be written: {error}"),
            "is there space where stdout leads to?",
        )),
        _ => Ok(()),
    }
}

fn baseline(file: &Path) -> Result<Baseline, Trouble> {
    let wrong = |error: &dyn std::fmt::Display| {
        Trouble::new(
            format_args!("--baseline: `{}`: {error}", file.display()),
            "write one with `panoply audit --format json > baseline.json`",
        )
    };
    let text = read(file, LARGEST_REPORT).map_err(|error| wrong(&error))?;
    Baseline::parse(&text).map_err(|error| wrong(&error))
}

/// A file of at most `most` bytes.
fn read(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::other(format!("larger than {most} bytes")));
    }
    Ok(text)
}

/// no-color.org: `NO_COLOR` that is not empty turns colours off.
fn colour() -> Colour {
    let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    if io::stdout().is_terminal() && !no_colour && !dumb { Colour::On } else { Colour::Off }
}

/// To stderr: who reads the data must not have to look into it for what it lacks.
fn tell(doubts: &[Doubt]) {
    for doubt in doubts.iter().take(DOUBTS) {
        Trouble::doubt("could not tell", doubt).print();
    }
    if let Some(more) = doubts.len().checked_sub(DOUBTS + 1) {
        Trouble::new(format_args!("and {} more reasons", more + 1), "the report has all of them").print();
    }
}

impl Level {
    const fn severity(self) -> Severity {
        match self {
            Self::Low => Severity::Low,
            Self::Moderate => Severity::Moderate,
            Self::High => Severity::High,
            Self::Critical => Severity::Critical,
        }
    }
}

/// So many are told one by one.
const DOUBTS: usize = 20;
/// In bytes: a hundred thousand findings.
const LARGEST_REPORT: u64 = 256 << 20;
