//! What a visitor's certificate says of him, as the app is told.

use std::fmt::Write;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use super::certificate::time;

/// A visitor whose certificate was verified.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    /// `Client-Cert`: the certificate as a byte sequence (RFC 9440 §2.2).
    pub(crate) certificate: HeaderValue,
    /// `X-Client-Cert-Subject`: whose it is (RFC 4514), in ASCII.
    pub(crate) subject: HeaderValue,
    not_after: SystemTime,
}

impl Verified {
    pub(crate) fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let value = |text: String| HeaderValue::from_str(&text).ok();
        Some(Self {
            certificate: value(format!(":{}:", STANDARD.encode(der)))?,
            subject: value(distinguished(certificate.subject()))?,
            not_after: time(certificate.validity().not_after.timestamp()),
        })
    }

    /// Whether the certificate has ended: a resumed handshake does not ask.
    pub(crate) fn has_ended(&self, now: SystemTime) -> bool {
        now > self.not_after
    }
}

/// A name as RFC 4514 writes it: the last part first, and in values nothing that could be taken for another part.
fn distinguished(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut text = String::new();
    for (index, part) in parts.into_iter().rev().enumerate() {
        if index > 0 {
            text.push(',');
        }
        for (index, attribute) in part.iter().enumerate() {
            if index > 0 {
                text.push('+');
            }
            push(&mut text, attribute);
        }
    }
    text
}

fn push(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let known = oid2abbrev(attribute.attr_type(), oid_registry()).ok();
    match (known, attribute.as_str()) {
        (Some(kind), Ok(value)) => {
            text.push_str(kind);
            text.push('=');
            escape(text, value);
        }
        // RFC 4514 §2.4: what has no text is written as its bytes.
        _ => {
            let _ = write!(text, "{}=#", attribute.attr_type());
            for byte in attribute.attr_value().data {
                let _ = write!(text, "{byte:02x}");
            }
        }
    }
}

/// RFC 4514 §2.4, and beyond ASCII in its hexadecimal form, which every header can hold.
fn escape(text: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (index, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'=' | b'>' | b'\\' => {
                let _ = write!(text, "\\{}", char::from(byte));
            }
            b'#' | b' ' if index == 0 => {
                let _ = write!(text, "\\{}", char::from(byte));
            }
            b' ' if index == last => text.push_str("\\ "),
            0x20..0x7f => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn subject(parts: &[(DnType, &str)]) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Verified::of(certificate.der()).unwrap().subject.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_subject_cannot_pretend_to_be_another() {
        for (parts, text) in [
            (&[(DnType::OrganizationName, "Shop"), (DnType::CommonName, "ann")][..], "CN=ann,O=Shop"),
            (&[(DnType::OrganizationName, "x,CN=root")], "O=x\\,CN\\=root"),
            (&[(DnType::CommonName, " #a+b;\"c\" ")], "CN=\\ #a\\+b\\;\\\"c\\\"\\ "),
            (&[(DnType::CommonName, "#1")], "CN=\\#1"),
            (&[(DnType::CommonName, "Zoë\r\nx: y")], "CN=Zo\\c3\\ab\\0d\\0ax: y"),
            (&[], ""),
        ] {
            assert_eq!(subject(parts), text, "{parts:?}");
        }
    }

    #[test]
    fn a_certificate_ends_also_for_who_resumes() {
        let mut params = CertificateParams::default();
        params.not_after = (SystemTime::UNIX_EPOCH + Duration::from_secs(1000)).into();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let verified = Verified::of(certificate.der()).unwrap();
        for (now, ended) in [(0, false), (1000, false), (1001, true)] {
            assert_eq!(verified.has_ended(SystemTime::UNIX_EPOCH + Duration::from_secs(now)), ended, "{now}");
        }
        let header = verified.certificate.to_str().unwrap();
        assert!(header.starts_with(":MII") || header.starts_with(":MIH"), "{header}");
        assert!(Verified::of(b"none").is_none());
    }
}
