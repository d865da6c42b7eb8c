//! OSV records: one hole, and the packages that have it.
//!
//! Records come from several makers, and the schema grows. So every field is read by itself: one that is unknown is passed
//! over, one of another type than the schema's is complained of, and the rest of the record still counts. Where what
//! was lost could have been an answer, the complaint says so, and the package's versions cannot be told clean by it.

mod package;
mod reader;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::advisory::{Advisory, Severity};
use super::graph::Ecosystem;
use reader::Reader;

/// What one record says.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it was last changed: RFC 3339, as written; empty where it does not say.
    pub modified: String,
    /// It was a mistake: no package has this hole.
    pub withdrawn: bool,
    /// One for each package of an ecosystem that panoply knows.
    pub advisories: Vec<(Ecosystem, Advisory)>,
    /// What could not be read.
    pub complaints: Vec<Complaint>,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The line within the record, from 1.
    pub line: usize,
    /// What was found, and what was expected.
    pub text: String,
    /// What is lost with it.
    pub loss: Loss,
}

/// What is lost where something could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// A report says less.
    Detail,
    /// A hole may be missed: an audit by these advisories cannot say "clean".
    Answer,
}

/// Reads one record.
///
/// # Errors
/// When it is no JSON object, or says neither what it is nor whom it is about: then nothing of it counts.
pub fn read(text: &[u8]) -> Result<Record, Complaint> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let before = text.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Complaint {
            line,
            text: "found bytes that are no UTF-8, expected an OSV record".to_owned(),
            loss: Loss::Answer,
        }
    })?;
    let raw: RawRecord<'_> = serde_json::from_str(text).map_err(|error| Complaint {
        line: error.line().max(1),
        text: format!("no OSV record: {error}"),
        loss: Loss::Answer,
    })?;
    let mut reader = Reader { text, complaints: Vec::new() };
    let id: Option<String> = reader.field("id", raw.id, Loss::Answer);
    let Some(id) = id.filter(|id| (1..=LONGEST_NAME).contains(&id.len())) else {
        let about = raw.affected.is_some() || raw.id.is_some();
        let loss = if about { Loss::Answer } else { Loss::Detail };
        return Err(Complaint { line: 1, text: "found no `id`, expected an OSV record".to_owned(), loss });
    };
    let common = Common::read(&mut reader, id, &raw);
    let modified: Option<String> = reader.field("modified", raw.modified, Loss::Detail);
    let modified = modified.filter(|time| time.len() <= LONGEST_TIME && time.is_ascii()).unwrap_or_default();
    // What is not read as a time is no reason to let a hole go.
    let withdrawn: Option<String> = reader.field("withdrawn", raw.withdrawn, Loss::Detail);
    let advisories = reader.advisories(&common, raw.affected);
    Ok(Record { modified, withdrawn: withdrawn.is_some(), advisories, complaints: reader.complaints })
}

#[derive(Deserialize)]
struct RawRecord<'t> {
    #[serde(borrow)]
    id: Option<&'t RawValue>,
    #[serde(borrow)]
    modified: Option<&'t RawValue>,
    #[serde(borrow)]
    withdrawn: Option<&'t RawValue>,
    #[serde(borrow)]
    aliases: Option<&'t RawValue>,
    #[serde(borrow)]
    summary: Option<&'t RawValue>,
    #[serde(borrow)]
    details: Option<&'t RawValue>,
    #[serde(borrow)]
    severity: Option<&'t RawValue>,
    #[serde(borrow)]
    affected: Option<&'t RawValue>,
    #[serde(borrow)]
    references: Option<&'t RawValue>,
    #[serde(borrow)]
    database_specific: Option<&'t RawValue>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "type", default)]
    kind: String,
    url: String,
}

/// What all packages of a record share.
struct Common {
    id: String,
    aliases: Vec<String>,
    summary: String,
    severity: Option<Severity>,
    score: Option<f32>,
    url: String,
    cwes: Vec<String>,
}

impl Common {
    fn read<'t>(reader: &mut Reader<'t>, id: String, raw: &RawRecord<'t>) -> Self {
        let specific = reader.specific("database_specific", raw.database_specific);
        let word: Option<String> =
            reader.field("database_specific.severity", specific.severity, Loss::Detail);
        let aliases: Vec<String> = reader.list("aliases", raw.aliases);
        let references: Vec<Reference> = reader.list("references", raw.references);
        let summary: Option<String> = reader.field("summary", raw.summary, Loss::Detail);
        let summary = summary.filter(|summary| !summary.trim().is_empty()).unwrap_or_else(|| {
            reader.field::<String>("details", raw.details, Loss::Detail).unwrap_or_default()
        });
        Self {
            aliases: aliases.into_iter().filter(|alias| alias.len() <= LONGEST_NAME).take(MOST).collect(),
            summary: first_line(&summary),
            severity: word.as_deref().and_then(Severity::from_word),
            score: reader.score("severity", raw.severity),
            url: url(&id, &references),
            cwes: reader.list("database_specific.cwe_ids", specific.cwe_ids),
            id,
        }
    }

    fn is_malicious(&self) -> bool {
        let attacks = |id: &String| id.starts_with("MAL-");
        attacks(&self.id)
            || self.aliases.iter().any(attacks)
            || self.cwes.iter().any(|cwe| cwe == EMBEDDED_ATTACK)
    }
}

fn url(id: &str, references: &[Reference]) -> String {
    for (prefix, page) in PAGES {
        if id.starts_with(prefix) {
            return format!("{page}{id}");
        }
    }
    let plain = |reference: &&Reference| {
        let url = &reference.url;
        (url.starts_with("https://") || url.starts_with("http://"))
            && url.len() <= LONGEST_URL
            && url.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let usable = || references.iter().filter(plain);
    let best = usable().find(|reference| reference.kind == "ADVISORY").or_else(|| usable().next());
    best.map_or_else(|| format!("https://osv.dev/vulnerability/{id}"), |reference| reference.url.clone())
}

pub(super) fn first_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default().trim_start_matches('#').trim();
    line.chars().take(LONGEST_SUMMARY).collect()
}

/// Where a maker's records can be read, by how their ids begin.
const PAGES: [(&str, &str); 3] = [
    ("GHSA-", "https://github.com/advisories/"),
    ("RUSTSEC-", "https://rustsec.org/advisories/"),
    ("MAL-", "https://osv.dev/vulnerability/"),
];
/// CWE-506, Embedded Malicious Code.
const EMBEDDED_ATTACK: &str = "CWE-506";
/// In bytes, of RFC 3339.
pub(super) const LONGEST_TIME: usize = 40;
/// In bytes, of an id or a package's name. npm allows 214, crates.io 64.
pub(super) const LONGEST_NAME: usize = 512;
/// In bytes.
const LONGEST_URL: usize = 2_048;
/// In characters: one line of a report.
const LONGEST_SUMMARY: usize = 200;
/// Aliases, functions and complaints of one record.
const MOST: usize = 64;
