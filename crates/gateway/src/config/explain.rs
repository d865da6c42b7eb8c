//! Errors of the TOML reader and of serde in the grammar of ours: what was found, what was expected, a hint.

use panoply::Practice;
use toml::de::{DeTable, DeValue, Error};

use super::ConfigError;
use super::place::{Found, Place, Position};
use super::text::shown;

/// The file is no TOML.
pub(super) fn syntax(text: &str, error: &Error) -> ConfigError {
    let start = error.span().map_or(text.len(), |span| span.start);
    let said = error.message().lines().next().unwrap_or_default();
    // The reader speaks of quotes where there is nothing to put into them.
    let is_at_line_end =
        text.get(start..).is_some_and(|rest| rest.trim_start_matches(['\r', ' ']).starts_with('\n'))
            || start >= text.len();
    let said = if said.starts_with(UNQUOTED) && is_at_line_end { NO_VALUE } else { said };
    let (message, hint) = SYNTAX
        .iter()
        .find(|(theirs, ..)| said.starts_with(theirs))
        .map_or((said, "https://toml.io tells how such a file is written"), |(_, message, hint)| {
            (message, hint)
        });
    ConfigError::new(Position::of(text, start), String::new(), message, hint)
}

/// A setting does not exist, or cannot be what it is set to.
pub(super) fn setting(
    text: &str,
    root: &DeTable<'_>,
    error: &serde_path_to_error::Error<Error>,
) -> ConfigError {
    let said = error.inner().message();
    let place = Place::from(error.path());
    if let Some((message, hint)) = said.split_once(HINT) {
        return at(text, root, &place, message, hint);
    }
    if let Some(rest) = said.strip_prefix("unknown field ") {
        return unknown(text, root, place, rest);
    }
    if let Some(name) = said.strip_prefix("missing field ").and_then(|rest| quoted(rest).next()) {
        let message = format!("`{name}` is missing");
        return at(text, root, &place, &message, &format!("add `{name} = …`"));
    }
    if let Some((_, expected)) = said.split_once(", expected ")
        && let Some(found) = place.find(root)
    {
        let (message, hint) = mismatch(text, &place, &found, expected);
        return at(text, root, &place, &message, &hint);
    }
    at(text, root, &place, said, "`panoply config default` prints every setting")
}

fn at(text: &str, root: &DeTable<'_>, place: &Place, message: &str, hint: &str) -> ConfigError {
    let start = place.nearest(root).map_or(0, |found| found.value.span().start);
    ConfigError::new(Position::of(text, start), place.dotted(), message, hint)
}

/// A key that no setting has. `said`: the key, and the keys there are, each in backquotes.
fn unknown(text: &str, root: &DeTable<'_>, place: Place, said: &str) -> ConfigError {
    let mut words = quoted(said);
    let name = words.next().unwrap_or_default();
    let is_for_files = |word: &&str| !word.parse().is_ok_and(Practice::is_set_in_code_alone);
    let known: Vec<_> = words.filter(is_for_files).collect();
    // The table of a practice is read through a filter that takes `mode` out, so that its keys are not in the path.
    let inner = place.clone().key(name);
    let place = if inner.find(root).is_some() { inner } else { place };
    let (table, _) = place.clone().split_last_key();
    let start = place.find(root).and_then(|found| found.key).map_or(0, |key| key.start);
    let hint = if let Some((_, home)) = ELSEWHERE.iter().find(|(setting, _)| *setting == name) {
        format!("`{name}` stands {home}")
    } else if name.parse::<Practice>().is_ok() && !table.is_in("shield") {
        format!("`{name}` is a practice: write `shield.{name}`")
    } else if let Some(near) = nearest(name, &known) {
        format!("did you mean `{near}`?")
    } else if known.is_empty() {
        "there is nothing to set here but `mode`".to_owned()
    } else {
        format!("there is `{}`", known.join("`, `"))
    };
    ConfigError::new(Position::of(text, start), place.dotted(), "there is no such setting", &hint)
}

/// A value of one kind where another is expected. `expected`: as serde or a visitor of ours says it.
fn mismatch(text: &str, place: &Place, found: &Found<'_, '_>, expected: &str) -> (String, String) {
    let (expected, example) = match expected.split_once(", such as ") {
        Some((expected, example)) => (expected, Some(example)),
        None => (in_our_words(expected), None),
    };
    let value = found.value.get_ref();
    let raw = text.get(found.value.span()).map(shown).unwrap_or_default();
    let message = format!("expected {expected}, but found {}", described(value, &raw));
    let is_single = !matches!(value, DeValue::Array(_) | DeValue::Table(_));
    let hint = match (expected, value) {
        (TEXT, _) if place.ends_in("mode") => "write \"on\", \"observe\" or \"off\"".to_owned(),
        (_, DeValue::Boolean(on)) if expected.starts_with("\"on\"") => {
            format!("write `\"{}\"`", if *on { "on" } else { "off" })
        }
        ("a table", DeValue::Array(_)) if !place.ends_in_item() && raw.starts_with("[[") => {
            format!("write `{}`, with one pair of brackets", place.header())
        }
        ("a table", _) => format!("write it as a table, `{}`", place.header()),
        ("a list", _) if !matches!(value, DeValue::Table(_)) && is_list_of_tables(place) => {
            format!("write it as tables, each headed `[[{}]]`", place.dotted())
        }
        ("a list", DeValue::Table(_)) => {
            format!("write `[[{}]]`, with two pairs of brackets", place.dotted())
        }
        ("a list", _) => format!("write `[{raw}]`"),
        _ if expected.starts_with("\"on\"") => {
            format!("write one of the three, or a table `[{}]`", place.dotted())
        }
        (TEXT, _) if is_single => format!("write `\"{raw}\"`, in quotes"),
        (_, DeValue::String(number)) if expected.contains("number") && number.parse::<u64>().is_ok() => {
            format!("write `{number}`, without quotes")
        }
        _ => match example {
            Some(example) if is_single => format!("write it in quotes, such as `{example}`"),
            Some(example) => format!("write it as one text, such as `{example}`"),
            None => format!("write {expected}"),
        },
    };
    (message, hint)
}

fn is_list_of_tables(place: &Place) -> bool {
    place.ends_in("site") || place.ends_in("rule")
}

fn in_our_words(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list",
        "a map" => "a table",
        "a boolean" => "`true` or `false`",
        "a string" | "string" => TEXT,
        "u8" => "a whole number up to 255",
        "u16" => "a whole number up to 65535",
        "u32" => "a whole number up to 4294967295",
        "a nonzero u32" | "nonzero u32" => "a whole number from 1 to 4294967295",
        "u64" | "usize" => "a whole number from 0",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
}

fn described(value: &DeValue<'_>, raw: &str) -> String {
    match value {
        DeValue::String(text) => format!("the text `{}`", shown(text)),
        DeValue::Integer(_) | DeValue::Float(_) => format!("the number `{raw}`"),
        DeValue::Boolean(_) => format!("`{raw}`"),
        DeValue::Datetime(_) => format!("the date `{raw}`"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// What stands in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The word that `name` is most likely a slip of: one slip is forgiven, and one more for each three letters.
fn nearest<'w>(name: &str, words: &[&'w str]) -> Option<&'w str> {
    let name = name.to_lowercase().replace('-', "_");
    let forgiven = (name.chars().take(LONGEST_SLIP).count() / 3).max(1);
    if name.chars().nth(LONGEST_SLIP).is_some() {
        return None;
    }
    words
        .iter()
        .map(|word| (slips(&name, word), *word))
        .filter(|(slips, word)| *slips <= forgiven && *slips < word.len())
        .min_by_key(|(slips, word)| (*slips, !name.starts_with(word)))
        .map(|(_, word)| word)
}

/// Letters left out, added, changed or swapped with their neighbour (optimal string alignment).
fn slips(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row_before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut letter_before = None;
    for (i, letter) in from.chars().enumerate() {
        let mut next = vec![i + 1];
        let mut left = i + 1;
        let mut target_before = None;
        for (j, target) in to.iter().copied().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let changed = cell(&row, j) + usize::from(letter != target);
            let mut best = changed.min(cell(&row, j + 1) + 1).min(left + 1);
            if letter_before == Some(target) && target_before == Some(letter) {
                best = best.min(cell(&row_before, j.wrapping_sub(1)) + 1);
            }
            next.push(best);
            left = best;
            target_before = Some(target);
        }
        row_before = std::mem::replace(&mut row, next);
        letter_before = Some(letter);
    }
    row.last().copied().unwrap_or_default()
}

/// How [`SettingError::into_serde`](panoply::SettingError::into_serde) parts message and hint.
const HINT: &str = "\nhint: ";

const TEXT: &str = "a text";

/// Letters of the longest key for which a slip is looked for.
const LONGEST_SLIP: usize = 40;

/// What the TOML reader says of a value that is no number, list or date, and has no quotes.
const UNQUOTED: &str = "string values must be quoted";
const NO_VALUE: &str = "key with no value";

/// What the TOML reader says, what we say, and the hint.
const SYNTAX: &[(&str, &str, &str)] = &[
    (UNQUOTED, "a text stands in quotes, but this one does not", "write it as `\"…\"`"),
    (NO_VALUE, "a setting has a value, but none follows", "write it as `key = value`"),
    (
        "duplicate key",
        "this is set already",
        "set it once; a further site or rule begins with `[[site]]` or `[[site.rule]]`",
    ),
    (
        "unexpected key or value",
        "a setting ends with its line, but more follows",
        "put a text in quotes, and each setting on a line of its own",
    ),
    ("missing comma between", "the items of a list are parted by commas", "put a comma before this"),
    ("unclosed array of tables", "the table's name does not end", "write `]]` after it"),
    ("unclosed array", "the list does not end", "write `]` after its last item"),
    ("unclosed inline table", "the table does not end", "write `}` after its last setting"),
    ("unclosed table", "the table's name does not end", "write `]` after it"),
    ("invalid basic string", "the text does not end with its line", "end it with `\"`"),
    ("invalid literal string", "the text does not end with its line", "end it with `'`"),
    (
        "missing escaped value",
        "a backslash in double quotes begins an escape, but this is none",
        "write the backslash twice, or the text in single quotes",
    ),
    ("extra `=`", "one `=` is enough", "take the others out"),
];

/// Settings that are often written in the wrong table, and where they belong.
const ELSEWHERE: &[(&str, &str)] = &[
    ("https", "above the first `[table]`"),
    ("http", "above the first `[table]`"),
    ("trusted_proxies", "above the first `[table]`"),
    ("trusted_proxies_file", "above the first `[table]`"),
    ("proxy_protocol", "above the first `[table]`"),
    ("state", "above the first `[table]`"),
    ("keys", "above the first `[table]`"),
    ("access_log", "above the first `[table]`"),
    ("cert", "in `[tls]`"),
    ("key", "in `[tls]`"),
    ("hosts", "in `[[site]]`"),
    ("upstream", "in `[[site]]` or `[[site.rule]]`"),
    ("upstreams", "in `[[site]]` or `[[site.rule]]`"),
    ("maintenance", "in `[[site]]`"),
    ("rule", "in a site: `[[site.rule]]`"),
    ("path", "in `[[site.rule]]`"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_word() {
        let words = ["rate_limit", "csrf", "cert", "key", "https", "http", "state"];
        for (name, near) in [
            ("rate_limits", Some("rate_limit")),
            ("RateLimit", Some("rate_limit")),
            ("rate-limt", Some("rate_limit")),
            ("csfr", Some("csrf")),
            ("crsf", Some("csrf")),
            ("certs", Some("cert")),
            ("http2", Some("http")),
            ("htps", Some("https")),
            ("store", None), // two slips from `state`
            ("admin", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &words), near, "{name}");
        }
        assert_eq!(nearest(&"a".repeat(10_000), &words), None);
    }

    #[test]
    fn slips_are_counted() {
        for (from, to, count) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("ab", "ba", 1), ("abc", "axc", 1), ("abc", "ca", 3)]
        {
            assert_eq!(slips(from, to), count, "{from} {to}");
        }
    }
}
