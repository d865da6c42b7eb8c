//! The report as a CycloneDX 1.6 bill of materials with its vulnerabilities and what is claimed of them (VEX).

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{Report, words};
use crate::audit::advisory::Severity;
use crate::audit::finding::{Finding, file, label};
use crate::audit::graph::{Ecosystem, Graph, Package, Scope, Source, Want};
use crate::audit::ignore::{Ignore, State};

/// What is installed, what is wrong with it, and what somebody said to that.
#[must_use]
pub fn print(report: &Report, graphs: &[Graph], now: OffsetDateTime) -> String {
    let told = report.findings.iter().map(|finding| vulnerability(finding, None));
    let ignored = report.ignored.iter().map(|(finding, entry)| vulnerability(finding, Some(entry)));
    let bom = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": words::moment(now),
            "tools": { "components": [
                { "type": "application", "name": "panoply", "version": env!("CARGO_PKG_VERSION") },
            ]},
            "properties": report.doubts.iter().map(|doubt| {
                json!({ "name": "panoply:could-not-tell", "value": doubt.to_string() })
            }).collect::<Vec<_>>(),
        },
        "components": components(graphs),
        "dependencies": dependencies(graphs),
        "vulnerabilities": told.chain(ignored).collect::<Vec<_>>(),
    });
    // What is serialised is a value already, which cannot fail.
    serde_json::to_string_pretty(&bom).unwrap_or_default() + "\n"
}

/// Each project, and each version of each package once, wherever it is installed.
fn components(graphs: &[Graph]) -> Vec<Value> {
    let mut packages: BTreeMap<String, (&Package, Scope)> = BTreeMap::new();
    for package in graphs.iter().flat_map(|graph| &graph.packages) {
        let known = packages.entry(reference(package)).or_insert((package, package.scope));
        known.1 = known.1.min(package.scope);
    }
    let projects = graphs.iter().flat_map(|graph| {
        graph.projects.iter().enumerate().map(|(at, project)| {
            let name = if project.name.is_empty() { "project" } else { &project.name };
            json!({ "type": "application", "bom-ref": project_reference(graph, at), "name": name })
        })
    });
    let packages = packages.iter().map(|(reference, (package, scope))| component(reference, package, *scope));
    projects.chain(packages).collect()
}

fn component(reference: &str, package: &Package, scope: Scope) -> Value {
    let mut component = Map::new();
    component.insert("type".to_owned(), "library".into());
    component.insert("bom-ref".to_owned(), reference.into());
    let (group, name) = match package.name.split_once('/') {
        Some((group, name)) => (Some(group), name),
        None => (None, package.name.as_str()),
    };
    if let Some(group) = group {
        component.insert("group".to_owned(), group.into());
    }
    component.insert("name".to_owned(), name.into());
    component.insert("version".to_owned(), package.version.as_str().into());
    component.insert(
        "scope".to_owned(),
        match scope {
            Scope::Production => "required",
            Scope::Optional => "optional",
            Scope::Development => "excluded",
        }
        .into(),
    );
    if !matches!(package.source, Source::Folder(_)) {
        component.insert("purl".to_owned(), purl(package).into());
    }
    component.into()
}

fn dependencies(graphs: &[Graph]) -> Vec<Value> {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for graph in graphs {
        let got = |wants: &[Want]| -> Vec<String> {
            let packages = wants.iter().filter_map(|want| graph.packages.get(want.package?));
            packages.map(reference).collect()
        };
        for (at, project) in graph.projects.iter().enumerate() {
            edges.entry(project_reference(graph, at)).or_default().extend(got(&project.wants));
        }
        for package in &graph.packages {
            edges.entry(reference(package)).or_default().extend(got(&package.wants));
        }
    }
    edges.into_iter().map(|(from, to)| json!({ "ref": from, "dependsOn": to })).collect()
}

fn vulnerability(finding: &Finding, ignored: Option<&Ignore>) -> Value {
    let hole = &finding.hole;
    let mut rating = json!({ "severity": severity(finding) });
    if let (Some(score), Some(rating)) = (hole.score, rating.as_object_mut()) {
        rating.insert("score".to_owned(), ((f64::from(score) * 10.0).round() / 10.0).into());
    }
    let package = format!("{}@{}", finding.package, finding.version);
    let mut vulnerability = json!({
        "id": hole.id,
        "references": hole.aliases.iter().map(|alias| {
            json!({ "id": alias, "source": { "name": alias.split('-').next().unwrap_or_default() } })
        }).collect::<Vec<_>>(),
        "ratings": [rating],
        "cwes": hole.cwes.iter().filter_map(|cwe| number(cwe)).collect::<BTreeSet<_>>(),
        "description": hole.summary,
        "recommendation": words::mend(finding),
        "affects": [{ "ref": finding_reference(finding) }],
        "properties": [{ "name": "panoply:package", "value": package }],
    });
    let Some(object) = vulnerability.as_object_mut() else { return vulnerability };
    if hole.url.starts_with("https://") && !hole.url.contains(char::is_whitespace) {
        object.insert("advisories".to_owned(), json!([{ "url": hole.url }]));
    }
    if let Some(entry) = ignored {
        object.insert("analysis".to_owned(), analysis(entry));
    }
    vulnerability
}

/// An entry of the ignore file that claims no more says that the hole is there and stays.
fn analysis(entry: &Ignore) -> Value {
    let state = match entry.state {
        State::Exploitable => "exploitable",
        State::InTriage => "in_triage",
        State::NotAffected => "not_affected",
        State::FalsePositive => "false_positive",
    };
    let until = entry.expires.map(|day| format!(" (until {day})")).unwrap_or_default();
    let mut analysis = json!({ "state": state, "detail": format!("{}{until}", entry.reason) });
    if let (State::Exploitable, Some(object)) = (entry.state, analysis.as_object_mut()) {
        object.insert("response".to_owned(), json!(["will_not_fix"]));
    }
    analysis
}

fn severity(finding: &Finding) -> &'static str {
    match finding.hole.severity {
        _ if finding.hole.malicious => "critical",
        Some(Severity::Critical) => "critical",
        Some(Severity::High) => "high",
        Some(Severity::Moderate) => "medium",
        Some(Severity::Low) => "low",
        None => "unknown",
    }
}

fn number(cwe: &str) -> Option<u32> {
    cwe.strip_prefix("CWE-")?.parse().ok().filter(|number| *number > 0)
}

fn reference(package: &Package) -> String {
    match package.source {
        Source::Folder(_) => format!("folder:{}", label(package)),
        _ => purl(package),
    }
}

fn finding_reference(finding: &Finding) -> String {
    address(finding.ecosystem, &finding.package, &finding.version)
}

fn project_reference(graph: &Graph, at: usize) -> String {
    format!("project:{}#{at}", file(graph))
}

fn purl(package: &Package) -> String {
    address(package.ecosystem, &package.name, &package.version)
}

/// A package URL (purl-spec, types npm and cargo): of a scope the `@` is encoded, the slash stays.
fn address(ecosystem: Ecosystem, name: &str, version: &str) -> String {
    let kind = match ecosystem {
        Ecosystem::Npm => "npm",
        Ecosystem::CratesIo => "cargo",
    };
    let name = name.split('/').map(encoded).collect::<Vec<_>>().join("/");
    format!("pkg:{kind}/{name}@{}", encoded(version))
}

/// The purl specification leaves these alone.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, OUTSIDE_PURL).to_string()
}

const OUTSIDE_PURL: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_url_is_written_as_its_specification_says() {
        for (ecosystem, name, version, told) in [
            (Ecosystem::Npm, "express", "4.17.1", "pkg:npm/express@4.17.1"),
            (Ecosystem::Npm, "@babel/core", "7.0.0-rc.1", "pkg:npm/%40babel/core@7.0.0-rc.1"),
            (Ecosystem::CratesIo, "time", "0.3.55+x", "pkg:cargo/time@0.3.55%2Bx"),
        ] {
            assert_eq!(address(ecosystem, name, version), told);
        }
    }
}
