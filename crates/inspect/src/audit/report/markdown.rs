//! The report for a pull request.

use std::fmt::Write;

use super::{Report, Verdict, words};
use crate::audit::advisory::Severity;
use crate::audit::finding::Finding;
use crate::audit::flaw::Flawed;

/// The report as GitHub's Markdown, where only what is at least as bad as `level` counts in its title.
#[must_use]
pub fn print(report: &Report, level: Severity) -> String {
    let mut page = String::new();
    let title = match report.verdict(level) {
        Verdict::Clean if report.findings.is_empty() => "no known holes".to_owned(),
        Verdict::Clean => format!("nothing of severity {} or above", words::name(level)),
        Verdict::Findings => {
            let flaws = report.flaws.iter().filter(|flawed| flawed.severity().is_some()).count();
            words::count(report.findings.len() + flaws + report.stale.len(), "finding")
        }
        Verdict::Unknown => "could not tell".to_owned(),
    };
    // A String takes whatever is written.
    let _ = writeln!(page, "### Dependencies: {title}\n");
    for doubt in &report.doubts {
        let _ = writeln!(
            page,
            "**Could not tell:** {}<br>{}\n",
            escaped(&doubt.to_string()),
            escaped(&doubt.hint())
        );
    }
    if !report.findings.is_empty() {
        page.push_str("| severity | package | hole | came by | mend |\n|---|---|---|---|---|\n");
        for finding in &report.findings {
            page.push_str(&row(finding));
        }
        page.push('\n');
    }
    for flawed in report.flaws.iter().filter(|flawed| flawed.severity().is_some()) {
        let Flawed { flaw, package, version, .. } = flawed;
        let _ = writeln!(
            page,
            "- {} {}",
            escaped(&format!("{package} {version} {flaw}: {}", flaw.hint())),
            flaw.id()
        );
    }
    for stale in &report.stale {
        let _ = writeln!(
            page,
            "- `panoply.ignore.toml` line {}: {}",
            stale.entry.line,
            escaped(&words::stale(stale))
        );
    }
    let _ = writeln!(
        page,
        "{} in {}; {} ignored; {} known before.",
        words::count(report.packages, "package"),
        words::count(report.lockfiles.len(), "lockfile"),
        report.ignored.len() + report.ignored_flaws,
        report.known
    );
    page
}

fn row(finding: &Finding) -> String {
    let hole = &finding.hole;
    let severity = escaped(&words::severity(hole));
    let package = format!("{} {}", escaped(&finding.package), escaped(&finding.version));
    let id = match address(&hole.url) {
        Some(url) => format!("[{}]({url})", escaped(&hole.id)),
        None => escaped(&hole.id),
    };
    let path = finding.paths.first().map_or(String::new(), |path| escaped(&path.join(" > ")));
    let others = if finding.more_paths || finding.paths.len() > 1 { " and others" } else { "" };
    let mend = with_code(&words::mend(finding));
    format!("| {severity} | {package} | {id} {} | {path}{others} | {mend} |\n", escaped(&hole.summary))
}

/// What stands between backticks as code. Names in it are anybody's too: so it is HTML, of which nothing is left to them.
fn with_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(at, part)| if at % 2 == 0 { escaped(part) } else { format!("<code>{}</code>", escaped(part)) })
        .collect()
}

/// Only what leads to a page, and cannot end the link that it stands in.
fn address(url: &str) -> Option<&str> {
    let plain =
        |c: char| c.is_ascii_graphic() && !matches!(c, '(' | ')' | '<' | '>' | '|' | '"' | '\\' | '`');
    (url.starts_with("https://") && url.chars().all(plain)).then_some(url)
}

/// A summary is anybody's text: no link, no image, no mention and no HTML may come of it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in words::shown(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '@' => escaped.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            _ => escaped.push(c),
        }
    }
    // A bare address becomes a link too.
    escaped.replace("://", "&#58;//").replace("www.", "www&#46;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_s_text_becomes_markup() {
        for (text, told) in [
            ("a|b", r"a\|b"),
            ("![x](http://e)", r"\!\[x\](http&#58;//e)"),
            ("<img src=x>", "&lt;img src=x&gt;"),
            ("@octocat #1 `x`", r"&#64;octocat \#1 \`x\`"),
            ("www.e.example", "www&#46;e.example"),
            ("a\nb", r"a\\u{a}b"),
        ] {
            assert_eq!(escaped(text), told);
        }
        assert_eq!(with_code("run `npm update <b>`: it"), "run <code>npm update &lt;b&gt;</code>: it");
        assert_eq!(address("javascript:alert(1)"), None);
        assert_eq!(address("https://a.example/x)[y"), None);
        assert_eq!(address("https://a.example/x"), Some("https://a.example/x"));
    }
}
