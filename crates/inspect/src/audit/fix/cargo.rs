//! Changes a requirement in a Cargo.toml, and nothing else in it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Raise;
use super::manifest::ManifestError;

/// The manifest with the new requirement wherever the old one is asked for.
///
/// # Errors
/// When it is asked for nowhere.
pub fn raise(text: &str, raise: &Raise) -> Result<String, ManifestError> {
    let manifest = DeTable::parse(text)?;
    let mut places: Vec<Range<usize>> = Vec::new();
    let mut open = vec![manifest.get_ref()];
    while let Some(table) = open.pop() {
        for (key, value) in table {
            let DeValue::Table(inside) = value.get_ref() else { continue };
            match key.get_ref().as_ref() {
                "dependencies" | "dev-dependencies" | "build-dependencies" => {
                    places.extend(
                        inside.iter().filter_map(|(name, asked)| place(name.get_ref(), asked, raise)),
                    );
                }
                "workspace" | "target" => open.push(inside),
                // `target.'cfg(unix)'`
                word if word.starts_with("cfg(") || word.contains('-') => open.push(inside),
                _ => {}
            }
        }
    }
    if places.is_empty() {
        return Err(ManifestError::Changed {
            manifest: "Cargo.toml",
            name: raise.name.clone(),
            range: raise.from.clone(),
        });
    }
    let mut text = text.to_owned();
    places.sort_by_key(|place| std::cmp::Reverse(place.start));
    for place in places {
        text.replace_range(place, &toml::Value::from(raise.to.as_str()).to_string());
    }
    Ok(text)
}

/// Where the requirement stands: `name = "1"`, or `version` of a table that may name the package itself.
fn place(name: &str, asked: &Spanned<DeValue<'_>>, raise: &Raise) -> Option<Range<usize>> {
    let (name, written) = match asked.get_ref() {
        DeValue::Table(table) => {
            let package = table.get("package").and_then(|package| package.get_ref().as_str());
            (package.unwrap_or(name), table.get("version")?)
        }
        _ => (name, asked),
    };
    let same = name == raise.name && written.get_ref().as_str()?.trim() == raise.from.trim();
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
            (
                "[workspace.dependencies]\nq = { package = \"z\", version = \"=1.2.0\" }\n",
                Some("[workspace.dependencies]\nq = { package = \"z\", version = \"^1.3.0\" }\n"),
            ),
            (
                "[target.'cfg(unix)'.build-dependencies]\nz = \"=1.2.0\"\n",
                Some("[target.'cfg(unix)'.build-dependencies]\nz = \"^1.3.0\"\n"),
            ),
            ("[dependencies]\nz = \"1\"\n", None),
            ("[package.metadata.dependencies]\nz = \"=1.2.0\"\n", None),
            ("[dependencies]\nz = { package = \"y\", version = \"=1.2.0\" }\n", None),
            ("[dependencies", None),
        ] {
            let raise_z = Raise {
                folder: String::new(),
                name: "z".to_owned(),
                from: "=1.2.0".to_owned(),
                to: "^1.3.0".to_owned(),
            };
            assert_eq!(raise(text, &raise_z).ok().as_deref(), raised, "{text}");
        }
    }
}
