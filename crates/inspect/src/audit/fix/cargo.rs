//! Changes a requirement in a Cargo.toml, a crate's own or its workspace's, and nothing else in it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Raise;
use super::manifest::ManifestError;

/// The manifest with the new requirement wherever the old one is asked for; nothing where it is asked for nowhere.
///
/// # Errors
/// When it is no TOML.
pub fn raise(text: &str, raise: &Raise) -> Result<Option<String>, ManifestError> {
    let manifest = DeTable::parse(text)?;
    let asked = lists(manifest.get_ref()).flat_map(DeTable::iter);
    let places = asked.filter_map(|(name, asked)| place(name.get_ref(), asked, raise, &raise.from)).collect();
    Ok(written(text, places, raise))
}

/// The workspace's manifest with the new requirement where `member` inherits the old one (`workspace = true`); nothing where
/// it does not. Another member may have raised it already.
///
/// # Errors
/// When one of the two is no TOML.
pub fn raise_shared(text: &str, member: &str, raise: &Raise) -> Result<Option<String>, ManifestError> {
    let (manifest, member) = (DeTable::parse(text)?, DeTable::parse(member)?);
    let inherits = |key: &str| {
        lists(member.get_ref()).filter_map(|list| list.get(key)?.get_ref().get("workspace")).any(is_true)
    };
    let workspace = manifest.get_ref().get("workspace").and_then(|workspace| workspace.get_ref().as_table());
    let shared = workspace.and_then(|workspace| workspace.get("dependencies")?.get_ref().as_table());
    let asked: Vec<_> = shared.into_iter().flatten().filter(|(key, _)| inherits(key.get_ref())).collect();
    let places = |version: &str| -> Vec<Range<usize>> {
        asked.iter().filter_map(|(key, asked)| place(key.get_ref(), asked, raise, version)).collect()
    };
    let is_raised = !places(&raise.to).is_empty();
    Ok(written(text, places(&raise.from), raise).or_else(|| is_raised.then(|| text.to_owned())))
}

/// The lists of dependencies of a crate, those for one target included.
fn lists<'t, 'd>(manifest: &'t DeTable<'d>) -> impl Iterator<Item = &'t DeTable<'d>> {
    let inside = |table: &'t DeTable<'d>, name| table.get(name)?.get_ref().as_table();
    let targets = inside(manifest, "target").into_iter().flat_map(DeTable::values);
    let targets = targets.filter_map(|target| target.get_ref().as_table());
    std::iter::once(manifest).chain(targets).flat_map(move |table| {
        ["dependencies", "dev-dependencies", "build-dependencies"]
            .into_iter()
            .filter_map(move |name| inside(table, name))
    })
}

fn is_true(value: &Spanned<DeValue<'_>>) -> bool {
    value.get_ref().as_bool() == Some(true)
}

/// The text with the new requirement at each of the places, if there are any.
fn written(text: &str, mut places: Vec<Range<usize>>, raise: &Raise) -> Option<String> {
    places.sort_by_key(|place| std::cmp::Reverse(place.start));
    let mut text = (!places.is_empty()).then(|| text.to_owned())?;
    for place in places {
        text.replace_range(place, &toml::Value::from(raise.to.as_str()).to_string());
    }
    Some(text)
}

/// Where the requirement `version` stands: `name = "1"`, or `version` of a table that may name the package itself.
fn place(name: &str, asked: &Spanned<DeValue<'_>>, raise: &Raise, version: &str) -> Option<Range<usize>> {
    let (name, written) = match asked.get_ref() {
        DeValue::Table(table) => {
            let package = table.get("package").and_then(|package| package.get_ref().as_str());
            (package.unwrap_or(name), table.get("version")?)
        }
        _ => (name, asked),
    };
    let same = name == raise.name && written.get_ref().as_str()?.trim() == version.trim();
    same.then(|| written.span())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_raised_where_it_stands() {
        for (text, raised) in [
            ("[dependencies]\nz = '=1.2.0' # pinned\n", Some("[dependencies]\nz = \"^1.3.0\" # pinned\n")),
            (
                "[dependencies]\ny = \"=1.2.0\"\n[dev-dependencies.z]\nversion = \"=1.2.0\"\n",
                Some("[dependencies]\ny = \"=1.2.0\"\n[dev-dependencies.z]\nversion = \"^1.3.0\"\n"),
            ),
            ("[workspace.dependencies]\nz = \"=1.2.0\"\n", None),
            (
                "[target.'cfg(unix)'.build-dependencies]\nz = \"=1.2.0\"\n",
                Some("[target.'cfg(unix)'.build-dependencies]\nz = \"^1.3.0\"\n"),
            ),
            ("[dependencies]\nz = \"1\"\n", None),
            ("[package.metadata.dependencies]\nz = \"=1.2.0\"\n", None),
            ("[dependencies]\nz = { package = \"y\", version = \"=1.2.0\" }\n", None),
            ("[dependencies", None),
        ] {
            assert_eq!(raise(text, &raise_z()).ok().flatten().as_deref(), raised, "{text}");
        }
    }

    #[test]
    fn what_a_crate_inherits_is_raised_for_the_whole_workspace() {
        let inherits = "[dependencies]\nz.workspace = true\n";
        let renamed = "[dev-dependencies]\nq = { workspace = true, features = [] }\n";
        for (member, text, raised) in [
            (
                inherits,
                "[workspace.dependencies]\nz = \"=1.2.0\"\n",
                Some("[workspace.dependencies]\nz = \"^1.3.0\"\n"),
            ),
            (
                renamed,
                "[workspace.dependencies]\nq = { package = \"z\", version = \"=1.2.0\" }\n",
                Some("[workspace.dependencies]\nq = { package = \"z\", version = \"^1.3.0\" }\n"),
            ),
            (
                "[target.'cfg(unix)'.dependencies]\nz = { workspace = true }\n",
                "[dependencies]\nz = \"=1.2.0\"\n[workspace.dependencies]\nz = \"=1.2.0\"\n",
                Some("[dependencies]\nz = \"=1.2.0\"\n[workspace.dependencies]\nz = \"^1.3.0\"\n"),
            ),
            // Another member was there before.
            (
                inherits,
                "[workspace.dependencies]\nz = \"^1.3.0\"\n",
                Some("[workspace.dependencies]\nz = \"^1.3.0\"\n"),
            ),
            (inherits, "[workspace.dependencies]\nz = \"1\"\n", None),
            (inherits, "[workspace.dependencies]\nq = { package = \"z\", version = \"=1.2.0\" }\n", None),
            ("[dependencies]\nz = \"=1.2.0\"\n", "[workspace.dependencies]\nz = \"=1.2.0\"\n", None),
            (inherits, "[dependencies]\nz = \"=1.2.0\"\n", None),
        ] {
            let told = raise_shared(text, member, &raise_z()).unwrap();
            assert_eq!(told.as_deref(), raised, "{member} in {text}");
        }
    }

    fn raise_z() -> Raise {
        Raise {
            folder: String::new(),
            name: "z".to_owned(),
            from: "=1.2.0".to_owned(),
            to: "^1.3.0".to_owned(),
        }
    }
}
