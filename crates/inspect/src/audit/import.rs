//! Advisories from files and folders, made into one database.
//!
//! It takes what there is: folders of OSV records (GitHub's advisory database among them), JSON-lines files, zip files such
//! as osv.dev's, and RustSec's repository. What is no advisory is passed over; one that cannot be read is complained of,
//! and counted, so that no audit says "clean" by a database that has holes.

mod archive;
mod lines;
mod rustsec;

use std::fs::{self, File, ReadDir};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::index::{self, About, Item, Sorter, Source};
use super::osv::{self, Complaint, Loss, Record};

/// Advisories on their way into a database.
pub struct Import<'c> {
    sorter: Sorter,
    database: PathBuf,
    about: About,
    read: u64,
    complain: &'c mut dyn FnMut(&Trouble),
}

/// Something that could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The file; within a zip, the archive and the name in it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What was found, and what was expected.
    pub text: String,
    /// What is lost with it.
    pub loss: Loss,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A source cannot be read at all.
    #[error("cannot read {}", .0.display())]
    Source(PathBuf, #[source] io::Error),
    /// A source holds no advisory.
    #[error("found no advisories in {}, expected OSV records, or RustSec's repository", .0.display())]
    Empty(PathBuf),
    /// The database cannot be written.
    #[error("cannot write the database of advisories {}", .0.display())]
    Database(PathBuf, #[source] io::Error),
}

impl ImportError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Source(..) => "name a file or a folder of advisories that can be read whole",
            Self::Empty(_) => {
                "name a folder of OSV records, a file with one on each line, or a zip such as osv.dev's npm/all.zip"
            }
            Self::Database(..) => "name another place with --database, on a disk with room",
        }
    }
}

impl<'c> Import<'c> {
    /// Begins an import into the file `database`, whose folder is made where it is missing.
    ///
    /// # Errors
    /// When there can be no such folder.
    pub fn into(database: &Path, complain: &'c mut dyn FnMut(&Trouble)) -> Result<Self, ImportError> {
        let folder = index::folder(database);
        fs::create_dir_all(folder).map_err(|error| ImportError::Database(database.to_owned(), error))?;
        Ok(Self {
            sorter: Sorter::new(folder.to_owned()),
            database: database.to_owned(),
            about: About::default(),
            read: 0,
            complain,
        })
    }

    /// Reads all that is at `path`, which is called `place` in what the database says of itself.
    ///
    /// # Errors
    /// When it cannot be read, or holds no advisory.
    pub fn add(&mut self, path: &Path, place: &str) -> Result<(), ImportError> {
        self.about.sources.push(Source { place: place.to_owned(), ..Source::default() });
        let unreadable = |error| ImportError::Source(path.to_owned(), error);
        if fs::metadata(path).map_err(unreadable)?.is_dir() {
            self.folder(path).map_err(unreadable)?;
        } else {
            self.file(path, Asked::ByName).map_err(unreadable)?;
        }
        match self.about.sources.last() {
            Some(source) if source.records > 0 => Ok(()),
            _ => Err(ImportError::Empty(path.to_owned())),
        }
    }

    /// Writes the database; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When it cannot be written; then the old one, if any, stays as it is.
    pub fn finish(self, now: u64) -> Result<About, ImportError> {
        let about = About { imported: now, ..self.about };
        let database = self.database;
        self.sorter
            .sorted()
            .and_then(|items| index::write(items, about, &database))
            .map_err(|error| ImportError::Database(database, error))
    }

    /// Folders within folders are a list, not calls: nobody's tree is too deep for the stack.
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        let mut folders: Vec<ReadDir> = vec![fs::read_dir(path)?];
        while let Some(folder) = folders.last_mut() {
            let Some(entry) = folder.next().transpose()? else {
                folders.pop();
                continue;
            };
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if kind.is_dir() && folders.len() < DEEPEST {
                folders.push(fs::read_dir(entry.path())?);
            } else if kind.is_dir() {
                let text = format!("found more than {DEEPEST} folders in one another");
                self.trouble(entry.path().display().to_string(), 1, text, Loss::Answer);
            } else if kind.is_file() {
                self.file(&entry.path(), Asked::ByFolder)?;
            } else if kind.is_symlink() && !matches!(Form::of(&entry.path(), Asked::ByFolder), Form::Other) {
                let text = "found a symbolic link, which is not followed".to_owned();
                self.trouble(entry.path().display().to_string(), 1, text, Loss::Answer);
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, asked: Asked) -> io::Result<()> {
        let name = path.display().to_string();
        let mut file = File::open(path)?;
        match Form::of(path, asked) {
            Form::Zip => archive::read(self, &name, file),
            Form::Lines => lines::read(self, &name, file),
            Form::Record => {
                let mut text = Vec::new();
                file.by_ref().take(LARGEST as u64 + 1).read_to_end(&mut text)?;
                self.text(&name, &text);
                Ok(())
            }
            Form::Other => Ok(()),
        }
    }

    /// One file's text: an OSV record, or an advisory of RustSec's.
    fn text(&mut self, name: &str, text: &[u8]) {
        if text.len() > LARGEST {
            let found = format!("a record has more than {LARGEST} bytes");
            return self.trouble(name.to_owned(), 1, found, Loss::Answer);
        }
        self.record(name, 1, if name.ends_with(".md") { rustsec::read(text) } else { osv::read(text) });
    }

    /// `line` is where the record begins.
    fn record(&mut self, name: &str, line: usize, record: Result<Record, Complaint>) {
        let record = match record {
            Ok(record) => record,
            Err(Complaint { line: within, text, loss }) => {
                return self.trouble(name.to_owned(), line + within - 1, text, loss);
            }
        };
        for complaint in record.complaints {
            self.trouble(name.to_owned(), line + complaint.line - 1, complaint.text, complaint.loss);
        }
        if let Some(source) = self.about.sources.last_mut() {
            source.records += 1;
        }
        if record.advisories.is_empty() {
            return;
        }
        self.read += 1;
        self.about.records += 1;
        self.about.withdrawn += u64::from(record.withdrawn);
        if record.modified > self.about.newest {
            self.about.newest.clone_from(&record.modified);
        }
        for (part, (ecosystem, advisory)) in (0..).zip(record.advisories) {
            let item = Item {
                key: index::key(ecosystem, &advisory.package),
                id: advisory.id.clone(),
                modified: std::cmp::Reverse(record.modified.clone()),
                record: (self.read, part),
                malicious: advisory.malicious,
                advisory: if record.withdrawn { None } else { postcard::to_stdvec(&advisory).ok() },
            };
            if let Err(error) = self.sorter.push(item) {
                self.trouble(
                    name.to_owned(),
                    line,
                    format!("the record could not be kept: {error}"),
                    Loss::Answer,
                );
            }
        }
    }

    fn trouble(&mut self, file: String, line: usize, text: String, loss: Loss) {
        if let Some(source) = self.about.sources.last_mut() {
            source.lost += u64::from(loss == Loss::Answer);
        }
        (self.complain)(&Trouble { file, line, text, loss });
    }
}

impl std::fmt::Debug for Import<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Import").field("database", &self.database).finish_non_exhaustive()
    }
}

/// A file that was named is read whatever it is called; in a folder only what looks like advisories.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    ByName,
    ByFolder,
}

enum Form {
    Zip,
    Lines,
    Record,
    Other,
}

impl Form {
    fn of(path: &Path, asked: Asked) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("zip") => Self::Zip,
            Some("jsonl" | "ndjson") => Self::Lines,
            Some("json") => Self::Record,
            Some("md") if name.starts_with("RUSTSEC-") || asked == Asked::ByName => Self::Record,
            _ if asked == Asked::ByName => Self::Lines,
            _ => Self::Other,
        }
    }
}

/// Folders in one another; GitHub's has five.
const DEEPEST: usize = 32;
/// In bytes: the largest real record has two million.
const LARGEST: usize = 16 << 20;
