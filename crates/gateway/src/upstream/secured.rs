//! TLS to an app: whoever answers has to show a certificate for its name, by an authority that the machine trusts or the
//! configuration names. There is no way to do without.

use std::io;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::GatewayError;
use crate::config::{HostName, Scheme, Upstreams};
use crate::tls::authorities;

/// What the apps of one site are spoken to with.
#[derive(Clone)]
pub(super) struct Secured {
    http_1: TlsConnector,
    http_2: TlsConnector,
    name: Option<ServerName<'static>>,
}

impl Secured {
    /// # Errors
    /// When the authority cannot be read, the machine trusts none, or the name cannot be one of a certificate.
    pub(super) fn open(terms: &Upstreams) -> Result<Self, GatewayError> {
        let roots = terms.ca.as_deref().map_or_else(trusted, authorities)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(GatewayError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        let name = terms.server_name.as_ref().map(HostName::as_str).map(server_name).transpose()?;
        Ok(Self { http_1: speaking(b"http/1.1"), http_2: speaking(b"h2"), name })
    }

    /// Shakes hands with the app at `host`.
    pub(super) async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        host: &str,
        scheme: Scheme,
    ) -> io::Result<TlsStream<S>> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        if !scheme.is_shared() {
            return self.http_1.connect(name, stream).await;
        }
        let stream = self.http_2.connect(name, stream).await?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Ok(stream),
            _ => Err(io::Error::other("the app speaks no HTTP/2: write `https://` instead of `h2://`")),
        }
    }
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secured").field("name", &self.name).finish_non_exhaustive()
    }
}

/// # Errors
/// When no certificate could be for it: `*.shop.example`, say.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, GatewayError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(|_| GatewayError::Setting {
        message: format!("the certificate of an app is for a name or an address, but `{host}` is neither"),
        hint: "write the name in the app's certificate as `upstreams.server_name`".to_owned(),
    })
}

fn trusted() -> Result<RootCertStore, GatewayError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(GatewayError::Setting {
            message: "this machine trusts no authority, so that no app can be reached over TLS".to_owned(),
            hint: "install the package ca-certificates, or name a file as `upstreams.ca`".to_owned(),
        });
    }
    Ok(roots)
}
