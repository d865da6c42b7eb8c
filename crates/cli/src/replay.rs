//! `panoply replay`: what a configuration would have refused of yesterday's requests.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use panoply_gateway::replay::{Count, Report, Rule, Site};

use crate::args::{Format, Replay};
use crate::ask::shown;
use crate::front;
use crate::trouble::Trouble;

#[expect(clippy::print_stdout, reason = "the report is this command's data")]
pub(crate) async fn replay(replay: Replay) -> Result<ExitCode, Trouble> {
    let config = front::file(replay.config.as_deref())?;
    let host = replay.host.map(|host| front::parse("--host", &host)).transpose()?;
    let mut replaying = panoply_gateway::replay::Replay::new(&config, host.as_ref())?;
    // All of them are opened before the first is read: a slip is told at once, and not after an hour.
    let logs = replay.logs.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    for (path, (log, size)) in replay.logs.iter().zip(logs) {
        let name = path.display().to_string();
        let read = replaying.read(&name, log, |lines, bytes| progress(&name, lines, bytes, size)).await;
        progress_ends();
        read.map_err(|error| trouble(path, &error))?;
    }
    let report = replaying.report().await;
    match replay.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default()),
        Format::Text => print!("{}", text(&report)),
    }
    if report.judged == 0 {
        return Err(Trouble::new(
            "there is no request in what was read",
            "name a log in nginx's combined format, or one that panoply has written with `access_log`",
        ));
    }
    Ok(ExitCode::from(u8::from(report.refused > 0)))
}

/// A log, and its size in bytes where it has one.
fn open(path: &Path) -> Result<(Box<dyn BufRead>, Option<u64>), Trouble> {
    if path == Path::new("-") {
        return Ok((Box::new(BufReader::with_capacity(BUFFER, io::stdin())), None));
    }
    let file = File::open(path).map_err(|error| trouble(path, &error))?;
    let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|file| file.len());
    Ok((Box::new(BufReader::with_capacity(BUFFER, file)), size))
}

fn trouble(path: &Path, error: &io::Error) -> Trouble {
    let hint = "check that the path is right and that this user may read it";
    Trouble::new(format_args!("cannot read `{}`: {error}", shown(&path.display().to_string())), hint)
}

/// One line that stays where it is, for who waits at a terminal.
#[expect(clippy::print_stderr, reason = "stdout is for the data")]
fn progress(name: &str, lines: u64, bytes: u64, size: Option<u64>) {
    if !io::stderr().is_terminal() {
        return;
    }
    let part = match size {
        Some(size) => format!(", {} %", 100 * bytes.min(size) / size.max(1)),
        None => format!(", {} MiB", bytes >> 20),
    };
    eprint!("\r{}: {} lines{part} ", shown(name), grouped(lines));
}

#[expect(clippy::print_stderr, reason = "stdout is for the data")]
fn progress_ends() {
    if io::stderr().is_terminal() {
        eprint!("\r\u{1b}[K");
    }
}

/// What visitors sent does not get in here; what the log is called does.
fn text(report: &Report) -> String {
    let mut text = summary(report);
    if !report.rules.is_empty() {
        text.push('\n');
        text.push_str(&rules(&report.rules));
        report.rules.iter().for_each(|rule| text.push_str(&most(rule)));
    }
    if report.sites.len() > 1 {
        text.push('\n');
        text.push_str(&sites(&report.sites));
    }
    if !report.not_judged.is_empty() {
        text.push_str("\nnot judged\n");
        let rows = report.not_judged.iter().map(|one| vec![format!("  {}", one.what), one.why.clone()]);
        text.push_str(&table(rows.collect(), 2));
    }
    if !report.complaints.is_empty() {
        text.push('\n');
    }
    // A String takes whatever is written, here and below.
    for complaint in &report.complaints {
        let _ = writeln!(text, "{}:{}: {}", shown(&complaint.log), complaint.line, complaint.why);
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn summary(report: &Report) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{} of {}", plural(report.lines, "line"), plural(report.logs.len() as u64, "log"));
    if let (Some(first), Some(last)) = (&report.first, &report.last) {
        let _ = writeln!(text, "from {first} to {last}");
    }
    let clients = plural(report.clients.count, "client");
    let about = if report.clients.exact { "" } else { "about " };
    for (count, what) in [
        (report.judged, format!("requests from {about}{clients}")),
        (report.no_request, "no request in HTTP, and refused then, too".to_owned()),
        (report.unreadable, "unreadable".to_owned()),
        (report.late, "out of order, not judged".to_owned()),
        (report.refused, "would be refused".to_owned()),
        (report.observed, "would be observed, and pass".to_owned()),
    ] {
        if count > 0 {
            let _ = writeln!(text, "{:>14}  {what}", grouped(count));
        }
    }
    if report.refused + report.observed == 0 && report.judged > 0 {
        text.push_str("nothing would be refused\n");
    }
    text
}

fn sites(sites: &[Site]) -> String {
    let heads = ["SITE", "REQUESTS", "REFUSED", "OBSERVED"].map(str::to_owned).to_vec();
    let rows = sites.iter().map(|site| {
        vec![site.site.clone(), grouped(site.judged), grouped(site.refused), grouped(site.observed)]
    });
    table(std::iter::once(heads).chain(rows).collect(), 1)
}

fn rules(rules: &[Rule]) -> String {
    let heads = ["PRACTICE", "RULE", "REFUSED", "OBSERVED", "ANSWERED THEN", "CLIENTS", "FIRST", "LAST"];
    let rows = rules.iter().map(|rule| {
        vec![
            rule.practice.to_owned(),
            rule.rule.clone().unwrap_or_default(),
            grouped(rule.refused),
            grouped(rule.observed),
            grouped(rule.answered),
            number(rule.clients),
            rule.first.clone(),
            rule.last.clone(),
        ]
    });
    table(std::iter::once(heads.map(str::to_owned).to_vec()).chain(rows).collect(), 2)
}

fn most(rule: &Rule) -> String {
    let name = rule.rule.as_ref().map_or(String::new(), |name| format!(" {name}"));
    let heads = ["  CLIENT", "HIT", "SHARE", "ANSWERED THEN"].map(str::to_owned).to_vec();
    let rows = rule.most.iter().map(|client| {
        let share = format!("{:.1} %", 100.0 * client.share);
        vec![format!("  {}", client.client), grouped(client.hit), share, grouped(client.answered)]
    });
    let rows = table(std::iter::once(heads).chain(rows).collect(), 1);
    format!("\n{}{name} hits most\n{rows}", rule.practice)
}

/// Columns as wide as what stands in them; figures to the right, after so many columns of words.
fn table(rows: Vec<Vec<String>>, words: usize) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(place, (cell, width))| {
            if place >= words { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") }
        });
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

fn number(count: Count) -> String {
    format!("{}{}", if count.exact { "" } else { "~" }, grouped(count.count))
}

fn plural(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

const BUFFER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_and_columns_aligned() {
        for (number, written) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), written);
        }
        let rows = [["NAME", "COUNT", "LAST"], ["a", "1,000", "x"], ["longer", "7", "yy"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec()).to_vec();
        assert_eq!(table(rows, 1), "NAME    COUNT  LAST\na       1,000     x\nlonger      7    yy\n");
    }
}
