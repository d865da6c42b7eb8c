//! Which visitors a site's certificate authority vouches for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{self, SHA256};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateRevocationListDer;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::fault::Fault;
use super::pem;
use crate::GatewayError;
use crate::config::{ClientCertificate, SiteTls};

/// The files of a site that asks visitors for certificates.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    ca: PathBuf,
    crl: Option<PathBuf>,
    demand: ClientCertificate,
}

/// What the files say: who is let in.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// Differs whenever somebody else might be let in. All machines have the same for the same files.
    pub(super) generation: digest::Digest,
}

impl Authority {
    pub(super) fn of(tls: &SiteTls) -> Option<Self> {
        let ca = tls.client_ca.clone()?;
        Some(Self { ca, crl: tls.client_crl.clone(), demand: tls.client })
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.ca).chain(&self.crl)
    }

    /// # Errors
    /// When a file cannot be read or holds something else, or a list of revoked certificates has ended at `now`.
    pub(super) fn read(
        &self,
        provider: &Arc<CryptoProvider>,
        now: SystemTime,
    ) -> Result<Clients, GatewayError> {
        let mut generation = digest::Context::new(&SHA256);
        let mut update = |text: &[u8]| {
            generation.update(&(text.len() as u64).to_be_bytes());
            generation.update(text);
        };
        let text = pem::read(&self.ca)?;
        update(&text);
        update(format!("{:?}", self.demand).as_bytes());
        let roots = roots(&self.ca, &text)?;
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        if let Some(crl) = &self.crl {
            let text = pem::read(crl)?;
            update(&text);
            let lists = pem::revocations(&text).map_err(|fault| GatewayError::certificate(crl, fault))?;
            if let Some(at) = lists.iter().filter_map(end).find(|end| *end < now) {
                return Err(GatewayError::certificate(crl, Fault::ListEnded { at }));
            }
            // One that ends while it is in use says nothing of who was locked out since: then nobody comes in.
            // A list speaks of one authority's certificates: those of authorities between are listed elsewhere.
            builder =
                builder.with_crls(lists).only_check_end_entity_revocation().enforce_revocation_expiration();
        }
        if self.demand == ClientCertificate::Optional {
            builder = builder.allow_unauthenticated();
        }
        let at = self.crl.as_ref().unwrap_or(&self.ca);
        let verifier = builder.build().map_err(|_| GatewayError::certificate(at, Fault::Damaged))?;
        Ok(Clients { verifier, generation: generation.finish() })
    }
}

/// The authorities in a file of PEM.
///
/// # Errors
/// When it cannot be read or holds something else.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, GatewayError> {
    roots(path, &pem::read(path)?)
}

fn roots(path: &Path, text: &[u8]) -> Result<RootCertStore, GatewayError> {
    let mut roots = RootCertStore::empty();
    for root in pem::certificates(text).map_err(|fault| GatewayError::certificate(path, fault))? {
        roots.add(root).map_err(|_| GatewayError::certificate(path, Fault::Damaged))?;
    }
    Ok(roots)
}

/// When the authority's next list is there at the latest (RFC 5280 §5.1.2.5).
fn end(list: &CertificateRevocationListDer<'static>) -> Option<SystemTime> {
    let (_, list) = CertificateRevocationList::from_der(list).ok()?;
    let seconds = u64::try_from(list.next_update()?.timestamp()).unwrap_or(0);
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
