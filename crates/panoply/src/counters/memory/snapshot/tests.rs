use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::Clock;
use crate::counters::{Limiter, MOST_LISTED, Who};
use crate::digested::fresh;

const MINUTE: Duration = Duration::from_secs(60);

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let n = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("panoply-counts-{}-{n}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("counts")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn what_was_counted_counts_on_after_a_restart_and_time_that_passed_is_over() {
    let (folder, clock) = (Folder::new(), Clock::manual());
    let path = folder.file();
    clock.advance(5 * MINUTE);
    let first = Memory::with_clock(clock.clone()).restore(&path).unwrap();
    let limiter = Limiter::new("login", 3, 3 * MINUTE).block_time(10 * MINUTE);
    limiter.penalty(&first, "ann", 2).await.unwrap();
    limiter.penalty(&first, "over", 4).await.unwrap();
    limiter.block(&first, "for ever", Duration::ZERO).await.unwrap();
    limiter.block(&first, "briefly", MINUTE).await.unwrap();
    first.save(&path).unwrap();
    limiter.penalty(&first, "ann", 1).await.unwrap();
    first.save(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fresh(&path).exists());

    // The machine's monotonic clock begins anew in another process, and the time of day goes on.
    clock.advance(MINUTE);
    for capacity in [64, 1 << 10, 1 << 17] {
        let second = Memory::with_clock(clock.clone()).capacity(capacity).restore(&path).unwrap();
        for (name, consumed, left) in [
            ("ann", Some(3), Some(2 * MINUTE)),
            ("over", Some(4), Some(9 * MINUTE)),
            ("for ever", Some(4), None),
            ("briefly", None, None),
            ("new", None, None),
        ] {
            let standing = limiter.get(&second, name).await.unwrap();
            assert_eq!(standing.map(|standing| standing.consumed()), consumed, "{name}");
            assert_eq!(standing.and_then(|standing| standing.left()), left, "{name}");
        }
        let mut listed: Vec<_> =
            limiter.over(&second).await.unwrap().into_iter().map(|(name, _)| name).collect();
        listed.sort();
        assert_eq!(listed, ["for ever", "over"]);
        assert!(limiter.consume(&second, "ann", 1).await.unwrap().is_refused());
    }
}

#[test]
fn an_end_is_a_time_of_day_and_a_clock_that_is_set_back_prolongs_nothing() {
    let [now, day] = [50_u64, 1_000_000_000_000];
    let (before, later) = (day - 500_000_000, day + 600_000_000);
    for (until, at, left) in [
        (Some(1_000), day, Some(950)),
        (Some(1_000), later, Some(350)), // 600 passed
        (Some(600), later, None),
        (Some(1_000), before, Some(950)), // set back
        (None, later, Some(u64::MAX)),
    ] {
        let count =
            crate::counters::Count { points: 4, left: until.map(|until| Duration::from_millis(until - now)) };
        let kept = Slot::new(7, count, now, true).kept(now, day);
        let slot = Slot::found(7, 4, kept, 3, at.max(day));
        assert!(slot.is_refused());
        let found =
            slot.stands(3).then(|| slot.count(3).left.map_or(u64::MAX, |left| left.as_millis() as u64));
        assert_eq!(found, left, "{until:?} {at}");
    }
}

#[tokio::test]
async fn networks_share_on_after_a_restart_and_a_full_memory_frees_nobody_in_a_smaller_one() {
    let (folder, clock) = (Folder::new(), Clock::manual());
    let path = folder.file();
    let first = Memory::with_clock(clock.clone()).capacity(64);
    let limiter = Limiter::new("login", 3, MINUTE);
    for n in 0..64 {
        limiter.block(&first, &n.to_string(), Duration::ZERO).await.unwrap();
    }
    let newcomer = Who::named("new").within("192.0.2.0/24");
    limiter.penalty(&first, newcomer, 4).await.unwrap();
    first.save(&path).unwrap();
    let second = Memory::with_clock(clock.clone()).capacity(64).restore(&path).unwrap();
    assert!(limiter.consume(&second, newcomer, 1).await.unwrap().is_refused());
    for n in 0..64 {
        assert!(limiter.consume(&second, &n.to_string(), 1).await.unwrap().is_refused(), "{n}");
    }

    let large = Memory::with_clock(clock.clone()).capacity(1 << 12);
    for n in 0..1 << 12 {
        limiter.penalty(&large, &n.to_string(), if n < 40 { 4 } else { 1 }).await.unwrap();
    }
    large.save(&path).unwrap();
    let small = Memory::with_clock(clock).capacity(64).restore(&path).unwrap();
    assert_eq!((small.len(), limiter.over(&small).await.unwrap().len() <= MOST_LISTED), (64, true));
    for n in 0..40 {
        assert!(limiter.consume(&small, &n.to_string(), 1).await.unwrap().is_refused(), "{n}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_whole_is_refused_wherever_it_is_broken_and_nothing_of_it_is_used() {
    let (folder, clock) = (Folder::new(), Clock::manual());
    let path = folder.file();
    let memory = Memory::with_clock(clock.clone()).capacity(64);
    let limiter = Limiter::new("login", 3, MINUTE);
    limiter.penalty(&memory, "ann", 4).await.unwrap();
    limiter.penalty(&memory, "bob", 1).await.unwrap();
    memory.save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let restored = || Memory::with_clock(clock.clone()).capacity(64).restore(&path);
    assert!(restored().is_ok());
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(restored().is_err(), "cut at {cut}");
    }
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut broken = whole.clone();
            broken[at] ^= flip;
            fs::write(&path, &broken).unwrap();
            assert!(restored().is_err(), "byte {at} ^ {flip}");
        }
    }
    fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
    assert!(restored().is_err(), "something stands behind it");
    let mut next = whole.clone();
    next[MAGIC.len()] = 3;
    for (bytes, message) in [
        (b"[shield]\ncsrf = \"on\"\n".to_vec(), "it is another kind of file"),
        (next, "it is of version 3, and this program writes 2"),
        (whole[..60].to_vec(), "it is cut off"),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = restored().unwrap_err();
        assert!(error.to_string().ends_with(message), "{error}");
        assert!(error.hint().starts_with("move the file away"), "{}", error.hint());
    }
    File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
    assert!(restored().unwrap_err().to_string().ends_with("it is too large"));
    assert!(Memory::new().restore(&folder.0).unwrap_err().to_string().ends_with("it is no file"));
}

#[tokio::test]
async fn what_cannot_be_written_leaves_what_was_there_and_saves_at_once_do_not_meet() {
    let folder = Folder::new();
    let path = folder.file();
    let memory = Memory::with_clock(Clock::manual());
    let limiter = Limiter::new("login", 3, MINUTE);
    limiter.penalty(&memory, "ann", 4).await.unwrap();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| (0..5).for_each(|_| memory.save(&path).unwrap()));
        }
    });
    fs::create_dir(fresh(&path)).unwrap(); // nobody can write there, root neither
    assert!(memory.save(&path).is_err());
    let restored = Memory::with_clock(Clock::manual()).restore(&path).unwrap();
    assert!(limiter.get(&restored, "ann").await.unwrap().unwrap().is_over());
    assert!(memory.save(&folder.0.join("nowhere").join("counts")).is_err());
}
