//! Where packages lie, and what Node finds from there: the folder `node_modules` beside, then those further up.

use std::collections::HashMap;

/// Folders that hold packages, one inside the other.
#[derive(Debug)]
pub(super) struct Places<'a> {
    places: Vec<Place>,
    inside: HashMap<(usize, Step<'a>), usize>,
}

#[derive(Debug)]
struct Place {
    parent: Option<usize>,
    package: Option<usize>,
    depth: usize,
}

/// One step down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step<'a> {
    /// Into `node_modules/NAME`.
    Package(&'a str),
    /// Into a folder.
    Folder(&'a str),
}

/// The lockfile's own folder.
pub(super) const ROOT: usize = 0;

/// How deep places may lie in each other: npm nests a dozen levels where it has to.
pub(super) const DEEPEST: usize = 100;

impl<'a> Places<'a> {
    pub(super) fn new() -> Self {
        Self { places: vec![Place { parent: None, package: None, depth: 0 }], inside: HashMap::new() }
    }

    /// The place one step below `place`; `None` when that is too deep.
    pub(super) fn step(&mut self, place: usize, step: Step<'a>) -> Option<usize> {
        if let Some(below) = self.inside.get(&(place, step)) {
            return Some(*below);
        }
        let depth = self.places.get(place)?.depth + 1;
        if depth > DEEPEST {
            return None;
        }
        let below = self.places.len();
        self.places.push(Place { parent: Some(place), package: None, depth });
        self.inside.insert((place, step), below);
        Some(below)
    }

    /// The place of a path such as `packages/a/node_modules/@b/c`; `None` when that is too deep.
    pub(super) fn path(&mut self, path: &'a str) -> Option<usize> {
        Steps(path).try_fold(ROOT, |place, step| self.step(place, step))
    }

    /// Says that the package of this number lies at `place`.
    pub(super) fn put(&mut self, place: usize, package: usize) {
        if let Some(place) = self.places.get_mut(place) {
            place.package = Some(package);
        }
    }

    /// The package that `name` means to a file at `place`.
    pub(super) fn find(&self, place: usize, name: &str) -> Option<usize> {
        let mut from = Some(place);
        while let Some(place) = from {
            let below =
                self.inside.get(&(place, Step::Package(name))).and_then(|below| self.places.get(*below));
            if let Some(package) = below.and_then(|below| below.package) {
                return Some(package);
            }
            from = self.places.get(place)?.parent;
        }
        None
    }
}

/// The steps of a path, from the left.
#[derive(Clone, Debug)]
pub(super) struct Steps<'a>(pub(super) &'a str);

impl<'a> Iterator for Steps<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let (first, rest) = self.0.split_once('/').unwrap_or((self.0, ""));
        if first != "node_modules" || rest.is_empty() {
            self.0 = rest;
            return Some(Step::Folder(first));
        }
        let (name, rest) = first_name(rest);
        self.0 = rest;
        Some(Step::Package(name))
    }
}

/// Splits a package's name, which has a slash where it has a scope, from what follows the next slash.
pub(super) fn first_name(path: &str) -> (&str, &str) {
    let scope = if path.starts_with('@') { path.find('/').map_or(0, |slash| slash + 1) } else { 0 };
    let end = path.get(scope..).and_then(|rest| rest.find('/')).map(|slash| scope + slash);
    match end {
        Some(end) => (path.get(..end).unwrap_or(path), path.get(end + 1..).unwrap_or_default()),
        None => (path, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_looks_beside_and_then_further_up() {
        let paths = [
            "node_modules/a",
            "node_modules/b",
            "node_modules/@s/c/node_modules/a",
            "packages/w/node_modules/b",
            "packages/w/node_modules/d/node_modules/a",
            "node_modules/@s/c",
        ];
        let mut places = Places::new();
        for (package, path) in paths.iter().enumerate() {
            let place = places.path(path).unwrap();
            places.put(place, package);
        }
        for (from, name, found) in [
            ("", "a", Some(0)),
            ("node_modules/b", "a", Some(0)),
            ("node_modules/@s/c", "a", Some(2)),
            ("node_modules/@s/c", "b", Some(1)),
            ("packages/w", "b", Some(3)),
            ("packages/w", "a", Some(0)),
            ("packages/w/node_modules/d", "a", Some(4)),
            ("packages/w/node_modules/d", "@s/c", Some(5)),
            ("packages/v", "b", Some(1)),
            ("", "d", None),
        ] {
            let place = places.path(from).unwrap();
            assert_eq!(places.find(place, name), found, "{name} from {from:?}");
        }
    }

    #[test]
    fn too_deep_is_no_place() {
        for (levels, fits) in [(1, true), (DEEPEST, true), (DEEPEST + 1, false), (10_000, false)] {
            let path = vec!["node_modules/a"; levels].join("/");
            assert_eq!(Places::new().path(&path).is_some(), fits, "{levels}");
        }
    }
}
