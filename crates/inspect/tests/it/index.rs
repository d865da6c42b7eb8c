//! The database: what was imported is found, and what is damaged is an error.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use panoply_inspect::audit::advisory::Advisories;
use panoply_inspect::audit::graph::Ecosystem;
use panoply_inspect::audit::import::{Import, ImportError, Trouble};
use panoply_inspect::audit::index::{About, Index, IndexError};
use panoply_inspect::audit::osv::{self, Loss};
use tempfile::TempDir;

#[test]
fn what_was_imported_is_found_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let records = file(&folder, "records.jsonl", RECORDS);
    let (about, troubles) = import(&folder, &[&records]);
    assert!(troubles.iter().all(|trouble| trouble.loss == Loss::Detail), "{troubles:?}");
    assert_eq!((about.records, about.imported), (467, NOW));
    assert_eq!(about.ecosystems["npm"], 467);
    assert!(about.is_complete());

    let index = Index::open(&database(&folder)).unwrap();
    assert_eq!(*index.about(), about);
    let mut names = std::collections::BTreeSet::new();
    for line in RECORDS.lines() {
        for (ecosystem, advisory) in osv::read(line.as_bytes()).unwrap().advisories {
            let found = index.of(ecosystem, &advisory.package).unwrap();
            assert!(found.contains(&advisory), "{}", advisory.id);
            assert!(found.iter().all(|other| other.package == advisory.package), "{}", advisory.id);
            assert!(index.of(Ecosystem::CratesIo, &advisory.package).unwrap().is_empty(), "{}", advisory.id);
            for near in [format!("{}-", advisory.package), advisory.package[1..].to_owned()] {
                let told = index.of(Ecosystem::Npm, &near).unwrap();
                assert!(told.iter().all(|other| other.package == near), "{near}");
            }
            names.insert(advisory.package);
        }
    }
    assert_eq!(about.packages, names.len() as u64);
    for name in ["", "\0", "zzzzzz", "@a/b"] {
        assert!(index.of(Ecosystem::Npm, name).unwrap().is_empty(), "{name:?}");
    }
}

#[test]
fn every_form_of_the_same_records_is_the_same_database() {
    let folder = TempDir::new().unwrap();
    let lines = file(&folder, "records.jsonl", RECORDS);
    let (expected, _) = import(&folder, &[&lines]);
    let expected_bytes = advisories(&folder);

    let github = folder.path().join("github");
    for (place, line) in RECORDS.lines().enumerate() {
        let record =
            github.join(format!("advisories/github-reviewed/2024/{:02}/GHSA-{place}", place % 12 + 1));
        fs::create_dir_all(&record).unwrap();
        fs::write(record.join(format!("GHSA-{place}.json")), line).unwrap();
    }
    fs::create_dir_all(github.join(".git")).unwrap();
    fs::write(github.join(".git/x.json"), "{").unwrap();
    fs::write(github.join("README.md"), "# Advisories").unwrap();
    let zipped = folder.path().join("all.zip");
    fs::write(&zipped, zip(RECORDS.lines().map(|line| ("GHSA.json", line.as_bytes())), Packing::Deflate))
        .unwrap();
    let stored = folder.path().join("stored.zip");
    fs::write(&stored, zip(RECORDS.lines().map(|line| ("GHSA.json", line.as_bytes())), Packing::Store))
        .unwrap();
    for path in [&github, &zipped, &stored] {
        let (about, troubles) = import(&folder, &[path]);
        assert!(
            troubles.iter().all(|trouble| trouble.loss == Loss::Detail),
            "{}: {troubles:?}",
            path.display()
        );
        assert_eq!(
            (about.records, about.packages),
            (expected.records, expected.packages),
            "{}",
            path.display()
        );
        assert_eq!(advisories(&folder), expected_bytes, "{}", path.display());
    }
}

#[test]
fn of_one_id_the_youngest_counts_and_withdrawn_is_gone() {
    let record = |id: &str, modified: &str, fixed: &str, more: &str| {
        format!(
            r#"{{"id":"{id}","modified":"{modified}"{more},"affected":[{{"package":{{"ecosystem":"npm","name":"a"}},
            "ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}]}}"#
        )
        .replace('\n', " ")
    };
    for (records, left) in [
        (
            vec![
                record("A", "2024-01-01T00:00:00Z", "1.0.0", ""),
                record("A", "2024-02-01T00:00:00Z", "2.0.0", ""),
            ],
            "2.0.0",
        ),
        (
            vec![
                record("A", "2024-02-01T00:00:00Z", "2.0.0", ""),
                record("A", "2024-01-01T00:00:00Z", "1.0.0", ""),
            ],
            "2.0.0",
        ),
        (
            vec![
                record("A", "2024-02-01T00:00:00Z", "2.0.0", ""),
                record("A", "2024-02-01T00:00:00Z", "1.0.0", ""),
            ],
            "2.0.0",
        ),
        (
            vec![
                record("A", "2024-01-01T00:00:00Z", "1.0.0", ""),
                record("B", "2024-02-01T00:00:00Z", "2.0.0", ""),
            ],
            "1.0.0 2.0.0",
        ),
        (
            vec![
                record("A", "2024-01-01T00:00:00Z", "1.0.0", ""),
                record("A", "2024-02-01T00:00:00Z", "1.0.0", r#","withdrawn":"2024-02-01T00:00:00Z""#),
            ],
            "",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let lines = file(&folder, "records.jsonl", &records.join("\n"));
        import(&folder, &[&lines]);
        let found = Index::open(&database(&folder)).unwrap().of(Ecosystem::Npm, "a").unwrap();
        let fixed: Vec<_> = found.iter().map(|advisory| fixed(&advisory.affected.spans[0].end)).collect();
        assert_eq!(fixed.join(" "), left, "{records:?}");
    }
}

#[test]
fn what_is_lost_is_told_with_its_place_and_the_rest_goes_on() {
    let folder = TempDir::new().unwrap();
    let good = RECORDS.lines().next().unwrap();
    let lines = file(&folder, "records.jsonl", &format!("{good}\n\n{{\"id\":\n{good}\n"));
    let (about, troubles) = import(&folder, &[&lines]);
    assert_eq!((about.records, about.is_complete()), (2, false));
    assert_eq!(about.sources[0].lost, 1);
    assert_eq!((troubles[0].line, troubles[0].file.as_str()), (3, lines.to_str().unwrap()));

    let zipped = folder.path().join("all.zip");
    let mut bytes =
        zip([("a.json", good.as_bytes()), ("b.json", good.as_bytes())].into_iter(), Packing::Store);
    let place = bytes.windows(7).position(|window| window == b"MODERAT").unwrap();
    bytes[place] = b'm';
    fs::write(&zipped, bytes).unwrap();
    let (about, troubles) = import(&folder, &[&zipped]);
    assert_eq!((about.records, about.is_complete()), (1, false), "a checksum that does not match");
    assert!(troubles[0].file.ends_with("all.zip/a.json"), "{troubles:?}");
}

#[test]
fn what_holds_no_advisories_leaves_the_old_database_alone() {
    let folder = TempDir::new().unwrap();
    let records = file(&folder, "records.jsonl", RECORDS);
    import(&folder, &[&records]);
    let before = fs::read(database(&folder)).unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let cut = folder.path().join("cut.zip");
    let whole = zip([("a.json", RECORDS.as_bytes())].into_iter(), Packing::Deflate);
    fs::write(&cut, &whole[..whole.len() - 30]).unwrap();
    let bomb = folder.path().join("bomb.zip");
    let zeros = vec![b' '; 15 << 20];
    let many = std::iter::repeat_n(("a.json", zeros.as_slice()), 4);
    fs::write(&bomb, zip(many, Packing::Deflate)).unwrap();
    for (path, empty) in [(&empty, true), (&cut, false), (&bomb, false), (&folder.path().join("none"), false)]
    {
        let mut ignore = |_: &Trouble| {};
        let mut import = Import::into(&database(&folder), &mut ignore).unwrap();
        let error = import.add(path, "x").unwrap_err();
        assert_eq!(matches!(error, ImportError::Empty(_)), empty, "{}: {error}", path.display());
        drop(import);
        assert_eq!(fs::read(database(&folder)).unwrap(), before, "{}", path.display());
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".tmp")), "{left:?}");
}

#[test]
fn a_damaged_database_is_an_error_and_never_an_answer() {
    let folder = TempDir::new().unwrap();
    let some: Vec<_> = RECORDS.lines().take(40).collect();
    let records = file(&folder, "records.jsonl", &some.join("\n"));
    import(&folder, &[&records]);
    let whole = fs::read(database(&folder)).unwrap();
    let names: Vec<String> =
        some.iter().map(|line| osv::read(line.as_bytes()).unwrap().advisories[0].1.package.clone()).collect();
    let answers = |path: &Path| -> Option<Vec<usize>> {
        let index = Index::open(path).ok()?;
        names.iter().map(|name| Some(index.of(Ecosystem::Npm, name).ok()?.len())).collect()
    };
    let expected = answers(&database(&folder)).unwrap();
    let damaged = folder.path().join("damaged");
    // The first eight bytes are for people: nothing is read there.
    for place in (8..whole.len()).step_by(29) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x40;
        fs::write(&damaged, bytes).unwrap();
        assert_eq!(answers(&damaged), None, "byte {place} of {}", whole.len());
        fs::write(&damaged, &whole[..place]).unwrap();
        assert_eq!(answers(&damaged), None, "cut at {place} of {}", whole.len());
    }
    fs::write(&damaged, &whole).unwrap();
    assert_eq!(answers(&damaged), Some(expected));
    assert!(matches!(Index::open(&folder.path().join("none")), Err(IndexError::Missing(_))));
    assert!(matches!(Index::open(folder.path()), Err(IndexError::Damaged { .. })));
}

fn import(folder: &TempDir, paths: &[&PathBuf]) -> (About, Vec<Trouble>) {
    let mut troubles = Vec::new();
    let mut complain = |trouble: &Trouble| troubles.push(trouble.clone());
    let mut import = Import::into(&database(folder), &mut complain).unwrap();
    for path in paths {
        import.add(path, &path.display().to_string()).unwrap();
    }
    let about = import.finish(NOW).unwrap();
    (about, troubles)
}

/// Every advisory of the database, in the order of the records.
fn advisories(folder: &TempDir) -> Vec<String> {
    let index = Index::open(&database(folder)).unwrap();
    let names =
        RECORDS.lines().map(|line| osv::read(line.as_bytes()).unwrap().advisories[0].1.package.clone());
    names.map(|name| format!("{:?}", index.of(Ecosystem::Npm, &name).unwrap())).collect()
}

fn fixed(end: &panoply_inspect::audit::advisory::End) -> String {
    match end {
        panoply_inspect::audit::advisory::End::Fixed(version) => version.clone(),
        other => panic!("{other:?}"),
    }
}

#[derive(Clone, Copy)]
enum Packing {
    Store,
    Deflate,
}

fn zip<'t>(files: impl Iterator<Item = (&'t str, &'t [u8])>, packing: Packing) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut bytes);
    for (name, text) in files {
        let file = archive.new_file(name);
        match packing {
            Packing::Store => {
                let (mut entry, config) =
                    file.compression_method(rawzip::CompressionMethod::STORE).start().unwrap();
                let mut writer = config.wrap(&mut entry);
                writer.write_all(text).unwrap();
                let (_, descriptor) = writer.finish().unwrap();
                entry.finish(descriptor).unwrap();
            }
            Packing::Deflate => {
                let (mut entry, config) =
                    file.compression_method(rawzip::CompressionMethod::DEFLATE).start().unwrap();
                let encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::fast());
                let mut writer = config.wrap(encoder);
                writer.write_all(text).unwrap();
                let (encoder, descriptor) = writer.finish().unwrap();
                encoder.finish().unwrap();
                entry.finish(descriptor).unwrap();
            }
        }
    }
    archive.finish().unwrap();
    bytes
}

fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn database(folder: &TempDir) -> PathBuf {
    folder.path().join("advisories.db")
}

const RECORDS: &str = include_str!("../data/osv_npm.jsonl");
const NOW: u64 = 1_764_000_000;
