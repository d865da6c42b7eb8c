//! Sorting what does not fit into memory: sorted runs in files that nobody sees, then a merge.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// An advisory on its way into the database, in the order in which it goes there.
///
/// Of one id the youngest comes first, and of two that are as young the one that was read first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in super::super) struct Item {
    pub(in super::super) key: String,
    pub(in super::super) id: String,
    pub(in super::super) modified: Reverse<String>,
    /// Which record it is from, and which advisory of it.
    pub(in super::super) record: (u64, u32),
    /// `None` where the record was withdrawn.
    pub(in super::super) advisory: Option<Vec<u8>>,
    pub(in super::super) malicious: bool,
}

impl Item {
    fn size(&self) -> usize {
        let advisory = self.advisory.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + self.key.len() + self.id.len() + self.modified.0.len() + advisory
    }
}

/// Takes items in any order, and gives them back sorted.
#[derive(Debug)]
pub(in super::super) struct Sorter {
    folder: PathBuf,
    items: Vec<Item>,
    size: usize,
    runs: Vec<File>,
}

impl Sorter {
    /// `folder` is where the runs are: on a disk that has as much room as the database needs.
    pub(in super::super) fn new(folder: PathBuf) -> Self {
        Self { folder, items: Vec::new(), size: 0, runs: Vec::new() }
    }

    pub(in super::super) fn push(&mut self, item: Item) -> io::Result<()> {
        self.size += item.size();
        self.items.push(item);
        if self.size >= IN_MEMORY { self.spill() } else { Ok(()) }
    }

    pub(in super::super) fn sorted(mut self) -> io::Result<Merge> {
        self.items.sort_unstable();
        Merge::of(self.runs, self.items)
    }

    fn spill(&mut self) -> io::Result<()> {
        self.items.sort_unstable();
        let items = std::mem::take(&mut self.items);
        let run = self.run(items.into_iter().map(Ok))?;
        self.size = 0;
        self.runs.push(run);
        if self.runs.len() >= MOST_RUNS {
            let merge = Merge::of(std::mem::take(&mut self.runs), Vec::new())?;
            let run = self.run(merge)?;
            self.runs.push(run);
        }
        Ok(())
    }

    fn run(&self, items: impl Iterator<Item = io::Result<Item>>) -> io::Result<File> {
        let mut out = BufWriter::with_capacity(BUFFER, tempfile::tempfile_in(&self.folder)?);
        for item in items {
            let bytes = postcard::to_stdvec(&item?).map_err(io::Error::other)?;
            let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            out.write_all(&length.to_le_bytes())?;
            out.write_all(&bytes)?;
        }
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(file)
    }
}

/// The items of all runs, smallest first.
pub(in super::super) struct Merge {
    runs: Vec<Run>,
    heads: BinaryHeap<Reverse<(Item, usize)>>,
}

enum Run {
    File(BufReader<File>),
    Memory(std::vec::IntoIter<Item>),
}

impl Run {
    fn next(&mut self) -> io::Result<Option<Item>> {
        let file = match self {
            Self::Memory(items) => return Ok(items.next()),
            Self::File(file) => file,
        };
        let mut length = [0; 4];
        match file.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        file.read_exact(&mut bytes)?;
        postcard::from_bytes(&bytes).map(Some).map_err(io::Error::other)
    }
}

impl Merge {
    fn of(files: Vec<File>, items: Vec<Item>) -> io::Result<Self> {
        let files = files.into_iter().map(|file| Run::File(BufReader::with_capacity(BUFFER, file)));
        let runs = files.chain([Run::Memory(items.into_iter())]).collect();
        let mut merge = Self { runs, heads: BinaryHeap::new() };
        for run in 0..merge.runs.len() {
            merge.advance(run)?;
        }
        Ok(merge)
    }

    fn advance(&mut self, run: usize) -> io::Result<()> {
        if let Some(item) = self.runs.get_mut(run).map(Run::next).transpose()?.flatten() {
            self.heads.push(Reverse((item, run)));
        }
        Ok(())
    }
}

impl Iterator for Merge {
    type Item = io::Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((item, run)) = self.heads.pop()?;
        Some(self.advance(run).map(|()| item))
    }
}

/// In bytes: what is kept before a run is written.
const IN_MEMORY: usize = if cfg!(test) { 4 << 10 } else { 24 << 20 };
/// Open files at once; what comes then is merged into one.
const MOST_RUNS: usize = if cfg!(test) { 4 } else { 64 };
/// In bytes, for each run.
const BUFFER: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_any_order_leaves_sorted_whatever_fits_into_memory() {
        for count in [0, 1, 20, 5_000] {
            let mut sorter = Sorter::new(std::env::temp_dir());
            let mut expected = Vec::new();
            for place in 0..count {
                let scattered = (place * 7_919) % 5_003;
                let item = Item {
                    key: format!("npm/{scattered:05}"),
                    id: format!("GHSA-{place}"),
                    modified: Reverse("2024".to_owned()),
                    record: (place, 0),
                    advisory: Some(vec![0; 40]),
                    malicious: false,
                };
                expected.push(item.clone());
                sorter.push(item).unwrap();
            }
            expected.sort();
            assert!(count < 5_000 || !sorter.runs.is_empty(), "nothing was spilled");
            let sorted: Vec<Item> = sorter.sorted().unwrap().map(Result::unwrap).collect();
            assert!(sorted == expected, "{count}");
        }
    }
}
