//! The certificate the gateway shows: the operator's own, or one made for localhost and kept.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{GatewayError, state};

/// A chain and its key, as rustls takes them.
#[derive(Debug)]
pub struct Certificate {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    /// Where it came from, for errors.
    pub(crate) paths: (PathBuf, PathBuf),
    /// Whether browsers can trust it. A self-made one never gets HSTS: it would lock its visitors out.
    pub(crate) trusted: bool,
}

impl Certificate {
    /// Reads a certificate chain and its key, both PEM.
    ///
    /// # Errors
    /// When a file cannot be read, holds something else, or lets others read the key.
    pub fn read(chain: &Path, key: &Path) -> Result<Self, GatewayError> {
        refuse_readable(key)?;
        Self::load(chain, key, true)
    }

    /// The certificate for `localhost` and `names`, made on first use and kept in `state` with mode 0600.
    ///
    /// # Errors
    /// When the folder cannot be written or a name cannot stand in a certificate.
    pub fn self_made(state: &Path, names: &[String]) -> Result<Self, GatewayError> {
        let (chain, key) = (state.join("self-made.crt"), state.join("self-made.key"));
        let wanted = note(names);
        if !is_current(&chain, &wanted) || !key.exists() {
            make(state, &chain, &key, names, &wanted)?;
        }
        refuse_readable(&key)?;
        Self::load(&chain, &key, false)
    }

    /// The chain, for a client that is to trust it.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    fn load(chain: &Path, key: &Path, trusted: bool) -> Result<Self, GatewayError> {
        let chain_pem = read(chain)?;
        let key_pem = read(key)?;
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&chain_pem)
            .collect::<Result<_, _>>()
            .ok()
            .filter(|chain: &Vec<_>| !chain.is_empty())
            .ok_or_else(|| GatewayError::Pem { what: "certificate", path: chain.to_owned() })?;
        let private = PrivateKeyDer::from_pem_slice(&key_pem)
            .map_err(|_| GatewayError::Pem { what: "private key", path: key.to_owned() })?;
        Ok(Self { chain: certificates, key: private, paths: (chain.to_owned(), key.to_owned()), trusted })
    }
}

/// Stands above the PEM text: what the certificate is for. Readers of PEM skip it (RFC 7468 §5.2).
fn note(names: &[String]) -> String {
    format!("Made by panoply for {}", subject_names(names).join(" "))
}

fn subject_names(names: &[String]) -> Vec<String> {
    ["localhost", "127.0.0.1", "::1"].into_iter().map(str::to_owned).chain(names.iter().cloned()).collect()
}

/// Young enough, and for these names.
#[expect(clippy::disallowed_methods, reason = "the age of a file is judged by the machine's own clock")]
fn is_current(chain: &Path, wanted: &str) -> bool {
    let young = fs::metadata(chain)
        .and_then(|data| data.modified())
        .ok()
        .and_then(|made| SystemTime::now().duration_since(made).ok())
        .is_some_and(|age| age < RENEW_AFTER);
    young && fs::read_to_string(chain).is_ok_and(|text| text.lines().next() == Some(wanted))
}

#[expect(clippy::disallowed_methods, reason = "a certificate's dates are the machine's own")]
fn make(folder: &Path, chain: &Path, key: &Path, names: &[String], note: &str) -> Result<(), GatewayError> {
    let refused = |source| GatewayError::SelfMade { names: names.join(", "), source };
    let mut params = CertificateParams::new(subject_names(names)).map_err(refused)?;
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + LIFETIME).into();
    params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    params.insert_extended_key_usage(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let pair = KeyPair::generate().map_err(refused)?;
    let certificate = params.self_signed(&pair).map_err(refused)?;

    state::make(folder).map_err(|source| unwritable(folder, source))?;
    write(key, pair.serialize_pem().as_bytes())?;
    write(chain, format!("{note}\n{}", certificate.pem()).as_bytes())
}

fn write(path: &Path, text: &[u8]) -> Result<(), GatewayError> {
    state::write(path, &path.with_extension("new"), text).map_err(|source| unwritable(path, source))
}

fn unwritable(path: &Path, source: io::Error) -> GatewayError {
    GatewayError::File { verb: "write", path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<Vec<u8>, GatewayError> {
    fs::read(path).map_err(|source| GatewayError::File { verb: "read", path: path.to_owned(), source })
}

fn refuse_readable(key: &Path) -> Result<(), GatewayError> {
    let data = fs::metadata(key).map_err(|source| GatewayError::File {
        verb: "read",
        path: key.to_owned(),
        source,
    })?;
    let mode = data.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(GatewayError::Readable { path: key.to_owned(), mode });
    }
    Ok(())
}

const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const RENEW_AFTER: Duration = Duration::from_secs(300 * 24 * 60 * 60);
/// A visitor's clock may be a little behind ours.
const CLOCK_SKEW: Duration = Duration::from_secs(24 * 60 * 60);
