//! A chain with its key, looked at before anybody is shown it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{chain, fault::Fault, key_file, pem, self_made};
use crate::GatewayError;

/// A certificate chain and its key, which belong together and are valid now.
#[derive(Clone)]
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    names: Vec<Box<str>>,
    addresses: Vec<IpAddr>,
    not_before: SystemTime,
    not_after: SystemTime,
    origin: PathBuf,
    trusted: bool,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .field("addresses", &self.addresses)
            .field("not_after", &self.not_after)
            .field("origin", &self.origin)
            .field("key", &"[secret]")
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads a certificate chain and its key, both PEM, as they are to be used at `now`.
    ///
    /// # Errors
    /// When a file cannot be read, holds something else, or lets others read the key; when the two do not belong
    /// together, or are not valid now.
    pub fn read(chain: &Path, key: &Path, now: SystemTime) -> Result<Self, GatewayError> {
        key_file::refuse_readable(key)?;
        let (chain_pem, key_pem) = (pem::read(chain)?, pem::read(key)?);
        Self::of(&chain_pem, &key_pem, Source { chain, key, trusted: true }, now)
    }

    /// The certificate for `localhost` and `names`, made on first use and kept in `state` with mode 0600.
    ///
    /// # Errors
    /// When the folder cannot be written or a name cannot stand in a certificate.
    pub fn self_made(state: &Path, names: &[String], now: SystemTime) -> Result<Self, GatewayError> {
        let (chain, key) = self_made::files(state, names, now)?;
        let (chain_pem, key_pem) = (pem::read(&chain)?, pem::read(&key)?);
        Self::of(&chain_pem, &key_pem, Source { chain: &chain, key: &key, trusted: false }, now)
    }

    /// A chain and its key from memory: what an authority has just sent. `origin` says where from, for errors.
    ///
    /// # Errors
    /// When they are none, do not belong together, or are not valid at `now`.
    pub fn from_pem(chain: &[u8], key: &[u8], origin: &Path, now: SystemTime) -> Result<Self, GatewayError> {
        Self::of(chain, key, Source { chain: origin, key: origin, trusted: true }, now)
    }

    /// The chain, the site's own first, for a client that is to trust it.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The names of hosts that it is for, lower-case; one may begin with `*.`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// The addresses that it is for.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// From when it is valid.
    #[must_use]
    pub const fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Until when it is valid.
    #[must_use]
    pub const fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Where it came from: the chain's file, or what stands for one.
    #[must_use]
    pub fn origin(&self) -> &Path {
        &self.origin
    }

    /// Whether browsers can trust it. A self-made one never gets HSTS: it would lock its visitors out.
    #[must_use]
    pub const fn trusted(&self) -> bool {
        self.trusted
    }

    /// Whether a browser that asks for `host` (lower-case) would take it: by name, or by a wildcard for one label
    /// (RFC 6125 §6.4.3).
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        self.names()
            .any(|name| name == host || name.strip_prefix('*').is_some_and(|rest| is_label(host, rest)))
    }

    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    fn of(
        chain_pem: &[u8],
        key_pem: &[u8],
        source: Source<'_>,
        now: SystemTime,
    ) -> Result<Self, GatewayError> {
        let at_chain = |fault: Fault| GatewayError::certificate(source.chain, fault);
        let at_key = |fault: Fault| GatewayError::certificate(source.key, fault);
        let given = pem::certificates(chain_pem).map_err(at_chain)?;
        let key = pem::private_key(key_pem).map_err(at_key)?;
        let key = any_supported_type(&key).map_err(|_| at_key(Fault::UnknownKey))?;
        let (chain, moved) = chain::in_order(given, &*key).map_err(at_chain)?;
        if moved {
            tracing::warn!(
                file = %source.chain.display(),
                "the certificates of the chain stand in the wrong order: they are sent in the right one\n\
                 hint: write the site's own first, then each one's issuer below it"
            );
        }
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => return Err(at_key(Fault::OtherKey { certificate: source.chain.to_owned() })),
        }
        let facts = certified.end_entity_cert().ok().and_then(|leaf| Facts::of(leaf));
        let Facts { names, addresses, not_before, not_after, .. } =
            facts.ok_or_else(|| at_chain(Fault::Damaged))?;
        if now > not_after {
            return Err(at_chain(Fault::Expired { at: not_after }));
        }
        if now + CLOCK_SKEW < not_before {
            return Err(at_chain(Fault::NotYetValid { from: not_before }));
        }
        Ok(Self {
            certified: Arc::new(certified),
            names,
            addresses,
            not_before,
            not_after,
            origin: source.chain.to_owned(),
            trusted: source.trusted,
        })
    }
}

/// Where a pair comes from.
struct Source<'s> {
    chain: &'s Path,
    key: &'s Path,
    trusted: bool,
}

/// What the site's own certificate says.
pub(crate) struct Facts {
    names: Vec<Box<str>>,
    addresses: Vec<IpAddr>,
    pub(crate) issuer: String,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

impl Facts {
    /// Of the first certificate of a chain in PEM, valid or not.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else.
    pub(crate) fn read(chain: &Path) -> Result<Self, GatewayError> {
        let damaged = |fault| GatewayError::certificate(chain, fault);
        let found = pem::certificates(&pem::read(chain)?).map_err(damaged)?;
        found.first().and_then(|leaf| Self::of(leaf)).ok_or_else(|| damaged(Fault::Damaged))
    }

    /// Hosts and addresses.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.names.iter().map(ToString::to_string);
        names.chain(self.addresses.iter().map(IpAddr::to_string)).collect()
    }

    fn of(leaf: &[u8]) -> Option<Self> {
        let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
        let (mut names, mut addresses) = (Vec::new(), Vec::new());
        // Browsers no longer read the common name (RFC 9525 §2).
        let alternative = leaf.subject_alternative_name().ok().flatten();
        for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.push(name.to_ascii_lowercase().into()),
                GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                _ => {}
            }
        }
        let validity = leaf.validity();
        let (not_before, not_after) =
            (time(validity.not_before.timestamp()), time(validity.not_after.timestamp()));
        let issuer = leaf.issuer().to_string();
        Some(Self { names, addresses, issuer, not_before, not_after })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

/// Before 1970 nothing of ours was valid.
pub(super) fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Whether `host` is one label and then `rest`, which begins with a dot.
fn is_label(host: &str, rest: &str) -> bool {
    host.strip_suffix(rest).is_some_and(|label| !label.is_empty() && !label.contains('.'))
}

/// An authority's clock may be a little ahead of ours.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
