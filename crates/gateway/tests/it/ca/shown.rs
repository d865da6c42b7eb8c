//! What convinces the CA that a name is held, and what does not.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::order::Name;
use super::validation::Validation;

#[tokio::test]
async fn by_tls_alpn_01_one_name_and_its_digest_convince_and_nothing_less() {
    let name = Name::Dns("shop.example".into());
    for (what, names, token, critical, alpn, convinces) in [
        ("the right one", vec!["shop.example"], "token", true, "acme-tls/1", true),
        ("for another name", vec!["bank.example"], "token", true, "acme-tls/1", false),
        ("for two names", vec!["shop.example", "bank.example"], "token", true, "acme-tls/1", false),
        ("for no name", vec![], "token", true, "acme-tls/1", false),
        ("of another token", vec!["shop.example"], "another", true, "acme-tls/1", false),
        ("not critical", vec!["shop.example"], "token", false, "acme-tls/1", false),
        ("by another protocol", vec!["shop.example"], "token", true, "http/1.1", false),
    ] {
        let shown = shown(&names, token, critical, alpn);
        let (port, _) = listen(shown, "127.0.0.1:0").await;
        let found = looking_for(&name, "tls-alpn-01", port).look().await;
        assert_eq!(found.is_ok(), convinces, "{what}: {found:?}");
    }
}

#[tokio::test]
async fn an_address_is_looked_up_there_by_its_name_backwards() {
    let six = format!("1.{}ip6.arpa", "0.".repeat(31));
    for (address, asked) in [("127.0.0.1", "1.0.0.127.in-addr.arpa"), ("::1", &six)] {
        let shown = shown(&[address], "token", true, "acme-tls/1");
        let (port, asked_for) = listen(shown, if address == "::1" { "[::1]:0" } else { "127.0.0.1:0" }).await;
        let name = Name::Ip(address.parse().unwrap());
        looking_for(&name, "tls-alpn-01", port).look().await.expect(address);
        assert_eq!(asked_for.await.unwrap().as_deref(), Some(asked), "RFC 8738 §6");
    }
}

#[tokio::test]
async fn by_http_01_the_right_text_convinces_and_nothing_else() {
    for (answer, convinces) in [
        ("HTTP/1.1 200 OK\r\n\r\ntoken.thumbprint", true),
        ("HTTP/1.1 200 OK\r\n\r\ntoken.thumbprint\n", true),
        ("HTTP/1.1 200 OK\r\n\r\ntoken", false),
        ("HTTP/1.1 200 OK\r\n\r\n", false),
        ("HTTP/1.1 404 Not Found\r\n\r\ntoken.thumbprint", false),
        ("HTTP/1.1 302 Found\r\nlocation: /\r\n\r\ntoken.thumbprint", false),
        ("", false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1_024];
            let read = stream.read(&mut head).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&head[..read]).into_owned()
        });
        let found = looking_for(&Name::Dns("shop.example".into()), "http-01", port).look().await;
        assert_eq!(found.is_ok(), convinces, "{answer:?}: {found:?}");
        let heard = heard.await.unwrap();
        assert!(heard.starts_with("GET /.well-known/acme-challenge/token HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains("\r\nHost: shop.example\r\n"), "{heard}");
    }
}

fn looking_for(name: &Name, kind: &str, port: u16) -> Validation {
    Validation {
        authorization: 0,
        which: 0,
        kind: kind.into(),
        name: name.clone(),
        token: "token".into(),
        key_authorization: "token.thumbprint".into(),
        ports: (port, port),
    }
}

/// A certificate for a challenge, which may be wrong.
fn shown(names: &[&str], token: &str, critical: bool, alpn: &str) -> TlsAcceptor {
    let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let wanted = digest(&SHA256, format!("{token}.thumbprint").as_bytes());
    let mut extension = CustomExtension::new_acme_identifier(wanted.as_ref());
    extension.set_criticality(critical);
    params.custom_extensions = vec![extension];
    let key = KeyPair::generate().unwrap();
    let chain = vec![params.self_signed(&key).unwrap().der().clone()];
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = provider::sign::any_supported_type(&key).unwrap();
    // Not `with_single_cert`: webpki takes no certificate with a critical extension that it does not know.
    let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let mut server = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    server.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    TlsAcceptor::from(Arc::new(server))
}

/// Its port, and the name that it was asked for.
async fn listen(tls: TlsAcceptor, address: &str) -> (u16, JoinHandle<Option<String>>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        tls.accept(stream).await.ok()?.get_ref().1.server_name().map(str::to_owned)
    });
    (port, asked)
}
