//! A file that is written whole or not at all, whenever the machine stops.

use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Puts `text` in the place of what is at `path`, if anything is, with the rights that it had; else nobody else may
/// read it.
///
/// # Errors
/// When it cannot be written: then what was there is there still.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut fresh = NamedTempFile::new_in(folder)?;
    fresh.write_all(text.as_bytes())?;
    if let Ok(there) = path.metadata() {
        fresh.as_file().set_permissions(there.permissions())?;
    }
    fresh.as_file().sync_all()?;
    fresh.persist(path).map_err(|error| error.error)?;
    Ok(())
}
