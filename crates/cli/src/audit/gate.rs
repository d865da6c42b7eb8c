//! The dependencies of the app that `panoply run` starts: audited before it starts, and again when other advisories come.
//!
//! What is installed for development alone is left out: it does not run here.

use std::path::Path;
use std::time::{Duration, SystemTime};

use panoply_gateway::dependencies::{Dependencies, Standing};
use panoply_inspect::audit::advisory::Severity;
use panoply_inspect::audit::doubt::Doubt;
use panoply_inspect::audit::report::{Report, Verdict};

use super::basis::Basis;
use super::project::Project;
use crate::advisories;
use crate::args::{Database, Gate, Grounds, Level, Omit};
use crate::trouble::Trouble;

/// Tells how the dependencies in this folder stand, and says no where the policy does.
pub(crate) async fn admit(gate: Gate, told: &Dependencies) -> Result<(), Trouble> {
    let Some(refused) = gate.refused() else {
        return Ok(());
    };
    match tokio::task::spawn_blocking(look).await {
        // Who never imported advisories is told where to begin, and not warned at every start.
        Ok(Ok(Some(report))) if refused.is_none() && lacks_database(&report) => {
            tracing::info!(
                practice = "dependencies",
                "not audited: there are no advisories yet; `panoply advisories update` gets them"
            );
            Ok(())
        }
        Ok(Ok(Some(report))) => {
            told.tell(standing(&report));
            refused.map_or(Ok(()), |level| refuse(&report, level))
        }
        Ok(Ok(None)) if refused.is_none() => Ok(()),
        Ok(Ok(None)) => Err(Trouble::new(
            "no lockfile says what the app installs, so its dependencies cannot be audited",
            "start it in the project's folder, or leave out --dependencies",
        )),
        Ok(Err(trouble)) if refused.is_some() => Err(trouble),
        Ok(Err(trouble)) => {
            tracing::warn!(practice = "dependencies", %trouble, "not audited");
            Ok(())
        }
        Err(error) => Err(Trouble::new(format_args!("the audit ended: {error}"), "leave out --dependencies")),
    }
}

/// Looks again whenever the database is another one; never ends.
pub(crate) async fn keep(gate: Gate, told: Dependencies) {
    let place = advisories::place(&Database::default()).ok();
    let (Some(place), Some(_)) = (place, gate.refused()) else {
        return std::future::pending().await;
    };
    let mut seen = changed(&place);
    loop {
        tokio::time::sleep(PAUSE).await;
        let now = changed(&place);
        if now != seen {
            seen = now;
            if let Ok(Ok(Some(report))) = tokio::task::spawn_blocking(look).await {
                told.tell(standing(&report));
            }
        }
    }
}

/// An audit of this folder; `None` where nothing in it is locked.
fn look() -> Result<Option<Report>, Trouble> {
    let project = Project::here(Path::new("."))?;
    if project.graphs.is_empty() && project.doubts.is_empty() {
        return Ok(None);
    }
    let grounds = Grounds { omit: vec![Omit::Dev], ..Grounds::default() };
    Ok(Some(Basis::open(&grounds, &project.root)?.judge(&project)))
}

fn refuse(report: &Report, level: Level) -> Result<(), Trouble> {
    match report.verdict(level.severity()) {
        Verdict::Clean => Ok(()),
        Verdict::Findings => Err(Trouble::new(
            "the app's dependencies have known holes",
            "`panoply audit --omit dev` says which, and what to do about each",
        )),
        Verdict::Unknown => {
            let what = "could not tell whether the app's dependencies have known holes";
            report.doubts.first().map_or(Ok(()), |doubt| Err(Trouble::doubt(what, doubt)))
        }
    }
}

fn lacks_database(report: &Report) -> bool {
    report.doubts.iter().any(|doubt| matches!(doubt, Doubt::NoDatabase { .. }))
}

fn standing(report: &Report) -> Standing {
    let mut standing = Standing { doubts: report.doubts.len(), ..Standing::default() };
    for finding in &report.findings {
        let hole = &finding.hole;
        let count = match hole.severity {
            _ if hole.malicious => &mut standing.attacks,
            Some(Severity::Critical) => &mut standing.critical,
            Some(Severity::High) => &mut standing.high,
            Some(Severity::Moderate) => &mut standing.moderate,
            Some(Severity::Low) => &mut standing.low,
            None => &mut standing.unknown,
        };
        *count += 1;
    }
    standing
}

fn changed(place: &Path) -> Option<SystemTime> {
    place.metadata().and_then(|metadata| metadata.modified()).ok()
}

impl Gate {
    /// `None`: there is no audit; `Some(None)`: it refuses nothing.
    const fn refused(self) -> Option<Option<Level>> {
        match self {
            Self::Off => None,
            Self::Observe => Some(None),
            Self::Low => Some(Some(Level::Low)),
            Self::Moderate => Some(Some(Level::Moderate)),
            Self::High => Some(Some(Level::High)),
            Self::Critical => Some(Some(Level::Critical)),
        }
    }
}

/// Between two looks at the database's time of change.
const PAUSE: Duration = Duration::from_secs(10);
