//! Version 1: packages lie in each other as they do on the disk, and only their flags say what they are for.

use serde::Deserialize;

use super::super::fault::Fault;
use super::super::json::{Lines, Maybe, Names, Text};
use super::super::places::{DEEPEST, Places, ROOT, Step};
use super::super::{LARGEST, manifest, source};
use crate::audit::graph::{Ecosystem, Kind, Package, Scope, Source, Want};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry<'a> {
    #[serde(borrow)]
    version: Maybe<'a>,
    #[serde(borrow)]
    resolved: Maybe<'a>,
    #[serde(borrow)]
    integrity: Maybe<'a>,
    bundled: bool,
    dev: bool,
    optional: bool,
    #[serde(borrow)]
    requires: Names<'a, Text<'a>>,
    #[serde(borrow)]
    dependencies: Names<'a, Entry<'a>>,
}

/// The packages of a lockfile, and where they lie.
pub(super) fn packages<'t>(
    text: &'t str,
    entries: &'t Names<'_, Entry<'_>>,
) -> Result<(Vec<Package>, Places<'t>), Fault> {
    let mut walk = Walk { lines: Lines::of(text), places: Places::new(), found: Vec::new(), bytes: 0 };
    walk.down(ROOT, "", entries)?;
    let scopes: Vec<_> = walk.found.iter().map(|found| found.package.scope).collect();
    let packages = walk.found.into_iter().map(|found| {
        let wants = found.entry.requires.iter().map(|(name, range)| {
            let package = walk.places.find(found.place, name);
            let scope = package.and_then(|package| scopes.get(package));
            Want {
                name: (**name).to_owned(),
                range: manifest::range_of(range).to_owned(),
                kind: kind(found.package.scope, scope.copied()),
                package,
            }
        });
        Package { wants: wants.collect(), ..found.package }
    });
    Ok((packages.collect(), walk.places))
}

/// `requires` holds the optional ones too: what is optional below what is not was asked for as such.
fn kind(from: Scope, to: Option<Scope>) -> Kind {
    match (from, to) {
        (Scope::Production, Some(Scope::Optional)) => Kind::Optional,
        _ => Kind::Production,
    }
}

struct Walk<'t, 'a> {
    lines: Lines<'t>,
    places: Places<'t>,
    found: Vec<Found<'t, 'a>>,
    /// How long all places are together: what is nested would repeat a long name without end.
    bytes: u64,
}

struct Found<'t, 'a> {
    package: Package,
    entry: &'t Entry<'a>,
    place: usize,
}

impl<'t, 'a> Walk<'t, 'a> {
    /// serde_json nests 128 levels at most, so this does too.
    fn down(&mut self, place: usize, path: &str, entries: &'t Names<'a, Entry<'a>>) -> Result<(), Fault> {
        for (name, entry) in entries.iter() {
            let line = self.lines.line(name);
            let slash = if path.is_empty() { "" } else { "/" };
            let path = format!("{path}{slash}node_modules/{}", &**name);
            self.bytes += path.len() as u64;
            let below = self.places.step(place, Step::Package(name)).filter(|_| self.bytes <= LARGEST);
            let below = below.ok_or_else(|| {
                Fault::at(line.unwrap_or(1), format!("places are too long, or more than {DEEPEST} deep"))
            })?;
            self.places.put(below, self.found.len());
            let package = entry.package(name, &path, line);
            self.found.push(Found { package, entry, place: below });
            self.down(below, &path, &entry.dependencies)?;
        }
        Ok(())
    }
}

impl Entry<'_> {
    fn package(&self, name: &str, place: &str, line: Option<usize>) -> Package {
        let written = self.version.text().unwrap_or_default();
        let (name, version) = match manifest::alias_of(written) {
            Some((name, version)) => (name, version),
            None => (name, written),
        };
        Package {
            ecosystem: Ecosystem::Npm,
            name: name.to_owned(),
            version: version.to_owned(),
            place: place.to_owned(),
            line,
            scope: self.scope(),
            source: self.source(version),
            integrity: self.integrity.to_owned(),
            install_script: false,
            deprecated: None,
            wants: Vec::new(),
        }
    }

    fn scope(&self) -> Scope {
        match (self.dev, self.optional) {
            (true, _) => Scope::Development,
            (false, true) => Scope::Optional,
            (false, false) => Scope::Production,
        }
    }

    /// What is not of a registry has its address for a version.
    fn source(&self, version: &str) -> Source {
        if self.bundled {
            return Source::Bundled;
        }
        match version.strip_prefix("file:") {
            Some(path) if !source::is_tarball(path) => Source::Folder(path.to_owned()),
            _ if version.contains(':') => source::of(Some(version)),
            _ => source::of(self.resolved.text()),
        }
    }
}
