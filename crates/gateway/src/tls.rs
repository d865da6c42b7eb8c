//! TLS as rustls does it with aws-lc-rs: 1.2 and 1.3, X25519MLKEM768 first, HTTP/2 and HTTP/1.1 by ALPN.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;

use crate::{Certificate, GatewayError};

/// What every handshake shares.
pub(crate) fn server(certificate: Certificate) -> Result<Arc<ServerConfig>, GatewayError> {
    let Certificate { chain, key, paths, .. } = certificate;
    let refused = |source| GatewayError::Pair { certificate: paths.0, key: paths.1, source };
    // The provider is given, not installed: two in one process would fight over the default.
    let mut config = match ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
    {
        Ok(config) => config,
        Err(source) => return Err(refused(source)),
    };
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
    match aws_lc_rs::Ticketer::new() {
        Ok(ticketer) => config.ticketer = ticketer,
        Err(source) => return Err(refused(source)),
    }
    Ok(Arc::new(config))
}

pub(crate) const HTTP_2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";
