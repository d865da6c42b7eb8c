//! Every body holds for what was ever found, and for what is one step away from it.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use panoply_fuzz::{BODIES, Body};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");

#[test]
fn every_body_has_seeds_and_all_seeds_have_a_body() {
    let folders: BTreeSet<_> = fs::read_dir(CORPUS)
        .expect("the corpus is in the repository")
        .map(|entry| entry.expect("it can be listed").file_name().into_string().expect("names are ASCII"))
        .collect();
    assert_eq!(folders, BODIES.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (name, _) in BODIES {
        assert!(!seeds(name).is_empty(), "corpus/{name}");
    }
}

#[test]
fn no_seed_breaks_a_promise() {
    for (name, body) in BODIES {
        for (path, seed) in seeds(name) {
            holds(body, &seed, &path);
        }
    }
}

/// Cut short, a byte gone, a byte bent: the mistakes that parsers are made of.
#[test]
fn a_damaged_seed_breaks_none_either() {
    for (name, body) in BODIES {
        for (path, seed) in seeds(name) {
            for place in 0..seed.len().min(MOST_PLACES) {
                holds(body, seed.get(..place).unwrap_or_default(), &path);
                let mut damaged = seed.clone();
                damaged.remove(place);
                holds(body, &damaged, &path);
                for bent in [0, b'"', b',', b'/', b'9', 0xff] {
                    damaged.clone_from(&seed);
                    damaged.splice(place..=place, [bent]);
                    holds(body, &damaged, &path);
                }
            }
        }
    }
}

fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(CORPUS).join(name);
    let mut seeds: Vec<_> = fs::read_dir(folder)
        .expect("each body has a folder")
        .map(|entry| {
            let path = entry.expect("it can be listed").path();
            let seed = fs::read(&path).expect("it can be read");
            (path.display().to_string(), seed)
        })
        .collect();
    seeds.sort();
    seeds
}

fn holds(body: &Body, input: &[u8], path: &str) {
    let held = catch_unwind(AssertUnwindSafe(|| body(input)));
    assert!(held.is_ok(), "{path}, as \"{}\"", input.escape_ascii());
}

const MOST_PLACES: usize = 400;
