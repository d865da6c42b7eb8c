//! `pnpm-lock.yaml` of versions 5, 6 and 9.
//!
//! Packages are named by their paths in pnpm's store, with the peers that they got. Ranges stand there for what the
//! projects ask for alone. `requiresBuild` is written down until version 6. Since pnpm 11 what pnpm itself is set up with
//! has a YAML document of its own, before that of the projects.

mod written;

use std::collections::HashMap;

use serde_saphyr::Options;
use serde_saphyr::options::DuplicateKeyPolicy;

use super::fault::Fault;
use super::json::{Lines, Maybe, Text};
use super::linked::{Linked, joined};
use super::manifest::{self, split_version};
use super::places::first_name;
use super::scope;
use super::surroundings::Surroundings;
use crate::audit::graph::{Ecosystem, Graph, Kind, Package, Project, Scope, Source, Want};
use written::{Answer, Entry, Importer, Lockfile};

pub(super) fn parse(text: &str, surroundings: &Surroundings) -> Result<Graph, Fault> {
    let mut graph = Graph::default();
    for (lines_before, document) in documents(text)? {
        let one = parse_document(document, surroundings).map_err(|fault| fault.after(lines_before))?;
        join(&mut graph, one, lines_before);
    }
    Ok(graph)
}

/// The documents of a text, each with the number of lines before it (YAML 1.2 § 9.1.2).
fn documents(text: &str) -> Result<Vec<(usize, &str)>, Fault> {
    let (mut documents, mut begin, mut lines_before, mut offset) = (Vec::new(), 0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if line.trim_end() == "---" {
            documents.push((lines_before, text.get(begin..offset).unwrap_or_default()));
            (begin, lines_before) = (offset + line.len(), number + 1);
        }
        if documents.len() > MOST_DOCUMENTS {
            return Err(Fault::at(
                number + 1,
                format!("there are more than {MOST_DOCUMENTS} YAML documents"),
            ));
        }
        offset += line.len();
    }
    documents.push((lines_before, text.get(begin..).unwrap_or_default()));
    let is_blank = |document: &str| document.trim().is_empty();
    // Of blank ones the last is left: a text without anything is no lockfile.
    let all_blank = documents.iter().all(|(_, document)| is_blank(document));
    documents.retain(|(_, document)| all_blank || !is_blank(document));
    Ok(documents)
}

/// Adds what another document says.
fn join(graph: &mut Graph, other: Graph, lines_before: usize) {
    let shift = graph.packages.len();
    let shifted = |mut wants: Vec<Want>| {
        for want in &mut wants {
            want.package = want.package.map(|package| package + shift);
        }
        wants
    };
    let projects = other.projects.into_iter();
    graph.projects.extend(projects.map(|one| Project { wants: shifted(one.wants), ..one }));
    let packages = other.packages.into_iter().map(|one| Package {
        line: one.line.map(|line| line + lines_before),
        wants: shifted(one.wants),
        ..one
    });
    graph.packages.extend(packages);
}

fn parse_document(text: &str, surroundings: &Surroundings) -> Result<Graph, Fault> {
    let lockfile: Lockfile<'_> = serde_saphyr::from_str_with_options(text, options(text))?;
    let keys = Keys::of(&lockfile)?;
    let installed = lockfile.installed();
    let mut by_key: HashMap<&str, usize> = HashMap::with_capacity(installed.len());
    by_key.extend(installed.iter().enumerate().map(|(number, installed)| (installed.key, number)));

    let mut lines = Lines::of(text);
    let mut packages = Vec::with_capacity(installed.len());
    for installed in &installed {
        let line = lines.line(installed.written);
        let wants = installed.lists().flat_map(|(list, kind)| list.iter().map(move |ask| (ask, kind)));
        let wants = wants.map(|((name, version), kind)| Want {
            name: (**name).to_owned(),
            range: String::new(),
            kind,
            package: find(&by_key, name, version),
        });
        packages.push(Package { line, wants: wants.collect(), ..installed.package(keys) });
    }
    let importers = lockfile.importers();
    let mut links = Linked::default();
    let mut projects = Vec::with_capacity(importers.len());
    for (folder, importer) in importers {
        let mut wants = Vec::new();
        for (list, kind) in importer.lists() {
            for (name, answer) in list.iter() {
                let package = match answer.version.strip_prefix("link:") {
                    Some(to) => Some(links.package(joined(folder, to), name, &mut packages)),
                    None => find(&by_key, name, &answer.version),
                };
                let range = importer.range(name, answer);
                wants.push(Want { name: (**name).to_owned(), range: range.to_owned(), kind, package });
            }
        }
        let folder = joined(folder, "");
        projects.push(Project { name: name(&folder, surroundings)?, folder, wants });
    }
    links.fill(&projects, &mut packages, surroundings)?;
    let mut graph = Graph { projects, packages, ..Graph::default() };
    scope::adopt_orphans(&mut graph);
    scope::tell(&mut graph);
    Ok(graph)
}

/// How packages are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    /// `/name/1.0.0_peers`.
    Slashes,
    /// `/name@1.0.0(peers)`, and since version 9 without the slash.
    Ats,
}

impl Keys {
    fn of(lockfile: &Lockfile<'_>) -> Result<Self, Fault> {
        match lockfile.lockfile_version.split('.').next() {
            Some("5") => Ok(Self::Slashes),
            Some("6" | "9") => Ok(Self::Ats),
            _ => {
                let found = &*lockfile.lockfile_version;
                Err(Fault::at(1, format!("`lockfileVersion` is {found}, and panoply knows 5, 6 and 9")))
            }
        }
    }

    fn name_and_version(self, key: &str) -> (&str, &str) {
        let plain = without_peers(key);
        match self {
            Self::Ats => {
                let (name, version) = split_version(plain.trim_start_matches('/'));
                (name, version.unwrap_or_default())
            }
            Self::Slashes => {
                // The host of a registry that is not the default stands before the slash.
                let path = plain.split_once('/').map_or(plain, |(_, path)| path);
                let (name, version) = first_name(path);
                (name, version.split(['_', '/']).next().unwrap_or(version))
            }
        }
    }
}

fn without_peers(key: &str) -> &str {
    key.split('(').next().unwrap_or(key)
}

/// A package with what it is and what it asks for.
struct Installed<'t, 'a> {
    key: &'t str,
    written: &'t Text<'a>,
    entry: Option<&'t Entry<'a>>,
    production: &'t [(Text<'a>, Text<'a>)],
    optional: &'t [(Text<'a>, Text<'a>)],
}

impl<'a> Lockfile<'a> {
    fn installed(&self) -> Vec<Installed<'_, 'a>> {
        if self.snapshots.is_empty() {
            let installed = self.packages.iter().map(|(key, entry)| Installed {
                key,
                written: key,
                entry: Some(entry),
                production: &entry.dependencies,
                optional: &entry.optional_dependencies,
            });
            return installed.collect();
        }
        let entries: HashMap<&str, (&Text<'_>, &Entry<'_>)> =
            self.packages.iter().map(|(key, entry)| (&**key, (key, entry))).collect();
        let installed = self.snapshots.iter().map(|(key, snapshot)| {
            let described = entries.get(without_peers(key));
            Installed {
                key,
                written: described.map_or(key, |(key, _)| key),
                entry: described.map(|(_, entry)| *entry),
                production: &snapshot.dependencies,
                optional: &snapshot.optional_dependencies,
            }
        });
        installed.collect()
    }

    fn importers(&self) -> Vec<(&str, Asker<'_, 'a>)> {
        if self.importers.is_empty() {
            let alone = Asker {
                specifiers: &self.specifiers,
                production: &self.dependencies,
                development: &self.dev_dependencies,
                optional: &self.optional_dependencies,
                set_up: [&[], &[]],
            };
            return vec![("", alone)];
        }
        self.importers.iter().map(|(folder, importer)| (&**folder, importer.asker())).collect()
    }
}

impl<'a> Importer<'a> {
    fn asker(&self) -> Asker<'_, 'a> {
        Asker {
            specifiers: &self.specifiers,
            production: &self.dependencies,
            development: &self.dev_dependencies,
            optional: &self.optional_dependencies,
            set_up: [&self.config_dependencies, &self.package_manager_dependencies],
        }
    }
}

impl<'t, 'a> Installed<'t, 'a> {
    fn lists(&self) -> impl Iterator<Item = (&'t [(Text<'a>, Text<'a>)], Kind)> + use<'t, 'a> {
        [(self.production, Kind::Production), (self.optional, Kind::Optional)].into_iter()
    }

    fn package(&self, keys: Keys) -> Package {
        let (name, version) = keys.name_and_version(self.key);
        let text =
            |field: fn(&'t Entry<'a>) -> &'t Maybe<'a>| self.entry.and_then(|entry| field(entry).text());
        let source = self.entry.map_or(Source::Registry(None), |entry| entry.resolution.source());
        let written = match source {
            Source::Folder(_) => "",
            _ => version,
        };
        Package {
            ecosystem: Ecosystem::Npm,
            name: text(|entry| &entry.name).unwrap_or(name).to_owned(),
            version: text(|entry| &entry.version).unwrap_or(written).to_owned(),
            place: self.key.to_owned(),
            line: None,
            scope: Scope::Production,
            source,
            integrity: text(|entry| &entry.resolution.integrity).map(str::to_owned),
            // Of what is optional pnpm does not look, and says yes.
            install_script: self.entry.is_some_and(|entry| entry.requires_build && !entry.optional),
            deprecated: text(|entry| &entry.deprecated).map(str::to_owned),
            wants: Vec::new(),
        }
    }
}

/// What a project asks for.
struct Asker<'t, 'a> {
    specifiers: &'t [(Text<'a>, Text<'a>)],
    production: &'t [(Text<'a>, Answer<'a>)],
    development: &'t [(Text<'a>, Answer<'a>)],
    optional: &'t [(Text<'a>, Answer<'a>)],
    set_up: [&'t [(Text<'a>, Answer<'a>)]; 2],
}

impl<'t, 'a> Asker<'t, 'a> {
    fn lists(&self) -> [(&'t [(Text<'a>, Answer<'a>)], Kind); 5] {
        let [config, manager] = self.set_up;
        [
            (config, Kind::Development),
            (manager, Kind::Development),
            (self.production, Kind::Production),
            (self.development, Kind::Development),
            (self.optional, Kind::Optional),
        ]
    }

    fn range<'r>(&'r self, name: &str, answer: &'r Answer<'_>) -> &'r str {
        let listed = || self.specifiers.iter().find(|(of, _)| **of == *name).map(|(_, range)| range);
        manifest::range_of(answer.specifier.as_ref().or_else(listed).map_or("", |range| range))
    }
}

/// A version stands for the package of that name; anything else is the key itself, without the name since version 9.
fn find(by_key: &HashMap<&str, usize>, name: &str, version: &str) -> Option<usize> {
    let named = || {
        [format!("{name}@{version}"), format!("/{name}@{version}"), format!("/{name}/{version}")]
            .iter()
            .find_map(|key| by_key.get(key.as_str()))
    };
    by_key.get(version).or_else(named).copied()
}

fn name(folder: &str, surroundings: &Surroundings) -> Result<String, Fault> {
    let Some(text) = manifest::beside(surroundings, folder)? else { return Ok(String::new()) };
    Ok(manifest::parse(&text)?.name.to_owned().unwrap_or_default())
}

/// pnpm writes neither anchors nor aliases; all that it may write grows with the text.
fn options(text: &str) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: text.len() + 16,
            max_nodes: text.len() + 16,
            max_total_scalar_bytes: text.len(),
            max_aliases: 0,
            max_anchors: 0,
            max_depth: DEEPEST,
            flow_nesting_limit: DEEPEST,
            // Paths of packages with many peers.
            simple_key_max_lookahead: 1 << 16,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        // An error is a line of a report; where it was is told beside it.
        with_snippet: false,
    }
}

const DEEPEST: usize = 32;
/// pnpm writes two at most.
const MOST_DOCUMENTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// As pnpm 11 writes it where there are `configDependencies`.
    const TWO: &str = "---\nlockfileVersion: '9.0'\nimporters:\n  .:\n    configDependencies:\n      tool:\n        \
                       specifier: 1.0.0\n        version: 1.0.0\npackages:\n  tool@1.0.0:\n    resolution: {}\n\
                       snapshots:\n  tool@1.0.0: {}\n---\nlockfileVersion: '9.0'\nimporters:\n  .:\n    \
                       dependencies:\n      a:\n        specifier: ^1.0.0\n        version: 1.0.0\npackages:\n  \
                       a@1.0.0:\n    resolution: {}\n  b@1.0.0:\n    resolution: {}\nsnapshots:\n  a@1.0.0:\n    \
                       dependencies:\n      b: 1.0.0\n  b@1.0.0: {}\n";

    #[test]
    fn all_documents_are_read() {
        let graph = parse(TWO, &Surroundings::none()).unwrap();
        let told: Vec<_> = graph.packages.iter().map(|one| (&*one.place, one.line, one.scope)).collect();
        assert_eq!(
            told,
            [
                ("tool@1.0.0", Some(10), Scope::Development),
                ("a@1.0.0", Some(23), Scope::Production),
                ("b@1.0.0", Some(25), Scope::Production)
            ]
        );
        assert_eq!(graph.packages[1].wants[0].package, Some(2));
        for (text, line) in [
            (TWO.replace("  b@1.0.0: {}\n", "  b@1.0.0: {}\n  b@1.0.0: {}\n"), 32),
            ("---\n".repeat(20), 9),
            (format!("{TWO}---\n[]\n"), 33),
            (String::new(), 1),
            ("---\n".to_owned(), 1),
        ] {
            let fault = parse(&text, &Surroundings::none()).unwrap_err();
            assert_eq!(fault.line, line, "{text}: {fault}");
        }
    }

    #[test]
    fn a_key_tells_name_and_version() {
        for (keys, key, name, version) in [
            (Keys::Slashes, "/a/1.0.0", "a", "1.0.0"),
            (Keys::Slashes, "/@s/a/1.0.0_react@18.3.1", "@s/a", "1.0.0"),
            (Keys::Slashes, "registry.example.org/a/1.0.0", "a", "1.0.0"),
            (Keys::Ats, "/a@1.0.0", "a", "1.0.0"),
            (Keys::Ats, "/@s/a@1.0.0(react@18.3.1)(@b/c@1.0.0)", "@s/a", "1.0.0"),
            (Keys::Ats, "@s/a@1.0.0", "@s/a", "1.0.0"),
            (Keys::Ats, "a@file:lib", "a", "file:lib"),
        ] {
            assert_eq!(keys.name_and_version(key), (name, version), "{key}");
        }
    }
}
