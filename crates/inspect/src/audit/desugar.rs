//! A range's shorthands written out: `^1.2` is `>=1.2.0 <2.0.0-0`.
//!
//! `-0` is the lowest pre-release: as an upper bound it keeps the next release's pre-releases out.

use super::range::Prereleases;
use super::scan::{Partial, Reading, Scan, is_space};
use super::version::number;

/// Each run of white space as one space, and none at the ends.
pub(super) fn spaced_once(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        if !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.push_str(word);
    }
    spaced
}

/// One alternative of a range as bounds with spaces between; an empty one is any version.
pub(super) fn bounds(alternative: &str, reading: Reading, prereleases: Prereleases) -> String {
    let text = without_builds(alternative);
    let text = hyphen(&text, reading, prereleases).unwrap_or(text);
    let text = closed_up(&closed_up(&without_gaps(&text), '~'), '^');
    let written: Vec<String> = text.split(' ').map(|word| comparator(word, reading, prereleases)).collect();
    let lowest = match prereleases {
        Prereleases::Included => ">=0.0.0-0",
        Prereleases::Named => ">=0.0.0",
    };
    let written = written.join(" ");
    let bounds: Vec<&str> =
        space_separated(&written).into_iter().map(|bound| if bound == lowest { "" } else { bound }).collect();
    bounds.join(" ")
}

/// `<`, `<=`, `>=`, `>`, `=` or nothing.
pub(super) fn operator<'t>(scan: &mut Scan<'t>) -> &'t str {
    let start = scan.clone();
    let _ = scan.take("<") || scan.take(">");
    scan.take("=");
    scan.since(&start)
}

/// Runs of spaces separate, but what is at the ends is kept: an empty bound means any.
fn space_separated(text: &str) -> Vec<&str> {
    let inner = text.trim_matches(' ');
    let mut words: Vec<&str> = inner.split(' ').filter(|word| !word.is_empty()).collect();
    if inner.is_empty() || text.starts_with(' ') || text.ends_with(' ') {
        words.push("");
    }
    words
}

/// Build metadata goes wherever it stands.
fn without_builds(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut scan = Scan::new(text);
    while !scan.is_done() {
        kept.push_str(scan.take_while(|c| c != '+'));
        let before = scan.clone();
        scan.build();
        if scan.since(&before).is_empty() && scan.take("+") {
            kept.push('+');
        }
    }
    kept
}

/// `1.2 - 2.3`: from the first through the last, whatever the last leaves out.
fn hyphen(text: &str, reading: Reading, prereleases: Prereleases) -> Option<String> {
    let (left, right) = text.split_once(" - ")?;
    let (left, right) = (left.strip_prefix(' ').unwrap_or(left), right.strip_suffix(' ').unwrap_or(right));
    let from = whole(left, reading)?;
    let to = whole(right, reading)?;
    let zero = zero(prereleases);
    let from = match (from.major, from.minor, from.patch) {
        (major, _, _) if is_any(Some(major)) => String::new(),
        (major, minor, _) if is_any(minor) => format!(">={major}.0.0{zero}"),
        (major, Some(minor), patch) if is_any(patch) => format!(">={major}.{minor}.0{zero}"),
        _ if from.prerelease.is_some() => format!(">={left}"),
        _ => format!(">={left}{zero}"),
    };
    let to = match (to.major, to.minor, to.patch) {
        (major, _, _) if is_any(Some(major)) => String::new(),
        (major, minor, _) if is_any(minor) => format!("<{}.0.0-0", next(major)),
        (major, Some(minor), patch) if is_any(patch) => format!("<{major}.{}.0-0", next(minor)),
        (major, Some(minor), Some(patch)) => match (to.prerelease, prereleases) {
            (Some(prerelease), _) => format!("<={major}.{minor}.{patch}-{prerelease}"),
            (None, Prereleases::Included) => format!("<{major}.{minor}.{}-0", next(patch)),
            (None, Prereleases::Named) => format!("<={right}"),
        },
        _ => return None,
    };
    Some(format!("{from} {to}").trim_matches(' ').to_owned())
}

/// `>= 1.2.3` is `>=1.2.3`. One space goes after an operator that a version follows, no more.
fn without_gaps(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut scan = Scan::new(text);
    while !scan.is_done() {
        let start = scan.clone();
        let _ = scan.take("<") || scan.take(">");
        scan.prefix(Reading::Loose);
        let prefix = scan.since(&start);
        let version = scan.clone();
        if pass_version(&mut scan) {
            kept.push_str(&without_gap(prefix));
            kept.push_str(scan.since(&version));
            continue;
        }
        if prefix.is_empty() {
            scan.skip();
        }
        kept.push_str(scan.since(&start));
    }
    kept
}

fn without_gap(prefix: &str) -> String {
    let mut scan = Scan::new(prefix);
    let start = scan.clone();
    scan.take(" ");
    operator(&mut scan);
    let before = scan.since(&start);
    scan.take(" ");
    format!("{before}{}", scan.rest())
}

fn pass_version(scan: &mut Scan<'_>) -> bool {
    let start = scan.clone();
    if scan.numbers(Reading::Loose).is_some() {
        scan.prerelease(Reading::Loose);
        scan.build();
        return true;
    }
    *scan = start;
    scan.partial(Reading::Strict).is_some()
}

/// `~ 1.2` is `~1.2`, and so is `~> 1.2`.
fn closed_up(text: &str, sign: char) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(sign) {
        kept.push_str(before);
        kept.push(sign);
        let arrow = if sign == '~' { after.strip_prefix('>').unwrap_or(after) } else { after };
        rest = arrow.strip_prefix(' ').unwrap_or(after);
    }
    kept + rest
}

fn comparator(word: &str, reading: Reading, prereleases: Prereleases) -> String {
    let written = caret(word, reading, prereleases)
        .or_else(|| tilde(word, reading, prereleases))
        .or_else(|| wildcards(word, reading, prereleases))
        .unwrap_or_else(|| word.to_owned());
    without_star(&written)
}

fn caret(word: &str, reading: Reading, prereleases: Prereleases) -> Option<String> {
    let Partial { major, minor, patch, prerelease } = whole(word.strip_prefix('^')?, reading)?;
    let zero = zero(prereleases);
    Some(match (concrete(Some(major)), concrete(minor), concrete(patch)) {
        (None, ..) => String::new(),
        (Some(major), None, _) => format!(">={major}.0.0{zero} <{}.0.0-0", next(major)),
        (Some("0"), Some(minor), None) => format!(">=0.{minor}.0{zero} <0.{}.0-0", next(minor)),
        (Some(major), Some(minor), None) => format!(">={major}.{minor}.0{zero} <{}.0.0-0", next(major)),
        (Some(major), Some(minor), Some(patch)) => {
            let end = match (major, minor) {
                ("0", "0") => format!("0.0.{}", next(patch)),
                ("0", _) => format!("0.{}.0", next(minor)),
                _ => format!("{}.0.0", next(major)),
            };
            format!(">={major}.{minor}.{patch}{} <{end}-0", hyphened(prerelease))
        }
    })
}

fn tilde(word: &str, reading: Reading, prereleases: Prereleases) -> Option<String> {
    let word = word.strip_prefix('~')?;
    let Partial { major, minor, patch, prerelease } = whole(word.strip_prefix('>').unwrap_or(word), reading)?;
    let zero = zero(prereleases);
    Some(match (concrete(Some(major)), concrete(minor), concrete(patch)) {
        (None, _, _) => String::new(),
        (_, None, _) => format!(">={major}.0.0{zero} <{}.0.0-0", next(major)),
        (_, Some(minor), None) => format!(">={major}.{minor}.0{zero} <{major}.{}.0-0", next(minor)),
        (_, Some(minor), Some(patch)) => {
            format!(">={major}.{minor}.{patch}{} <{major}.{}.0-0", hyphened(prerelease), next(minor))
        }
    })
}

/// `1.x`, `>1`, `<=2.3`; `None` for what has all three numbers, or is no such thing.
fn wildcards(word: &str, reading: Reading, prereleases: Prereleases) -> Option<String> {
    let mut scan = Scan::new(word);
    let operator = operator(&mut scan);
    let Partial { major, minor, patch, .. } = whole(scan.rest(), reading)?;
    let disordered = is_any(Some(major)) && !is_any(minor) || is_any(minor) && !is_any(patch);
    if disordered {
        return None;
    }
    let zero = zero(prereleases);
    Some(match (operator, concrete(Some(major)), concrete(minor), concrete(patch)) {
        (_, Some(_), Some(_), Some(_)) => return None,
        ("<" | ">", None, ..) => "<0.0.0-0".to_owned(),
        (_, None, ..) => String::new(),
        ("" | "=", Some(major), None, _) => format!(">={major}.0.0{zero} <{}.0.0-0", next(major)),
        ("" | "=", Some(major), Some(minor), None) => {
            format!(">={major}.{minor}.0{zero} <{major}.{}.0-0", next(minor))
        }
        (">", Some(major), None, _) => format!(">={}.0.0{zero}", next(major)),
        (">", Some(major), Some(minor), None) => format!(">={major}.{}.0{zero}", next(minor)),
        ("<=", Some(major), None, _) => format!("<{}.0.0-0", next(major)),
        ("<=", Some(major), Some(minor), None) => format!("<{major}.{}.0-0", next(minor)),
        ("<", Some(major), minor, _) => format!("<{major}.{}.0-0", minor.unwrap_or("0")),
        (_, Some(major), minor, _) => format!(">={major}.{}.0{zero}", minor.unwrap_or("0")),
    })
}

/// A star that is left means nothing, and an operator before it neither.
fn without_star(word: &str) -> String {
    let Some((before, after)) = word.split_once('*') else { return word.to_owned() };
    let before = before.strip_suffix(' ').unwrap_or(before);
    let before = before.strip_suffix('=').unwrap_or(before);
    let before = before.strip_suffix(['<', '>']).unwrap_or(before);
    format!("{before}{after}")
}

fn hyphened(prerelease: Option<&str>) -> String {
    prerelease.map(|prerelease| format!("-{prerelease}")).unwrap_or_default()
}

fn whole(text: &str, reading: Reading) -> Option<Partial<'_>> {
    let mut scan = Scan::new(text);
    scan.prefix(Reading::Loose);
    scan.partial(reading).filter(|_| scan.is_done())
}

fn concrete(place: Option<&str>) -> Option<&str> {
    place.filter(|place| !is_any(Some(place)))
}

fn is_any(place: Option<&str>) -> bool {
    place.is_none_or(|place| matches!(place, "x" | "X" | "*"))
}

fn next(digits: &str) -> u64 {
    number(digits).unwrap_or(u64::MAX).saturating_add(1)
}

fn zero(prereleases: Prereleases) -> &'static str {
    match prereleases {
        Prereleases::Included => "-0",
        Prereleases::Named => "",
    }
}
