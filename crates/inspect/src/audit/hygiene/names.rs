//! Names that are taken for others: one letter more, less, other or swapped, or other signs between the words.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// The best known packages, a line each; with a `~` those that look like one of them and are known themselves, so that
/// nobody means the other.
static KNOWN: LazyLock<Known> = LazyLock::new(|| Known::of(include_str!("well_known.txt")));

/// Shorter names than this differ by a letter from too many others.
const SHORTEST: usize = 5;

struct Known {
    names: HashSet<&'static str>,
    twins: HashSet<&'static str>,
    scopes: HashSet<&'static str>,
    /// By the name without a letter at every place, or as it is: whoever shares one is at most a letter apart.
    near: HashMap<String, Vec<&'static str>>,
    /// By the name without the signs between its words.
    bare: HashMap<String, &'static str>,
}

/// The well-known name that `name` is almost; `None` for those that are well known themselves.
///
/// In a scope the scope is looked at alone: whoever owns it answers for all names in it.
pub(super) fn almost(name: &str) -> Option<&'static str> {
    match name.split_once('/') {
        Some((scope, _)) if KNOWN.scopes.contains(scope) => None,
        Some((scope, _)) => KNOWN.near(scope).filter(|known| known.starts_with('@')),
        None if KNOWN.names.contains(name) || KNOWN.twins.contains(name) => None,
        None => KNOWN.same_words(name).or_else(|| KNOWN.near(name).filter(|known| !known.starts_with('@'))),
    }
}

impl Known {
    fn of(list: &'static str) -> Self {
        let (twins, targets): (Vec<_>, Vec<_>) = list
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .partition(|line| line.starts_with('~'));
        let (scopes, names): (HashSet<_>, HashSet<_>) =
            targets.iter().copied().partition(|name| name.starts_with('@'));
        let mut near: HashMap<String, Vec<&'static str>> = HashMap::new();
        for name in targets.into_iter().filter(|name| name.len() >= SHORTEST) {
            for shorter in without_a_letter(name) {
                near.entry(shorter).or_default().push(name);
            }
        }
        let bare =
            names.iter().filter(|name| name.len() >= SHORTEST).map(|name| (words(name), *name)).collect();
        let twins = twins.into_iter().filter_map(|line| line.strip_prefix('~')).collect();
        Self { names, twins, scopes, near, bare }
    }

    /// The first by name of those that are one letter away.
    fn near(&self, name: &str) -> Option<&'static str> {
        if name.len() > LONGEST || !name.is_ascii() {
            return None;
        }
        let shared = without_a_letter(name).filter_map(|shorter| self.near.get(&shorter)).flatten();
        shared.filter(|known| one_letter_apart(known.as_bytes(), name.as_bytes())).min().copied()
    }

    fn same_words(&self, name: &str) -> Option<&'static str> {
        (name.len() <= LONGEST).then(|| self.bare.get(&words(name)).copied()).flatten()
    }
}

/// npm's own limit.
const LONGEST: usize = 214;

fn words(name: &str) -> String {
    name.chars().filter(|letter| !matches!(letter, '-' | '_' | '.')).collect::<String>().to_ascii_lowercase()
}

/// The name itself, and without each of its letters.
fn without_a_letter(name: &str) -> impl Iterator<Item = String> + '_ {
    let without = name.char_indices().map(|(at, letter)| {
        let rest = name.get(at + letter.len_utf8()..).unwrap_or_default();
        format!("{}{rest}", name.get(..at).unwrap_or_default())
    });
    std::iter::once(name.to_owned()).chain(without)
}

/// One letter more, less or other, or two neighbours that changed places.
fn one_letter_apart(known: &[u8], name: &[u8]) -> bool {
    let same = known.iter().zip(name).take_while(|(one, other)| one == other).count();
    let (known, name) = (known.get(same..).unwrap_or_default(), name.get(same..).unwrap_or_default());
    match (known, name) {
        ([_, known @ ..], name_rest) if known == name_rest => true,
        (known_rest, [_, name @ ..]) if known_rest == name => true,
        ([a, b, known @ ..], [c, d, name @ ..]) if (a, b) == (d, c) && known == name => true,
        ([_, known @ ..], [_, name @ ..]) => known == name,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_another_is_found_and_nothing_else() {
        for (name, known) in [
            ("expres", Some("express")),
            ("expresss", Some("express")),
            ("exqress", Some("express")),
            ("exrpess", Some("express")),
            ("body_parser", Some("body-parser")),
            ("bodyparser", Some("body-parser")),
            ("cross.env", Some("cross-env")),
            ("lodahs", Some("lodash")),
            ("1odash", Some("lodash")),
            ("@bable/core", Some("@babel")),
            ("express", None),
            ("body-parser", None),
            ("cookies", None),
            ("enquirer", None),
            ("preact", None),
            ("@babel/core", None),
            ("@types/expres", None),
            ("@mine/expres", None),
            ("mz", None),
            ("ms2", None),
            ("express-of-mine", None),
            ("expréss", None),
        ] {
            assert_eq!(almost(name), known, "{name}");
        }
    }

    #[test]
    fn no_well_known_name_looks_like_another() {
        assert!((200..400).contains(&KNOWN.names.len()), "{}", KNOWN.names.len());
        for name in &KNOWN.names {
            assert_eq!(almost(name), None, "{name}");
        }
    }
}
