//! Who can read a private key's file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::fault::Fault;
use crate::GatewayError;

/// Refuses a key that others can read; of one in a mounted secret, whose mode is the cluster's to choose, it only
/// warns.
pub(super) fn refuse_readable(key: &Path) -> Result<(), GatewayError> {
    let data = fs::metadata(key).map_err(|source| GatewayError::File {
        verb: "read",
        path: key.to_owned(),
        source,
    })?;
    let mode = data.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    if !is_mounted_secret(key) {
        return Err(GatewayError::certificate(key, Fault::Readable { mode }));
    }
    tracing::warn!(
        file = %key.display(),
        mode = format_args!("{mode:o}"),
        "the private key can be read by others, which a mounted secret often has to allow\n\
         hint: set its mode to 0400 where it is mounted: `defaultMode` in Kubernetes, `mode` in Compose"
    );
    Ok(())
}

/// Told by the layout, not by the file system: `/tmp` is a tmpfs too on many machines, and Compose binds secrets from
/// an ordinary disk. A folder with a `..data` link is what Kubernetes' kubelet writes and nobody else.
fn is_mounted_secret(key: &Path) -> bool {
    let Some(folder) = key.parent() else { return false };
    let is_link = |name: &str| fs::symlink_metadata(folder.join(name)).is_ok_and(|data| data.is_symlink());
    is_link("..data") || SECRETS.iter().any(|secrets| folder.starts_with(secrets))
}

/// Docker's and Podman's, and systemd's `LoadCredential=`.
const SECRETS: [&str; 3] = ["/run/secrets", "/var/run/secrets", "/run/credentials"];

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_refused_but_in_a_mounted_secret() {
        let folder = std::env::temp_dir().join(format!("panoply-key-file-{}", std::process::id()));
        let data = folder.join("..2026_01_01");
        fs::create_dir_all(&data).unwrap();
        let plain = folder.join("plain.key");
        let write = |path: &PathBuf, mode| {
            fs::write(path, "x").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        for (mode, taken) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o644, false)] {
            write(&plain, mode);
            assert_eq!(refuse_readable(&plain).is_ok(), taken, "{mode:o}");
        }
        write(&data.join("tls.key"), 0o644);
        symlink("..2026_01_01", folder.join("..data")).unwrap();
        symlink("..data/tls.key", folder.join("tls.key")).unwrap();
        assert!(refuse_readable(&folder.join("tls.key")).is_ok());
        assert!(is_mounted_secret(Path::new("/run/secrets/tls.key")));
        assert!(!is_mounted_secret(Path::new("/run/secretsx/tls.key")));
        assert!(!is_mounted_secret(Path::new("/etc/tls.key")));
        fs::remove_dir_all(folder).unwrap();
    }
}
