//! How the dependencies of the app stand, for operators: a line in the log when that changes, and figures.
//!
//! The gateway audits nothing. Whoever starts it and the app does, and tells the outcome here as plain numbers: so
//! the gateway needs to know neither lockfiles nor advisories, and the inspector no gateway.

use std::sync::{Arc, Mutex, PoisonError};

/// What an audit has said, in holes by how bad they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Packages that are an attack.
    pub attacks: usize,
    /// CVSS 9.0–10.0.
    pub critical: usize,
    /// CVSS 7.0–8.9.
    pub high: usize,
    /// CVSS 4.0–6.9.
    pub moderate: usize,
    /// CVSS 0.1–3.9.
    pub low: usize,
    /// Nobody says how bad.
    pub unknown: usize,
    /// Reasons for which there may be others.
    pub doubts: usize,
}

/// What was told last; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Dependencies(Arc<Mutex<Option<Standing>>>);

impl Dependencies {
    /// Takes the outcome of an audit. What is as it was is not logged again.
    pub fn tell(&self, standing: Standing) {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(standing);
        if before != Some(standing) {
            standing.log();
        }
    }

    pub(crate) fn standing(&self) -> Option<Standing> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// By the words of severities, the worst first.
    pub(crate) fn counts(&self) -> [(&'static str, usize); 6] {
        [
            ("attack", self.attacks),
            ("critical", self.critical),
            ("high", self.high),
            ("moderate", self.moderate),
            ("low", self.low),
            ("unknown", self.unknown),
        ]
    }

    fn log(&self) {
        let found: Vec<String> = self
            .counts()
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        let holes = found.join(", ");
        if self.doubts > 0 {
            let doubts = self.doubts;
            tracing::warn!(
                practice = "dependencies",
                doubts,
                %holes,
                "could not tell how the app's dependencies stand: panoply audit"
            );
        } else if found.is_empty() {
            tracing::info!(practice = "dependencies", "the app's dependencies have no known holes");
        } else {
            tracing::warn!(
                practice = "dependencies",
                %holes,
                "the app's dependencies have known holes: panoply audit"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_last_is_shared() {
        let dependencies = Dependencies::default();
        assert_eq!(dependencies.standing(), None);
        let told = Standing { critical: 2, doubts: 1, ..Standing::default() };
        dependencies.clone().tell(told);
        assert_eq!(dependencies.standing(), Some(told));
    }
}
