//! What holds of all versions, ranges and spans.

use panoply_inspect::audit::advisory::Affected;
use panoply_inspect::audit::graph::Ecosystem;
use panoply_inspect::audit::matching::affects;
use panoply_inspect::audit::osv;
use panoply_inspect::audit::range::Range;
use panoply_inspect::audit::version::Version;
use proptest::prelude::*;
use proptest::sample::select;

proptest! {
    #[test]
    fn a_version_prints_as_what_it_is(version in version()) {
        let read = Version::parse(&version).unwrap();
        prop_assert_eq!(Version::parse(&read.to_string()), Some(read.clone()));
        prop_assert_eq!(Version::parse_strict(&read.to_string()), Some(read));
    }

    #[test]
    fn the_order_is_one(a in version(), b in version(), c in version()) {
        let [a, b, c] = [a, b, c].map(|version| Version::parse(&version).unwrap());
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
        prop_assert!(!(a <= b && b <= c) || a <= c);
    }

    #[test]
    fn a_range_prints_as_what_it_admits(range in range(), version in version()) {
        let read = Range::parse(&range).unwrap();
        let again = Range::parse(&read.to_string()).unwrap();
        let version = Version::parse(&version).unwrap();
        prop_assert_eq!(again.to_string(), read.to_string());
        prop_assert_eq!(again.admits(&version), read.admits(&version), "{} in {}", version, read);
    }

    #[test]
    fn bars_are_or_and_spaces_are_and(a in comparators(), b in comparators(), version in version()) {
        let version = Version::parse(&version).unwrap();
        let [one, other, either, both] =
            [a.clone(), b.clone(), format!("{a}||{b}"), format!("{a} {b}")].map(|range| Range::parse(&range).unwrap());
        prop_assert_eq!(either.admits(&version), one.admits(&version) || other.admits(&version));
        prop_assert_eq!(both.admits(&version), one.admits(&version) && other.admits(&version));
    }

    #[test]
    fn an_installation_chooses_nothing_that_an_audit_does_not_see(range in range(), version in version()) {
        // An installation takes `>=0.0.0` for any version, an audit does not.
        prop_assume!(!version.starts_with("0.0.0-"));
        let (range, version) = (Range::parse(&range).unwrap(), Version::parse(&version).unwrap());
        prop_assert!(!range.installs(&version) || range.admits(&version), "{} {}", version, range);
    }

    #[test]
    fn spans_are_what_osv_says_of_their_events(
        ranges in prop::collection::vec(prop::collection::vec(event(), 0..6), 0..4),
        listed in prop::collection::vec(version(), 0..3),
        asked in version(),
    ) {
        let version = Version::parse(&asked).unwrap();
        let expected = listed.iter().any(|listed| Version::parse(listed).unwrap() == version)
            || ranges.iter().any(|events| walked(events, &version));
        prop_assert_eq!(affects(Ecosystem::Npm, &affected(&ranges, &listed), &asked), Some(expected));
    }
}

/// The schema's own words, "evaluation".
fn walked(events: &[(&str, String)], version: &Version) -> bool {
    // "0" is before every version where it is introduced, and a version elsewhere.
    let place = |kind: &str, bound: &str| match (kind, bound) {
        ("introduced", "0") => None,
        (_, "0") => Some(Version::parse("0.0.0").unwrap()),
        _ => Some(Version::parse(bound).unwrap()),
    };
    let rank = |kind: &str| ["fixed", "introduced", "last_affected"].iter().position(|known| *known == kind);
    let mut sorted: Vec<_> =
        events.iter().map(|(kind, bound)| (place(kind, bound), rank(kind), *kind)).collect();
    sorted.sort();
    let version = Some(version.clone());
    let mut vulnerable = false;
    for (bound, _, kind) in sorted {
        match kind {
            "introduced" if version >= bound => vulnerable = true,
            "fixed" if version >= bound => vulnerable = false,
            "last_affected" if version > bound => vulnerable = false,
            _ => {}
        }
    }
    vulnerable
}

fn affected(ranges: &[Vec<(&str, String)>], listed: &[String]) -> Affected {
    let ranges: Vec<_> = ranges
        .iter()
        .map(|events| {
            let events: Vec<_> =
                events.iter().map(|(kind, bound)| serde_json::json!({ (*kind): bound })).collect();
            serde_json::json!({ "type": "SEMVER", "events": events })
        })
        .collect();
    let package = serde_json::json!({ "ecosystem": "npm", "name": "a" });
    let record = serde_json::json!({
        "id": "A", "affected": [{ "package": package, "ranges": ranges, "versions": listed }],
    });
    osv::read(record.to_string().as_bytes()).unwrap().advisories.remove(0).1.affected
}

/// Few numbers, so that they meet.
fn version() -> impl Strategy<Value = String> {
    let prerelease = select(&["", "", "", "-0", "-1", "-rc.1", "-rc.10", "-rc", "-a.b", "--", "beta"][..]);
    (0..3u8, 0..3u8, 0..3u8, prerelease)
        .prop_map(|(major, minor, patch, prerelease)| format!("{major}.{minor}.{patch}{prerelease}"))
}

fn partial() -> impl Strategy<Value = String> {
    let number = || select(&["0", "1", "2", "x", "*"][..]);
    prop_oneof![
        version(),
        (0..3u8).prop_map(|major| major.to_string()),
        (0..3u8, number()).prop_map(|(major, minor)| format!("{major}.{minor}")),
    ]
}

fn comparators() -> impl Strategy<Value = String> {
    let operator = select(&["", "=", "<", "<=", ">", ">=", "^", "~", "~>", ">= ", "^ "][..]);
    let one = (operator, partial()).prop_map(|(operator, partial)| format!("{operator}{partial}"));
    prop::collection::vec(one, 1..4).prop_map(|all| all.join(" "))
}

fn range() -> impl Strategy<Value = String> {
    let hyphen = (partial(), partial()).prop_map(|(from, to)| format!("{from} - {to}"));
    prop::collection::vec(prop_oneof![4 => comparators(), 1 => hyphen], 1..4).prop_map(|all| all.join(" || "))
}

fn event() -> impl Strategy<Value = (&'static str, String)> {
    let bound = prop_oneof![1 => Just("0".to_owned()), 5 => version()];
    (select(&["introduced", "fixed", "last_affected"][..]), bound)
}
