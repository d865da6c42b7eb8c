//! Every body holds for what was ever found, and for what is one step away from it.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

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

/// Each core takes the next seed that nobody has: some bodies take a thousand times as long as others.
#[test]
fn a_damaged_seed_breaks_none_either() {
    let of_body = |(name, body): &(&str, Body)| {
        let body = *body;
        seeds(name).into_iter().map(move |(path, seed)| (body, path, seed))
    };
    let seeds: Vec<_> = BODIES.iter().flat_map(of_body).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((body, path, seed)) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            damage(body, seed, path);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}

/// Cut short, a byte gone, a byte bent: the mistakes that parsers are made of. What comes to the same is tried once.
fn damage(body: &Body, seed: &[u8], path: &str) {
    for (place, byte) in seed.iter().enumerate().take(MOST_PLACES) {
        let (before, after) =
            (seed.get(..place).unwrap_or_default(), seed.get(place + 1..).unwrap_or_default());
        holds(body, before, path);
        if before.last() != Some(byte) {
            holds(body, &[before, after].concat(), path);
        }
        for bent in [0, b'"', b',', b'/', b'9', 0xff].into_iter().filter(|bent| bent != byte) {
            holds(body, &[before, &[bent], after].concat(), path);
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
