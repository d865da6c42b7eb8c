//! The database of advisories: one sorted file, read in place.
//!
//! An audit reads of it what its packages need and no more: the end, then for each package one block of names and, where
//! something is known, that package's advisories. So the time grows with the lockfile, not with the database, and
//! another import may replace the file meanwhile: who has it open goes on reading the old one.
//!
//! ```text
//! mark │ advisories of one package, of the next, … │ blocks of names │ list of blocks │ about │ end
//! ```
//! Everything but the mark and the end is postcard (about: JSON), with a CRC-32 beside every place that leads to it.
//! What does not fit, or is damaged, is an error: an answer that is not known must not look like a clean one.

mod end;
mod sort;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::advisory::{Advisories, Advisory};
use super::graph::Ecosystem;
use end::{END_LENGTH, End};
pub(super) use sort::{Item, Sorter};
pub(super) use write::{folder, write};

/// An open database.
#[derive(Debug)]
pub struct Index {
    file: File,
    about: About,
    blocks: Vec<Block>,
}

/// What a database holds, and where it is from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// When it was imported, in seconds since 1970.
    pub imported: u64,
    /// The youngest record's time of change, RFC 3339; empty where no record says.
    pub newest: String,
    /// Records that name a package of a known ecosystem.
    pub records: u64,
    /// Of these, records that were withdrawn: they are not in the database.
    pub withdrawn: u64,
    /// Packages with an advisory.
    pub packages: u64,
    /// Advisories by ecosystem, in OSV's words; an ecosystem that is not here has no data.
    pub ecosystems: BTreeMap<String, u64>,
    /// Advisories of packages that are an attack.
    pub malicious: u64,
    /// What was imported.
    pub sources: Vec<Source>,
}

/// One file or folder that was imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its path as it was given, or its URL.
    pub place: String,
    /// Records read.
    pub records: u64,
    /// Records, or parts of them, that could not be read and might have been an answer.
    pub lost: u64,
}

impl About {
    /// Whether every record was read: if not, no audit by this database may say "clean".
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.sources.iter().all(|source| source.lost == 0)
    }
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// There is none.
    #[error("found no database of advisories at {}", .0.display())]
    Missing(PathBuf),
    /// It cannot be opened or read.
    #[error("cannot read the database of advisories {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// Another version of panoply has made it.
    #[error("the database {} is of format {found}, expected {FORMAT}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that it is of.
        found: u32,
    },
    /// It is something else, or damaged.
    #[error("{} is no database of advisories, or damaged: {what}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: &'static str,
    },
}

impl IndexError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing(_) => {
                "make one with `panoply advisories update`, or `panoply advisories import PATH`"
            }
            Self::Unreadable(..) => "name a file that can be read with --database",
            Self::Format { .. } | Self::Damaged { .. } => "import it again: `panoply advisories import PATH`",
        }
    }
}

impl Index {
    /// Opens the database at `path`.
    ///
    /// # Errors
    /// When there is none, or what is there is not a whole one.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => IndexError::Missing(path.to_owned()),
            _ => IndexError::Unreadable(path.to_owned(), error),
        })?;
        Self::read(file).map_err(|error| match error {
            Failure::Io(error) => IndexError::Unreadable(path.to_owned(), error),
            Failure::Format(found) => IndexError::Format { path: path.to_owned(), found },
            Failure::Damaged(what) => IndexError::Damaged { path: path.to_owned(), what },
        })
    }

    /// What it holds, and where it is from.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    fn read(file: File) -> Result<Self, Failure> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Failure::Damaged("it is no file"));
        }
        let Some(start) = metadata.len().checked_sub(END_LENGTH as u64) else {
            return Err(Failure::Damaged("it is too short"));
        };
        let mut end = [0; END_LENGTH];
        file.read_exact_at(&mut end, start)?;
        let end = End::read(&end)?;
        let about = at(&file, end.about, MOST_ABOUT)?;
        let about = serde_json::from_slice(&about)
            .map_err(|_| Failure::Damaged("what it says of itself cannot be read"))?;
        let blocks = at(&file, end.blocks, MOST_BLOCKS)?;
        let blocks = postcard::from_bytes(&blocks)
            .map_err(|_| Failure::Damaged("its list of blocks cannot be read"))?;
        Ok(Self { file, about, blocks })
    }

    fn find(&self, key: &str) -> Result<Option<Extent>, Failure> {
        let after = self.blocks.partition_point(|block| block.first.as_str() <= key);
        let Some(block) = after.checked_sub(1).and_then(|place| self.blocks.get(place)) else {
            return Ok(None);
        };
        let bytes = at(&self.file, block.extent, MOST_NAMES)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (name, left): (Name<'_>, _) = postcard::take_from_bytes(rest)
                .map_err(|_| Failure::Damaged("a block of names cannot be read"))?;
            if name.key == key {
                return Ok(Some(name.extent));
            }
            rest = left;
        }
        Ok(None)
    }
}

impl Advisories for Index {
    fn of(&self, ecosystem: Ecosystem, name: &str) -> io::Result<Vec<Advisory>> {
        let Some(extent) = self.find(&key(ecosystem, name))? else { return Ok(Vec::new()) };
        let advisories = at(&self.file, extent, MOST_OF_ONE)?;
        Ok(postcard::from_bytes(&advisories).map_err(|_| Failure::Damaged("advisories cannot be read"))?)
    }
}

/// What a package is sorted and found by.
pub(super) fn key(ecosystem: Ecosystem, name: &str) -> String {
    format!("{}/{name}", ecosystem.as_str())
}

/// A piece of the file, and what it must add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Extent {
    offset: u64,
    length: u32,
    crc: u32,
}

/// Names that follow one another, and the first of them.
#[derive(Debug, Serialize, Deserialize)]
struct Block {
    first: String,
    extent: Extent,
}

#[derive(Debug, Serialize, Deserialize)]
struct Name<'t> {
    key: &'t str,
    extent: Extent,
}

enum Failure {
    Io(io::Error),
    Format(u32),
    Damaged(&'static str),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it is cut short"),
            _ => Self::Io(error),
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Io(error) => error,
            Failure::Format(_) => Self::new(io::ErrorKind::InvalidData, "the database is of another format"),
            Failure::Damaged(what) => Self::new(
                io::ErrorKind::InvalidData,
                format!("the database of advisories is damaged: {what}"),
            ),
        }
    }
}

fn at(file: &File, extent: Extent, most: u32) -> Result<Vec<u8>, Failure> {
    // Before the memory is taken: the length is whatever stands in the file.
    if extent.length > most {
        return Err(Failure::Damaged("a part of it says that it is too long"));
    }
    let mut bytes = vec![0; extent.length as usize];
    file.read_exact_at(&mut bytes, extent.offset)?;
    if crc32fast::hash(&bytes) != extent.crc {
        return Err(Failure::Damaged("a checksum does not match"));
    }
    Ok(bytes)
}

/// Rises with every change of what is written: of [`Advisory`] too.
const FORMAT: u32 = 1;
/// In bytes: a thousand sources.
const MOST_ABOUT: u32 = 1 << 20;
/// In bytes: some millions of packages.
const MOST_BLOCKS: u32 = 64 << 20;
/// In bytes: a block is closed at [`write::BLOCK`], by a name of at most some hundred.
const MOST_NAMES: u32 = 64 << 10;
/// In bytes: the advisories of one package.
const MOST_OF_ONE: u32 = 32 << 20;
