//! Overrides in a `pnpm-workspace.yaml`, where pnpm 11 reads them alone: one line is added, and nothing else changes.

use super::Override;
use super::manifest::{self, ManifestError};

/// Whether it overrides anything: then pnpm 10 takes no others from a `package.json`.
#[must_use]
pub fn overrides(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("overrides:"))
}

/// The settings with one more override of one dependency of one package.
///
/// # Errors
/// When there is another one for it already, or the list is written in one line.
pub fn add_override(text: &str, one: &Override) -> Result<String, ManifestError> {
    let entry = format!("{}: {}", quoted(&format!("{}>{}", one.asker, one.name)), quoted(&one.to));
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut offset = 0;
    let mut lines = text.split_inclusive('\n');
    for line in lines.by_ref() {
        offset += line.len();
        if let Some(rest) = line.strip_prefix("overrides:") {
            if !rest.split('#').next().unwrap_or_default().trim().is_empty() {
                return Err(ManifestError::OneLine);
            }
            let block: Vec<&str> = lines.take_while(|line| is_inside(line)).collect();
            if block.iter().any(|line| line.trim() == entry) {
                return Ok(text.to_owned());
            }
            if block.iter().any(|line| manifest::overrides(key(line), one)) {
                return Err(ManifestError::Overridden { name: one.name.clone() });
            }
            let first = block.iter().find(|line| !line.trim().is_empty()).map_or("  ", |line| blanks(line));
            let before = if line.ends_with('\n') { "" } else { end };
            let mut changed = text.to_owned();
            changed.insert_str(offset, &format!("{before}{first}{entry}{end}"));
            return Ok(changed);
        }
    }
    let between = if text.is_empty() || text.ends_with('\n') { "" } else { end };
    Ok(format!("{text}{between}overrides:{end}  {entry}{end}"))
}

fn is_inside(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with([' ', '\t', '#'])
}

fn blanks(line: &str) -> &str {
    line.get(..line.len() - line.trim_start().len()).filter(|blanks| !blanks.is_empty()).unwrap_or("  ")
}

fn key(line: &str) -> &str {
    let line = line.trim();
    let quote = line.chars().next().filter(|first| matches!(first, '\'' | '"'));
    match quote {
        Some(quote) => line.split(quote).nth(1).unwrap_or_default(),
        None => line.split(": ").next().unwrap_or_default().trim_end_matches(':'),
    }
}

/// YAML 1.2 § 7.3.2: in single quotes nothing is special but the quote itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_added_and_nothing_else_changes() {
        for (text, changed) in [
            ("", Some("overrides:\n  'a>z': '^1.3.0'\n")),
            ("packages:\n  - web", Some("packages:\n  - web\noverrides:\n  'a>z': '^1.3.0'\n")),
            (
                "overrides: # ours\n    b: '1'\npackages: [web]\n",
                Some("overrides: # ours\n    'a>z': '^1.3.0'\n    b: '1'\npackages: [web]\n"),
            ),
            ("overrides:\r\n  b: '1'\r\n", Some("overrides:\r\n  'a>z': '^1.3.0'\r\n  b: '1'\r\n")),
            (
                "overrides:\n  zz: '1'\n  z-a: '2'\n",
                Some("overrides:\n  'a>z': '^1.3.0'\n  zz: '1'\n  z-a: '2'\n"),
            ),
            ("packages: [web]\noverrides:", Some("packages: [web]\noverrides:\n  'a>z': '^1.3.0'\n")),
            ("overrides:\n  z: '1'\n", None),
            ("overrides:\n  b: '1'\n  'a>z': '1'\n", None),
            ("overrides:\n  \"z@1\": '1'\n", None),
            ("overrides: { b: '1' }\n", None),
        ] {
            let one = Override { asker: "a".to_owned(), name: "z".to_owned(), to: "^1.3.0".to_owned() };
            assert_eq!(add_override(text, &one).ok().as_deref(), changed, "{text}");
        }
    }
}
