//! A zip file of records, such as osv.dev's `npm/all.zip`.
//!
//! Its list of contents is walked where it lies, so memory does not grow with it, and what an entry unpacks to is counted
//! as it comes: a bomb is a bomb whatever its list says.

use std::fs::File;
use std::io::{self, Read};

use flate2::read::DeflateDecoder;
use rawzip::{
    CompressionMethod, Error, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipFileHeaderRecord,
};

use super::super::osv::Loss;
use super::{Import, LARGEST};

pub(super) fn read(import: &mut Import<'_>, name: &str, file: File) -> io::Result<()> {
    let most = file.metadata()?.len().saturating_mul(MOST_TIMES).saturating_add(LARGEST as u64);
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipArchive::from_file(file, &mut buffer).map_err(damaged)?;
    let mut entries = archive.entries(&mut buffer);
    let mut seen = 0;
    let mut unpacked = 0;
    let mut text = Vec::new();
    while let Some(entry) = entries.next_entry().map_err(damaged)? {
        seen += 1;
        let path = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
        if !is_record(&path) {
            continue;
        }
        let name = format!("{name}/{path}");
        text.clear();
        match unpack(&archive, &entry, &mut text) {
            Ok(()) => import.text(&name, &text),
            Err(error) => import.trouble(name, 1, format!("cannot unpack: {error}"), Loss::Answer),
        }
        unpacked += text.len() as u64;
        if unpacked > most {
            return Err(invalid(format!(
                "it unpacks to more than {most} bytes, {MOST_TIMES} times its size"
            )));
        }
    }
    if seen == archive.entries_hint() {
        return Ok(());
    }
    Err(invalid(format!("it holds {seen} files, and says that it has {}", archive.entries_hint())))
}

fn unpack(
    archive: &ZipArchive<FileReader>,
    entry: &ZipFileHeaderRecord<'_>,
    text: &mut Vec<u8>,
) -> io::Result<()> {
    let found = archive.get_entry(entry.wayfinder()).map_err(damaged)?;
    let most = LARGEST as u64 + 1;
    // A record that is too long is cut, and refused for its length: then nothing is left to verify.
    match entry.compression_method() {
        CompressionMethod::STORE => found.verifying_reader(found.reader()).take(most).read_to_end(text)?,
        CompressionMethod::DEFLATE => {
            found.verifying_reader(DeflateDecoder::new(found.reader())).take(most).read_to_end(text)?
        }
        other => return Err(invalid(format!("it is packed by {other:?}, expected deflate"))),
    };
    Ok(())
}

fn is_record(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    file.ends_with(".json") || (file.starts_with("RUSTSEC-") && file.ends_with(".md"))
}

fn damaged(error: Error) -> io::Error {
    invalid(format!("the zip file is damaged: {error}"))
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Records pack to a fifth; what packs a hundred times is none.
const MOST_TIMES: u64 = 100;
