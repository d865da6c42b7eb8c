//! What all formats say in the same words.

use std::fmt::Write;
use std::path::Path;

use crate::audit::advisory::Severity;
use crate::audit::finding::Finding;
use crate::audit::graph::Scope;
use crate::audit::hole::{Fixed, Hole};
use crate::audit::ignore::{Stale, Why};
use crate::audit::mend::{Blocker, Mend, Step};

/// Which program writes the lockfile, and so how it is told to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Installer {
    Npm,
    Yarn,
    Pnpm,
    Bun,
    Cargo,
}

impl Installer {
    pub(crate) fn of(lockfile: &str) -> Self {
        match Path::new(lockfile).file_name().and_then(|name| name.to_str()) {
            Some("yarn.lock") => Self::Yarn,
            Some("pnpm-lock.yaml") => Self::Pnpm,
            Some("bun.lock") => Self::Bun,
            Some("Cargo.lock") => Self::Cargo,
            _ => Self::Npm,
        }
    }

    /// Yarn 1 and Bun have no word that reaches below direct dependencies.
    fn update(self, package: &str) -> Option<String> {
        match self {
            Self::Npm => Some(format!("npm update {package}")),
            Self::Pnpm => Some(format!("pnpm update --depth Infinity {package}")),
            Self::Cargo => Some(format!("cargo update {package}")),
            Self::Yarn | Self::Bun => None,
        }
    }

    fn install(self, package: &str, range: &str) -> String {
        match self {
            Self::Npm => format!("npm install {package}@{range}"),
            Self::Yarn => format!("yarn add {package}@{range}"),
            Self::Pnpm => format!("pnpm add {package}@{range}"),
            Self::Bun => format!("bun add {package}@{range}"),
            Self::Cargo => format!("cargo add {package}@{range}"),
        }
    }

    /// Where a manifest says that a version is to be taken whoever asks.
    fn overrides(self) -> &'static str {
        match self {
            Self::Npm | Self::Bun => "overrides",
            Self::Yarn => "resolutions",
            Self::Pnpm => "pnpm.overrides",
            Self::Cargo => "patch",
        }
    }
}

/// What to do, in a sentence.
pub(crate) fn mend(finding: &Finding) -> String {
    let (package, installer) = (&finding.package, Installer::of(&finding.lockfile));
    match &finding.mend {
        Mend::Update { to } => {
            let step = match installer.update(package) {
                Some(command) => format!("`{command}`"),
                None => format!("take {package} out of {} and install again", finding.lockfile),
            };
            // That the last version with the hole is known does not say that a later one was published.
            match to {
                Fixed::In(version) => format!("{step}: every range that asks for it admits {version}"),
                Fixed::After(version) => {
                    format!(
                        "{step}: every range that asks for it admits a version after {version}, if there is one"
                    )
                }
            }
        }
        Mend::Raise { to, step } => {
            format!("`{}`{}", installer.install(package, &to.range()), major(*step))
        }
        Mend::Override { to, blockers } => format!(
            "override `{package}` with `{}` (`{}` in the manifest): {}",
            to.range(),
            installer.overrides(),
            in_the_way(blockers)
        ),
        Mend::Upgrade { to, blockers, directs } => format!(
            "upgrade {} to a version that takes {package} {to}: {}",
            list(directs, "whatever brings it"),
            in_the_way(blockers)
        ),
        Mend::Remove => {
            "remove it, and take what it could reach for read: the package is an attack".to_owned()
        }
        Mend::Nothing => match finding.hole.last_known() {
            Some(range) => format!("no version of the registry is without it; known to have it: {range}"),
            None => "no version without it is known".to_owned(),
        },
    }
}

/// The one command that does it, where there is one.
pub(crate) fn command(finding: &Finding) -> Option<String> {
    let installer = Installer::of(&finding.lockfile);
    match &finding.mend {
        Mend::Update { .. } => installer.update(&finding.package),
        Mend::Raise { to, .. } => Some(installer.install(&finding.package, &to.range())),
        Mend::Override { .. } | Mend::Upgrade { .. } | Mend::Remove | Mend::Nothing => None,
    }
}

fn major(step: Step) -> &'static str {
    match step {
        Step::Compatible => "",
        Step::Major => ": a new major version, which may break what uses it",
    }
}

fn in_the_way(blockers: &[Blocker]) -> String {
    let told: Vec<String> =
        blockers.iter().map(|one| format!("{} asks for {}", one.who, one.range)).collect();
    list(&told, "")
}

fn list(names: &[String], none: &str) -> String {
    match names {
        [] => none.to_owned(),
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [one, two, others @ ..] => format!("{one}, {two} and {} more", others.len()),
    }
}

/// `critical 9.8`, `attack`, `unknown`.
pub(crate) fn severity(hole: &Hole) -> String {
    if hole.malicious {
        return "attack".to_owned();
    }
    let mut told = hole.severity.map_or("unknown", name).to_owned();
    if let Some(score) = hole.score.filter(|score| *score > 0.0) {
        // A String takes whatever is written.
        let _ = write!(told, " {score:.1}");
    }
    told
}

/// In npm's words.
pub(crate) const fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Moderate => "moderate",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

pub(crate) const fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Production => "production",
        Scope::Optional => "optional",
        Scope::Development => "development",
    }
}

/// Why an entry of the ignore file is told.
pub(crate) fn stale(stale: &Stale) -> String {
    let Stale { entry, why } = stale;
    match (why, entry.expires) {
        (Why::Expired, Some(day)) => format!("{} was ignored until {day}", entry.id),
        (Why::Expired, None) => format!("{} is no longer ignored", entry.id),
        (Why::Needless, _) => {
            format!("{} is ignored, but nothing that is installed has it{}", entry.id, there(stale))
        }
    }
}

fn there(stale: &Stale) -> String {
    let package = stale.entry.package.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
    let path = stale.entry.path.as_ref().map(|path| format!(" by {path}")).unwrap_or_default();
    format!("{package}{path}")
}

/// `1 hole`, `2 holes`.
pub(crate) fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// Names come from registries, summaries from anybody: nothing in them may move a terminal's cursor or turn its text
/// round.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let hidden = c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let escaped = hidden.then(|| c.escape_unicode());
            let plain = (!hidden).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// RFC 3339, in UTC, to the second.
pub(crate) fn moment(at: time::OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    let (hour, minute, second) = at.to_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", at.date())
}
