use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use panoply::SettingError;

use crate::{CertificateFault, denied};

/// What the world refused the gateway. Each says what was found; [`hint`](Self::hint) says the mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be read or written.
    #[error("cannot {verb} `{path}`")]
    File {
        /// `read` or `write`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a certificate or of its key cannot be used.
    #[error("`{path}` {fault}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: CertificateFault,
    },
    /// TLS cannot be spoken on these terms.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// No certificate could be made.
    #[error("cannot make a certificate for {names}")]
    SelfMade {
        /// The names that it was for.
        names: String,
        /// What rcgen said.
        source: rcgen::Error,
    },
    /// Two settings, or a setting and the world, do not go together.
    #[error("{message}")]
    Setting {
        /// What was found and what was expected.
        message: String,
        /// The mend.
        hint: String,
    },
    /// The system gave no thread or no runtime.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl From<SettingError> for GatewayError {
    fn from(error: SettingError) -> Self {
        Self::Setting { message: error.to_string(), hint: error.hint().to_owned() }
    }
}

impl GatewayError {
    pub(crate) fn certificate(path: &Path, fault: CertificateFault) -> Self {
        Self::Certificate { path: path.to_owned(), fault }
    }

    /// How to mend it, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Listen { address, source } => match source.kind() {
                io::ErrorKind::AddrInUse => format!(
                    "another program listens there: stop it, or choose another port with `--https {}:0`",
                    address.ip()
                ),
                io::ErrorKind::PermissionDenied => format!(
                    "ports below 1024 need a privilege: choose a port above, or grant it with \
                     `setcap cap_net_bind_service=+ep` (asked for {})",
                    address.port()
                ),
                io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
                _ => "choose another address".to_owned(),
            },
            Self::File { verb, path, source } => {
                let denied = if *verb == "read" { denied::hint(path, source) } else { None };
                denied.unwrap_or_else(|| {
                    format!("check that the path is right and that this user may {verb} it")
                })
            }
            Self::Certificate { path, fault } => fault.hint(&path.display().to_string()),
            Self::Tls(_) => "check the settings under `[tls]`".to_owned(),
            Self::SelfMade { .. } => "check the names given with `--host`".to_owned(),
            Self::Setting { hint, .. } => hint.clone(),
            Self::Thread(_) => "check the limits on threads and open files".to_owned(),
        }
    }
}
