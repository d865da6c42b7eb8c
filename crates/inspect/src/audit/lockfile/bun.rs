//! `bun.lock`: JSON with commas where JSON has none. A package's key is the way to it, as its place is for npm.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use super::fault::Fault;
use super::json::{Lines, Maybe, Names, Text};
use super::manifest::{self, Asks, PeerMeta};
use super::places::{DEEPEST, Places, ROOT, Step, first_name};
use super::{scope, source};
use crate::audit::graph::{Ecosystem, Graph, Package, Project, Scope, Source};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lockfile<'a> {
    lockfile_version: u64,
    #[serde(borrow, default)]
    workspaces: Names<'a, Asker<'a>>,
    #[serde(borrow, default)]
    packages: Names<'a, Entry<'a>>,
}

/// A workspace, or what a package says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Asker<'a> {
    #[serde(borrow)]
    name: Maybe<'a>,
    #[serde(borrow)]
    version: Maybe<'a>,
    #[serde(borrow)]
    dependencies: Names<'a, Text<'a>>,
    #[serde(borrow)]
    dev_dependencies: Names<'a, Text<'a>>,
    #[serde(borrow)]
    optional_dependencies: Names<'a, Text<'a>>,
    #[serde(borrow)]
    peer_dependencies: Names<'a, Text<'a>>,
    #[serde(borrow)]
    optional_peers: Vec<Text<'a>>,
    bundled: bool,
}

/// `["name@version", registry, {…}, checksum]`, of which the middle ones depend on where the package is from.
#[derive(Debug)]
struct Entry<'a> {
    resolution: Text<'a>,
    registry: Option<String>,
    asker: Asker<'a>,
    integrity: Option<String>,
}

pub(super) fn parse(text: &str) -> Result<Graph, Fault> {
    let plain = without_last_commas(text);
    let lockfile: Lockfile<'_> = serde_json::from_str(&plain)?;
    if lockfile.lockfile_version > NEWEST {
        let found = lockfile.lockfile_version;
        return Err(Fault::at(
            1,
            format!("`lockfileVersion` is {found}, and panoply knows those up to {NEWEST}"),
        ));
    }
    let mut lines = Lines::of(&plain);
    let mut places = Places::new();
    let mut lying = Vec::with_capacity(lockfile.packages.len());
    for (number, (key, _)) in lockfile.packages.iter().enumerate() {
        let line = lines.line(key);
        let place = place(&mut places, key).ok_or_else(|| {
            Fault::at(line.unwrap_or(1), format!("a package lies more than {DEEPEST} deep"))
        })?;
        places.put(place, number);
        lying.push((line, place));
    }
    // What a workspace alone has lies below its name.
    let of_name: HashMap<&str, usize> = lockfile
        .packages
        .iter()
        .zip(&lying)
        .filter_map(|((_, entry), (_, place))| Some((entry.workspace()?, *place)))
        .collect();
    let by_folder: HashMap<&str, &Asker<'_>> =
        lockfile.workspaces.iter().map(|(folder, asker)| (&**folder, asker)).collect();
    let projects = lockfile.workspaces.iter().map(|(folder, asker)| {
        let place = of_name.get(&**folder).copied().unwrap_or(ROOT);
        Project {
            name: asker.name.to_owned().unwrap_or_default(),
            folder: (**folder).to_owned(),
            wants: asker.with(|asks| asks.of_project(|name, _| places.find(place, name))),
        }
    });
    let packages = lockfile.packages.iter().zip(&lying).map(|((key, entry), (line, place))| {
        let asker =
            entry.workspace().and_then(|folder| by_folder.get(folder).copied()).unwrap_or(&entry.asker);
        let wants = asker.with(|asks| asks.of_package(|name, _| places.find(*place, name)));
        Package { line: *line, wants, ..entry.package(key, asker) }
    });
    let mut graph = Graph { projects: projects.collect(), packages: packages.collect(), ..Graph::default() };
    scope::adopt_orphans(&mut graph);
    scope::tell(&mut graph);
    Ok(graph)
}

/// The text with blanks for the commas that no value follows: every line stays where it is.
fn without_last_commas(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut comma = None;
    let (mut quoted, mut escaped) = (false, false);
    for symbol in text.chars() {
        if matches!(symbol, '}' | ']')
            && !quoted
            && let Some(comma) = comma
        {
            plain.replace_range(comma..=comma, " ");
        }
        if !symbol.is_ascii_whitespace() {
            comma = (symbol == ',' && !quoted).then_some(plain.len());
        }
        quoted ^= symbol == '"' && !escaped;
        escaped = quoted && symbol == '\\' && !escaped;
        plain.push(symbol);
    }
    plain
}

fn place<'a>(places: &mut Places<'a>, key: &'a str) -> Option<usize> {
    let (mut place, mut rest) = (ROOT, key);
    while !rest.is_empty() {
        let (name, after) = first_name(rest);
        place = places.step(place, Step::Package(name))?;
        rest = after;
    }
    Some(place)
}

impl Asker<'_> {
    fn with<T>(&self, then: impl FnOnce(Asks<'_, '_>) -> T) -> T {
        let meta: Vec<_> =
            self.optional_peers.iter().map(|name| (name.clone(), PeerMeta::optional())).collect();
        then(Asks {
            production: &self.dependencies,
            development: &self.dev_dependencies,
            optional: &self.optional_dependencies,
            peers: &self.peer_dependencies,
            peers_meta: &meta,
        })
    }
}

impl Entry<'_> {
    /// The folder, where this is a workspace.
    fn workspace(&self) -> Option<&str> {
        manifest::split_version(&self.resolution).1?.strip_prefix("workspace:")
    }

    fn package(&self, key: &str, asker: &Asker<'_>) -> Package {
        let (name, reference) = manifest::split_version(&self.resolution);
        let reference = reference.unwrap_or_default();
        let source = self.source(reference);
        let version = match &source {
            Source::Folder(_) => asker.version.text().unwrap_or_default(),
            _ => reference,
        };
        Package {
            ecosystem: Ecosystem::Npm,
            name: name.to_owned(),
            version: version.to_owned(),
            place: key.to_owned(),
            line: None,
            scope: Scope::Production,
            source,
            integrity: self.integrity.clone(),
            install_script: false,
            deprecated: None,
            wants: Vec::new(),
        }
    }

    fn source(&self, reference: &str) -> Source {
        if self.asker.bundled {
            return Source::Bundled;
        }
        for local in ["workspace:", "link:", "root:"] {
            if let Some(folder) = reference.strip_prefix(local) {
                return Source::Folder(folder.to_owned());
            }
        }
        match reference.strip_prefix("file:") {
            Some(path) if !source::is_tarball(path) => Source::Folder(path.to_owned()),
            _ if reference.contains(':') => source::of(Some(reference)),
            _ => Source::Registry(self.registry.clone()),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list that begins with `name@version`")
    }

    /// The address of the registry comes second, where the package is from one: empty for the default.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Entry<'de>, A::Error> {
        let resolution: Text<'de> = items.next_element()?.ok_or_else(|| Error::invalid_length(0, &self))?;
        let reference = manifest::split_version(&resolution).1.unwrap_or_default();
        let registry: Maybe<'de> = if reference.contains(':') {
            Maybe::default()
        } else {
            items.next_element()?.unwrap_or_default()
        };
        let asker = items.next_element()?.unwrap_or_default();
        let integrity: Maybe<'de> = items.next_element()?.unwrap_or_default();
        while items.next_element::<IgnoredAny>()?.is_some() {}
        let (registry, integrity) = (registry.to_owned(), integrity.to_owned());
        Ok(Entry { resolution, registry, asker, integrity })
    }
}

/// What `lockfileVersion` is known to mean.
const NEWEST: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_are_taken_where_nothing_follows() {
        for (text, plain) in [
            ("{\"a\": [1,\n],}", "{\"a\": [1 \n] }"),
            ("{\"a,]\": \",}\"}", "{\"a,]\": \",}\"}"),
            ("{\"a\\\",]\": 1,}", "{\"a\\\",]\": 1 }"),
            ("{\"\\\\\": [\"é\", ]}", "{\"\\\\\": [\"é\"  ]}"),
            ("[1,,]", "[1, ]"),
            ("[1, 2]", "[1, 2]"),
        ] {
            assert_eq!(without_last_commas(text), plain, "{text}");
        }
    }
}
