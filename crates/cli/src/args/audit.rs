//! What the commands about dependencies take.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Format;

#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) act: Option<AuditAct>,
    /// The project's folder, or a lockfile
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) grounds: Grounds,
    /// How it is told
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ReportFormat,
    /// End with 1 only where a hole is at least as bad
    #[arg(long, value_name = "LEVEL", default_value = "low")]
    pub(crate) severity: Level,
    /// Tell only what this earlier report (--format json) does not have
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Tell only what became known since the last run with --watch
    #[arg(long)]
    pub(crate) watch: bool,
}

/// What an audit goes by.
#[derive(Clone, Debug, Args)]
pub(crate) struct Grounds {
    #[command(flatten)]
    pub(crate) database: Database,
    /// How long ago the advisories may have been imported, such as 14d or 36h, or off
    #[arg(long, value_name = "TIME", default_value = MAX_AGE)]
    pub(crate) max_age: String,
    /// Leave out what is installed for this alone (repeatable)
    #[arg(long, value_name = "SCOPE")]
    pub(crate) omit: Vec<Omit>,
    /// What somebody has looked at and lives with [default: panoply.ignore.toml in the project]
    #[arg(long, value_name = "FILE")]
    pub(crate) ignore_file: Option<PathBuf>,
    /// A registry's host that packages may come from, and from no other (repeatable) [default: the one that most come
    /// from]
    #[arg(long = "registry", value_name = "HOST")]
    pub(crate) registries: Vec<String>,
}

/// As on the command line.
impl Default for Grounds {
    fn default() -> Self {
        Self {
            database: Database::default(),
            max_age: MAX_AGE.to_owned(),
            omit: Vec::new(),
            ignore_file: None,
            registries: Vec::new(),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditAct {
    /// Show the smallest change that mends what can be mended, and make it when you say so
    #[command(after_help = "Example:\n  panoply audit fix --dry-run\n  panoply audit fix --yes")]
    Fix(Fix),
}

#[derive(Debug, Args)]
pub(crate) struct Fix {
    /// The project's folder
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) grounds: Grounds,
    /// Show it, and change nothing
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Make the change without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// Take new major versions of direct dependencies too, which may break what uses them
    #[arg(long)]
    pub(crate) major: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// A table for people
    Text,
    /// For programs, and as a baseline
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// A CycloneDX 1.6 bill of materials with VEX
    Cyclonedx,
    /// For a pull request
    Markdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// CVSS 0.1 and above
    Low,
    /// CVSS 4.0 and above
    Moderate,
    /// CVSS 7.0 and above
    High,
    /// CVSS 9.0 and above
    Critical,
}

/// What the dependencies of an app that is started have to do with its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Gate {
    /// Nothing
    Off,
    /// They are told of, in the log and in the metrics
    Observe,
    /// No start with a hole of CVSS 0.1 and above
    Low,
    /// No start with a hole of CVSS 4.0 and above
    Moderate,
    /// No start with a hole of CVSS 7.0 and above
    High,
    /// No start with a hole of CVSS 9.0 and above
    Critical,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Omit {
    /// Development dependencies
    Dev,
    /// Optional dependencies
    Optional,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Advisories {
    /// Make the database from files: 0 when all of them was read, 2 when not
    #[command(after_help = "Example:\n  panoply advisories import npm.zip advisory-db")]
    Import {
        /// Folders of OSV records, GitHub's or RustSec's repository, zip files, JSON lines
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        database: Database,
    },
    /// Make the database from what osv.dev publishes today
    #[command(after_help = "Example:\n  panoply advisories update")]
    Update {
        /// A file to download instead (repeatable) [default: osv.dev's for npm and for crates.io]
        #[arg(long = "url", value_name = "URL")]
        urls: Vec<String>,
        #[command(flatten)]
        database: Database,
        /// How long a server may send nothing
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        patience: u64,
    },
    /// Say how old the database is, where it is from, and what it holds
    #[command(after_help = "Example:\n  panoply advisories info")]
    Info {
        #[command(flatten)]
        database: Database,
        /// How it is told
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: Format,
    },
}

/// Which database of advisories.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Database {
    /// The database of advisories [default: $PANOPLY_ADVISORIES, else advisories.db in the XDG cache folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) database: Option<PathBuf>,
}

const MAX_AGE: &str = "14d";
