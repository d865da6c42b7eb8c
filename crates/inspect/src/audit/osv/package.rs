//! What a record says of one package.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::advisory::{Advisory, Affected, Severity, Span};
use super::super::events::{self, Event};
use super::super::graph::Ecosystem;
use super::super::severity;
use super::reader::{Reader, Specific};
use super::{Common, LONGEST_NAME, Loss, MOST};

#[derive(Deserialize)]
struct RawAffected<'t> {
    #[serde(borrow)]
    package: Option<&'t RawValue>,
    #[serde(borrow)]
    ranges: Option<&'t RawValue>,
    #[serde(borrow)]
    versions: Option<&'t RawValue>,
    #[serde(borrow)]
    severity: Option<&'t RawValue>,
    #[serde(borrow)]
    ecosystem_specific: Option<&'t RawValue>,
    #[serde(borrow)]
    database_specific: Option<&'t RawValue>,
}

#[derive(Deserialize)]
struct Package {
    ecosystem: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Affects {
    functions: Vec<String>,
}

#[derive(Deserialize)]
struct RawRange<'t> {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(borrow)]
    events: Option<&'t RawValue>,
}

impl<'t> Reader<'t> {
    pub(super) fn advisories(
        &mut self,
        common: &Common,
        affected: Option<&'t RawValue>,
    ) -> Vec<(Ecosystem, Advisory)> {
        let mut advisories: Vec<(Ecosystem, Advisory)> = Vec::new();
        for raw in self.raw_list("affected", affected, Loss::Answer) {
            let Some((ecosystem, advisory)) = self.advisory(common, raw) else { continue };
            let same = advisories.iter_mut().find(|(known, other)| {
                *known == ecosystem
                    && other.package == advisory.package
                    && other.affected.last_known == advisory.affected.last_known
            });
            match same {
                Some((_, other)) => join(&mut other.affected, advisory.affected),
                None => advisories.push((ecosystem, advisory)),
            }
        }
        advisories
    }

    fn advisory(&mut self, common: &Common, raw: &'t RawValue) -> Option<(Ecosystem, Advisory)> {
        let affected: RawAffected<'t> = self.borrowed("affected", raw, Loss::Answer)?;
        let Package { ecosystem, name } = self.field("affected.package", affected.package, Loss::Answer)?;
        let ecosystem = ecosystem_of(&ecosystem)?;
        if name.is_empty() || name.len() > LONGEST_NAME {
            let line = self.line(raw);
            self.complain(line, format!("a package's name has {} bytes", name.len()), Loss::Answer);
            return None;
        }
        let specific = self.specific("affected.database_specific", affected.database_specific);
        let own = self.specific("affected.ecosystem_specific", affected.ecosystem_specific);
        let score = self.score("affected.severity", affected.severity).or(common.score).or_else(|| {
            let vector: Option<String> = self.field("cvss", specific.cvss, Loss::Detail);
            severity::score(vector.as_deref())
        });
        let informational: Option<String> = self.field("informational", specific.informational, Loss::Detail);
        let severity = common.severity.or_else(|| match informational.as_deref() {
            Some("unmaintained" | "notice") => Some(Severity::Low),
            _ => score.and_then(Severity::from_score),
        });
        // RustSec's word, where its records have no other sign of an attack.
        let categories: Vec<String> = self.list("categories", specific.categories);
        let last_known = specific.last_known_affected_version_range;
        let affected = Affected {
            spans: self.spans(affected.ranges),
            versions: self.versions(affected.versions),
            last_known: self.field("last_known_affected_version_range", last_known, Loss::Detail),
        };
        if affected.spans.is_empty() && affected.versions.is_empty() {
            let line = self.line(raw);
            self.complain(
                line,
                format!("`{name}` is named without a version that is affected"),
                Loss::Detail,
            );
        }
        let advisory = Advisory {
            id: common.id.clone(),
            aliases: common.aliases.clone(),
            package: name,
            summary: common.summary.clone(),
            severity,
            score,
            malicious: common.is_malicious() || categories.iter().any(|category| category == "malicious"),
            url: common.url.clone(),
            cwes: common.cwes.clone(),
            functions: self.functions(&own),
            affected,
        };
        Some((ecosystem, advisory))
    }

    fn functions(&mut self, own: &Specific<'t>) -> Vec<String> {
        let mut functions: Vec<String> = self.list("affected_functions", own.affected_functions);
        let affects: Option<Affects> = self.field("affects", own.affects, Loss::Detail);
        functions.extend(affects.unwrap_or_default().functions);
        functions.truncate(MOST);
        functions
    }

    fn versions(&mut self, raw: Option<&'t RawValue>) -> Vec<String> {
        let entries = self.raw_list("affected.versions", raw, Loss::Answer);
        entries
            .into_iter()
            .filter_map(|entry| self.borrowed("affected.versions", entry, Loss::Answer))
            .collect()
    }

    /// What cannot be read becomes a span that nobody can read: then nobody is told "not affected".
    fn spans(&mut self, raw: Option<&'t RawValue>) -> Vec<Span> {
        let mut spans = Vec::new();
        let Some(raw) = raw else { return spans };
        let Some(ranges) = self.borrowed::<Vec<&RawValue>>("affected.ranges", raw, Loss::Detail) else {
            return vec![events::unreadable("ranges")];
        };
        for raw in ranges {
            let events =
                self.borrowed::<RawRange<'t>>("affected.ranges", raw, Loss::Detail).and_then(|range| {
                    let known = matches!(range.kind.as_str(), "SEMVER" | "ECOSYSTEM" | "GIT");
                    if !known {
                        let line = self.line(raw);
                        self.complain(
                            line,
                            format!("a range has the unknown type {:?}", range.kind),
                            Loss::Detail,
                        );
                        return None;
                    }
                    let git = range.kind == "GIT";
                    let events: Vec<BTreeMap<String, String>> =
                        if git { Vec::new() } else { self.field("events", range.events, Loss::Detail)? };
                    Some(events)
                });
            let read = events.map(|events| events.iter().map(Event::of).collect::<Option<Vec<_>>>());
            match read {
                Some(Some(events)) => spans.extend(events::spans(events)),
                Some(None) => {
                    let line = self.line(raw);
                    self.complain(
                        line,
                        "an event is of no kind that the schema has".to_owned(),
                        Loss::Detail,
                    );
                    spans.push(events::unreadable("events"));
                }
                None => spans.push(events::unreadable("range")),
            }
        }
        events::in_order(&mut spans);
        spans
    }
}

fn join(known: &mut Affected, other: Affected) {
    known.spans.extend(other.spans);
    events::in_order(&mut known.spans);
    known.versions.extend(other.versions);
}

/// A suffix after a colon is a release of the ecosystem, which these have not.
fn ecosystem_of(name: &str) -> Option<Ecosystem> {
    let name = name.split(':').next().unwrap_or_default();
    [Ecosystem::Npm, Ecosystem::CratesIo].into_iter().find(|ecosystem| ecosystem.as_str() == name)
}
