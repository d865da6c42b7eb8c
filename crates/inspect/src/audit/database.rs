//! Whether what is known is enough to go by.

use std::time::Duration;

use time::OffsetDateTime;

use super::doubt::Doubt;
use super::graph::{Ecosystem, Graph};
use super::index::About;

/// Why advisories that say this of themselves are not enough to judge `graphs` at `now` by; `max_age` bounds the time
/// since their import.
#[must_use]
pub fn doubts(about: &About, graphs: &[Graph], max_age: Option<Duration>, now: OffsetDateTime) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    let imported = imported(about);
    let age = now - imported;
    match (Duration::try_from(age), max_age) {
        (Ok(age), Some(allowed)) if age > allowed => doubts.push(Doubt::TooOld { age, allowed }),
        (Err(_), Some(_)) if -age > CLOCKS_DIFFER => doubts.push(Doubt::FromTheFuture { imported }),
        _ => {}
    }
    if !about.is_complete() {
        doubts.push(Doubt::Incomplete);
    }
    for graph in graphs {
        let unknown = |one: &Ecosystem| !about.ecosystems.contains_key(one.as_str());
        let mut missing: Vec<Ecosystem> =
            graph.packages.iter().map(|package| package.ecosystem).filter(unknown).collect();
        missing.sort();
        missing.dedup();
        let file = graph.file.display().to_string();
        doubts.extend(missing.into_iter().map(|ecosystem| Doubt::NoData { ecosystem, file: file.clone() }));
    }
    doubts
}

/// When they were imported; what is no time that a calendar knows is the beginning of all, and so too old.
pub(crate) fn imported(about: &About) -> OffsetDateTime {
    let seconds = i64::try_from(about.imported).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Between the machine that imported and this one.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::index::Source;
    use crate::audit::sketch::sketch;

    #[test]
    fn what_is_too_old_too_new_or_not_whole_is_no_ground_for_an_answer() {
        let day = 86_400;
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_000 * day);
        let fortnight = Some(Duration::from_secs(14 * day));
        for (days, whole, ecosystems, max_age, number) in [
            (986, true, &[Ecosystem::Npm][..], fortnight, 0),
            (985, true, &[Ecosystem::Npm], fortnight, 1),
            (0, true, &[Ecosystem::Npm], None, 0),
            (1_001, true, &[Ecosystem::Npm], fortnight, 1),
            (1_000, false, &[Ecosystem::Npm], fortnight, 1),
            (1_000, true, &[Ecosystem::CratesIo], fortnight, 1),
            (1_000, true, &[], fortnight, 1),
            (985, false, &[], fortnight, 3),
        ] {
            let about = About {
                imported: days * day,
                ecosystems: ecosystems.iter().map(|one: &Ecosystem| (one.as_str().to_owned(), 1)).collect(),
                sources: vec![Source { lost: u64::from(!whole), ..Source::default() }],
                ..About::default()
            };
            let found = doubts(&about, &[sketch("> a")], max_age, now);
            assert_eq!(found.len(), number, "{days} {whole} {max_age:?}: {found:?}");
        }
    }
}
