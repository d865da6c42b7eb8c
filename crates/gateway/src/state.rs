//! The folder that keeps what must outlive a run: keys and certificates.

use std::env;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::GatewayError;

/// `given`, else what systemd offers (`StateDirectory=`), else the XDG state folder.
///
/// # Errors
/// When nothing tells where it could be.
pub fn folder(given: Option<&Path>) -> Result<PathBuf, GatewayError> {
    let from = |name: &str| env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    given
        .map(Path::to_owned)
        .or_else(|| from("STATE_DIRECTORY"))
        .or_else(|| from("XDG_STATE_HOME").map(|folder| folder.join("panoply")))
        .or_else(|| from("HOME").map(|home| home.join(".local/state/panoply")))
        .ok_or_else(|| GatewayError::Setting {
            message: "there is no folder to keep keys and certificates in".to_owned(),
            hint: "name one with `--state DIR`".to_owned(),
        })
}

/// Makes the folder, for this user alone.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes `text` to `path`, by way of `fresh`: whole or not at all, and never readable by others, not even for a
/// moment. Who reads meanwhile gets the old text or the new one, but no half of one.
pub(crate) fn write(path: &Path, fresh: &Path, text: &[u8]) -> io::Result<()> {
    fill(fresh, text)?;
    fs::rename(fresh, path)
}

/// Writes as [`write`] does, unless there is such a file already: of several gateways that start at once, one makes it
/// and all read the same.
pub(crate) fn write_once(path: &Path, fresh: &Path, text: &[u8]) -> io::Result<()> {
    fill(fresh, text)?;
    match fs::hard_link(fresh, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => remove(fresh),
    }
}

fn fill(fresh: &Path, text: &[u8]) -> io::Result<()> {
    remove(fresh)?;
    // `create_new` follows no link that somebody left there.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Removes a file; it is no error when there is none.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
