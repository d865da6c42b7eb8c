//! A client that trusts one certificate, over HTTP/1.1 or HTTP/2, and below that, bytes over TLS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[derive(Clone)]
pub(crate) struct Client {
    config: Arc<ClientConfig>,
    address: SocketAddr,
    /// Whence it connects: Linux lets a program be any of 127.0.0.0/8.
    source: IpAddr,
    host: &'static str,
}

/// A connection that is kept, as a program that asks thousands of times keeps it.
pub(crate) enum Kept {
    Http1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

impl Kept {
    /// Whether the gateway has ended it.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Client {
    pub(crate) fn trusting(certificate: &Path, address: SocketAddr) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { config: Arc::new(config), address, source: Ipv4Addr::LOCALHOST.into(), host: "localhost" }
    }

    /// The same, from another address of this machine.
    pub(crate) fn from(&self, source: [u8; 4]) -> Self {
        Self { source: source.into(), ..self.clone() }
    }

    /// The same, asking for another site.
    pub(crate) fn of(&self, host: &'static str) -> Self {
        Self { host, ..self.clone() }
    }

    /// Asks over HTTP/1.1 and over HTTP/2: whatever is promised holds for both.
    pub(crate) async fn both(&self, request: impl Fn() -> Request<Full<Bytes>>) -> [Answer; 2] {
        [self.ask(request()).await, self.ask_http_2(request()).await]
    }

    /// One request over HTTP/1.1, on a connection of its own.
    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>) -> Answer {
        read(self.begin(request).await).await
    }

    /// The same, but the body is yet to be read.
    pub(crate) async fn begin<B>(&self, mut request: Request<B>) -> Response<Incoming>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = self.connect("http/1.1").await;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        if !request.headers().contains_key("host") {
            request.headers_mut().insert("host", self.authority().parse().unwrap());
        }
        sender.send_request(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(get(path)).await
    }

    /// One request over HTTP/2, on a connection of its own.
    pub(crate) async fn ask_http_2(&self, mut request: Request<Full<Bytes>>) -> Answer {
        let stream = self.connect("h2").await;
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let authority = match request.headers_mut().remove("host") {
            Some(host) => host.to_str().unwrap().to_owned(),
            None => self.authority(),
        };
        let uri = format!("https://{authority}{}", request.uri());
        *request.uri_mut() = uri.parse().unwrap();
        read(sender.send_request(request).await.unwrap()).await
    }

    /// A connection for many requests, one after the other.
    pub(crate) async fn keep(&self, http_2: bool) -> Kept {
        let stream = TokioIo::new(self.connect(if http_2 { "h2" } else { "http/1.1" }).await);
        if http_2 {
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
            tokio::spawn(connection);
            Kept::Http2(sender)
        } else {
            let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            Kept::Http1(sender)
        }
    }

    /// Asks on a connection that is kept.
    pub(crate) async fn ask_on(&self, kept: &mut Kept, request: Request<Full<Bytes>>) -> Answer {
        self.try_on(kept, request).await.unwrap()
    }

    /// The same. An error: it was closed before it had an answer.
    pub(crate) async fn try_on(
        &self,
        kept: &mut Kept,
        mut request: Request<Full<Bytes>>,
    ) -> hyper::Result<Answer> {
        let response = match kept {
            Kept::Http1(sender) => {
                request.headers_mut().insert("host", self.authority().parse().unwrap());
                sender.ready().await?;
                sender.send_request(request).await
            }
            Kept::Http2(sender) => {
                *request.uri_mut() =
                    format!("https://{}{}", self.authority(), request.uri()).parse().unwrap();
                sender.ready().await?;
                sender.send_request(request).await
            }
        };
        Ok(read(response?).await)
    }

    /// A TLS stream, for bytes that no HTTP client would send.
    pub(crate) async fn connect(&self, protocol: &str) -> TlsStream<TcpStream> {
        self.connect_after(&[], protocol).await.unwrap()
    }

    /// The same, with something before the first byte of TLS.
    pub(crate) async fn connect_after(
        &self,
        before: &[u8],
        protocol: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = (*self.config).clone();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((self.source, 0).into()).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(before).await?;
        let name = ServerName::try_from(self.host).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.address.port())
    }
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).unwrap()
}

/// A form, as a page of this site sends it.
pub(crate) fn form(path: &str, fields: &'static str) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(fields))
        .unwrap()
}

pub(crate) async fn read(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    Answer {
        status: head.status,
        version: head.version,
        headers: head.headers,
        trailers: body.trailers().cloned(),
        body: body.to_bytes(),
    }
}
