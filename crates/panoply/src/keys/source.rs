use std::env::VarError;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::{Keys, MAKE_ONE};
use crate::SettingError;

impl Keys {
    /// Reads a ring: one key a line, the one that signs first. Blank lines and those that begin with `#` are
    /// skipped, and white space around a key is no part of it.
    ///
    /// # Errors
    /// Those of [`Keys::new`].
    ///
    /// ```
    /// use panoply::Keys;
    ///
    /// let (may, june) = (Keys::generate(), Keys::generate());
    /// let keys = Keys::parse(&format!("{june}\n\n# until the end of June\n{may}\n"))?;
    /// assert_eq!(format!("{keys:?}"), "Keys(2 keys, [secret])");
    /// # Ok::<(), panoply::SettingError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        let lines = text.lines().map(str::trim);
        Self::new(lines.filter(|line| !line.is_empty() && !line.starts_with('#')))
    }

    /// Reads a ring from an environment variable, as [`parse`](Self::parse) does.
    ///
    /// A child process inherits the environment; [`from_file`](Self::from_file) is told to nobody.
    ///
    /// # Errors
    /// The variable is not set or is no text, or is wrong as a ring.
    ///
    /// ```
    /// use panoply::Keys;
    ///
    /// let missing = Keys::from_env("SHOP_KEYS_NOBODY_SET").unwrap_err();
    /// assert_eq!(missing.to_string(), "the environment variable `SHOP_KEYS_NOBODY_SET` is not set");
    /// assert_eq!(missing.hint(), "export SHOP_KEYS_NOBODY_SET=\"$(openssl rand -base64 32)\"");
    /// ```
    pub fn from_env(name: &str) -> Result<Self, SettingError> {
        Self::of_variable(name, std::env::var(name))
    }

    /// Reads a ring from a file, as [`parse`](Self::parse) does; it has at most 64 KiB.
    ///
    /// On Unix, a file that others than its owner may write is refused, since they could sign whatever they like.
    /// One that others may read is taken with a warning in the log: containers hand out secrets that way.
    ///
    /// # Errors
    /// The file cannot be read, is too large, is no text or is open to others' writing, or is wrong as a ring.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, SettingError> {
        let path = path.as_ref();
        let place = format!("the file of keys `{}`", path.display());
        let unreadable = |error: std::io::Error| {
            let make = format!("make it with `(umask 077; openssl rand -base64 32 > {})`", path.display());
            SettingError::new(format!("{place} cannot be read: {error}"), make)
        };
        let file = File::open(path).map_err(unreadable)?;
        check_access(&file, path, &place).map_err(unreadable)??;

        // Room for all of it at once: a buffer that grew would leave copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(LARGEST + 1));
        let limit = u64::try_from(LARGEST + 1).unwrap_or(u64::MAX);
        file.take(limit).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() > LARGEST {
            let message = format!("{place} has more than {LARGEST} bytes");
            return Err(SettingError::new(message, "write one key a line, and nothing else"));
        }
        let Ok(text) = std::str::from_utf8(&text) else {
            return Err(SettingError::new(format!("{place} is no text"), MAKE_ONE));
        };
        Self::parse(text).map_err(|error| at(&place, &error))
    }

    fn of_variable(name: &str, text: Result<String, VarError>) -> Result<Self, SettingError> {
        let text = match text {
            Ok(text) => Zeroizing::new(text),
            Err(VarError::NotPresent) => {
                let message = format!("the environment variable `{name}` is not set");
                return Err(SettingError::new(
                    message,
                    format!("export {name}=\"$(openssl rand -base64 32)\""),
                ));
            }
            Err(VarError::NotUnicode(_)) => {
                let message = format!("the environment variable `{name}` is no text");
                return Err(SettingError::new(message, MAKE_ONE));
            }
        };
        Self::parse(&text).map_err(|error| at(&format!("the environment variable `{name}`"), &error))
    }
}

/// Asks the file that is open, not the path, which may name another one by now.
#[cfg(unix)]
fn check_access(file: &File, path: &Path, place: &str) -> std::io::Result<Result<(), SettingError>> {
    use std::os::unix::fs::PermissionsExt;

    let mode = file.metadata()?.permissions().mode();
    if mode & 0o022 != 0 {
        let message = format!("{place} can be written by others (mode {:03o})", mode & 0o777);
        return Ok(Err(SettingError::new(message, format!("chmod 600 {}", path.display()))));
    }
    if mode & 0o044 != 0 {
        tracing::warn!(path = %path.display(), "others on this machine can read the keys; `chmod 600` stops that");
    }
    Ok(Ok(()))
}

#[cfg(not(unix))]
fn check_access(_: &File, _: &Path, _: &str) -> std::io::Result<Result<(), SettingError>> {
    Ok(Ok(()))
}

/// The error of a ring, with the place where the ring is.
fn at(place: &str, error: &SettingError) -> SettingError {
    SettingError::new(format!("{place}: {error}"), error.hint())
}

/// In bytes: sixteen long keys with a page of comments each.
const LARGEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_a_line_and_comments_are_skipped() {
        for (text, keys) in [
            (GOOD.to_owned(), "Keys(1 key, [secret])"),
            (format!("{GOOD}\n{OTHER}"), "Keys(2 keys, [secret])"),
            (format!("\r\n  {GOOD} \t\r\n\r\n# {OTHER}\r\n"), "Keys(1 key, [secret])"),
            (format!("{GOOD} # no comment"), "Keys(1 key, [secret])"),
        ] {
            assert_eq!(format!("{:?}", Keys::parse(&text).unwrap()), keys, "{text}");
        }
        let plain = Keys::new([GOOD]).unwrap().sign_cookie("x");
        assert_eq!(Keys::parse(&format!(" {GOOD} ")).unwrap().sign_cookie("x"), plain);
        assert_eq!(
            Keys::parse("# nothing\n").unwrap_err().to_string(),
            "no key was given, at least one was expected"
        );
    }

    #[test]
    fn an_environment_variable_is_named_in_its_error() {
        for (text, message) in [
            (Ok(GOOD.to_owned()), "fine"),
            (Ok(format!("{GOOD}\n{OTHER}")), "fine"),
            (
                Ok("s3cret".to_owned()),
                "the environment variable `KEYS`: key 1 has 6 bytes, at least 32 were expected",
            ),
            (Err(VarError::NotPresent), "the environment variable `KEYS` is not set"),
            (Err(VarError::NotUnicode("s3cret".into())), "the environment variable `KEYS` is no text"),
        ] {
            let found = match Keys::of_variable("KEYS", text) {
                Ok(_) => "fine".to_owned(),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, message);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let file = Scratch::with("mode", GOOD.as_bytes());
        for (mode, message) in [
            (0o600, "fine"),
            (0o400, "fine"),
            (0o444, "fine"), // with a warning
            (0o640, "fine"),
            (0o620, "the file of keys `FILE` can be written by others (mode 620)"),
            (0o602, "the file of keys `FILE` can be written by others (mode 602)"),
            (0o666, "the file of keys `FILE` can be written by others (mode 666)"),
        ] {
            std::fs::set_permissions(&file.0, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(file.read(), message, "{mode:03o}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_no_ring_is_refused() {
        let (long, short) = ("#".repeat(LARGEST + 1), "#".repeat(LARGEST));
        for (content, message) in [
            (&b"short"[..], "the file of keys `FILE`: key 1 has 5 bytes, at least 32 were expected"),
            (b"", "the file of keys `FILE`: no key was given, at least one was expected"),
            (b"\xff\xfe", "the file of keys `FILE` is no text"),
            (long.as_bytes(), "the file of keys `FILE` has more than 65536 bytes"),
            (short.as_bytes(), "the file of keys `FILE`: no key was given, at least one was expected"),
        ] {
            assert_eq!(Scratch::with("content", content).read(), message);
        }
        let missing = Scratch(std::env::temp_dir().join("panoply-keys-that-nobody-wrote"));
        assert_eq!(
            missing.read(),
            "the file of keys `FILE` cannot be read: No such file or directory (os error 2)"
        );
    }

    /// A file of this test alone, gone with it.
    #[cfg(unix)]
    struct Scratch(std::path::PathBuf);

    #[cfg(unix)]
    impl Scratch {
        fn with(name: &str, content: &[u8]) -> Self {
            use std::io::Write;
            use std::os::unix::fs::OpenOptionsExt;

            let path = std::env::temp_dir().join(format!("panoply-keys-{name}-{}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            file.unwrap().write_all(content).unwrap();
            Self(path)
        }

        fn read(&self) -> String {
            match Keys::from_file(&self.0) {
                Ok(_) => "fine".to_owned(),
                Err(error) => error.to_string().replace(&self.0.display().to_string(), "FILE"),
            }
        }
    }

    #[cfg(unix)]
    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    const GOOD: &str = "9XHhfsRAjzEzJXqwJ3hmzFmoEd8MoEDP0kq6iWXAymA=";
    const OTHER: &str = "d3N0rFPBVzUVm4dHuR4SSmKjHkrbc6WYd5XW1ILKZ0E=";
}
