//! Where the authority comes to look: a port for each challenge, with what `Answers` says behind it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use panoply_gateway::acme::Answers;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs as provider;
use rustls::server::Acceptor;
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;

/// Stays where it is when the gateway behind it starts anew.
pub(super) struct Door {
    answers: Arc<Mutex<Option<Answers>>>,
    /// Of http-01 and of tls-alpn-01.
    pub(super) ports: (u16, u16),
    /// Ends its tasks with it.
    _tasks: JoinSet<()>,
}

impl Door {
    pub(super) async fn open(address: IpAddr) -> Self {
        let answers = Arc::new(Mutex::new(None));
        let (http, tls) =
            (TcpListener::bind((address, 0)).await.unwrap(), TcpListener::bind((address, 0)).await.unwrap());
        let ports = (http.local_addr().unwrap().port(), tls.local_addr().unwrap().port());
        let mut tasks = JoinSet::new();
        let behind = answers.clone();
        tasks.spawn(async move {
            while let Ok((stream, _)) = http.accept().await {
                let _ = page(stream, &behind).await;
            }
        });
        let behind = answers.clone();
        tasks.spawn(async move {
            while let Ok((stream, _)) = tls.accept().await {
                let _ = handshake(stream, &behind).await;
            }
        });
        Self { answers, ports, _tasks: tasks }
    }

    pub(super) fn put(&self, answers: Option<Answers>) {
        *self.answers.lock().unwrap() = answers;
    }
}

type Behind = Arc<Mutex<Option<Answers>>>;

fn answers(behind: &Behind) -> Option<Answers> {
    behind.lock().unwrap().clone()
}

async fn page(mut stream: TcpStream, behind: &Behind) -> Option<()> {
    let mut head = vec![0; 4_096];
    let read = stream.read(&mut head).await.ok()?;
    let head = String::from_utf8_lossy(&head[..read]).into_owned();
    let token = head.strip_prefix("GET /.well-known/acme-challenge/")?.split(' ').next()?;
    let host = head.lines().find_map(|line| line.strip_prefix("Host: "))?;
    let answer = match answers(behind)?.http(host, token).await {
        Some(text) => format!("HTTP/1.1 200 OK\r\n\r\n{text}"),
        None => "HTTP/1.1 404 Not Found\r\n\r\n".into(),
    };
    stream.write_all(answer.as_bytes()).await.ok()
}

async fn handshake(stream: TcpStream, behind: &Behind) -> Option<()> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
    let name = hello.client_hello().server_name()?.to_owned();
    let shown = answers(behind)?.tls_alpn(&name).await?;
    let mut server = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    server.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    hello.into_stream(Arc::new(server)).await.ok().map(drop)
}
