use std::path::PathBuf;

use serde::Deserialize;

use super::{Acme, file_path, table};

/// `[tls]`: how TLS is spoken, and the certificate of every site without one of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Tls {
    /// Which clients are served; [`Profile::Intermediate`] unless told.
    pub profile: Profile,
    /// The certificate chain in PEM, the site's own first; `None`: one for localhost, made on first use.
    #[serde(deserialize_with = "file_path::some")]
    pub cert: Option<PathBuf>,
    /// The private key in PEM. There is one exactly where there is a `cert`.
    #[serde(deserialize_with = "file_path::some")]
    pub key: Option<PathBuf>,
    /// Certificates from an authority, for the sites that have none from a file.
    #[serde(deserialize_with = "table::one")]
    pub acme: Acme,
}

/// `[site.tls]`: a site's own certificate, and which visitors it asks for theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SiteTls {
    /// The certificate chain in PEM, the site's own first; `None`: the one of `[tls]`.
    #[serde(deserialize_with = "file_path::some")]
    pub cert: Option<PathBuf>,
    /// The private key in PEM. There is one exactly where there is a `cert`.
    #[serde(deserialize_with = "file_path::some")]
    pub key: Option<PathBuf>,
    /// The authorities, in PEM, whose certificates visitors show; `None`: nobody is asked for one.
    #[serde(deserialize_with = "file_path::some")]
    pub client_ca: Option<PathBuf>,
    /// What those authorities took back, in PEM. With it, a certificate of an authority without a list is refused.
    #[serde(deserialize_with = "file_path::some")]
    pub client_crl: Option<PathBuf>,
    /// Whether a visitor can do without; [`ClientCertificate::Required`] unless told.
    pub client: ClientCertificate,
}

/// Mozilla's profiles of TLS servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Profile {
    /// TLS 1.2 and 1.3: every client of the last ten years.
    #[default]
    Intermediate,
    /// TLS 1.3 alone.
    Modern,
}

/// Whether visitors have to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClientCertificate {
    /// Who shows none is refused in the handshake.
    #[default]
    Required,
    /// Who shows none comes in, and the app sees that nothing is known of him.
    Optional,
}
