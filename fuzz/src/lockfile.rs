use panoply_inspect::audit::graph::{Graph, Want};
use panoply_inspect::audit::hygiene::{self, Allowed};
use panoply_inspect::audit::lockfile::{self, Dialect, Surroundings};

use crate::text;

/// npm's lockfiles, all versions.
pub fn lockfile_npm(input: &[u8]) {
    holds(Dialect::Npm, text(input));
}

/// yarn's, old and new.
pub fn lockfile_yarn(input: &[u8]) {
    holds(Dialect::Yarn, text(input));
}

/// pnpm's.
pub fn lockfile_pnpm(input: &[u8]) {
    holds(Dialect::Pnpm, text(input));
}

/// bun's.
pub fn lockfile_bun(input: &[u8]) {
    holds(Dialect::Bun, text(input));
}

/// Cargo's.
pub fn lockfile_cargo(input: &[u8]) {
    holds(Dialect::Cargo, text(input));
}

/// An error names a line of the text; a graph leads nowhere but into itself, and can be judged.
fn holds(dialect: Dialect, text: &str) {
    // YAML counts a carriage return as the end of a line too.
    let lines = text.split(['\n', '\r']).count();
    match lockfile::parse(dialect, text, &Surroundings::none()) {
        Err(fault) => {
            assert!((1..=lines).contains(&fault.line), "line {} of {lines}: {fault}", fault.line);
        }
        Ok((graph, doubts)) => {
            assert!(
                wants(&graph).all(|want| want.package.is_none_or(|package| package < graph.packages.len()))
            );
            let told = graph.packages.iter().filter_map(|package| package.line);
            assert!(
                told.chain(doubts.iter().filter_map(|doubt| doubt.line))
                    .all(|line| (1..=lines).contains(&line))
            );
            for blemish in hygiene::judge(&graph, &Allowed::default()) {
                assert!(blemish.package < graph.packages.len());
            }
        }
    }
}

fn wants(graph: &Graph) -> impl Iterator<Item = &Want> {
    let of_projects = graph.projects.iter().flat_map(|project| &project.wants);
    of_projects.chain(graph.packages.iter().flat_map(|package| &package.wants))
}
