//! A visitor who minds the handshake: whose certificate he is shown, what he shows himself, whether he resumes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::authority::{Authority, Issued};

#[derive(Clone)]
pub(crate) struct Visitor {
    config: ClientConfig,
    address: SocketAddr,
    source: IpAddr,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) status: u16,
    pub(crate) shown: CertificateDer<'static>,
    pub(crate) resumed: bool,
}

impl Visitor {
    /// `identity`: what he shows when he is asked.
    pub(crate) fn new(address: SocketAddr, trusted: &Authority, identity: Option<&Issued>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(Issued { chain, key }) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        Self { config, address, source: Ipv4Addr::LOCALHOST.into() }
    }

    /// The same, who shakes hands anew every time.
    pub(crate) fn forgetful(&self) -> Self {
        let mut config = self.config.clone();
        config.resumption = rustls::client::Resumption::disabled();
        Self { config, ..self.clone() }
    }

    /// The same, who also names no site in the handshake.
    pub(crate) fn nameless(&self) -> Self {
        let mut nameless = self.forgetful();
        nameless.config.enable_sni = false;
        nameless
    }

    /// The same, from another address of this machine.
    pub(crate) fn from(&self, source: [u8; 4]) -> Self {
        Self { source: source.into(), ..self.clone() }
    }

    /// The same, at another machine.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// Shakes hands in the name of `name`, and asks `host` over HTTP/1.1.
    pub(crate) async fn ask(&self, name: &str, host: &str, headers: &str) -> io::Result<Met> {
        let mut stream = self.shake(name, "http/1.1").await?;
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // What a server sends before it closes hard is read nevertheless.
        let ended = stream.read_to_end(&mut answer).await;
        let status =
            String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok());
        match (status, ended) {
            (Some(status), _) => Ok(met(&stream, status)),
            (None, Err(error)) => Err(error),
            (None, Ok(_)) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The same over HTTP/2, several hosts on one connection, as browsers do whose certificate is for all of them.
    pub(crate) async fn ask_http_2(&self, name: &str, hosts: &[&str]) -> io::Result<Vec<u16>> {
        let stream = TokioIo::new(self.shake(name, "h2").await?);
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(connection);
        let mut statuses = Vec::new();
        for host in hosts {
            let request = Request::get(format!("https://{host}/")).body(Full::<Bytes>::default()).unwrap();
            statuses.push(sender.send_request(request).await.map_err(io::Error::other)?.status().as_u16());
        }
        Ok(statuses)
    }

    /// A handshake by somebody who speaks nothing but `protocol`.
    pub(crate) async fn shake(&self, name: &str, protocol: &str) -> io::Result<TlsStream<TcpStream>> {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.source, 0).into())?;
        let stream = socket.connect(self.address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

fn met(stream: &TlsStream<TcpStream>, status: u16) -> Met {
    let session = stream.get_ref().1;
    Met {
        status,
        shown: session.peer_certificates().and_then(<[_]>::first).unwrap().clone().into_owned(),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
    }
}

impl Issued {
    /// The certificate that a visitor should be shown.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }
}
