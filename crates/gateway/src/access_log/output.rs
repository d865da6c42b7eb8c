use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::GatewayError;
use crate::config::LogFile;

/// Where lines go. Only the thread that writes has it: whatever it waits for, nobody waits for it.
#[derive(Debug)]
pub(super) struct Output {
    to: LogFile,
    /// `None`: not opened yet, or it cannot be.
    file: Option<File>,
    /// The last write broke off, perhaps within a line.
    is_torn: bool,
    rounds: u32,
}

impl Output {
    /// # Errors
    /// When the file cannot be opened. A pipe is opened by whoever writes: it takes a reader, for whom no start waits.
    pub(super) fn open(to: &LogFile) -> Result<Self, GatewayError> {
        let mut output = Self { to: to.clone(), file: None, is_torn: false, rounds: 0 };
        if let LogFile::At(path) = to
            && !is_pipe(path)
        {
            let failed = |source| GatewayError::File { verb: "write", path: path.clone(), source };
            output.file = Some(open(path).map_err(failed)?);
        }
        Ok(output)
    }

    /// Writes whole lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let end_of_the_torn: &[u8] = if self.is_torn { b"\n" } else { b"" };
        let written = match &self.to {
            LogFile::Stdout => put(&mut io::stdout().lock(), end_of_the_torn, lines),
            LogFile::At(path) => {
                if self.file.is_none() {
                    self.file = Some(open(path)?);
                }
                self.file.as_mut().map_or(Ok(()), |file| put(file, end_of_the_torn, lines))
            }
        };
        self.is_torn = written.is_err();
        written
    }

    /// Whether another file, or none, stands where this one stood; looked at once a second.
    pub(super) fn has_moved(&mut self) -> bool {
        self.rounds = (self.rounds + 1) % ROUNDS;
        let (LogFile::At(path), Some(file), 0) = (&self.to, &self.file, self.rounds) else { return false };
        let Ok(open) = file.metadata() else { return false };
        let there = fs::metadata(path);
        open.is_file() && there.map_or(true, |there| (there.dev(), there.ino()) != (open.dev(), open.ino()))
    }

    /// Opens the file that stands there now, or makes one; if that fails, the old one stays.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let LogFile::At(path) = &self.to else { return Ok(()) };
        if is_pipe(path) {
            return Ok(());
        }
        self.file = Some(open(path)?);
        self.is_torn = false;
        Ok(())
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to.fmt(f)
    }
}

fn put(to: &mut impl Write, first: &[u8], lines: &[u8]) -> io::Result<()> {
    to.write_all(first)?;
    to.write_all(lines)?;
    to.flush()
}

/// For this user and whom it shares a group with: what visitors do is not for everybody to read.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

/// Looks of the writer between two at the file's place.
const ROUNDS: u32 = 10;
