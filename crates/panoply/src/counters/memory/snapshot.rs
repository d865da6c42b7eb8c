//! What is counted, in a file: between two runs, and for the case that a run ends without a word.
//!
//! ```text
//! "panoply counts"  14 bytes
//! version           u16, as all numbers with the lowest byte first
//! hash key          2 × u64
//! time of day       u64, nanoseconds since 1970
//! each count        kind u8: 1 a key's, 2 a network's; id u64, points i64,
//!                   until u64: time of day, in the highest bit whether it is refused; name: length u16, bytes
//! the end           kind 0, length of all before it u64, SHA-256 of all before that
//! ```

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::PoisonError;

use super::Memory;
use super::hash::Hash;
use super::slot::Slot;
use super::table::Table;
use crate::SettingError;
use crate::digested::{self, BROKEN, Digested, damaged};

impl Memory {
    /// Writes all counts to the file at `path`: whole or not at all, and for this user alone, since it holds the key
    /// of the hashes. Whoever counts meanwhile waits for no disk; a count of that moment may be missing.
    ///
    /// It is for a thread that may wait: every few seconds, and when the process ends.
    ///
    /// # Errors
    /// When the file cannot be written, beside it first, as `path` with `.new` at its end. What was there stays then.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let _alone = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        digested::write(path, |file| self.write(file))
    }

    /// Counts on from what [`save`](Self::save) wrote to `path`; where there is no file, from nothing. Blocks end at
    /// the time of day that they had: the time in which nothing ran counts too. Of a memory that was larger, what
    /// finds no place is left out, as if it came anew.
    ///
    /// ```
    /// use std::time::Duration;
    /// use panoply::Clock;
    /// use panoply::counters::{Limiter, Memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let path = std::env::temp_dir().join(format!("panoply-counts-{}", std::process::id()));
    /// let limiter = Limiter::new("login", 10, Duration::from_secs(60));
    /// let memory = Memory::new().restore(&path)?;
    /// limiter.block(&memory, "eve", Duration::from_secs(3_600)).await?;
    /// memory.save(&path)?;
    ///
    /// let after_a_restart = Memory::new().restore(&path)?;
    /// assert!(limiter.consume(&after_a_restart, "eve", 1).await?.is_refused());
    /// # std::fs::remove_file(&path)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the file cannot be read, or is not whole: then nothing of it is used.
    pub fn restore(mut self, path: &Path) -> Result<Self, SettingError> {
        let found = digested::read(path, LARGEST, |file| self.read(file)).map_err(|error| {
            SettingError::new(
                format!("counts cannot be read from `{}`: {error}", path.display()),
                "move the file away to begin with no counts, and with nobody blocked",
            )
        })?;
        if let Some((seed, keys, networks)) = found {
            self.hash = Hash::new(seed);
            (self.keys, self.networks) = (keys, networks);
        }
        Ok(self)
    }

    fn write(&self, file: &mut Digested<impl Write>) -> io::Result<()> {
        file.begin(MAGIC, VERSION)?;
        for word in self.hash.key() {
            file.write_all(&word.to_le_bytes())?;
        }
        let moment = self.moment();
        file.write_all(&moment.day.to_le_bytes())?;
        let mut entries = Vec::new();
        for (kind, table) in [(KEY, &self.keys), (NETWORK, &self.networks)] {
            for set in table.sets() {
                entries.clear();
                let names = set.names();
                for slot in set.slots(moment.now) {
                    let name = names.of(slot.id);
                    entries.push(kind);
                    entries.extend(slot.id.to_le_bytes());
                    entries.extend(slot.points.to_le_bytes());
                    entries.extend(slot.kept(moment.now, moment.day).to_le_bytes());
                    entries.extend(u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
                    entries.extend(name.as_bytes());
                }
                drop(names);
                drop(set); // before the disk is waited for
                file.write_all(&entries)?;
            }
        }
        file.write_all(&[END])?;
        file.end()
    }

    /// Into tables of its own, which take the place of what was there when all is read and its digest is right.
    fn read(&self, file: &mut Digested<impl Read>) -> io::Result<([u64; 2], Table, Table)> {
        file.is_begun(MAGIC, VERSION)?;
        let seed = [file.number()?, file.number()?];
        let (saved, moment) = (file.number()?, self.moment());
        let (keys, networks) = (self.keys.another(), self.networks.another());
        loop {
            let table = match file.array()? {
                [KEY] => &keys,
                [NETWORK] => &networks,
                [END] => break,
                _ => return Err(damaged(BROKEN)),
            };
            count(file, table, saved, &moment)?;
        }
        file.is_ended()?;
        Ok((seed, keys, networks))
    }

    fn moment(&self) -> Moment {
        let day = u64::try_from(self.clock.unix_time().as_nanos()).unwrap_or(u64::MAX);
        Moment { now: self.now(), day }
    }
}

/// One moment by both clocks.
struct Moment {
    now: u64,
    /// In nanoseconds.
    day: u64,
}

fn count(file: &mut Digested<impl Read>, table: &Table, saved: u64, moment: &Moment) -> io::Result<()> {
    let id = file.number()?;
    let (points, until) = (i64::from_le_bytes(file.array()?), file.number()?);
    let mut name = vec![0; u16::from_le_bytes(file.array()?).into()];
    file.bytes(&mut name)?;
    let name = String::from_utf8(name).map_err(|_| damaged(BROKEN))?;
    // Where the time of day was set back meanwhile, nobody is kept out for longer than was left.
    let slot = Slot::found(id, points, until, moment.now, saved.max(moment.day));
    if slot.stands(moment.now) {
        table.set(id).restore(slot, &name, moment.now);
    }
    Ok(())
}

const MAGIC: &[u8; 14] = b"panoply counts";
const VERSION: u16 = 2;

const END: u8 = 0;
const KEY: u8 = 1;
const NETWORK: u8 = 2;

/// In bytes: twenty million keys.
const LARGEST: u64 = 1 << 30;

#[cfg(test)]
mod tests;
