//! What is known of a package: an OSV record, cut down to what a decision and a report need.

use serde::{Deserialize, Serialize};

use super::graph::Ecosystem;

/// One record of one package. A record that names several packages is one of these for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advisory {
    /// Its id: `GHSA-…`, `RUSTSEC-…`, `MAL-…`.
    pub id: String,
    /// The same hole by other names, such as its CVE.
    pub aliases: Vec<String>,
    /// The package.
    pub package: String,
    /// One line of what is wrong.
    pub summary: String,
    /// How bad it is; `None` where the record does not say.
    pub severity: Option<Severity>,
    /// CVSS base score, 0.0–10.0, where there is a vector.
    pub score: Option<f32>,
    /// The package itself is an attack: every version listed is to be removed, not updated.
    pub malicious: bool,
    /// Where to read more.
    pub url: String,
    /// Weaknesses by number: `CWE-79`.
    pub cwes: Vec<String>,
    /// Functions that have the hole, where the record names them.
    pub functions: Vec<String>,
    /// Versions that are affected, by ranges and by name: any is enough.
    pub affected: Affected,
}

/// Which versions have the hole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// Sorted, one after the other: from the first, up to but without the second, or through it.
    pub spans: Vec<Span>,
    /// Versions by name.
    pub versions: Vec<String>,
    /// `last_known_affected_version_range`, which bounds spans that have no end.
    pub last_known: Option<String>,
}

/// A stretch of versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first affected version; `0` is before all.
    pub introduced: String,
    /// How it ends.
    pub end: End,
}

/// How a stretch of affected versions ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// This version has the hole no more.
    Fixed(String),
    /// This version has it; what comes after has not.
    LastAffected(String),
    /// Nobody knows a version without it.
    Open,
}

/// How bad a hole is, in npm's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// CVSS 0.1–3.9.
    Low,
    /// CVSS 4.0–6.9; OSV's MODERATE and CVSS' MEDIUM.
    Moderate,
    /// CVSS 7.0–8.9.
    High,
    /// CVSS 9.0–10.0.
    Critical,
}

/// Where advisories are looked up: the index on disk, or a list in a test.
pub trait Advisories {
    /// What is known of the package `name`; empty where nothing is.
    ///
    /// # Errors
    /// When the index cannot be read: an answer that is not known must not look like a clean one.
    fn of(&self, ecosystem: Ecosystem, name: &str) -> std::io::Result<Vec<Advisory>>;
}
