//! The authorities: a root, an intermediate that signs leaves, and the certificate of the CA's own server.

use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::clock::HOUR;
use super::order::Name;
use super::problem::Problem;

pub(crate) struct Issuer {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
    key_identifier: Vec<u8>,
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) account: usize,
    pub(crate) names: Vec<Name>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) at: SystemTime,
    pub(crate) der: CertificateDer<'static>,
    /// The leaf, then the intermediate.
    pub(crate) chain: String,
    /// As RFC 9773 §4.1 names it.
    pub(crate) identifier: String,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let key = || KeyPair::generate().expect("randomness");
        let root = CertifiedIssuer::self_signed(authority("the tests' root"), key()).expect("plain names");
        let (params, key) = (authority("the tests' intermediate"), key());
        let key_identifier = params.key_identifier(&key);
        let intermediate = CertifiedIssuer::signed_by(params, key, &root).expect("plain names");
        Self { root, intermediate, key_identifier }
    }

    pub(crate) fn root(&self) -> String {
        self.root.pem()
    }

    /// For the CA's own server. rcgen's dates, 1975 to 4096, hold by whichever clock a client asks.
    pub(crate) fn server(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("randomness");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let leaf = params.signed_by(&key, &self.root).expect("a plain name");
        (vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }

    /// Checks that the request is signed by its own key and asks for these names and no other (RFC 8555 §7.4).
    pub(crate) fn issue(
        &self,
        request: &[u8],
        names: &[Name],
        lifetime: Duration,
        now: SystemTime,
        account: usize,
    ) -> Result<Issued, Problem> {
        let bad = |why: String| Problem::new(400, "badCSR", why);
        let mut request = CertificateSigningRequestParams::from_der(&request.into())
            .map_err(|error| bad(error.to_string()))?;
        let mut asked = request.params.subject_alt_names.iter().map(name).collect::<Result<Vec<_>, _>>()?;
        asked.sort();
        asked.dedup();
        if asked != names {
            return Err(bad(format!("the order is for {names:?}, the request for {asked:?}")));
        }

        let mut serial = [0; 16];
        rand::fill(&mut serial).expect("randomness");
        serial[0] |= 1;
        let (not_before, not_after) = (now - HOUR, now - HOUR + lifetime - Duration::from_secs(1));
        let params = &mut request.params;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before = not_before.into();
        params.not_after = not_after.into();
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = request.signed_by(&self.intermediate).map_err(|error| bad(error.to_string()))?;
        Ok(Issued {
            account,
            names: names.to_vec(),
            not_before,
            not_after,
            at: now,
            der: leaf.der().clone(),
            chain: leaf.pem() + &self.intermediate.pem(),
            identifier: self.identifier(&serial),
        })
    }

    /// The serial as DER has it: a number that would be negative begins with a zero.
    fn identifier(&self, serial: &[u8]) -> String {
        let zero: &[u8] = if serial[0] >= 0x80 { &[0] } else { &[] };
        let serial = URL_SAFE_NO_PAD.encode([zero, serial].concat());
        format!("{}.{serial}", URL_SAFE_NO_PAD.encode(&self.key_identifier))
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn name(san: &SanType) -> Result<Name, Problem> {
    match san {
        SanType::DnsName(name) => Ok(Name::Dns(name.to_string())),
        SanType::IpAddress(address) => Ok(Name::Ip(*address)),
        other => Err(Problem::new(400, "badCSR", format!("{other:?}"))),
    }
}
