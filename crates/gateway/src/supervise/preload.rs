//! The piece of JavaScript that every Node process of the app reads first, and the secret it knows us by.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use http::{HeaderName, HeaderValue};

use crate::state;

/// Shows an app that a request came through this gateway: whoever else reaches the app's port cannot forge it.
#[derive(Clone)]
pub struct Proof(String);

impl Proof {
    /// The header that carries it, to be removed from whatever a visitor sends.
    pub const HEADER: HeaderName = HeaderName::from_static("x-panoply-visitor");

    /// 256 bits that nobody can guess.
    pub(super) fn random() -> Self {
        let secret: [u8; 32] = rand::random();
        Self(secret.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a `String` cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        }))
    }

    /// The secret itself, for the environment of the app.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }

    /// The value of [`HEADER`](Self::HEADER) for a request of `visitor`: proof, address and port.
    #[must_use]
    pub fn vouch_for(&self, visitor: SocketAddr) -> HeaderValue {
        let claim = format!("{} {} {}", self.0, visitor.ip().to_canonical(), visitor.port());
        let mut value =
            HeaderValue::try_from(claim).expect("hex digits, an address and a number are visible ASCII");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof([secret])")
    }
}

/// The preload of one run.
#[derive(Debug)]
pub(super) struct Preload {
    pub(super) script: PathBuf,
    /// Written by the app's process once it listens; one for each run, by the port that no other run has.
    pub(super) marker: PathBuf,
    pub(super) proof: Proof,
}

impl Preload {
    /// Puts the script into `state`, where only this user can change what the app will run.
    ///
    /// # Errors
    /// When `state` cannot be written.
    pub(super) fn write(state: &Path, port: u16) -> io::Result<Self> {
        state::make(state)?;
        // The app may have another working directory than we.
        let folder = std::path::absolute(state)?;
        let script = folder.join("preload.cjs");
        let marker = folder.join(format!("preloaded-{port}"));
        state::remove(&marker)?;
        state::write(&script, &folder.join(format!("preload-{port}.new")), SCRIPT)?;
        Ok(Self { script, marker, proof: Proof::random() })
    }

    /// Whether a process of the app has read the script and listens on our port.
    pub(super) fn said_hello(&self) -> bool {
        self.marker.exists()
    }
}

impl Drop for Preload {
    fn drop(&mut self) {
        // The script stays: another run may use it. A marker that stays is removed when its port comes again.
        let _ = state::remove(&self.marker);
    }
}

/// `NODE_OPTIONS` with one more script to require, after whatever is there.
///
/// Node splits at blanks outside of double quotes; inside, a backslash takes the next character as it is. Quotes are
/// used only where they are needed: Node before version 12 knows none.
pub(super) fn node_options(existing: Option<&OsStr>, script: &Path) -> OsString {
    let mut options = existing.map(|options| options.as_bytes().to_vec()).unwrap_or_default();
    if !options.is_empty() {
        options.push(b' ');
    }
    options.extend_from_slice(b"--require ");
    let script = script.as_os_str().as_bytes();
    if script.iter().any(|byte| matches!(byte, b' ' | b'"')) {
        options.push(b'"');
        for &byte in script {
            if matches!(byte, b'"' | b'\\') {
                options.push(b'\\');
            }
            options.push(byte);
        }
        options.push(b'"');
    } else {
        options.extend_from_slice(script);
    }
    OsString::from_vec(options)
}

const SCRIPT: &[u8] = include_bytes!("preload.cjs");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_options_keep_what_is_there() {
        for (existing, script, options) in [
            (None, "/s/preload.cjs", "--require /s/preload.cjs"),
            (Some(""), "/s/preload.cjs", "--require /s/preload.cjs"),
            (
                Some("--max-old-space-size=4096"),
                "/s/preload.cjs",
                "--max-old-space-size=4096 --require /s/preload.cjs",
            ),
            (None, "/my state/p.cjs", r#"--require "/my state/p.cjs""#),
            (None, r"/back\slash/p.cjs", r"--require /back\slash/p.cjs"), // outside of quotes it is itself
            (None, r"/b\ s/p.cjs", r#"--require "/b\\ s/p.cjs""#),
            (None, r#"/a"b/p.cjs"#, r#"--require "/a\"b/p.cjs""#),
        ] {
            let found = node_options(existing.map(OsStr::new), Path::new(script));
            assert_eq!(found, options, "{existing:?} {script}");
        }
    }

    #[test]
    fn a_proof_is_never_the_same_and_never_shown() {
        let (one, other) = (Proof::random(), Proof::random());
        assert_ne!(one.secret(), other.secret());
        assert_eq!(one.secret().len(), 64);
        assert!(one.secret().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(format!("{one:?}"), "Proof([secret])");
        let header = one.vouch_for(([192, 0, 2, 7], 50123).into());
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    #[test]
    fn a_proof_vouches_for_one_visitor() {
        let proof = Proof("5ec".into());
        for (visitor, claim) in [
            ("192.0.2.7:50123", "5ec 192.0.2.7 50123"),
            ("[2001:db8::7]:443", "5ec 2001:db8::7 443"),
            ("[::ffff:192.0.2.7]:1", "5ec 192.0.2.7 1"),
        ] {
            assert_eq!(proof.vouch_for(visitor.parse().unwrap()), claim, "{visitor}");
        }
    }
}
