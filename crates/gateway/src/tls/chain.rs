//! The order in which a chain is sent: the site's own certificate, then each one's issuer (RFC 8446 §4.4.2).

use rustls::sign::SigningKey;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::fault::Fault;

/// The chain in the right order, and whether that was another than it was given in.
///
/// Some clients mend a wrong order by themselves, others refuse it: so it is mended here where there is only one way
/// to do so, and an error where there is none.
pub(super) fn in_order(
    given: Vec<CertificateDer<'static>>,
    key: &dyn SigningKey,
) -> Result<(Vec<CertificateDer<'static>>, bool), Fault> {
    let links: Vec<Link> =
        given.iter().map(|one| Link::of(one)).collect::<Option<_>>().ok_or(Fault::Damaged)?;
    if links.windows(2).all(|pair| matches!(pair, [one, next] if one.issuer == next.subject)) {
        return Ok((given, false));
    }
    let key = key.public_key();
    let own = links
        .iter()
        .position(|link| key.as_deref().is_some_and(|key| key == link.public_key))
        .or_else(|| links.iter().position(|link| !links.iter().any(|other| other.is_issued_by(link))))
        .ok_or(Fault::Stray)?;
    let mut order = vec![own];
    while let Some(link) = order.last().and_then(|at| links.get(*at)) {
        let mut issuers = (0..links.len())
            .filter(|at| !order.contains(at) && links.get(*at).is_some_and(|one| link.is_issued_by(one)));
        match (issuers.next(), issuers.next()) {
            (Some(issuer), None) => order.push(issuer),
            (None, _) => break,
            (Some(_), Some(_)) => return Err(Fault::Stray),
        }
    }
    if order.len() != given.len() {
        return Err(Fault::Stray);
    }
    Ok((order.into_iter().filter_map(|at| given.get(at).cloned()).collect(), true))
}

/// What a certificate says of its place in a chain.
struct Link {
    subject: Vec<u8>,
    issuer: Vec<u8>,
    public_key: Vec<u8>,
}

impl Link {
    fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Self {
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            public_key: certificate.public_key().raw.to_vec(),
        })
    }

    fn is_issued_by(&self, other: &Self) -> bool {
        self.issuer == other.subject
    }
}
