//! A file with a record on each line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use super::super::osv::{self, Loss};
use super::{Import, LARGEST};

pub(super) fn read(import: &mut Import<'_>, name: &str, file: File) -> io::Result<()> {
    let mut file = BufReader::with_capacity(256 << 10, file);
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        if (&mut file).take(LARGEST as u64 + 1).read_until(b'\n', &mut text)? == 0 {
            break;
        }
        if text.len() > LARGEST {
            let found = format!("a line has more than {LARGEST} bytes");
            import.trouble(name.to_owned(), line, found, Loss::Answer);
            file.skip_until(b'\n')?;
        } else if !text.trim_ascii().is_empty() {
            import.record(name, line, osv::read(text.trim_ascii_end()));
        }
    }
    Ok(())
}
