//! Writing a database from sorted items, in one pass and with memory for one package.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use super::end::{End, MARK};
use super::sort::Item;
use super::{About, Block, Extent, MOST_OF_ONE, Name};

/// Writes the database, and puts it in the place of the old one when it is whole and on the disk.
///
/// Counts the packages, the advisories and the attacks of `about`; the rest is the caller's.
pub(in super::super) fn write(
    items: impl Iterator<Item = io::Result<Item>>,
    mut about: About,
    database: &Path,
) -> io::Result<About> {
    let folder = folder(database);
    let mut file = NamedTempFile::new_in(folder)?;
    let mut writer = Writer::new(file.as_file_mut(), folder)?;
    let mut packages = Packages { items: items.peekable() };
    while let Some(package) = packages.next_package()? {
        let (ecosystem, _) = package.key.split_once('/').unwrap_or_default();
        *about.ecosystems.entry(ecosystem.to_owned()).or_default() += package.advisories.len() as u64;
        about.packages += 1;
        about.malicious += package.malicious;
        writer.package(&package)?;
    }
    writer.finish(&about)?;
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(database).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()?;
    Ok(about)
}

/// Where the new file is made: a rename is one step only within a folder.
pub(in super::super) fn folder(database: &Path) -> &Path {
    database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// All advisories of one package, each as it is written.
struct Package {
    key: String,
    advisories: Vec<Vec<u8>>,
    malicious: u64,
}

struct Packages<I: Iterator> {
    items: std::iter::Peekable<I>,
}

impl<I: Iterator<Item = io::Result<Item>>> Packages<I> {
    /// The next package of which anything is left: withdrawn records are no advisories.
    fn next_package(&mut self) -> io::Result<Option<Package>> {
        while let Some(first) = self.items.next().transpose()? {
            let key = first.key.clone();
            let mut package = Package { key, advisories: Vec::new(), malicious: 0 };
            let mut size = 0;
            let mut newest = (first.id.clone(), first.record.0);
            let mut item = Some(first);
            while let Some(one) = item {
                if one.id != newest.0 {
                    newest = (one.id.clone(), one.record.0);
                }
                if let Some(advisory) = one.advisory.filter(|_| one.record.0 == newest.1) {
                    size += advisory.len();
                    package.malicious += u64::from(one.malicious);
                    package.advisories.push(advisory);
                }
                if size > MOST_OF_ONE as usize - 16 {
                    let many = format!("{} has more than {MOST_OF_ONE} bytes of advisories", package.key);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, many));
                }
                let same =
                    |next: &io::Result<Item>| next.as_ref().map_or(true, |next| next.key == package.key);
                item = self.items.next_if(same).transpose()?;
            }
            if !package.advisories.is_empty() {
                return Ok(Some(package));
            }
        }
        Ok(None)
    }
}

struct Writer<'f> {
    out: BufWriter<&'f mut File>,
    offset: u64,
    /// Names, block by block, until the advisories are all written.
    names: BufWriter<File>,
    /// In bytes.
    named: u64,
    block: Vec<u8>,
    first: String,
    blocks: Vec<Block>,
}

impl<'f> Writer<'f> {
    fn new(file: &'f mut File, folder: &Path) -> io::Result<Self> {
        let mut writer = Self {
            out: BufWriter::with_capacity(BUFFER, file),
            offset: 0,
            names: BufWriter::with_capacity(BUFFER, tempfile::tempfile_in(folder)?),
            named: 0,
            block: Vec::new(),
            first: String::new(),
            blocks: Vec::new(),
        };
        writer.put(MARK)?;
        Ok(writer)
    }

    fn package(&mut self, package: &Package) -> io::Result<()> {
        // What postcard makes of a list: its length, then one after the other.
        let mut bytes = postcard::to_stdvec(&package.advisories.len()).map_err(io::Error::other)?;
        package.advisories.iter().for_each(|advisory| bytes.extend_from_slice(advisory));
        let extent = self.put(&bytes)?;
        if self.block.is_empty() {
            self.first.clone_from(&package.key);
        }
        let name = Name { key: &package.key, extent };
        self.block.extend(postcard::to_stdvec(&name).map_err(io::Error::other)?);
        if self.block.len() >= BLOCK { self.close_block() } else { Ok(()) }
    }

    fn close_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        // From the first block on: where that begins is known at the end.
        let extent = extent(self.named, &self.block)?;
        self.names.write_all(&self.block)?;
        self.named += u64::from(extent.length);
        self.blocks.push(Block { first: std::mem::take(&mut self.first), extent });
        self.block.clear();
        Ok(())
    }

    fn finish(mut self, about: &About) -> io::Result<()> {
        self.close_block()?;
        let start = self.offset;
        self.names.flush()?;
        let names = self.names.get_mut();
        names.rewind()?;
        self.offset += io::copy(&mut names.take(self.named), &mut self.out)?;
        for block in &mut self.blocks {
            block.extent.offset += start;
        }
        let blocks = self.put(&postcard::to_stdvec(&self.blocks).map_err(io::Error::other)?)?;
        let about = self.put(&serde_json::to_vec(about)?)?;
        self.out.write_all(&End { blocks, about }.to_bytes())?;
        self.out.flush()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<Extent> {
        let extent = extent(self.offset, bytes)?;
        self.out.write_all(bytes)?;
        self.offset += bytes.len() as u64;
        Ok(extent)
    }
}

fn extent(offset: u64, bytes: &[u8]) -> io::Result<Extent> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    Ok(Extent { offset, length, crc: crc32fast::hash(bytes) })
}

/// In bytes: a page. A look-up reads one block.
pub(super) const BLOCK: usize = 4 << 10;
/// In bytes.
const BUFFER: usize = 256 << 10;
