//! The files that certificates come from, and what of them has changed.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};

use super::fault::Fault;
use super::{Certificate, pem};
use crate::GatewayError;
use crate::config::{Config, HostName};

/// A chain and its key on disk, and the names that it has to be for.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    cert: PathBuf,
    key: PathBuf,
    hosts: Vec<HostName>,
}

impl Pair {
    /// The pairs that a configuration names: each site's own, and the one for all other sites.
    pub(super) fn all(config: &Config) -> Vec<Self> {
        let pair = |cert: &Option<PathBuf>, key: &Option<PathBuf>, hosts| {
            Some(Self { cert: cert.clone()?, key: key.clone()?, hosts })
        };
        let own =
            config.sites.iter().filter_map(|site| pair(&site.tls.cert, &site.tls.key, site.hosts.clone()));
        let others = config.sites.iter().filter(|site| site.tls.cert.is_none());
        let hosts = others.flat_map(|site| site.hosts.clone()).collect();
        pair(&config.tls.cert, &config.tls.key, hosts).into_iter().chain(own).collect()
    }

    pub(super) fn chain(&self) -> &PathBuf {
        &self.cert
    }

    pub(super) fn files(&self) -> [&PathBuf; 2] {
        [&self.cert, &self.key]
    }

    /// # Errors
    /// When the pair cannot be used, at `now` and for its site's names.
    pub(super) fn read(&self, now: SystemTime) -> Result<Certificate, GatewayError> {
        let certificate = Certificate::read(&self.cert, &self.key, now)?;
        let other = self.hosts.iter().map(HostName::as_str).find(|host| !covers(&certificate, host));
        match other {
            None => Ok(certificate),
            Some(host) => {
                let names: Vec<_> =
                    certificate.names().map(|name| format!("`{name}`")).take(NAMES_SHOWN).collect();
                let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
                let fault = Fault::OtherNames { host: host.to_owned(), names };
                Err(GatewayError::certificate(&self.cert, fault))
            }
        }
    }
}

/// Visitors name no address in the handshake, and this machine asks itself under names that no authority vouches for.
fn covers(certificate: &Certificate, host: &str) -> bool {
    let is_address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    is_address || host == "localhost" || certificate.is_for(host)
}

/// What the files held that are in use, and what was complained about last.
#[derive(Debug, Default)]
pub(super) struct Seen {
    used: Mutex<Option<Digest>>,
    told: Mutex<Option<Digest>>,
}

/// Of all that files hold, or of why they cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

impl Seen {
    /// What the files hold, where it is something else than what is in use: also where that was refused before, since
    /// time may mend it. That they cannot be read is something else, too.
    pub(super) fn other<'f>(&self, files: impl IntoIterator<Item = &'f PathBuf>) -> Option<Digest> {
        let found = Digest::of(files);
        (*lock(&self.used) != Some(found)).then_some(found)
    }

    /// It is in use now.
    pub(super) fn took(&self, found: Digest) {
        *lock(&self.used) = Some(found);
        *lock(&self.told) = None;
    }

    /// Whether it is the first time that one complains about that.
    pub(super) fn is_news(&self, found: Digest) -> bool {
        lock(&self.told).replace(found) != Some(found)
    }
}

impl Digest {
    pub(super) fn of<'f>(files: impl IntoIterator<Item = &'f PathBuf>) -> Self {
        let mut context = Context::new(&SHA256);
        for file in files {
            match pem::read(file) {
                Ok(text) => {
                    context.update(&(text.len() as u64).to_be_bytes());
                    context.update(&text);
                }
                Err(error) => context.update(error.to_string().as_bytes()),
            }
        }
        Self(context.finish().as_ref().try_into().unwrap_or([0; 32]))
    }
}

fn lock(digest: &Mutex<Option<Digest>>) -> MutexGuard<'_, Option<Digest>> {
    digest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folders to watch. In a folder every way to replace a file is seen: written over, renamed into place, or a link
/// laid anew, as Kubernetes does; a file that is watched itself would be lost with the first rename.
pub(super) fn folders<'f>(files: impl Iterator<Item = &'f PathBuf>) -> Vec<PathBuf> {
    let folder = |file: &PathBuf| match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => Path::new(".").to_owned(),
    };
    let mut folders: Vec<_> = files.map(folder).collect();
    folders.sort();
    folders.dedup();
    folders
}

const NAMES_SHOWN: usize = 5;
