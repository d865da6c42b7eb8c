//! `panoply.ignore.toml`: what somebody has looked at and lives with, why, and until when.
//!
//! Who ignores a hole on one path has not looked at the others: a finding is ignored only when every way by which the
//! package came is. Ways are too many to list, so the patterns are walked over the graph itself.

use std::ops::Range;

use serde::Deserialize;
use time::{Date, Month, OffsetDateTime};
use toml::Spanned;

use super::finding::Finding;
use super::hygiene::Allowed;
use super::paths::{Way, Ways};
use super::pattern::Pattern;

/// What is to be ignored, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Ignores {
    entries: Vec<Ignore>,
    registries: Allowed,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Ignore {
    /// The hole, by its id or any other name of it; or the word of a flaw, such as `install-script`.
    pub id: String,
    /// The package, where the hole is in several.
    pub package: Option<String>,
    /// The ways that are meant, such as `grunt > *`; without it, all.
    pub path: Option<Pattern>,
    /// Why it is safe to live with.
    pub reason: String,
    /// The last day, in UTC, on which it holds.
    pub expires: Option<Date>,
    /// What is claimed of the hole in a VEX report.
    pub state: State,
    /// Its line in the file, from 1.
    pub line: usize,
}

/// What CycloneDX can say of a hole that somebody has looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is there, and stays for now.
    #[default]
    Exploitable,
    /// It is still being looked at.
    InTriage,
    /// It cannot be reached here.
    NotAffected,
    /// The record is wrong.
    FalsePositive,
}

/// An entry that no longer does anything.
#[derive(Clone, Debug)]
pub struct Stale {
    /// The entry.
    pub entry: Ignore,
    /// Why.
    pub why: Why,
}

/// Why an entry does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its day is over.
    Expired,
    /// Nothing that is installed has the hole, or nothing on that path.
    Needless,
}

/// The file cannot be read as one of ignores.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct IgnoreError {
    /// From 1.
    pub line: usize,
    /// What was found, what was expected.
    pub what: String,
}

impl Ignores {
    /// Reads the file's text.
    ///
    /// # Errors
    /// Where it is no TOML of this shape, says no reason, or has a path or a date that cannot be.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let file: File = toml::from_str(text).map_err(|error| IgnoreError {
            line: line(text, error.span()),
            what: error.message().replace('\n', ", "),
        })?;
        let entry = |written: Spanned<Written>| {
            let line = line(text, Some(written.span()));
            written.into_inner().read(line).map_err(|what| IgnoreError { line, what })
        };
        let mut registries = Allowed::default();
        for host in &file.registries {
            registries = registries.host(host.get_ref()).map_err(|error| IgnoreError {
                line: line(text, Some(host.span())),
                what: error.to_string(),
            })?;
        }
        Ok(Self { entries: file.ignore.into_iter().map(entry).collect::<Result<_, _>>()?, registries })
    }

    /// The registries that packages may come from; none: the one that most come from.
    #[must_use]
    pub const fn registries(&self) -> &Allowed {
        &self.registries
    }

    /// What they say of findings on `now`'s day.
    pub(crate) fn on(&self, now: OffsetDateTime) -> Judge<'_> {
        Judge {
            ignores: self,
            today: now.to_offset(time::UtcOffset::UTC).date(),
            used: vec![false; self.entries.len()],
        }
    }
}

impl Ignore {
    fn means(&self, is_called: impl Fn(&str) -> bool, package: &str) -> bool {
        is_called(&self.id) && self.package.as_ref().is_none_or(|named| named == package)
    }

    fn holds_on(&self, today: Date) -> bool {
        self.expires.is_none_or(|last| today <= last)
    }
}

/// The entries, and which of them have done something.
pub(crate) struct Judge<'i> {
    ignores: &'i Ignores,
    today: Date,
    used: Vec<bool>,
}

/// What becomes of a finding.
pub(crate) enum Ruling<'i> {
    /// It is ignored.
    Ignored(&'i Ignore),
    /// It is told. The way is one that no entry covers, where others are covered.
    Told(Option<Way>),
}

impl<'i> Judge<'i> {
    pub(crate) fn rule(&mut self, finding: &Finding, ways: &Ways<'_>) -> Ruling<'i> {
        let meant = self.meant(|name| finding.hole.is_called(name), &finding.package);
        let (whole, partly): (Vec<_>, Vec<_>) =
            meant.into_iter().partition(|(_, entry)| entry.path.is_none());
        for (at, _) in &whole {
            self.use_up(*at);
        }
        let mut patterns = Vec::new();
        for (at, entry) in &partly {
            let Some(pattern) = &entry.path else { continue };
            if Pattern::matching(&[pattern], ways, &finding.places).is_some() {
                self.use_up(*at);
                patterns.push(pattern);
            }
        }
        if let Some((_, entry)) = whole.first() {
            return Ruling::Ignored(entry);
        }
        match partly.first() {
            Some((_, entry)) if !patterns.is_empty() => {
                match Pattern::missing(&patterns, ways, &finding.places) {
                    None => Ruling::Ignored(entry),
                    Some(way) => Ruling::Told(Some(way)),
                }
            }
            _ => Ruling::Told(None),
        }
    }

    /// Whether an entry without a path covers what is called so in `package`: a hole whose version cannot be compared,
    /// or a flaw of the lockfile.
    pub(crate) fn covers(&mut self, is_called: impl Fn(&str) -> bool, package: &str) -> bool {
        let meant = self.meant(is_called, package).into_iter().find(|(_, entry)| entry.path.is_none());
        if let Some((at, _)) = meant {
            self.use_up(at);
        }
        meant.is_some()
    }

    /// What did nothing. Where not all is known, only what is over can be told.
    pub(crate) fn stale(&self, all_is_known: bool) -> Vec<Stale> {
        let entries = self.ignores.entries.iter().zip(&self.used);
        entries
            .filter_map(|(entry, used)| {
                let why = match (entry.holds_on(self.today), used) {
                    (false, _) => Why::Expired,
                    (true, false) if all_is_known => Why::Needless,
                    (true, _) => return None,
                };
                Some(Stale { entry: entry.clone(), why })
            })
            .collect()
    }

    fn meant(&self, is_called: impl Fn(&str) -> bool, package: &str) -> Vec<(usize, &'i Ignore)> {
        let entries = self.ignores.entries.iter().enumerate();
        entries.filter(|(_, entry)| entry.holds_on(self.today) && entry.means(&is_called, package)).collect()
    }

    fn use_up(&mut self, at: usize) {
        if let Some(used) = self.used.get_mut(at) {
            *used = true;
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    registries: Vec<Spanned<String>>,
    #[serde(default)]
    ignore: Vec<Spanned<Written>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    package: Option<String>,
    path: Option<String>,
    reason: String,
    expires: Option<toml::value::Datetime>,
    #[serde(default)]
    state: State,
}

impl Written {
    fn read(self, line: usize) -> Result<Ignore, String> {
        if self.reason.trim().is_empty() {
            return Err(format!("{} is ignored without a `reason`", self.id));
        }
        Ok(Ignore {
            path: self.path.as_deref().map(str::parse).transpose()?,
            expires: self.expires.map(|day| date(&day)).transpose()?,
            id: self.id,
            package: self.package,
            reason: self.reason,
            state: self.state,
            line,
        })
    }
}

fn date(written: &toml::value::Datetime) -> Result<Date, String> {
    let wrong = || format!("`expires` is a day such as 2027-01-31, not {written}");
    let day = written.date.filter(|_| written.time.is_none()).ok_or_else(wrong)?;
    let month = Month::try_from(day.month).map_err(|_| wrong())?;
    Date::from_calendar_date(day.year.into(), month, day.day).map_err(|_| wrong())
}

fn line(text: &str, span: Option<Range<usize>>) -> usize {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    before.matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::audit::finding::Found;
    use crate::audit::sketch::{List, advisory, sketch};

    fn day(number: u64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::from_secs(number * 86_400)
    }

    #[test]
    fn an_entry_ignores_what_it_names_on_every_way() {
        // `z` comes by `a` and, past `b`, by `c` too.
        let graph = sketch("> a ^1; > b ^1; b > c ^1; a > z@1.2.0 ^1; c > z ^1");
        let ways = Ways::of(&graph);
        let list = List(vec![advisory("z", "GHSA-1", "CVE-1", "0..1.3.0")]);
        let finding = &Found::of(&ways, &list).findings[0];
        for (written, told) in [
            ("id = 'GHSA-1'", "ignored"),
            ("id = 'cve-1'", "ignored"),
            ("id = 'GHSA-2'", "told, needless"),
            ("id = 'GHSA-1'\npackage = 'z'", "ignored"),
            ("id = 'GHSA-1'\npackage = 'y'", "told, needless"),
            ("id = 'GHSA-1'\npath = '* > z'", "ignored"),
            ("id = 'GHSA-1'\npath = 'a > *'", "told by b > c > z"),
            ("id = 'GHSA-1'\npath = 'b > c > z'", "told by a > z"),
            ("id = 'GHSA-1'\npath = 'b > z'", "told, needless"),
            ("id = 'GHSA-1'\nexpires = 1970-01-02", "ignored"),
            ("id = 'GHSA-1'\nexpires = 1970-01-01", "told, expired"),
        ] {
            let text = format!("[[ignore]]\nreason = 'seen'\n{written}\n");
            let ignores = Ignores::parse(&text).unwrap();
            let mut judge = ignores.on(day(1));
            let mut said = match judge.rule(finding, &ways) {
                Ruling::Ignored(_) => "ignored".to_owned(),
                Ruling::Told(None) => "told".to_owned(),
                Ruling::Told(Some(way)) => {
                    let names: Vec<_> = way.packages.iter().map(|&at| &*graph.packages[at].name).collect();
                    format!("told by {}", names.join(" > "))
                }
            };
            for stale in judge.stale(true) {
                said = format!("{said}, {:?}", stale.why).to_lowercase();
            }
            assert_eq!(said, told, "{written}");
        }
    }

    #[test]
    fn two_paths_together_are_all_ways() {
        let graph = sketch("> a ^1; > b ^1; a > z@1.2.0 ^1; b > z ^1");
        let ways = Ways::of(&graph);
        let list = List(vec![advisory("z", "GHSA-1", "", "0..1.3.0")]);
        let finding = &Found::of(&ways, &list).findings[0];
        let text = "[[ignore]]\nid = 'GHSA-1'\npath = 'a > z'\nreason = 'seen'\n\
                    [[ignore]]\nid = 'GHSA-1'\npath = 'b > z'\nreason = 'seen'\n";
        let ignores = Ignores::parse(text).unwrap();
        let mut judge = ignores.on(day(1));
        assert!(matches!(judge.rule(finding, &ways), Ruling::Ignored(_)));
        assert!(judge.stale(true).is_empty());
    }

    #[test]
    fn what_is_not_all_known_makes_no_entry_needless() {
        let ignores = Ignores::parse("[[ignore]]\nid = 'GHSA-1'\nreason = 'seen'\n").unwrap();
        assert_eq!(ignores.on(day(1)).stale(false).len(), 0);
        assert_eq!(ignores.on(day(1)).stale(true).len(), 1);
    }

    #[test]
    fn a_file_that_says_too_little_or_too_much_is_refused_with_its_line() {
        for (text, told) in [
            ("[[ignore]]\nid = 'GHSA-1'\n", "line 1: missing field `reason`"),
            ("\n[[ignore]]\nid = 'GHSA-1'\nreason = ' '\n", "line 2: GHSA-1 is ignored without a `reason`"),
            ("[[ignore]]\nid = 'GHSA-1'\nreason = 'x'\nuntil = 1\n", "line 4: unknown field `until`"),
            ("[[ignore]]\nid = 'GHSA-1'\nreason = 'x'\nexpires = 'soon'\n", "line 4: "),
            ("[[ignore]]\nid = 'GHSA-1'\nreason = 'x'\nexpires = 12:00:00\n", "line 1: `expires` is a day"),
            ("[[ignore]]\nid = 'GHSA-1'\nreason = 'x'\npath = 'a > > b'\n", "line 1: a path is of names"),
            ("ignore = 1\n", "line 1: "),
        ] {
            let error = Ignores::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }
}
