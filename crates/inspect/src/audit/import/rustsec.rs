//! RustSec's own form: TOML before the text, with Cargo's ranges of versions that do *not* have the hole.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::advisory::{Advisory, Affected, End, Severity, Span};
use super::super::events::unreadable;
use super::super::graph::Ecosystem;
use super::super::osv::{Complaint, LONGEST_NAME, LONGEST_TIME, Loss, Record, first_line};
use super::super::severity;
use super::super::version::Version;

/// Reads one advisory: `crates/NAME/RUSTSEC-….md` of the repository.
pub(super) fn read(text: &[u8]) -> Result<Record, Complaint> {
    let lost = |line: usize, text: String| Complaint { line, text, loss: Loss::Answer };
    let text = std::str::from_utf8(text).map_err(|_| {
        lost(1, "found bytes that are no UTF-8, expected an advisory of RustSec's".to_owned())
    })?;
    let fenced = text.trim_start().strip_prefix("```toml").and_then(|rest| rest.split_once("\n```"));
    let Some((front, body)) = fenced else {
        return Err(lost(1, "found no TOML in front, expected an advisory of RustSec's".to_owned()));
    };
    let front: Front = toml::from_str(front).map_err(|error| {
        let before = error.span().and_then(|span| front.get(..span.start)).unwrap_or_default();
        lost(1 + before.matches('\n').count(), format!("its TOML cannot be read: {}", error.message()))
    })?;
    let about = &front.advisory;
    if about.id.len() > LONGEST_NAME || about.package.len() > LONGEST_NAME || about.date.len() > LONGEST_TIME
    {
        return Err(lost(1, format!("an id, a package's name or a date has more than {LONGEST_NAME} bytes")));
    }
    Ok(record(front, body))
}

#[derive(Deserialize)]
struct Front {
    advisory: About,
    #[serde(default)]
    versions: Versions,
    #[serde(default)]
    affected: Functions,
}

#[derive(Deserialize)]
struct About {
    id: String,
    package: String,
    #[serde(default)]
    collection: Option<String>,
    #[serde(default)]
    date: String,
    #[serde(default)]
    withdrawn: Option<toml::Value>,
    #[serde(default)]
    informational: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    cvss: Option<String>,
}

#[derive(Default, Deserialize)]
struct Versions {
    #[serde(default)]
    patched: Vec<String>,
    #[serde(default)]
    unaffected: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Functions {
    #[serde(default)]
    functions: BTreeMap<String, toml::Value>,
}

fn record(front: Front, body: &str) -> Record {
    let Front { advisory: about, versions, affected: functions } = front;
    let score = severity::score(about.cvss.as_deref());
    let severity = match about.informational.as_deref() {
        Some("unmaintained" | "notice") => Some(Severity::Low),
        _ => score.and_then(Severity::from_score),
    };
    let elsewhere = about.collection.as_deref().is_some_and(|collection| collection != "crates");
    let advisory = Advisory {
        url: format!("https://rustsec.org/advisories/{}", about.id),
        package: about.package,
        summary: first_line(body),
        severity,
        score,
        malicious: about.categories.iter().any(|category| category == "malicious"),
        cwes: Vec::new(),
        functions: functions.functions.into_keys().collect(),
        affected: Affected { spans: spans(&versions), ..Affected::default() },
        aliases: about.aliases,
        id: about.id,
    };
    Record {
        modified: about.date,
        withdrawn: about.withdrawn.is_some(),
        advisories: if elsewhere { Vec::new() } else { vec![(Ecosystem::CratesIo, advisory)] },
        complaints: Vec::new(),
    }
}

/// What is between the versions that do not have the hole.
fn spans(versions: &Versions) -> Vec<Span> {
    let mut clean = Vec::new();
    for written in versions.patched.iter().chain(&versions.unaffected) {
        match Stretch::of(written) {
            Some(stretch) => clean.push(stretch),
            None => return vec![unreadable(written)],
        }
    }
    clean.sort();
    let mut spans = Vec::new();
    let mut introduced = Some("0".to_owned());
    for Stretch { from, to } in clean {
        let Some(start) = introduced else { break };
        let begins = Version::parse_bound(&start);
        if from.as_ref().is_some_and(|from| start == "0" || begins.as_ref() < Some(from)) {
            let end = End::Fixed(from.map(|from| from.to_string()).unwrap_or_default());
            spans.push(Span { introduced: start.clone(), end });
        }
        introduced = match to {
            Some(to) if start == "0" || begins.as_ref() < Some(&to) => Some(to.to_string()),
            Some(_) => Some(start),
            None => None,
        };
    }
    spans.extend(introduced.map(|introduced| Span { introduced, end: End::Open }));
    spans
}

/// Versions from the first up to but without the second; `None` is no bound.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stretch {
    from: Option<Version>,
    to: Option<Version>,
}

impl Stretch {
    /// Cargo's requirement: comparators with commas between, and a bare version is a caret's.
    fn of(written: &str) -> Option<Self> {
        let mut stretch = Self { from: None, to: None };
        for comparator in written.split(',') {
            let comparator = comparator.trim();
            let digits = comparator.find(|c: char| c.is_ascii_digit())?;
            let (operator, version) = comparator.split_at(digits);
            let (from, to) = bounds(operator.trim(), version.trim())?;
            stretch.from = stretch.from.max(from);
            stretch.to = match (stretch.to, to) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        Some(stretch)
    }
}

fn bounds(operator: &str, written: &str) -> Option<(Option<Version>, Option<Version>)> {
    let version = Version::parse_bound(written)?;
    let places = written.split(['-', '+']).next().unwrap_or_default().split('.').count();
    Some(match operator {
        ">=" => (Some(version), None),
        ">" => (Some(version.following(places)?), None),
        "<" => (None, Some(version)),
        "<=" => (None, Some(version.following(places)?)),
        "=" => {
            let to = version.following(places)?;
            (Some(version), Some(to))
        }
        "~" => {
            let to = version.following(places.min(2))?;
            (Some(version), Some(to))
        }
        "" | "^" => {
            let to = version.following(version.leading().min(places))?;
            (Some(version), Some(to))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::matching::affects;
    use super::*;

    fn advisory(versions: &str) -> Record {
        let text = format!(
            "```toml\n[advisory]\nid = \"RUSTSEC-2021-0003\"\npackage = \"smallvec\"\ndate = \"2021-01-08\"\n\
             aliases = [\"CVE-2021-25900\"]\ncvss = \"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H\"\n\
             [affected]\nfunctions = {{ \"smallvec::SmallVec::insert_many\" = [\"*\"] }}\n\
             [versions]\n{versions}\n```\n\n# Buffer overflow\n\nMore.\n"
        );
        read(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_advisory_has_all_that_a_report_needs() {
        let record = advisory("patched = [\">= 1.6.1\"]");
        let (ecosystem, advisory) = &record.advisories[0];
        assert_eq!(*ecosystem, Ecosystem::CratesIo);
        assert_eq!(
            (advisory.id.as_str(), advisory.summary.as_str()),
            ("RUSTSEC-2021-0003", "Buffer overflow")
        );
        assert_eq!((advisory.severity, advisory.score), (Some(Severity::Critical), Some(9.8)));
        assert_eq!(advisory.functions, ["smallvec::SmallVec::insert_many"]);
        assert_eq!(record.modified, "2021-01-08");
    }

    #[test]
    fn what_is_neither_patched_nor_unaffected_is_affected() {
        for (versions, affected, clean) in [
            ("patched = []", &["0.0.1-a", "99.0.0"][..], &[][..]),
            ("patched = [\">= 1.6.1\"]", &["0.1.0", "1.6.0", "1.6.1-rc.1"], &["1.6.1", "2.0.0"]),
            (
                "patched = [\"^0.6.14\", \">= 1.6.1\"]\nunaffected = [\"< 0.6.3\"]",
                &["0.6.3", "0.6.13", "0.7.0", "1.6.0"],
                &["0.6.2", "0.6.14", "0.6.99", "1.6.1"],
            ),
            (
                "patched = [\">= 0.10.48, < 0.11.0\", \">= 0.11.2\"]",
                &["0.10.47", "0.11.1"],
                &["0.10.48", "0.11.2"],
            ),
            ("unaffected = [\"<= 1.0.1\"]", &["1.0.2", "3.0.0"], &["1.0.1", "0.9.0"]),
            ("unaffected = [\"= 1.0.1\"]", &["1.0.0", "1.0.2"], &["1.0.1"]),
            ("patched = [\"~1.2.3\"]", &["1.2.2", "1.3.0"], &["1.2.3", "1.2.9"]),
            ("patched = [\"> 1.2\"]", &["1.2.0", "1.2.9"], &["1.3.0"]),
            ("patched = [\"1.5\"]", &["1.4.9", "2.0.0"], &["1.5.0", "1.9.0"]),
            ("patched = [\"^0.0.3\"]", &["0.0.2", "0.0.4"], &["0.0.3"]),
            ("patched = [\"^0\"]", &["1.0.0"], &["0.9.0"]),
        ] {
            let record = advisory(versions);
            let spans = &record.advisories[0].1.affected;
            for (list, told) in [(affected, Some(true)), (clean, Some(false))] {
                for version in list {
                    assert_eq!(
                        affects(Ecosystem::CratesIo, spans, version),
                        told,
                        "{version} of {versions}: {spans:?}"
                    );
                }
            }
        }
        let record = advisory("patched = [\"the next one\"]");
        assert_eq!(affects(Ecosystem::CratesIo, &record.advisories[0].1.affected, "1.0.0"), None);
    }

    #[test]
    fn what_cannot_be_read_is_complained_of_with_its_line() {
        for (text, line) in [
            ("# no front", 1),
            ("```toml\n[advisory]\nid = 7\n```\n", 3),
            ("```toml\n[advisory]\nid = \"R\"\n```\n", 2),
            ("```toml\n[advisory\n```\n", 2),
        ] {
            let complaint = read(text.as_bytes()).unwrap_err();
            assert_eq!(
                (complaint.line, complaint.loss),
                (line, Loss::Answer),
                "{text:?}: {}",
                complaint.text
            );
        }
    }
}
