//! What is owed, in a file: for the process that goes on in this one's place.
//!
//! ```text
//! "panoply debts"   13 bytes
//! version           u16, as all numbers with the lowest byte first
//! hash key          2 × u64
//! time of day       u64, in ticks since 1970
//! each debt         its place u32, whose u64, until u64: time of day
//! the end           place 2^32 − 1, length of all before it u64, SHA-256 of all before that
//! ```

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Buckets, DEBT, SETS, SHARED, Set, Tables, ticks};
use crate::digested::{self, BROKEN, Digested, damaged};

/// One moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    now: u64,
    day: u64,
}

impl Moment {
    pub(crate) fn new(now: Duration, day: Duration) -> Self {
        Self { now: ticks(now).min(DEBT), day: ticks(day) }
    }
}

impl Buckets {
    /// Writes what is owed to the file at `path`, for this user alone. Where nothing was ever counted nothing is written.
    pub(crate) fn save(&self, path: &Path, moment: Moment) -> io::Result<()> {
        let Some(tables) = self.tables.get() else { return Ok(()) };
        digested::write(path, |file| tables.write(file, moment))
    }

    /// Goes on from what [`save`](Self::save) wrote, if there is something, and if nothing was counted here yet. What was
    /// paid meanwhile is paid.
    pub(crate) fn restore(&self, path: &Path, moment: Moment) -> io::Result<()> {
        if let Some(tables) = digested::read(path, LARGEST, |file| Tables::read(file, moment))? {
            let _ = self.tables.set(tables);
        }
        Ok(())
    }
}

impl Tables {
    fn words(&self) -> impl Iterator<Item = &AtomicU64> {
        self.sets.iter().flat_map(|Set(words)| words).chain(&self.shared)
    }

    fn write(&self, file: &mut Digested<impl Write>, moment: Moment) -> io::Result<()> {
        file.begin(MAGIC, VERSION)?;
        for number in [self.seed[0], self.seed[1], moment.day] {
            file.write_all(&number.to_le_bytes())?;
        }
        for (place, word) in (0_u32..).zip(self.words()) {
            let seen = word.load(Relaxed);
            // What is paid says nothing.
            if let Some(left @ 1..) = (seen & DEBT).checked_sub(moment.now) {
                file.write_all(&place.to_le_bytes())?;
                file.write_all(&(seen & !DEBT).to_le_bytes())?;
                file.write_all(&moment.day.saturating_add(left).to_le_bytes())?;
            }
        }
        file.write_all(&END.to_le_bytes())?;
        file.end()
    }

    /// A key that is known again finds its word at the same place: tables are all of one size.
    fn read(file: &mut Digested<impl Read>, moment: Moment) -> io::Result<Self> {
        file.is_begun(MAGIC, VERSION)?;
        let tables = Self::new(SETS, SHARED, [file.number()?, file.number()?]);
        // Where the time of day was set back meanwhile, nobody waits for longer than was left.
        let day = file.number()?.max(moment.day);
        let words: Vec<_> = tables.words().collect();
        loop {
            let place = u32::from_le_bytes(file.array()?);
            if place == END {
                break;
            }
            let place = usize::try_from(place).ok().and_then(|place| words.get(place));
            let (whose, until) = (file.number()?, file.number()?);
            let word = place.ok_or_else(|| damaged(BROKEN))?;
            if let Some(left @ 1..) = until.checked_sub(day) {
                word.store(whose & !DEBT | moment.now.saturating_add(left).min(DEBT), Relaxed);
            }
        }
        file.is_ended()?;
        drop(words);
        Ok(tables)
    }
}

const MAGIC: &[u8; 13] = b"panoply debts";
const VERSION: u16 = 1;
const END: u32 = u32::MAX;
/// In bytes: more than all words take.
const LARGEST: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::IpAddr;

    use super::super::Key;
    use super::*;
    use crate::Rate;

    fn key(last: u8) -> Key {
        Key::of(7, &IpAddr::from([192, 0, 2, last]).into())
    }

    fn at(seconds: u64, day: u64) -> Moment {
        Moment::new(Duration::from_secs(seconds), Duration::from_secs(day))
    }

    #[test]
    fn what_is_owed_is_owed_in_the_next_process_and_time_that_passed_has_paid() {
        let folder = tempfile();
        let path = folder.join("debts");
        let rate: Rate = "6/min".parse().unwrap();
        let second = Duration::from_secs;
        let first = Buckets::default();
        first.save(&path, at(0, 0)).unwrap();
        assert!(!path.exists(), "nothing was counted");
        first.charge(key(1), rate, 6, second(100)).unwrap();
        first.charge(key(2), rate, 1, second(100)).unwrap();
        first.save(&path, at(100, 1_000_000)).unwrap();
        // The other's clock begins anew.
        for (now, day, left) in [
            (1, 1_000_000, [0, 5]),
            (1, 1_000_010, [1, 6]),
            (500, 1_000_010, [1, 6]),
            (1, 1_000_030, [3, 6]),
            (1, 2_000_000, [6, 6]),
            (1, 999_000, [0, 5]), // set back
        ] {
            let next = Buckets::default();
            next.restore(&path, at(now, day)).unwrap();
            for (client, left) in [1, 2].into_iter().zip(left) {
                let found =
                    (1..=6).rev().find(|cost| next.peek(key(client), rate, *cost, second(now)).is_ok());
                assert_eq!(found.unwrap_or(0), left, "{client} at {day}");
            }
            assert_eq!(next.hash(b"cookie"), first.hash(b"cookie"));
        }
        let mut broken = fs::read(&path).unwrap();
        for byte in 0..broken.len() {
            broken[byte] ^= 0x41;
            fs::write(&path, &broken).unwrap();
            let next = Buckets::default();
            assert!(next.restore(&path, at(1, 1_000_000)).is_err(), "byte {byte}");
            assert!(next.tables.get().is_none(), "nothing of it is used: byte {byte}");
            broken[byte] ^= 0x41;
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn who_shares_with_his_neighbours_does_so_on() {
        let folder = tempfile();
        let path = folder.join("debts");
        let first = Buckets::default();
        let rate: Rate = "1/h".parse().unwrap();
        let tables = first.tables();
        tables.charge_shared(key(1), rate, 1, 1_000_000).unwrap();
        first.save(&path, at(10, 1_000_000)).unwrap();
        let next = Buckets::default();
        next.restore(&path, at(10, 1_000_000)).unwrap();
        assert!(next.charge(key(2), rate, 1, Duration::from_secs(10)).is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    fn tempfile() -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("panoply-debts-{:x}", rand::random::<u64>()));
        fs::create_dir(&folder).unwrap();
        folder
    }
}
