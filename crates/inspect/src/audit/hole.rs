//! One hole, by all the records that tell of it.
//!
//! GitHub, RustSec, a CVE and OSV often describe the same hole, each under its own id and each with ranges of its own.
//! Records that share an id or an alias are one hole, also where a third record is what joins them. A version is
//! affected where any of them says so: who says no may only know less.

use super::advisory::{Advisory, Affected, End, Severity};
use super::graph::Ecosystem;
use super::matching::affects;
use super::version::Version;

/// A hole of one package.
#[derive(Clone, Debug, PartialEq)]
pub struct Hole {
    /// The id that it is told by.
    pub id: String,
    /// Its other names, sorted.
    pub aliases: Vec<String>,
    /// One line of what is wrong.
    pub summary: String,
    /// How bad it is, by the record that finds it worst; `None` where none says.
    pub severity: Option<Severity>,
    /// CVSS base score, 0.0–10.0, the highest.
    pub score: Option<f32>,
    /// The package is itself an attack.
    pub malicious: bool,
    /// Where to read more.
    pub url: String,
    /// Weaknesses by number, sorted.
    pub cwes: Vec<String>,
    /// Functions that have it, where a record names them.
    pub functions: Vec<String>,
    affected: Vec<Affected>,
}

impl Hole {
    /// The holes that `records` of one package tell of, by id.
    #[must_use]
    pub fn all(records: Vec<Advisory>) -> Vec<Self> {
        let mut groups: Vec<Vec<Advisory>> = Vec::new();
        for record in records {
            let (mut same, others): (Vec<_>, Vec<_>) =
                groups.into_iter().partition(|group| group.iter().any(|other| share_a_name(&record, other)));
            let mut group: Vec<Advisory> = same.drain(..).flatten().collect();
            group.push(record);
            groups = others;
            groups.push(group);
        }
        let mut holes: Vec<Self> = groups.into_iter().filter_map(Self::one).collect();
        holes.sort_by(|a, b| a.id.cmp(&b.id));
        holes
    }

    /// Whether `version` has it; `None` where that cannot be told.
    #[must_use]
    pub fn affects(&self, ecosystem: Ecosystem, version: &str) -> Option<bool> {
        let mut told = Some(false);
        for affected in &self.affected {
            match affects(ecosystem, affected, version) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => told = None,
            }
        }
        told
    }

    /// Whether it is called `name`, whatever the case.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.names().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Its id and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    /// As bad as it has to be taken for: who does not say may mean anything, and an attack is the worst.
    #[must_use]
    pub fn is_at_least(&self, level: Severity) -> bool {
        self.malicious || self.severity.is_none_or(|severity| severity >= level)
    }

    /// The last range that is known to have it where no version of the registry is without.
    #[must_use]
    pub fn last_known(&self) -> Option<&str> {
        self.affected.iter().find_map(|affected| affected.last_known.as_deref())
    }

    fn one(mut records: Vec<Advisory>) -> Option<Self> {
        records.sort_by_cached_key(|record| (standing(&record.id), record.id.clone()));
        let first = records.first()?;
        let mut hole = Self {
            id: first.id.clone(),
            aliases: Vec::new(),
            summary: text(&records, |record| &record.summary),
            severity: records.iter().filter_map(|record| record.severity).max(),
            score: records.iter().filter_map(|record| record.score).max_by(f32::total_cmp),
            malicious: records.iter().any(|record| record.malicious),
            url: text(&records, |record| &record.url),
            cwes: Vec::new(),
            functions: Vec::new(),
            affected: Vec::new(),
        };
        for record in records {
            hole.aliases.push(record.id);
            hole.aliases.extend(record.aliases);
            hole.cwes.extend(record.cwes);
            hole.functions.extend(record.functions);
            hole.affected.push(record.affected);
        }
        hole.aliases.retain(|alias| *alias != hole.id);
        for list in [&mut hole.aliases, &mut hole.cwes, &mut hole.functions] {
            list.sort();
            list.dedup();
        }
        Some(hole)
    }
}

/// The nearest version that is without a hole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// This one, which a record names.
    In(String),
    /// The first after this one: the record names the last version that has the hole, not the first without.
    After(String),
}

impl Fixed {
    /// The nearest version from `version` on that none of `holes` affects, as far as the records know one.
    #[must_use]
    pub fn of(ecosystem: Ecosystem, holes: &[&Hole], version: &str) -> Option<Self> {
        let from = Version::parse(version)?;
        let ends = holes.iter().flat_map(|hole| &hole.affected).flat_map(|affected| &affected.spans);
        let mut candidates: Vec<(Version, Self)> = ends
            .filter_map(|span| {
                let fixed = match &span.end {
                    End::Fixed(version) => Self::In(version.clone()),
                    End::LastAffected(version) => Self::After(version.clone()),
                    End::Open => return None,
                };
                Some((Version::parse_bound(&fixed.example())?, fixed))
            })
            .filter(|(candidate, _)| *candidate >= from)
            .collect();
        candidates.sort_by(|(a, _), (b, _)| a.cmp(b));
        let clean = |version: &str| holes.iter().all(|hole| hole.affects(ecosystem, version) == Some(false));
        candidates.into_iter().map(|(_, fixed)| fixed).find(|fixed| clean(&fixed.example()))
    }

    /// A version that it may be: the very one, or the next number after the last that is affected.
    #[must_use]
    pub fn example(&self) -> String {
        match self {
            Self::In(version) => version.clone(),
            Self::After(version) => after(version),
        }
    }

    /// As a range that a manifest may hold: from it on, within its major version.
    #[must_use]
    pub fn range(&self) -> String {
        format!("^{}", self.example())
    }
}

/// As a report writes it: `4.17.21`, or `>1.5.1`.
impl std::fmt::Display for Fixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::In(version) => f.write_str(version),
            Self::After(version) => write!(f, ">{version}"),
        }
    }
}

/// The least version above: one patch more, or one word more in a pre-release (semver 2.0.0 § 11.4.4).
fn after(version: &str) -> String {
    let Some(read) = Version::parse_bound(version) else { return version.to_owned() };
    let plain = read.to_string();
    if read.is_prerelease() {
        return format!("{plain}.0");
    }
    match plain.rsplit_once('.').and_then(|(head, patch)| Some((head, patch.parse::<u64>().ok()?))) {
        Some((head, patch)) => format!("{head}.{}", patch.saturating_add(1)),
        None => plain,
    }
}

fn share_a_name(one: &Advisory, other: &Advisory) -> bool {
    let names =
        |record: &Advisory, name: &str| record.id == name || record.aliases.iter().any(|alias| alias == name);
    names(other, &one.id) || one.aliases.iter().any(|alias| names(other, alias))
}

fn text(records: &[Advisory], of: impl Fn(&Advisory) -> &String) -> String {
    records.iter().map(of).find(|text| !text.is_empty()).cloned().unwrap_or_default()
}

/// Whose id a hole is told by: an attack as one, then where most readers look.
fn standing(id: &str) -> usize {
    const FIRST: [&str; 4] = ["MAL-", "GHSA-", "RUSTSEC-", "CVE-"];
    FIRST.iter().position(|prefix| id.starts_with(prefix)).unwrap_or(FIRST.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::advisory::Span;
    use crate::audit::sketch::advisory;

    #[test]
    fn records_that_share_a_name_are_one_hole() {
        for (records, holes) in [
            (&[("GHSA-1", "CVE-1"), ("GHSA-2", "CVE-2")][..], &["GHSA-1 CVE-1", "GHSA-2 CVE-2"][..]),
            (&[("CVE-1", ""), ("GHSA-1", "CVE-1")], &["GHSA-1 CVE-1"]),
            (&[("NSWG-1", "CVE-1"), ("GHSA-1", "CVE-1")], &["GHSA-1 CVE-1 NSWG-1"]),
            // The last joins the two before.
            (
                &[("NSWG-1", "CVE-1"), ("OSV-1", "CVE-2"), ("GHSA-1", "CVE-1 CVE-2")],
                &["GHSA-1 CVE-1 CVE-2 NSWG-1 OSV-1"],
            ),
            (&[("GHSA-1", "MAL-1"), ("MAL-1", "")], &["MAL-1 GHSA-1"]),
            (&[], &[]),
        ] {
            let list = records.iter().map(|(id, aliases)| advisory("a", id, aliases, "0..1.0.0")).collect();
            let told: Vec<_> =
                Hole::all(list).iter().map(|hole| hole.names().collect::<Vec<_>>().join(" ")).collect();
            assert_eq!(told, holes, "{records:?}");
        }
    }

    #[test]
    fn a_hole_is_as_bad_and_as_wide_as_any_record_says() {
        let mut narrow = advisory("a", "GHSA-1", "CVE-1", "0..1.2.0");
        narrow.severity = Some(Severity::Low);
        let mut wide = advisory("a", "CVE-1", "", "0..=1.4.0");
        wide.severity = Some(Severity::High);
        let holes = Hole::all(vec![narrow, wide]);
        assert_eq!(holes[0].severity, Some(Severity::High));
        assert_eq!(holes[0].affects(Ecosystem::Npm, "1.3.0"), Some(true));
        assert_eq!(Fixed::of(Ecosystem::Npm, &[&holes[0]], "1.0.0"), Some(Fixed::After("1.4.0".to_owned())));
    }

    #[test]
    fn the_nearest_version_is_the_first_end_that_is_clean_itself() {
        let span = |introduced: &str, end: End| Span { introduced: introduced.to_owned(), end };
        let fixed = |introduced: &str, fixed: &str| span(introduced, End::Fixed(fixed.to_owned()));
        let stairs = Affected {
            spans: vec![fixed("0", "1.2.0"), fixed("1.2.0", "1.3.0"), fixed("2.0.0", "2.1.0")],
            ..Affected::default()
        };
        let named = Affected {
            spans: vec![fixed("0", "1.2.0")],
            versions: vec!["1.2.0".to_owned()],
            ..Affected::default()
        };
        let open = Affected {
            spans: vec![span("0", End::Open)],
            last_known: Some("<2.0.0".to_owned()),
            ..Affected::default()
        };
        for (affected, version, mended) in [
            (&stairs, "1.0.0", Some("1.3.0")),
            (&stairs, "1.2.5", Some("1.3.0")),
            (&stairs, "2.0.1", Some("2.1.0")),
            (&stairs, "3.0.0", None),
            (&named, "1.0.0", None),
            (&open, "1.0.0", None),
            (&stairs, "latest", None),
        ] {
            let record = Advisory { affected: affected.clone(), ..advisory("a", "GHSA-1", "", "0..") };
            let holes = Hole::all(vec![record]);
            let found = Fixed::of(Ecosystem::Npm, &[&holes[0]], version).map(|fixed| fixed.to_string());
            assert_eq!(found.as_deref(), mended, "{version} in {affected:?}");
        }
    }

    #[test]
    fn the_nearest_version_is_without_all_holes() {
        for (spans, version, fixed) in [
            (&["0..1.2.0"][..], "1.0.0", Some("1.2.0")),
            (&["0..1.2.0", "1.1.0..1.3.0"], "1.0.0", Some("1.3.0")),
            (&["0..1.2.0,2.0.0..2.1.0"], "2.0.5", Some("2.1.0")),
            (&["0..=1.5.1"], "1.0.0", Some(">1.5.1")),
            (&["0..=1.5.1", "0..1.5.2"], "1.0.0", Some(">1.5.1")),
            (&["0..=1.5.1", "0..1.5.3"], "1.0.0", Some("1.5.3")),
            (&["0..=2.0.0-rc.1"], "1.0.0", Some(">2.0.0-rc.1")),
            (&["0..1.2.0", "0.."], "1.0.0", None),
            (&["0.."], "1.0.0", None),
        ] {
            let records = spans.iter().enumerate();
            let records = records.map(|(at, span)| advisory("a", &format!("GHSA-{at}"), "", span)).collect();
            let holes = Hole::all(records);
            let found = Fixed::of(Ecosystem::Npm, &holes.iter().collect::<Vec<_>>(), version);
            assert_eq!(found.map(|fixed| fixed.to_string()).as_deref(), fixed, "{version} in {spans:?}");
        }
    }

    #[test]
    fn what_does_not_say_how_bad_it_is_passes_no_gate() {
        let mut record = advisory("a", "GHSA-1", "", "0..");
        for (severity, malicious, level, passes) in [
            (Some(Severity::Low), false, Severity::Low, true),
            (Some(Severity::Low), false, Severity::Moderate, false),
            (Some(Severity::Low), true, Severity::Critical, true),
            (None, false, Severity::Critical, true),
        ] {
            record.severity = severity;
            record.malicious = malicious;
            let hole = &Hole::all(vec![record.clone()])[0];
            assert_eq!(hole.is_at_least(level), passes, "{severity:?} {malicious} {level:?}");
        }
    }
}
