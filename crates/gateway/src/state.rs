//! The folder that keeps what must outlive a run: keys and certificates.

use std::env;
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
