//! A file that is written whole or not at all, and that shows whether it was changed since.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Take, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

/// What passes is counted and digested.
pub(crate) struct Digested<F> {
    file: F,
    digest: Context,
    pub(crate) length: u64,
}

/// Puts what `fill` writes, and its digest, in the place of what is at `path`, for this user alone. It is written
/// beside it first, as `path` with `.new` at its end: what was there stays if that fails.
pub(crate) fn write(
    path: &Path,
    fill: impl FnOnce(&mut Digested<BufWriter<File>>) -> io::Result<()>,
) -> io::Result<()> {
    let fresh = fresh(path);
    remove(&fresh)?;
    // `create_new` follows no link that somebody left there.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let mut file = Digested::new(BufWriter::new(file));
    fill(&mut file)?;
    let (digest, mut file) = file.finish();
    file.write_all(&digest)?;
    file.into_inner()?.sync_all()?;
    fs::rename(&fresh, path)
}

/// What `take` reads of the file at `path`, if its digest is right and it has no more than `largest` bytes; `None`:
/// there is no file.
///
/// # Errors
/// When it cannot be read, or is not as it was written: then nothing of it may be used.
pub(crate) fn read<T>(
    path: &Path,
    largest: u64,
    take: impl FnOnce(&mut Digested<Take<BufReader<File>>>) -> io::Result<T>,
) -> io::Result<Option<T>> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    if !found.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let file = File::open(path)?;
    if file.metadata()?.len() > largest {
        return Err(damaged("it is too large"));
    }
    let mut file = Digested::new(BufReader::new(file).take(largest));
    let taken = take(&mut file)?;
    let (digest, mut rest) = file.finish();
    let mut found = Vec::new();
    rest.read_to_end(&mut found)?;
    if found == digest { Ok(Some(taken)) } else { Err(damaged(BROKEN)) }
}

impl<F> Digested<F> {
    fn new(file: F) -> Self {
        Self { file, digest: Context::new(&SHA256), length: 0 }
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.length += bytes.len() as u64;
    }

    fn finish(self) -> (Vec<u8>, F) {
        (self.digest.finish().as_ref().to_vec(), self.file)
    }
}

impl<F: Write> Digested<F> {
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.passed(bytes);
        self.file.write_all(bytes)
    }

    /// What kind of file it is, and how it is written.
    pub(crate) fn begin(&mut self, magic: &[u8], version: u16) -> io::Result<()> {
        self.write_all(magic)?;
        self.write_all(&version.to_le_bytes())
    }

    /// How long it was, for who reads it.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        let length = self.length;
        self.write_all(&length.to_le_bytes())
    }
}

impl<F: Read> Digested<F> {
    pub(crate) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.bytes(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn number(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn bytes(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => damaged("it is cut off"),
            _ => error,
        })?;
        self.passed(bytes);
        Ok(())
    }

    /// Whether it begins as [`begin`](Self::begin) has it.
    pub(crate) fn is_begun(&mut self, magic: &[u8], version: u16) -> io::Result<()> {
        let mut found = vec![0; magic.len()];
        self.bytes(&mut found)?;
        if found != magic {
            return Err(damaged("it is another kind of file"));
        }
        match u16::from_le_bytes(self.array()?) {
            found if found == version => Ok(()),
            found => Err(damaged(&format!("it is of version {found}, and this program writes {version}"))),
        }
    }

    /// Whether it ends as [`end`](Self::end) has it.
    pub(crate) fn is_ended(&mut self) -> io::Result<()> {
        let length = self.length;
        if self.number()? == length { Ok(()) } else { Err(damaged(BROKEN)) }
    }
}

pub(crate) fn fresh(path: &Path) -> PathBuf {
    let mut fresh = OsString::from(path);
    fresh.push(".new");
    fresh.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

pub(crate) const BROKEN: &str = "it was changed since it was written";
