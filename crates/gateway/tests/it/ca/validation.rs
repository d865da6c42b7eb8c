//! Looks whether who asks for a name holds it, by connecting there as a CA does, save that every name is this machine.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::parse_x509_certificate;

use super::order::Name;
use super::problem::Problem;

/// What is to be looked at, and where.
#[derive(Clone, Debug)]
pub(crate) struct Validation {
    pub(crate) authorization: usize,
    pub(crate) which: usize,
    pub(crate) kind: String,
    pub(crate) name: Name,
    pub(crate) token: String,
    pub(crate) key_authorization: String,
    /// Where http-01 and tls-alpn-01 are answered.
    pub(crate) ports: (u16, u16),
}

impl Validation {
    pub(crate) async fn look(&self) -> Result<(), Problem> {
        let found = async {
            match self.kind.as_str() {
                "http-01" => self.http_01().await,
                "tls-alpn-01" => self.tls_alpn_01().await,
                other => Err(Problem::malformed(format!("{other} is offered and never done"))),
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|elapsed| Err(unreachable(elapsed)))
    }

    /// RFC 8555 §8.3.
    async fn http_01(&self) -> Result<(), Problem> {
        let mut stream = TcpStream::connect((self.address(), self.ports.0)).await.map_err(unreachable)?;
        let (host, token) = (host(&self.name), &self.token);
        let request = format!(
            "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.map_err(unreachable)?;
        let mut answer = String::new();
        stream.take(LONGEST_ANSWER).read_to_string(&mut answer).await.map_err(unreachable)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(Problem::unauthorized(format!("the answer was {head}")));
        }
        match body.trim_end() == self.key_authorization {
            true => Ok(()),
            false => Err(incorrect(format!("the body was `{body}`"))),
        }
    }

    /// RFC 8737 §3, and for addresses RFC 8738 §6.
    async fn tls_alpn_01(&self) -> Result<(), Problem> {
        let stream = TcpStream::connect((self.address(), self.ports.1)).await.map_err(unreachable)?;
        let name = ServerName::try_from(server_name(&self.name)).expect("checked when it was ordered");
        let mut client = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("its own version")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything(provider::default_provider())))
            .with_no_client_auth();
        client.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.map_err(unreachable)?;
        let connection = stream.get_ref().1;
        if connection.alpn_protocol() != Some(b"acme-tls/1") {
            return Err(Problem::unauthorized("`acme-tls/1` was not chosen"));
        }
        let shown = connection.peer_certificates().and_then(<[_]>::first).expect("a handshake has one");
        self.judge(shown)
    }

    /// One name, the one asked for, and the digest, critically.
    fn judge(&self, shown: &CertificateDer<'_>) -> Result<(), Problem> {
        let (_, certificate) = parse_x509_certificate(shown).map_err(|error| incorrect(error.to_string()))?;
        let named = certificate.iter_extensions().any(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                names.general_names.len() == 1 && is(&names.general_names[0], &self.name)
            }
            _ => false,
        });
        let wanted = [&[4, 32], digest(&SHA256, self.key_authorization.as_bytes()).as_ref()].concat();
        let shows = certificate.iter_extensions().any(|extension| {
            extension.oid.to_id_string() == ACME_IDENTIFIER && extension.critical && extension.value == wanted
        });
        match (named, shows) {
            (true, true) => Ok(()),
            _ => Err(incorrect(format!("of the name: {named}, of the digest: {shows}"))),
        }
    }

    fn address(&self) -> IpAddr {
        match self.name {
            Name::Ip(address) => address,
            Name::Dns(_) => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

fn is(shown: &GeneralName<'_>, name: &Name) -> bool {
    match (shown, name) {
        (GeneralName::DNSName(shown), Name::Dns(name)) => shown == name,
        (GeneralName::IPAddress(shown), Name::Ip(IpAddr::V4(address))) => *shown == address.octets(),
        (GeneralName::IPAddress(shown), Name::Ip(IpAddr::V6(address))) => *shown == address.octets(),
        _ => false,
    }
}

fn host(name: &Name) -> String {
    match name {
        Name::Ip(IpAddr::V6(address)) => format!("[{address}]"),
        other => other.to_string(),
    }
}

fn server_name(name: &Name) -> String {
    match name {
        Name::Dns(name) => name.clone(),
        Name::Ip(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Name::Ip(IpAddr::V6(address)) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

fn unreachable(error: impl Display) -> Problem {
    Problem::new(400, "connection", error.to_string())
}

fn incorrect(why: String) -> Problem {
    Problem::new(403, "incorrectResponse", why)
}

/// What is shown is judged after the handshake: a certificate for a challenge is nobody's.
#[derive(Debug)]
struct Anything(CryptoProvider);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 was offered".into()))
    }

    /// By the key alone: webpki takes no certificate with a critical extension that it does not know.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let (_, parsed) = parse_x509_certificate(certificate)
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        verify_tls13_signature_with_raw_key(
            message,
            &key,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_ANSWER: u64 = 65_536;
