use std::fs;
use std::path::Path;

use panoply_inspect::audit::advisory::Advisories;
use panoply_inspect::audit::graph::Ecosystem;
use panoply_inspect::audit::hole::{Fixed, Hole};
use panoply_inspect::audit::import::Import;
use panoply_inspect::audit::index::Index;
use panoply_inspect::audit::osv;
use panoply_inspect::audit::range::Range;
use panoply_inspect::audit::version::Version;
use tempfile::TempDir;

use crate::text;

/// A version prints as what it was read from means.
pub fn version(input: &[u8]) {
    if let Some(version) = Version::parse(text(input)) {
        assert_eq!(Version::parse(&version.to_string()), Some(version));
    }
}

/// A range prints as comparators that mean the same.
pub fn range(input: &[u8]) {
    let _ = Range::parse_strict(text(input));
    if let Some(range) = Range::parse(text(input)) {
        let again = Range::parse(&range.to_string()).map(|again| again.to_string());
        assert_eq!(again, Some(range.to_string()));
    }
}

/// What a record says of a version has a mend that does not have the hole.
pub fn advisory(input: &[u8]) {
    let Ok(record) = osv::read(input) else { return };
    for (ecosystem, advisory) in record.advisories {
        for hole in Hole::all(vec![advisory]) {
            if let Some(fixed) = Fixed::of(ecosystem, &[&hole], "1.0.0") {
                assert_eq!(hole.affects(ecosystem, &fixed.example()), Some(false), "{fixed}");
            }
        }
    }
}

/// An archive is imported, or refused, and what is imported is found.
pub fn archive(input: &[u8]) {
    let folder = folder();
    let (archive, database) = (folder.path().join("all.zip"), folder.path().join("advisories.db"));
    fs::write(&archive, input).expect("a temporary file can be written");
    let mut ignore = |_: &_| {};
    let mut import = Import::into(&database, &mut ignore).expect("the folder is there");
    if import.add(&archive, "all.zip").is_ok() {
        let about = import.finish(0).expect("a temporary file can be written");
        assert_eq!(Index::open(&database).expect("it was just written").about(), &about);
    }
}

/// A database is opened and asked, or refused.
pub fn database(input: &[u8]) {
    let folder = folder();
    let database = folder.path().join("advisories.db");
    fs::write(&database, input).expect("a temporary file can be written");
    if let Ok(index) = Index::open(&database) {
        for name in ["bassmaster", "", "zzz"] {
            let _ = index.of(Ecosystem::Npm, name);
        }
    }
}

/// In memory where Linux has a place there: a database that is written waits for its disk, and here nothing is kept.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    folder.expect("there is room for temporary files")
}
