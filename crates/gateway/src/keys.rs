//! The keys that cookies are sealed with: the operator's own, or one made on first use and kept.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use panoply::Keys;

use crate::config::{Config, KeySource};
use crate::{GatewayError, state};

/// Reads the keys that the configuration names.
///
/// # Errors
/// When they are not to be had, or can be guessed.
pub(crate) fn read(config: &Config) -> Result<Keys, GatewayError> {
    match &config.keys {
        Some(KeySource::Here(keys)) => Ok(keys.clone()),
        Some(KeySource::Variable(name)) => Ok(Keys::from_env(name)?),
        Some(KeySource::File(path)) => match File::open(path) {
            // Who refuses it is ours to tell, all else the ring's.
            Err(source) if source.kind() == ErrorKind::PermissionDenied => {
                Err(GatewayError::File { verb: "read", path: path.clone(), source })
            }
            _ => Ok(Keys::from_file(path)?),
        },
        None => kept(&state::folder(config.state.as_deref())?),
    }
}

fn kept(folder: &Path) -> Result<Keys, GatewayError> {
    let path = folder.join("keys");
    let unwritable = |source| GatewayError::File { verb: "write", path: path.clone(), source };
    if !path.exists() {
        let text = format!("{NOTE}{}\n", Keys::generate());
        let fresh = folder.join(format!("keys.{}.new", std::process::id()));
        state::make(folder).map_err(unwritable)?;
        state::write_once(&path, &fresh, text.as_bytes()).map_err(unwritable)?;
    }
    Ok(Keys::from_file(&path)?)
}

const NOTE: &str = "\
# Made by panoply: cookies are sealed with this key. To replace it, write a new one (`openssl rand -base64 32`) above it,
# and take it away when no cookie needs it any more. Machines that serve one site share one file: add a new key below
# the old one on all of them first, then move it up.
";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_for_this_user_alone() {
        let folder = std::env::temp_dir().join(format!("panoply-keys-{}", std::process::id()));
        let config = Config::parse(&format!("state = '{}'", folder.display())).unwrap();
        let first = read(&config).unwrap().sign_cookie("x");
        let text = fs::read_to_string(folder.join("keys")).unwrap();
        assert_eq!(read(&config).unwrap().sign_cookie("x"), first);
        assert_eq!(fs::read_to_string(folder.join("keys")).unwrap(), text);
        assert_eq!(fs::metadata(folder.join("keys")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left lying about");
        fs::write(folder.join("keys"), "short\n").unwrap();
        let error = read(&config).unwrap_err().to_string();
        assert!(error.contains("at least 32 were expected") && !error.contains("short\n"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
