//! Graphs drawn in a line, for tests.

use super::advisory::{Advisories, Advisory, Affected, End, Severity, Span};
use super::graph::{Ecosystem, Graph, Kind, Package, Project, Scope, Source, Want};

/// `WHO > NAME[@VERSION] [RANGE] [dev]`, one after the other with `;`. Nobody before the `>` is the lockfile's own project,
/// `folder/` is a workspace. A version is written where a package is first named.
pub(crate) fn sketch(drawn: &str) -> Graph {
    let mut graph = Graph { file: "package-lock.json".into(), ..Graph::default() };
    project(&mut graph, "");
    for line in drawn.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        let (who, asked) = line.split_once('>').unwrap();
        let mut words = asked.split_whitespace();
        let at = package(&mut graph, words.next().unwrap());
        let rest: Vec<_> = words.collect();
        let development = rest.last() == Some(&"dev");
        if development {
            graph.packages[at].scope = Scope::Development;
        }
        let want = Want {
            name: graph.packages[at].name.clone(),
            range: rest.first().filter(|word| **word != "dev").map_or("*", |range| range).replace('_', " "),
            kind: if development { Kind::Development } else { Kind::Production },
            package: Some(at),
        };
        match who.trim() {
            "" => graph.projects[0].wants.push(want),
            folder if folder.ends_with('/') => {
                let at = project(&mut graph, folder.trim_end_matches('/'));
                graph.projects[at].wants.push(want);
            }
            name => {
                let at = package(&mut graph, name);
                graph.packages[at].wants.push(want);
            }
        }
    }
    graph
}

fn project(graph: &mut Graph, folder: &str) -> usize {
    if let Some(at) = graph.projects.iter().position(|project| project.folder == folder) {
        return at;
    }
    graph.projects.push(Project { name: "shop".to_owned(), folder: folder.to_owned(), wants: Vec::new() });
    graph.projects.len() - 1
}

fn package(graph: &mut Graph, written: &str) -> usize {
    let (name, version) = match written.rsplit_once('@') {
        Some((name, version)) if !name.is_empty() => (name, Some(version)),
        _ => (written, None),
    };
    let same = |one: &Package| one.name == name && version.is_none_or(|version| one.version == version);
    if let Some(at) = graph.packages.iter().position(same) {
        return at;
    }
    let nth = graph.packages.len();
    graph.packages.push(Package {
        ecosystem: Ecosystem::Npm,
        name: name.to_owned(),
        version: version.unwrap_or("1.0.0").to_owned(),
        place: format!("node_modules/{name}"),
        line: Some(nth + 1),
        scope: Scope::Production,
        source: Source::Registry(None),
        integrity: None,
        install_script: false,
        deprecated: None,
        wants: Vec::new(),
    });
    nth
}

/// A record of `package`; `aliases` with blanks between them, and spans such as `0..1.2.0,2.0.0..=2.1.0,3.0.0..`.
pub(crate) fn advisory(package: &str, id: &str, aliases: &str, spans: &str) -> Advisory {
    let span = |drawn: &str| {
        let (introduced, end) = drawn.split_once("..").unwrap();
        let end = match end.strip_prefix('=') {
            Some(last) => End::LastAffected(last.to_owned()),
            None if end.is_empty() => End::Open,
            None => End::Fixed(end.to_owned()),
        };
        Span { introduced: introduced.to_owned(), end }
    };
    Advisory {
        id: id.to_owned(),
        aliases: aliases.split_whitespace().map(str::to_owned).collect(),
        package: package.to_owned(),
        summary: format!("what is wrong with {package}"),
        severity: Some(Severity::High),
        score: Some(7.5),
        malicious: false,
        url: format!("https://advisories.example/{id}"),
        cwes: vec!["CWE-400".to_owned()],
        functions: Vec::new(),
        affected: Affected { spans: spans.split(',').map(span).collect(), ..Affected::default() },
    }
}

/// A list that is searched, in place of an index.
pub(crate) struct List(pub(crate) Vec<Advisory>);

impl Advisories for List {
    fn of(&self, _: Ecosystem, name: &str) -> std::io::Result<Vec<Advisory>> {
        Ok(self.0.iter().filter(|record| record.package == name).cloned().collect())
    }
}
