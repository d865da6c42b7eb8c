//! The workspaces of a project whose lockfile does not name them.

use super::surroundings::Surroundings;

/// Matches the folders of `package.json`'s `workspaces` or Cargo's `members`: `*` within a name, `**` for any folders,
/// `!` for those that are not meant.
pub(super) fn folders(
    patterns: &[String],
    surroundings: &Surroundings,
    manifest: &str,
) -> std::io::Result<Vec<String>> {
    let (not, wanted): (Vec<_>, Vec<_>) = patterns.iter().partition(|pattern| pattern.starts_with('!'));
    let mut found = Vec::new();
    for pattern in wanted {
        found.extend(surroundings.matching(trimmed(pattern), manifest)?);
    }
    found.retain(|folder| {
        !not.iter().any(|pattern| matches(trimmed(pattern.trim_start_matches('!')), folder))
    });
    found.sort();
    found.dedup();
    Ok(found)
}

fn trimmed(pattern: &str) -> &str {
    pattern.trim_start_matches("./").trim_end_matches('/')
}

/// Whether a path is one that the pattern means.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<_> = pattern.split('/').collect();
    let path: Vec<_> = path.split('/').collect();
    greedy(&pattern, &path, |part| *part == "**", |part, name| name_matches(part, name))
}

/// Whether a folder may have one below it, or be one, that the pattern means.
pub(super) fn leads_to(pattern: &str, path: &str) -> bool {
    for (part, name) in pattern.split('/').zip(path.split('/')) {
        if part == "**" {
            return true;
        }
        if !name_matches(part, name) {
            return false;
        }
    }
    true
}

fn name_matches(pattern: &str, name: &str) -> bool {
    greedy(pattern.as_bytes(), name.as_bytes(), |byte| *byte == b'*', |byte, other| byte == other)
}

/// Matches with wild parts that stand for any number: the last of them takes one more wherever the rest does not fit,
/// so that it costs the product of both lengths at most.
fn greedy<T>(pattern: &[T], text: &[T], wild: impl Fn(&T) -> bool, same: impl Fn(&T, &T) -> bool) -> bool {
    let (mut at, mut of) = (0, 0);
    let mut last = None;
    while let Some(item) = text.get(of) {
        match (pattern.get(at), last) {
            (Some(part), _) if wild(part) => {
                last = Some((at + 1, of));
                at += 1;
            }
            (Some(part), _) if same(part, item) => (at, of) = (at + 1, of + 1),
            (_, Some((after, taken))) => {
                last = Some((after, taken + 1));
                (at, of) = (after, taken + 1);
            }
            _ => return false,
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(wild)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_its_folders() {
        for (pattern, path, meant) in [
            ("packages/*", "packages/a", true),
            ("packages/*", "packages/a/b", false),
            ("packages/**", "packages/a/b", true),
            ("packages/**", "packages", true),
            ("**/test", "a/b/test", true),
            ("a*c/d", "abc/d", true),
            ("a*c", "abcd", false),
            ("a", "a", true),
            ("a", "b", false),
            ("*-*-x", "a-b-c-x", true),
        ] {
            assert_eq!(matches(pattern, path), meant, "{pattern} {path}");
        }
    }
}
