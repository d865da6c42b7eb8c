//! The ways by which a package came: who asked for whom, from a project down to it.
//!
//! A graph of a thousand packages can hold more ways than anybody can count. So the shortest are found one by one,
//! each as soon as it is known to be the next, and the search ends after [`MOST`] of them or a bounded number of steps.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use super::graph::{Graph, Package, Project, Source, Want};

/// A graph, read against its arrows.
#[derive(Debug)]
pub struct Ways<'g> {
    graph: &'g Graph,
    /// Who asks for each package.
    askers: Vec<Vec<Asker<'g>>>,
    /// How many steps each package is from the nearest project; `None` where no project leads to it.
    depths: Vec<Option<usize>>,
}

/// Somebody who asks for a package, and how.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'g> {
    /// Who.
    pub who: Who,
    /// The line of its dependencies.
    pub want: &'g Want,
}

/// A project or a package, by its place in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// One of [`Graph::projects`].
    Project(usize),
    /// One of [`Graph::packages`].
    Package(usize),
}

/// A way from a project to a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The project that asks first, by its place in the graph.
    pub project: usize,
    /// The packages, from the one that the project asks for to the one that was looked for.
    pub packages: Vec<usize>,
}

/// The shortest ways to a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortest {
    /// Shortest first, at most [`MOST`].
    pub ways: Vec<Way>,
    /// Whether there are others.
    pub more: bool,
}

impl<'g> Ways<'g> {
    /// Reads the arrows of `graph` backwards.
    #[must_use]
    pub fn of(graph: &'g Graph) -> Self {
        let mut askers: Vec<Vec<Asker<'g>>> = vec![Vec::new(); graph.packages.len()];
        let projects = graph.projects.iter().enumerate().map(|(at, one)| (Who::Project(at), &one.wants));
        let packages = graph.packages.iter().enumerate().filter(|(_, one)| !is_project(graph, one));
        let packages = packages.map(|(at, one)| (Who::Package(at), &one.wants));
        for (who, wants) in projects.chain(packages) {
            for want in wants {
                if let Some(asked) = want.package.and_then(|at| askers.get_mut(at)) {
                    asked.push(Asker { who, want });
                }
            }
        }
        Self { graph, askers, depths: depths(graph) }
    }

    /// The graph.
    #[must_use]
    pub const fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// Who asks for the package at `at`.
    #[must_use]
    pub fn askers(&self, at: usize) -> &[Asker<'g>] {
        self.askers.get(at).map_or(&[], Vec::as_slice)
    }

    /// The shortest ways to any of `targets`; none passes a package twice.
    #[must_use]
    pub fn shortest(&self, targets: &[usize]) -> Shortest {
        Search::to(self, targets).run()
    }

    /// Every package that leads to one of `targets`, and they themselves.
    #[must_use]
    pub fn leading_to(&self, targets: &[usize]) -> BTreeSet<usize> {
        let mut found: BTreeSet<usize> = targets.iter().copied().collect();
        let mut open: Vec<usize> = targets.to_vec();
        while let Some(at) = open.pop() {
            for asker in self.askers(at) {
                if let Who::Package(who) = asker.who
                    && found.insert(who)
                {
                    open.push(who);
                }
            }
        }
        found
    }

    fn depth(&self, at: usize) -> Option<usize> {
        self.depths.get(at).copied().flatten()
    }
}

/// A workspace is installed as a link to its folder, and berry and Cargo have the root among the packages: what it asks
/// for, its project asks for already.
fn is_project(graph: &Graph, package: &Package) -> bool {
    let Source::Folder(folder) = &package.source else { return false };
    let is_it =
        |project: &Project| project.folder == *folder && (!folder.is_empty() || project.name == package.name);
    graph.projects.iter().any(is_it)
}

/// Breadth first, from all projects at once.
fn depths(graph: &Graph) -> Vec<Option<usize>> {
    let mut depths = vec![None; graph.packages.len()];
    let mut open: VecDeque<(&[Want], usize)> =
        graph.projects.iter().map(|project| (project.wants.as_slice(), 1)).collect();
    while let Some((wants, depth)) = open.pop_front() {
        for at in wants.iter().filter_map(|want| want.package) {
            if let (Some(known @ None), Some(package)) = (depths.get_mut(at), graph.packages.get(at)) {
                *known = Some(depth);
                open.push_back((&package.wants, depth + 1));
            }
        }
    }
    depths
}

/// A walk from the target towards the projects. What is still to go is known exactly, so the first way that ends is the
/// shortest, and the next the next.
struct Search<'w, 'g> {
    ways: &'w Ways<'g>,
    /// Each step taken, and the one after it on the way to the target.
    steps: Vec<(usize, Option<usize>)>,
    open: BinaryHeap<Reverse<Open>>,
}

/// An unfinished way: by the length that it will have at least, then by what is left of it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    length: usize,
    left: usize,
    /// Among equals the older, so that the order is the same each time.
    age: usize,
    project: Option<usize>,
    step: usize,
}

impl<'w, 'g> Search<'w, 'g> {
    fn to(ways: &'w Ways<'g>, targets: &[usize]) -> Self {
        let mut search = Self { ways, steps: Vec::new(), open: BinaryHeap::new() };
        for &target in targets {
            search.take(target, None, 1);
        }
        search
    }

    fn run(mut self) -> Shortest {
        let mut found = Shortest::default();
        while let Some(Reverse(open)) = self.open.pop() {
            if found.ways.len() == MOST || self.steps.len() > PATIENCE {
                found.more = true;
                break;
            }
            match open.project {
                Some(project) => found.ways.push(Way { project, packages: self.from(open.step) }),
                None => self.go_on(&open),
            }
        }
        found
    }

    /// Steps to everybody who asks for the package at the end of `open`.
    fn go_on(&mut self, open: &Open) {
        let Some(&(package, _)) = self.steps.get(open.step) else { return };
        let so_far = open.length - open.left;
        let ways = self.ways;
        let askers: BTreeSet<Who> = ways.askers(package).iter().map(|asker| asker.who).collect();
        for who in askers {
            match who {
                Who::Project(project) => {
                    let age = self.steps.len();
                    let whole =
                        Open { length: so_far, left: 0, age, project: Some(project), step: open.step };
                    self.open.push(Reverse(whole));
                }
                Who::Package(asker) if so_far < LONGEST && !self.from(open.step).contains(&asker) => {
                    self.take(asker, Some(open.step), so_far + 1);
                }
                Who::Package(_) => {}
            }
        }
    }

    fn take(&mut self, package: usize, next: Option<usize>, so_far: usize) {
        let Some(depth) = self.ways.depth(package) else { return };
        let left = depth - 1;
        let step = self.steps.len();
        self.steps.push((package, next));
        self.open.push(Reverse(Open { length: so_far + left, left, age: step, project: None, step }));
    }

    /// The packages from this step to the target.
    fn from(&self, step: usize) -> Vec<usize> {
        let first = self.steps.get(step);
        std::iter::successors(first, |(_, next)| next.and_then(|next| self.steps.get(next)))
            .map(|&(package, _)| package)
            .collect()
    }
}

/// So many ways are told of each package.
pub const MOST: usize = 5;
/// A way of more packages is not looked at.
pub const LONGEST: usize = 64;
/// So many steps are taken for each package at most.
const PATIENCE: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::sketch::sketch;

    fn names(graph: &Graph, found: &Shortest) -> Vec<String> {
        let name = |&at: &usize| graph.packages[at].name.clone();
        found.ways.iter().map(|way| way.packages.iter().map(name).collect::<Vec<_>>().join(" > ")).collect()
    }

    #[test]
    fn ways_are_told_shortest_first() {
        for (drawn, target, told, more) in [
            ("> a; a > b; b > c", "c", vec!["a > b > c"], false),
            ("> a; > c; a > c", "c", vec!["c", "a > c"], false),
            ("> a; a > b; a > c; b > d; c > d; a > d", "d", vec!["a > d", "a > b > d", "a > c > d"], false),
            ("> a; a > b; b > a; b > c; c > b", "c", vec!["a > b > c"], false),
            ("> a; x > y", "y", vec![], false),
            (
                "> a; > b; > c; > d; > e; > f; a > z; b > z; c > z; d > z; e > z; f > z",
                "z",
                vec!["a > z", "b > z", "c > z", "d > z", "e > z"],
                true,
            ),
        ] {
            let graph = sketch(drawn);
            let ways = Ways::of(&graph);
            let found = ways.shortest(&[sketched(&graph, target)]);
            assert_eq!((names(&graph, &found), found.more), (owned(told), more), "{drawn}");
        }
    }

    #[test]
    fn a_graph_with_a_million_ways_is_answered_at_once() {
        // Twenty floors of two packages, each asking for both below: 2^20 ways, all of one length.
        let mut drawn = "> a0; > b0".to_owned();
        for floor in 0..20 {
            for (up, down) in [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")] {
                drawn.push_str(&format!("; {up}{floor} > {down}{}", floor + 1));
            }
        }
        let graph = sketch(&drawn);
        let ways = Ways::of(&graph);
        let search = Search::to(&ways, &[sketched(&graph, "a20")]);
        let found = search.run();
        assert_eq!((found.ways.len(), found.more), (MOST, true));
        assert!(found.ways.iter().all(|way| way.packages.len() == 21));
    }

    #[test]
    fn a_workspace_asks_as_a_project_alone() {
        let mut graph = sketch("> web; web > z; web/ > z");
        graph.packages[0].source = Source::Folder("web".to_owned());
        let ways = Ways::of(&graph);
        let asking: Vec<Who> = ways.askers(1).iter().map(|asker| asker.who).collect();
        assert_eq!(asking, [Who::Project(1)]);
        assert_eq!(names(&graph, &ways.shortest(&[1])), ["z"]);
    }

    #[test]
    fn who_leads_to_a_package_is_found_through_cycles() {
        let graph = sketch("> a; > x; a > b; b > c; c > b; x > y");
        let found = Ways::of(&graph).leading_to(&[sketched(&graph, "c")]);
        let names: Vec<_> = found.iter().map(|&at| graph.packages[at].name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    fn sketched(graph: &Graph, name: &str) -> usize {
        graph.packages.iter().position(|package| package.name == name).unwrap()
    }

    fn owned(texts: Vec<&str>) -> Vec<String> {
        texts.into_iter().map(str::to_owned).collect()
    }
}
