//! Ways that are meant: `grunt > *`, `* > forever > utile`, `express > qs@6.7.0`.
//!
//! A pattern is a small automaton that walks along with a search through the graph. A pair of a package and the places
//! where the patterns stand is looked at once, so that neither cycles nor a million ways cost more than the graph has
//! edges, times the pattern's length.

use std::collections::{HashSet, VecDeque};
use std::str::FromStr;

use super::graph::{Graph, Package};
use super::paths::{Way, Ways};

/// Names from a direct dependency down, as a path of a report has them; `*` is any number of them, none too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    elements: Vec<Element>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Element {
    Any,
    Named(String),
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let elements: Vec<Element> = text
            .split('>')
            .map(|word| match word.trim() {
                "*" => Element::Any,
                name => Element::Named(name.to_owned()),
            })
            .collect();
        let blank =
            |one: &Element| matches!(one, Element::Named(name) if name.is_empty() || name.contains(' '));
        if elements.iter().any(blank) {
            return Err(format!(
                "a path is of names with `>` between them, such as `grunt > *`, not `{text}`"
            ));
        }
        if elements.len() > LONGEST {
            return Err(format!("a path has {LONGEST} names at most, not {}", elements.len()));
        }
        Ok(Self { elements })
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, element) in self.elements.iter().enumerate() {
            let between = if at == 0 { "" } else { " > " };
            let word = match element {
                Element::Any => "*",
                Element::Named(name) => name,
            };
            write!(f, "{between}{word}")?;
        }
        Ok(())
    }
}

impl Pattern {
    /// A way to one of `targets` that one of `patterns` means.
    pub(crate) fn matching(patterns: &[&Self], ways: &Ways<'_>, targets: &[usize]) -> Option<Way> {
        match Walk::new(patterns, ways, targets).first(|ends| ends.iter().any(|end| *end)) {
            Ended::Found(way) => Some(way),
            Ended::Nothing | Ended::TooLong => None,
        }
    }

    /// A way to one of `targets` that none of `patterns` means. Where the search is too long there may be one: then it is
    /// the shortest of all.
    pub(crate) fn missing(patterns: &[&Self], ways: &Ways<'_>, targets: &[usize]) -> Option<Way> {
        match Walk::new(patterns, ways, targets).first(|ends| ends.iter().all(|end| !*end)) {
            Ended::Found(way) => Some(way),
            Ended::TooLong => ways.shortest(targets).ways.into_iter().next(),
            Ended::Nothing => None,
        }
    }

    /// Where it stands before the first name: a bit for each element that may come next.
    fn start(&self) -> u64 {
        self.closed(1)
    }

    /// Where it stands after `package`.
    fn step(&self, stands: u64, package: &Package) -> u64 {
        let mut next = 0;
        for (at, element) in self.elements.iter().enumerate() {
            if stands & (1 << at) != 0 {
                next |= match element {
                    Element::Any => 1 << at,
                    Element::Named(name) if is_called(package, name) => 1 << (at + 1),
                    Element::Named(_) => 0,
                };
            }
        }
        self.closed(next)
    }

    fn ends(&self, stands: u64) -> bool {
        stands & (1 << self.elements.len()) != 0
    }

    /// A `*` may also be nothing.
    fn closed(&self, mut stands: u64) -> u64 {
        for (at, element) in self.elements.iter().enumerate() {
            if *element == Element::Any && stands & (1 << at) != 0 {
                stands |= 1 << (at + 1);
            }
        }
        stands
    }
}

/// `qs`, or `qs@6.7.0`.
fn is_called(package: &Package, name: &str) -> bool {
    let version = name.strip_prefix(package.name.as_str());
    version.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('@') == Some(&package.version))
}

/// A search, breadth first, from all projects at once.
struct Walk<'w> {
    patterns: &'w [&'w Pattern],
    graph: &'w Graph,
    leading: std::collections::BTreeSet<usize>,
    targets: &'w [usize],
    seen: HashSet<(usize, Vec<u64>)>,
    /// Each step, and the one before it, or the project that it starts from.
    steps: Vec<(usize, Result<usize, usize>)>,
    open: VecDeque<(usize, Vec<u64>)>,
}

enum Ended {
    Found(Way),
    Nothing,
    TooLong,
}

impl<'w> Walk<'w> {
    fn new(patterns: &'w [&'w Pattern], ways: &'w Ways<'_>, targets: &'w [usize]) -> Self {
        Self {
            patterns,
            graph: ways.graph(),
            leading: ways.leading_to(targets),
            targets,
            seen: HashSet::new(),
            steps: Vec::new(),
            open: VecDeque::new(),
        }
    }

    /// The first way whose end is `wanted`, given for each pattern whether it means the way.
    fn first(mut self, wanted: impl Fn(&[bool]) -> bool) -> Ended {
        let graph = self.graph;
        let start: Vec<u64> = self.patterns.iter().map(|pattern| pattern.start()).collect();
        for (at, project) in graph.projects.iter().enumerate() {
            for package in project.wants.iter().filter_map(|want| want.package) {
                self.take(package, &start, Err(at));
            }
        }
        while let Some((step, stands)) = self.open.pop_front() {
            let Some(&(package, _)) = self.steps.get(step) else { continue };
            let ends: Vec<bool> =
                self.patterns.iter().zip(&stands).map(|(pattern, stand)| pattern.ends(*stand)).collect();
            if self.targets.contains(&package) && wanted(&ends) {
                return Ended::Found(self.way(step));
            }
            if self.steps.len() > PATIENCE {
                return Ended::TooLong;
            }
            let wants = graph.packages.get(package).map_or(&[][..], |package| &package.wants);
            for next in wants.iter().filter_map(|want| want.package) {
                self.take(next, &stands, Ok(step));
            }
        }
        Ended::Nothing
    }

    fn take(&mut self, at: usize, stands: &[u64], from: Result<usize, usize>) {
        let Some(package) = self.graph.packages.get(at).filter(|_| self.leading.contains(&at)) else {
            return;
        };
        let stepped: Vec<u64> =
            self.patterns.iter().zip(stands).map(|(pattern, stand)| pattern.step(*stand, package)).collect();
        if self.seen.insert((at, stepped.clone())) {
            self.open.push_back((self.steps.len(), stepped));
            self.steps.push((at, from));
        }
    }

    fn way(&self, last: usize) -> Way {
        let mut way = Way { project: 0, packages: Vec::new() };
        let mut step = Ok(last);
        while let Ok(at) = step {
            let Some(&(package, before)) = self.steps.get(at) else { break };
            way.packages.push(package);
            if let Err(project) = before {
                way.project = project;
            }
            step = before;
        }
        way.packages.reverse();
        way
    }
}

/// A bit each, and one for the end.
const LONGEST: usize = 62;
/// So many pairs are looked at: a graph of 10,000 packages with patterns that stand at 50 places.
const PATIENCE: usize = 500_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::sketch::sketch;

    #[test]
    fn a_pattern_means_the_ways_that_its_names_spell() {
        let graph = sketch("> a; a > b@2.0.0; b > c; c > b; c > z; a > z");
        let ways = Ways::of(&graph);
        let target = [graph.packages.iter().position(|package| package.name == "z").unwrap()];
        for (pattern, meant, missed) in [
            ("a > z", true, true),
            ("a > *", true, false),
            ("*", true, false),
            ("* > z", true, false),
            ("* > b > *", true, true),
            ("* > b@2.0.0 > c > z", true, true),
            ("* > b@1.0.0 > *", false, true),
            ("a > b > c > b > c > z", true, true), // round the cycle once
            ("z", false, true),
            ("a > b", false, true),
            ("a > * > z > *", true, false),
        ] {
            let read: Pattern = pattern.parse().unwrap();
            assert_eq!(read.to_string(), pattern);
            assert_eq!(Pattern::matching(&[&read], &ways, &target).is_some(), meant, "{pattern} meant");
            assert_eq!(Pattern::missing(&[&read], &ways, &target).is_some(), missed, "{pattern} missed");
        }
    }

    #[test]
    fn a_million_ways_are_walked_in_no_time() {
        let mut drawn = "> a0; > b0".to_owned();
        for floor in 0..20 {
            for (up, down) in [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")] {
                drawn.push_str(&format!("; {up}{floor} > {down}{}", floor + 1));
            }
        }
        let graph = sketch(&drawn);
        let ways = Ways::of(&graph);
        let target = [graph.packages.iter().position(|package| package.name == "a20").unwrap()];
        let all: Vec<Pattern> = ["a0 > *", "b0 > *"].map(|text| text.parse().unwrap()).to_vec();
        assert_eq!(Pattern::missing(&all.iter().collect::<Vec<_>>(), &ways, &target), None);
        assert!(Pattern::missing(&[&all[0]], &ways, &target).is_some());
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "a >", "> a", "a b", "a > > b", &["a"; 63].join(">")] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
