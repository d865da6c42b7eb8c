//! The certificate for localhost, made on first use and kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};

use super::{Certificate, key_file};
use crate::{GatewayError, state};

/// A certificate that no browser trusts, for names that have no other.
#[derive(Debug)]
pub(super) struct SelfMade {
    folder: PathBuf,
    names: Vec<String>,
    /// Whether somebody was told that it cannot be made anew.
    told: AtomicBool,
}

impl SelfMade {
    pub(super) fn new(folder: PathBuf, names: Vec<String>) -> Self {
        Self { folder, names, told: AtomicBool::new(false) }
    }

    /// # Errors
    /// When it is made anew, and the folder cannot be written.
    pub(super) fn read(&self, now: SystemTime) -> Result<Certificate, GatewayError> {
        Certificate::self_made(&self.folder, &self.names, now)
    }

    /// A new one, where the one that is shown ends at `end` and is old at `now`.
    ///
    /// # Errors
    /// As [`read`](Self::read); `None` where that was told before.
    pub(super) fn renewed(
        &self,
        end: SystemTime,
        now: SystemTime,
    ) -> Result<Option<Certificate>, Option<GatewayError>> {
        if now < renewal(end) {
            return Ok(None);
        }
        let made =
            self.read(now).map_err(|error| (!self.told.swap(true, Ordering::Relaxed)).then_some(error))?;
        self.told.store(false, Ordering::Relaxed);
        Ok((made.not_after() > end).then_some(made))
    }
}

/// Where the chain is.
pub(crate) fn chain(state: &Path) -> PathBuf {
    state.join("self-made.crt")
}

/// When one that ends at `end` is made anew.
pub(crate) fn renewal(end: SystemTime) -> SystemTime {
    end.checked_sub(LIFETIME - RENEW_AFTER).unwrap_or(end)
}

/// The files of the chain and of its key, made anew where they are missing, old, or for other names.
pub(super) fn files(
    state: &Path,
    names: &[String],
    now: SystemTime,
) -> Result<(PathBuf, PathBuf), GatewayError> {
    let (chain, key) = (chain(state), state.join("self-made.key"));
    let wanted = note(names);
    if !is_current(&chain, &wanted, now) || !key.exists() {
        make(state, &chain, &key, names, now)?;
    }
    key_file::refuse_readable(&key)?;
    Ok((chain, key))
}

/// Stands above the PEM text: what the certificate is for. Readers of PEM skip it (RFC 7468 §5.2).
fn note(names: &[String]) -> String {
    format!("Made by panoply for {}", subject_names(names).join(" "))
}

fn subject_names(names: &[String]) -> Vec<String> {
    ["localhost", "127.0.0.1", "::1"].into_iter().map(str::to_owned).chain(names.iter().cloned()).collect()
}

/// Young enough, and for these names.
fn is_current(chain: &Path, wanted: &str, now: SystemTime) -> bool {
    let young = fs::metadata(chain)
        .and_then(|data| data.modified())
        .ok()
        .and_then(|made| now.duration_since(made).ok())
        .is_some_and(|age| age < RENEW_AFTER);
    young && fs::read_to_string(chain).is_ok_and(|text| text.lines().next() == Some(wanted))
}

fn make(
    folder: &Path,
    chain: &Path,
    key: &Path,
    names: &[String],
    now: SystemTime,
) -> Result<(), GatewayError> {
    let refused = |source| GatewayError::SelfMade { names: names.join(", "), source };
    let mut params = CertificateParams::new(subject_names(names)).map_err(refused)?;
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + LIFETIME).into();
    params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    params.insert_extended_key_usage(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let pair = KeyPair::generate().map_err(refused)?;
    let certificate = params.self_signed(&pair).map_err(refused)?;

    state::make(folder).map_err(|source| unwritable(folder, source))?;
    write(key, pair.serialize_pem().as_bytes())?;
    write(chain, format!("{}\n{}", note(names), certificate.pem()).as_bytes())
}

fn write(path: &Path, text: &[u8]) -> Result<(), GatewayError> {
    state::write(path, &path.with_extension("new"), text).map_err(|source| unwritable(path, source))
}

fn unwritable(path: &Path, source: io::Error) -> GatewayError {
    GatewayError::File { verb: "write", path: path.to_owned(), source }
}

const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const RENEW_AFTER: Duration = Duration::from_secs(300 * 24 * 60 * 60);
/// A visitor's clock may be a little behind ours.
const CLOCK_SKEW: Duration = Duration::from_secs(24 * 60 * 60);
