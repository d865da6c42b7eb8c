//! What has come of a file, and by what the server knows that it is still the same.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::UpdateError;

/// A file that is not whole yet; nobody else writes to it meanwhile.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    validator: Option<String>,
}

impl Part {
    pub(super) fn open(folder: &Path, url: &str) -> Result<Self, UpdateError> {
        let path = folder.join(format!("download-{:08x}.part", crc32fast::hash(url.as_bytes())));
        let disk = |error| UpdateError::Disk(path.clone(), error);
        fs::create_dir_all(folder).map_err(disk)?;
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(disk)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(UpdateError::Busy(path)),
            Err(TryLockError::Error(error)) => return Err(disk(error)),
        }
        let mut part = Self { file, length: 0, validator: None, path: path.clone() };
        part.resume().map_err(disk)?;
        Ok(part)
    }

    /// In bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The entity tag of the file that this is a part of; without one, or without a byte, it cannot go on.
    pub(super) fn validator(&self) -> Option<&str> {
        self.validator.as_deref().filter(|_| self.length > 0)
    }

    /// Drops what has come: the file that comes now is known by `validator`.
    pub(super) fn restart(&mut self, validator: Option<&str>) -> Result<(), UpdateError> {
        let path = self.validator_path();
        let done = self.file.set_len(0).and_then(|()| self.file.rewind()).and_then(|()| match validator {
            Some(validator) => fs::write(&path, validator),
            None => remove(&path),
        });
        self.length = 0;
        self.validator = validator.map(str::to_owned);
        done.map_err(|error| UpdateError::Disk(path, error))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), UpdateError> {
        self.file.write_all(bytes).map_err(|error| UpdateError::Disk(self.path.clone(), error))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// It is whole: now it has a name of its own, and nothing goes on from it.
    pub(super) fn finish(self) -> Result<PathBuf, UpdateError> {
        let whole = self.path.with_extension("zip");
        let validator = self.validator_path();
        remove(&validator)
            .and_then(|()| fs::rename(&self.path, &whole))
            .map_err(|error| UpdateError::Disk(self.path.clone(), error))?;
        Ok(whole)
    }

    fn resume(&mut self) -> io::Result<()> {
        let mut validator = String::new();
        let known = File::open(self.validator_path())
            .and_then(|file| file.take(LONGEST_VALIDATOR).read_to_string(&mut validator))
            .is_ok();
        let usable = known && validator.len() > 1 && validator.starts_with('"');
        self.length = self.file.seek(SeekFrom::End(0))?;
        self.validator = usable.then_some(validator);
        Ok(())
    }

    fn validator_path(&self) -> PathBuf {
        self.path.with_extension("etag")
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// In bytes.
const LONGEST_VALIDATOR: u64 = 1 << 10;
