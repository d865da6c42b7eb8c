//! Files of PEM text, and what is found in their place.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::fault::{CERTIFICATE, Fault, KEY};
use crate::GatewayError;

/// Reads a file, but no more of it than a chain or a key has.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, GatewayError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let limit = LARGEST as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|source| GatewayError::File { verb: "read", path: path.to_owned(), source })?;
    match bytes.len() {
        0 => Err(GatewayError::certificate(path, Fault::Empty)),
        size if size > LARGEST => Err(GatewayError::certificate(path, Fault::TooLarge)),
        _ => Ok(bytes),
    }
}

/// The certificates of a chain, as they stand in the text.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text)
        .take(MOST_CERTIFICATES + 1)
        .collect::<Result<_, _>>()
        .map_err(|_| Fault::NotPem { expected: CERTIFICATE })?;
    match found.len() {
        0 => Err(instead(text, CERTIFICATE)),
        count if count > MOST_CERTIFICATES => Err(Fault::TooMany),
        _ => Ok(found),
    }
}

/// The private key in the text.
pub(super) fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    if is_encrypted(text) {
        return Err(Fault::Encrypted);
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|_| instead(text, KEY))
}

/// The lists of revoked certificates in the text.
pub(super) fn revocations(text: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, Fault> {
    let found: Vec<_> = CertificateRevocationListDer::pem_slice_iter(text)
        .take(MOST_CERTIFICATES)
        .collect::<Result<_, _>>()
        .map_err(|_| Fault::NotPem { expected: REVOCATIONS })?;
    if found.is_empty() { Err(instead(text, REVOCATIONS)) } else { Ok(found) }
}

/// What the text is in place of what was expected.
fn instead(text: &[u8], expected: &'static str) -> Fault {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Fault::Empty;
    }
    match der(text) {
        Some(fault) => return fault,
        None if expected == KEY && is_encrypted(text) => return Fault::Encrypted,
        None => {}
    }
    match <(SectionKind, Vec<u8>)>::pem_slice_iter(text).next() {
        Some(Ok((kind, _))) => Fault::other_kind(kind, expected),
        _ => Fault::NotPem { expected },
    }
}

/// Which of the binary forms it is: all begin as a sequence (X.690 §8.9) of two length bytes, and differ in what
/// follows. A certificate begins with a sequence, a key with a version below 3, a bundle with version 3.
fn der(text: &[u8]) -> Option<Fault> {
    let (first, second) = match text {
        [0x30, 0x82, _, _, first, _, second, ..] => (*first, *second),
        [0x30, 0x81, _, first, _, second, ..] => (*first, *second),
        [0x30, 0..=0x7f, first, _, second, ..] => (*first, *second),
        _ => return None,
    };
    match (first, second) {
        (0x30, _) => Some(Fault::Der),
        (0x02, 3) => Some(Fault::Pkcs12),
        (0x02, _) => Some(Fault::DerKey),
        _ => None,
    }
}

/// The two ways to say that a key has a password: PKCS #8's own section (RFC 7468 §11), and a header of old
/// (RFC 1421 §4.6.1.1).
fn is_encrypted(text: &[u8]) -> bool {
    let has = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
    has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED")
}

const REVOCATIONS: &str = "list of revoked certificates";
const LARGEST: usize = 1024 * 1024;
/// Public chains have two to four.
const MOST_CERTIFICATES: usize = 16;
