//! A client that does as it is told, wrong or right: for what no good client ever sends.

use std::error::Error;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Ca;
use super::jws::Jwk;

pub(crate) struct Asker {
    base: String,
    tls: TlsConnector,
    key: Key,
    account: Option<String>,
}

pub(crate) enum Key {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Asker {
    pub(crate) fn new(ca: &Ca, key: Key) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.root().as_bytes()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let base = ca.directory().trim_end_matches("/directory").to_owned();
        Self { base, tls: TlsConnector::from(Arc::new(client)), key, account: None }
    }

    /// Opens an account, and signs by it from now on.
    pub(crate) async fn register(&mut self) {
        let answer = self.post("/new-account", &json!({ "termsOfServiceAgreed": true }).to_string()).await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        self.account = Some(answer.header("location").into());
    }

    pub(crate) async fn order(&self, more: Value, names: &[Value]) -> Answer {
        let mut order = more;
        order["identifiers"] = names.into();
        self.post("/new-order", &order.to_string()).await
    }

    pub(crate) async fn post(&self, path: &str, payload: &str) -> Answer {
        let nonce = self.nonce().await;
        self.send(path, self.sign(&nonce, &format!("{}{path}", self.base), payload)).await
    }

    pub(crate) async fn nonce(&self) -> String {
        self.ask(Request::head("/new-nonce").body(Full::default()).unwrap())
            .await
            .header("replay-nonce")
            .into()
    }

    pub(crate) fn sign(&self, nonce: &str, url: &str, payload: &str) -> Value {
        let mut header = json!({ "alg": self.key.algorithm(), "nonce": nonce, "url": url });
        match &self.account {
            Some(account) => header["kid"] = account.as_str().into(),
            None => header["jwk"] = self.key.public(),
        }
        let (protected, payload) =
            (URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(format!("{protected}.{payload}").as_bytes()));
        json!({ "protected": protected, "payload": payload, "signature": signature })
    }

    pub(crate) async fn send(&self, path: &str, signed: Value) -> Answer {
        let request = Request::post(path).header("content-type", "application/jose+json");
        self.ask(request.body(Full::from(signed.to_string())).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Full::default()).unwrap()).await
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Answer {
        self.try_to_ask(request).await.unwrap()
    }

    /// An error is a connection that ended too early, or an answer longer than the longest.
    pub(crate) async fn try_to_ask(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn Error>> {
        let authority = self.base.trim_start_matches("https://");
        request.headers_mut().insert("host", authority.parse()?);
        let stream = TcpStream::connect(authority).await?;
        let stream = self.tls.connect(ServerName::try_from("localhost")?, stream).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| error.to_string())?;
        let body = String::from_utf8(body.to_bytes().into())?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    pub(crate) fn thumbprint(&self) -> String {
        Jwk::read(&self.key.public()).unwrap().thumbprint()
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }
}

impl Key {
    pub(crate) fn p256() -> Self {
        let key =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref()).unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn public(&self) -> Value {
        match self {
            Self::P256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })
            }
            Self::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(key.public_key()) })
            }
        }
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(key) => key.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(bytes).as_ref().to_vec(),
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    /// The last part of a problem's type, or nothing.
    pub(crate) fn problem(&self) -> String {
        let kind = self.json()["type"].as_str().unwrap_or_default().to_owned();
        kind.trim_start_matches("urn:ietf:params:acme:error:").to_owned()
    }
}

const LONGEST_ANSWER: usize = 10 << 20;
