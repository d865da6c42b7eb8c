//! Is this version affected?
//!
//! The rule is OSV's (schema, § "evaluation"): a version is affected when it is listed by name or lies in any span. A
//! version or a bound that cannot be read is no "no": it is an answer of its own.

use super::advisory::{Affected, End, Span};
use super::graph::Ecosystem;
use super::range::Range;
use super::version::Version;

/// Whether `version` has the hole; `None` where that cannot be told.
#[must_use]
pub fn affects(ecosystem: Ecosystem, affected: &Affected, version: &str) -> Option<bool> {
    if affected.versions.iter().any(|listed| same(listed, version)) {
        return Some(true);
    }
    if affected.spans.is_empty() {
        return Some(false);
    }
    let version = parse(ecosystem, version)?;
    Bounds::of(affected).holds(&version)
}

/// The spans, and what bounds those without an end.
struct Bounds<'a> {
    spans: &'a [Span],
    last_known: Option<&'a str>,
}

impl<'a> Bounds<'a> {
    fn of(affected: &'a Affected) -> Self {
        Self { spans: &affected.spans, last_known: affected.last_known.as_deref() }
    }

    /// One span that holds it is enough, whether the others can be read or not.
    fn holds(&self, version: &Version) -> Option<bool> {
        let mut told = Some(false);
        for span in self.spans {
            match self.span_holds(span, version) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => told = None,
            }
        }
        told
    }

    fn span_holds(&self, span: &Span, version: &Version) -> Option<bool> {
        if *version < Version::parse_bound(&span.introduced)? && span.introduced != "0" {
            return Some(false);
        }
        match &span.end {
            End::Fixed(fixed) => Some(*version < Version::parse_bound(fixed)?),
            End::LastAffected(last) => Some(*version <= Version::parse_bound(last)?),
            End::Open => match self.last_known {
                Some(range) => Some(Range::parse(range)?.admits(version)),
                None => Some(true),
            },
        }
    }
}

/// Lists are of exact versions; only build metadata does not count.
fn same(listed: &str, version: &str) -> bool {
    listed == version
        || Version::parse(listed).is_some_and(|listed| Version::parse(version).as_ref() == Some(&listed))
}

fn parse(ecosystem: Ecosystem, version: &str) -> Option<Version> {
    match ecosystem {
        Ecosystem::Npm => Version::parse(version),
        Ecosystem::CratesIo => Version::parse_strict(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affected(spans: &[(&str, End)], versions: &[&str], last_known: Option<&str>) -> Affected {
        Affected {
            spans: spans
                .iter()
                .map(|(introduced, end)| Span { introduced: (*introduced).to_owned(), end: end.clone() })
                .collect(),
            versions: versions.iter().map(|version| (*version).to_owned()).collect(),
            last_known: last_known.map(str::to_owned),
        }
    }

    fn fixed(version: &str) -> End {
        End::Fixed(version.to_owned())
    }

    #[test]
    fn a_version_is_affected_as_osv_says() {
        let express =
            affected(&[("0", fixed("4.19.2")), ("5.0.0-alpha.1", fixed("5.0.0-beta.3"))], &[], None);
        let listed = affected(&[], &["0.0.7", "1.0.0+build"], None);
        let last = affected(&[("1.0.0", End::LastAffected("1.5.1".to_owned()))], &[], None);
        let open = affected(&[("0", End::Open)], &[], None);
        let outside = affected(&[("0", End::Open)], &[], Some("< 0.19.3"));
        let unreadable = affected(&[("soon", fixed("2.0.0")), ("3.0.0", fixed("3.1.0"))], &["9.9.9"], None);
        for (affected, version, told) in [
            (&express, "4.19.1", Some(true)),
            (&express, "4.19.2-rc.1", Some(true)),
            (&express, "4.19.2", Some(false)),
            (&express, "5.0.0-alpha.0", Some(false)),
            (&express, "5.0.0-beta.2", Some(true)),
            (&express, "5.0.0", Some(false)),
            (&express, "v4.0.0", Some(true)),
            (&express, "0.0.0-0", Some(true)),
            (&express, "git+https://a.example/b", None),
            (&listed, "0.0.7", Some(true)),
            (&listed, "0.0.8", Some(false)),
            (&listed, "1.0.0", Some(true)),
            (&listed, "no version", Some(false)),
            (&last, "1.5.1", Some(true)),
            (&last, "1.5.1-rc.1", Some(true)),
            (&last, "1.5.2-0", Some(false)),
            (&last, "0.9.0", Some(false)),
            (&open, "99.0.0", Some(true)),
            (&outside, "0.19.2", Some(true)),
            (&outside, "0.20.0", Some(false)),
            (&unreadable, "3.0.5", Some(true)),
            (&unreadable, "1.0.0", None),
            (&unreadable, "9.9.9", Some(true)),
        ] {
            assert_eq!(affects(Ecosystem::Npm, affected, version), told, "{version} in {affected:?}");
        }
    }
}
