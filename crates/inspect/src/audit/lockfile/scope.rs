//! What packages are installed for, by the ways that lead to them.

use crate::audit::graph::{Graph, Kind, Project, Scope, Want};

/// Gives each package the mildest scope of all the ways to it; what no way leads to counts as production.
pub(super) fn tell(graph: &mut Graph) {
    let scopes = scopes(graph);
    for (package, scope) in graph.packages.iter_mut().zip(scopes) {
        package.scope = scope;
    }
}

/// A way is as strict as the strictest step on it.
fn scopes(graph: &Graph) -> Vec<Scope> {
    let mut told = vec![None; graph.packages.len()];
    let mut open: [Vec<(usize, Scope)>; 3] = Default::default();
    let queue = |from: Scope, wants: &[Want], open: &mut [Vec<(usize, Scope)>; 3]| {
        for want in wants {
            let scope = from.max(scope_of(want.kind));
            if let (Some(package), Some(open)) = (want.package, open.get_mut(scope as usize)) {
                open.push((package, scope));
            }
        }
    };
    for project in &graph.projects {
        queue(Scope::Production, &project.wants, &mut open);
    }
    while let Some((package, scope)) = open.iter_mut().find_map(Vec::pop) {
        let Some(first @ None) = told.get_mut(package) else { continue };
        *first = Some(scope);
        if let Some(package) = graph.packages.get(package) {
            queue(scope, &package.wants, &mut open);
        }
    }
    told.into_iter().map(|scope| scope.unwrap_or(Scope::Production)).collect()
}

fn scope_of(kind: Kind) -> Scope {
    match kind {
        Kind::Production | Kind::Peer => Scope::Production,
        Kind::Optional => Scope::Optional,
        Kind::Development => Scope::Development,
    }
}

/// Where no manifest says what the project asks for, it is what nobody else does.
pub(super) fn adopt_orphans(graph: &mut Graph) {
    if !graph.projects.is_empty() {
        return;
    }
    let mut asked = vec![false; graph.packages.len()];
    for package in graph.packages.iter().flat_map(|package| &package.wants).filter_map(|want| want.package) {
        if let Some(asked) = asked.get_mut(package) {
            *asked = true;
        }
    }
    let orphans = graph.packages.iter().zip(asked).enumerate().filter(|(_, (_, asked))| !asked);
    let wants = orphans.map(|(number, (package, _))| Want {
        name: package.name.clone(),
        range: String::new(),
        kind: match package.scope {
            Scope::Production => Kind::Production,
            Scope::Optional => Kind::Optional,
            Scope::Development => Kind::Development,
        },
        package: Some(number),
    });
    graph.projects = vec![Project { wants: wants.collect(), ..Project::default() }];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::graph::{Ecosystem, Package, Source};

    /// `0: a b` is what the project asks for, `1: …` what package a asks for; `b?` is optional, `b!` development.
    fn wants(line: &str) -> Vec<Want> {
        let want = |word: &str| Want {
            name: word.to_owned(),
            range: String::new(),
            kind: match word.chars().nth(1) {
                Some('?') => Kind::Optional,
                Some('!') => Kind::Development,
                Some('^') => Kind::Peer,
                _ => Kind::Production,
            },
            package: Some(usize::from(word.as_bytes()[0] - b'a')),
        };
        line.split_whitespace().map(want).collect()
    }

    #[test]
    fn the_mildest_way_decides() {
        let package = |line: &str| Package {
            ecosystem: Ecosystem::Npm,
            name: String::new(),
            version: String::new(),
            place: String::new(),
            line: None,
            scope: Scope::Production,
            source: Source::Registry(None),
            integrity: None,
            install_script: false,
            deprecated: None,
            wants: wants(line),
        };
        for (project, packages, scopes) in [
            ("a", &["b", ""][..], "PP"),
            ("a!", &["b", ""], "DD"),
            ("a?", &["b", ""], "OO"),
            ("a! b", &["b", ""], "DP"),
            ("a! b?", &["b", ""], "DO"),
            ("a! b", &["", "a?"], "OP"),
            ("a", &["b?", "c", ""], "POO"),
            ("a! c", &["b", "a", "b^"], "PPP"),
            ("a!", &["b", "a"], "DD"),
            ("", &["b", "a"], "PP"),
            ("b! a?", &["c", "c", "a b"], "OOO"),
        ] {
            let graph = Graph {
                projects: vec![Project { wants: wants(project), ..Project::default() }],
                packages: packages.iter().map(|line| package(line)).collect(),
                ..Graph::default()
            };
            let told: String = super::scopes(&graph)
                .into_iter()
                .map(|scope| match scope {
                    Scope::Production => 'P',
                    Scope::Optional => 'O',
                    Scope::Development => 'D',
                })
                .collect();
            assert_eq!(told, scopes, "{project} {packages:?}");
        }
    }
}
