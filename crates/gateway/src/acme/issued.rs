use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::CertificateIdentifier;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::Zeroizing;

use super::Name;
use super::record::Life;

/// A certificate with its key, as the authority gave it: checked, and good for its name.
#[derive(Clone)]
pub struct Issued {
    /// The key and the chain behind it, in PEM: one text, so that the two never part.
    pem: Zeroizing<Vec<u8>>,
    chain: Vec<CertificateDer<'static>>,
    /// As RFC 9773 names it, where the certificate says who signed it; else by its serial number alone.
    identity: String,
    asked_by: Option<CertificateIdentifier<'static>>,
    life: Life,
}

impl Issued {
    /// Reads what [`pem`](Self::pem) gave, for `name`.
    ///
    /// # Errors
    /// What it lacks.
    pub(super) fn parse(pem: &[u8], name: &Name) -> Result<Self, &'static str> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "there is no private key")?;
        let chain = CertificateDer::pem_slice_iter(pem).take(MOST).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| "there is what is no certificate")?;
        let leaf = chain.first().ok_or("there is no certificate")?.clone();
        let key = any_supported_type(&key).map_err(|_| "the private key is of no known kind")?;
        CertifiedKey::new(chain.clone(), key)
            .keys_match()
            .map_err(|_| "the certificate is for another key")?;
        let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|_| "the certificate is damaged")?;
        if !is_for(&parsed, name) {
            return Err("the certificate is for another name");
        }
        let time = |seconds: i64| u64::try_from(seconds).unwrap_or(0);
        let validity = parsed.validity();
        let life =
            Life { begin: time(validity.not_before.timestamp()), end: time(validity.not_after.timestamp()) };
        if life.end <= life.begin {
            return Err("the certificate ends before it begins");
        }
        if life.end >= YEAR_10000 {
            return Err("the certificate ends when no date can be written any more");
        }
        let asked_by = CertificateIdentifier::try_from(&leaf).ok().map(CertificateIdentifier::into_owned);
        let identity = asked_by.as_ref().map_or_else(|| parsed.raw_serial_as_string(), ToString::to_string);
        Ok(Self { pem: Zeroizing::new(pem.to_vec()), chain, identity, asked_by, life })
    }

    /// The key and the chain, in PEM.
    #[must_use]
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// The chain, the site's own first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// From when it is valid.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.life.begin)
    }

    /// Until when it is valid.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.life.end)
    }

    pub(super) fn life(&self) -> Life {
        self.life
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// By what the authority knows it, where it says who signed it.
    pub(super) fn asked_by(&self) -> Option<&CertificateIdentifier<'static>> {
        self.asked_by.as_ref()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, life, .. } = self;
        f.debug_struct("Issued")
            .field("identity", identity)
            .field("life", life)
            .field("key", &"[secret]")
            .finish_non_exhaustive()
    }
}

fn is_for(certificate: &X509Certificate<'_>, name: &Name) -> bool {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    let subject = name.subject();
    names.value.general_names.iter().any(|found| match (found, name) {
        (GeneralName::DNSName(found), Name::Host(_) | Name::Wildcard(_)) => {
            found.eq_ignore_ascii_case(&subject)
        }
        (GeneralName::IPAddress(bytes), Name::Address(address)) => match address {
            std::net::IpAddr::V4(address) => *bytes == address.octets(),
            std::net::IpAddr::V6(address) => *bytes == address.octets(),
        },
        _ => false,
    })
}

/// 10000-01-01, in seconds since 1970: HTTP's dates have four digits for the year (RFC 9110 §5.6.7).
const YEAR_10000: u64 = 253_402_300_800;
/// Certificates in a chain.
const MOST: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn what_is_not_whole_is_not_taken() {
        let (chain, key) = made("shop.example");
        let (other_chain, _) = made("shop.example");
        let (address, address_key) = made("192.0.2.1");
        for (pem, name, found) in [
            (format!("{key}{chain}"), "shop.example", Ok(())),
            (format!("{chain}{key}"), "shop.example", Ok(())),
            (format!("{key}{chain}"), "www.shop.example", Err("another name")),
            (format!("{address_key}{address}"), "192.0.2.1", Ok(())),
            (format!("{address_key}{address}"), "192.0.2.2", Err("another name")),
            (format!("{key}{other_chain}"), "shop.example", Err("another key")),
            (key.clone(), "shop.example", Err("no certificate")),
            (chain.clone(), "shop.example", Err("no private key")),
            (String::new(), "shop.example", Err("no private key")),
            (
                format!("{key}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                "shop.example",
                Err(""),
            ),
        ] {
            let issued = Issued::parse(pem.as_bytes(), &Name::parse(name));
            match found {
                Ok(()) => assert!(issued.is_ok(), "{name}: {issued:?}"),
                Err(says) => {
                    assert!(issued.as_ref().is_err_and(|error| error.contains(says)), "{name}: {issued:?}");
                }
            }
        }
        let shown =
            format!("{:?}", Issued::parse(format!("{key}{chain}").as_bytes(), &Name::parse("shop.example")));
        assert!(shown.contains("[secret]") && !shown.contains("PRIVATE"), "{shown}");
    }
}
