use std::path::PathBuf;
use std::time::SystemTime;

use rustls_pki_types::pem;
use time::OffsetDateTime;
use time::macros::format_description;

/// What is wrong with a file of a certificate or of a key. It follows the file's name in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// There is nothing in it.
    Empty,
    /// It is larger than any chain or key.
    TooLarge,
    /// It holds more certificates than any chain has.
    TooMany,
    /// The binary form of a certificate.
    Der,
    /// The binary form of a private key.
    DerKey,
    /// A PKCS #12 bundle.
    Pkcs12,
    /// PEM was expected, and this is something else.
    NotPem {
        /// `certificate` or `private key`.
        expected: &'static str,
    },
    /// PEM, but of another kind.
    OtherKind {
        /// What it is.
        found: &'static str,
        /// `certificate` or `private key`.
        expected: &'static str,
    },
    /// A key that takes a password.
    Encrypted,
    /// A key of a kind that TLS does not use.
    UnknownKey,
    /// A certificate that cannot be read.
    Damaged,
    /// Certificates that issue nothing in the chain.
    Stray,
    /// The key is of another certificate.
    OtherKey {
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// It has ended.
    Expired {
        /// When.
        at: SystemTime,
    },
    /// The list of revoked certificates has ended.
    ListEnded {
        /// When the next one was to be there.
        at: SystemTime,
    },
    /// It has not begun.
    NotYetValid {
        /// When it will.
        from: SystemTime,
    },
    /// It is for other names than the site's.
    OtherNames {
        /// A name of the site that it is not for.
        host: String,
        /// What it is for.
        names: String,
    },
    /// Others can read the key.
    Readable {
        /// Its permissions.
        mode: u32,
    },
}

impl Fault {
    /// The mend, in one line. `file`: as it is written in a command.
    pub(crate) fn hint(&self, file: &str) -> String {
        match self {
            Self::Empty => "write it anew; whoever renews it may have been cut short".to_owned(),
            Self::TooLarge | Self::TooMany => "check that the path is right".to_owned(),
            Self::Der => format!("convert it: `openssl x509 -inform der -in {file} -out chain.pem`"),
            Self::DerKey => format!("convert it: `openssl pkey -inform der -in {file} -out key.pem`"),
            Self::Pkcs12 => format!("unpack it: `openssl pkcs12 -in {file} -nodes -out both.pem`"),
            Self::NotPem { expected } | Self::OtherKind { expected, .. } => match *expected {
                CERTIFICATE => {
                    "give the chain that the authority sent, beginning `-----BEGIN CERTIFICATE-----`"
                        .to_owned()
                }
                KEY => "give an unencrypted key, beginning `-----BEGIN PRIVATE KEY-----`".to_owned(),
                _ => "give what the authority publishes, beginning `-----BEGIN X509 CRL-----`".to_owned(),
            },
            Self::Encrypted => {
                format!(
                    "take the password off: `openssl pkey -in {file} -out key.pem`, then `chmod 600 key.pem`"
                )
            }
            Self::UnknownKey => {
                "use a key of ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more".to_owned()
            }
            Self::Damaged => "take the file from the authority once more".to_owned(),
            Self::Stray => {
                "leave only the site's own certificate and, below it, each one's issuer".to_owned()
            }
            Self::OtherKey { .. } => {
                "give the key that the certificate was asked for with; a renewal may have made a new one"
                    .to_owned()
            }
            Self::Expired { .. } => "renew it; if it is new, check this machine's clock".to_owned(),
            Self::ListEnded { .. } => {
                "fetch the authority's newest list, and each one after it before the old one ends".to_owned()
            }
            Self::NotYetValid { .. } => "wait, or check this machine's clock".to_owned(),
            Self::OtherNames { host, .. } => {
                format!(
                    "ask the authority for one with `{host}` in it, or take `{host}` out of the site's hosts"
                )
            }
            Self::Readable { .. } => format!("run `chmod 600 {file}`"),
        }
    }

    /// What a PEM section is, where a certificate, a key or a list of revoked certificates was expected.
    pub(super) fn other_kind(kind: pem::SectionKind, expected: &'static str) -> Self {
        let found = match kind {
            pem::SectionKind::Certificate => "a certificate",
            pem::SectionKind::PublicKey => "a public key",
            pem::SectionKind::RsaPrivateKey
            | pem::SectionKind::PrivateKey
            | pem::SectionKind::EcPrivateKey => "a private key",
            pem::SectionKind::Crl => "a list of revoked certificates",
            pem::SectionKind::Csr => "a request for a certificate",
            _ => "something else",
        };
        Self::OtherKind { found, expected }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLarge => f.write_str("is larger than 1 MiB, which no chain and no key is"),
            Self::TooMany => f.write_str("holds more than 16 certificates, which no chain does"),
            Self::Der => f.write_str("holds a certificate in binary (DER), but PEM was expected"),
            Self::DerKey => f.write_str("holds a private key in binary (DER), but PEM was expected"),
            Self::Pkcs12 => f.write_str("is a PKCS #12 bundle, but PEM was expected"),
            Self::NotPem { expected } => write!(f, "holds no {expected} in PEM form"),
            Self::OtherKind { found, expected } => write!(f, "holds {found}, but a {expected} was expected"),
            Self::Encrypted => {
                f.write_str("holds a private key with a password, which nobody is there to type in")
            }
            Self::UnknownKey => f.write_str("holds a private key of a kind that TLS does not take"),
            Self::Damaged => f.write_str("holds a certificate that cannot be read"),
            Self::Stray => f.write_str("holds certificates that do not make one chain"),
            Self::OtherKey { certificate } => {
                write!(f, "holds the key of another certificate than `{}`", certificate.display())
            }
            Self::Expired { at } => write!(f, "holds a certificate that ended at {}", Day(*at)),
            Self::ListEnded { at } => {
                write!(f, "holds a list of revoked certificates that ended at {}", Day(*at))
            }
            Self::NotYetValid { from } => {
                write!(f, "holds a certificate that is valid only from {}", Day(*from))
            }
            Self::OtherNames { host, names } => {
                write!(f, "holds a certificate for {names}, but the site is `{host}`")
            }
            Self::Readable { mode } => write!(f, "holds a private key that others can read (mode {mode:o})"),
        }
    }
}

pub(super) const CERTIFICATE: &str = "certificate";
pub(super) const KEY: &str = "private key";

/// A moment as people write it.
struct Day(SystemTime);

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
        // A String is always writable, and a date of four digits formattable.
        f.write_str(&OffsetDateTime::from(self.0).format(format).unwrap_or_default())
    }
}
