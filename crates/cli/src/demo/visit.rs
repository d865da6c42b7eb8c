//! A stranger's visit to the shop, twice: to itself, and through the gateway. The same questions, and what was seen.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;

use super::questions::{QUESTIONS, Question};

/// One question, and what came of it on either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The word of the practice that it is about.
    pub(crate) practice: &'static str,
    /// What the stranger tried or looked for.
    pub(crate) what: &'static str,
    /// Of the shop itself.
    pub(crate) naked: Sight,
    /// Through the gateway.
    pub(crate) shielded: Sight,
}

/// What a stranger saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    /// In words, for one cell of a table: short, and without control characters.
    pub(crate) said: String,
    /// Whether that is as it should be.
    pub(crate) safe: bool,
}

impl Sight {
    pub(super) fn safe(said: impl AsRef<str>) -> Self {
        Self { said: shown(said.as_ref()), safe: true }
    }

    pub(super) fn exposed(said: impl AsRef<str>) -> Self {
        Self { said: shown(said.as_ref()), safe: false }
    }
}

/// Asks all questions of the shop at `naked` over HTTP, and of the gateway at `shielded` over TLS, trusting `roots`
/// alone. A question that gets no answer is a finding too.
pub(crate) async fn compare(naked: SocketAddr, shielded: SocketAddr, roots: RootCertStore) -> Vec<Finding> {
    let (naked, shielded) = (Door::open(naked), Door::behind_tls(shielded, roots));
    let mut findings = Vec::with_capacity(QUESTIONS.len());
    for question in QUESTIONS {
        let (naked, shielded) = tokio::join!(naked.sight(&question), shielded.sight(&question));
        findings.push(Finding { practice: question.practice, what: question.what, naked, shielded });
    }
    findings
}

/// Where to knock.
struct Door {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Door {
    fn open(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    fn behind_tls(address: SocketAddr, roots: RootCertStore) -> Self {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("this provider has cipher suites for TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { address, tls: Some(TlsConnector::from(Arc::new(config))) }
    }

    async fn sight(&self, question: &Question) -> Sight {
        let answer = async {
            for _ in 1..question.times {
                self.answer((question.ask)()).await?;
            }
            self.answer((question.ask)()).await
        };
        match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => (question.judge)(&answer),
            Ok(Err(error)) => Sight::exposed(format!("no answer: {error}")),
            Err(_) => Sight::exposed("no answer in time"),
        }
    }

    /// A connection for each question: what a refusal does to a connection is no matter for the next.
    async fn answer(&self, mut request: Request<Payload>) -> Result<Answer, Failure> {
        if !request.headers().contains_key(HOST) {
            let host = HeaderValue::from_str(&format!("localhost:{}", self.address.port()))?;
            request.headers_mut().insert(HOST, host);
        }
        let stream = TcpStream::connect(self.address).await?;
        let Some(connector) = &self.tls else { return exchange(stream, request, None).await };
        let stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
        let privacy = privacy(stream.get_ref().1);
        exchange(stream, request, Some(privacy)).await
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a stranger learns by one question.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: String,
    /// Version and key exchange of TLS; nothing in the clear.
    pub(super) privacy: Option<String>,
}

impl Answer {
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

async fn exchange<S>(stream: S, request: Request<Payload>, privacy: Option<String>) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MOST_BYTES).collect().await?.to_bytes();
    connection.abort();
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Answer { status: head.status, headers: head.headers, body, privacy })
}

fn privacy(connection: &ClientConnection) -> String {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    match connection.negotiated_key_exchange_group() {
        Some(group) => format!("{version}, {:?}", group.name()),
        None => version.into(),
    }
}

/// For a terminal: what a server sends may hold control characters, and have no end.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().filter(|char| !char.is_control()).take(MOST_SHOWN).collect();
    if text.chars().nth(MOST_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// A body that is sent whole, at once or not before a while has passed: a server that refuses it by its length has
/// the time to say so before bytes are on their way that would only reset the connection.
#[derive(Debug)]
pub(super) struct Payload {
    after: Option<Pin<Box<Sleep>>>,
    text: Bytes,
}

impl Payload {
    pub(super) fn at_once(text: Bytes) -> Self {
        Self { after: None, text }
    }

    pub(super) fn after(wait: Duration, text: Bytes) -> Self {
        Self { after: Some(Box::pin(sleep(wait))), text }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Some(after) = &mut this.after {
            ready!(after.as_mut().poll(context));
            this.after = None;
        }
        let text = std::mem::take(&mut this.text);
        Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.text.len() as u64)
    }
}

/// For one question; everything is on this machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// The shop's largest page has a tenth of it.
const MOST_BYTES: usize = 64 << 10;
/// Three lines of a cell.
const MOST_SHOWN: usize = 84;

#[cfg(test)]
mod tests {
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::demo::shop;

    async fn open_shop() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(shop(listener));
        address
    }

    /// A gateway without a shield: all it does is TLS.
    async fn open_terminator(shop: SocketAddr) -> (SocketAddr, RootCertStore) {
        let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut inside = TcpStream::connect(shop).await.unwrap();
                    let mut outside = acceptor.accept(stream).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        (address, roots)
    }

    #[tokio::test]
    async fn nothing_is_safe_in_the_shop_itself() {
        let address = open_shop().await;
        // There is no gateway: its side of every finding is that it did not answer.
        let findings = compare(address, address, RootCertStore::empty()).await;
        assert_eq!(findings.len(), QUESTIONS.len());
        for Finding { practice, what, naked, shielded } in &findings {
            assert!(!naked.safe, "{practice}, {what}: {}", naked.said);
            assert!(!naked.said.starts_with("no answer"), "{practice}, {what}: {}", naked.said);
            assert!(shielded.said.starts_with("no answer"), "{practice}, {what}: {}", shielded.said);
        }
        let said: Vec<_> = findings.iter().map(|finding| finding.naked.said.as_str()).collect();
        assert_eq!(
            said,
            [
                "all in the clear",
                "200, and its links lead to evil.example",
                "200 OK",
                "200 OK",
                "200 OK",
                "200, and another guess is welcome",
                "302 to https://evil.example/",
                "HttpOnly, Secure and SameSite are missing",
                "404, and Express's own page",
                "500, and a stack trace: /srv/shop/routes/product.js:17:31",
                "x-powered-by: Express",
                "no content-security-policy",
                "no x-frame-options",
                "no x-content-type-options",
                "no referrer-policy",
            ]
        );
    }

    #[tokio::test]
    async fn tls_alone_keeps_others_from_reading_along_and_no_more() {
        let shop = open_shop().await;
        let (terminator, roots) = open_terminator(shop).await;
        for Finding { practice, what, shielded, .. } in compare(shop, terminator, roots).await {
            assert_eq!(shielded.safe, practice == "tls", "{practice}, {what}: {}", shielded.said);
            assert!(!shielded.said.starts_with("no answer"), "{practice}, {what}: {}", shielded.said);
            if practice == "tls" {
                assert_eq!(shielded.said, "TLS 1.3, X25519MLKEM768");
            }
        }
    }

    #[tokio::test]
    async fn a_refusal_before_the_body_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = Door::open(listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let refusal = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(refusal).await.unwrap();
        });
        let form = QUESTIONS.iter().find(|question| question.what.contains("MiB")).unwrap();
        let sight = door.sight(form).await;
        assert_eq!(sight, Sight::safe("413 Payload Too Large"));
    }

    #[tokio::test]
    async fn a_closed_door_is_a_finding() {
        // Taken, so that nobody else opens it meanwhile, and never listened at.
        let closed = tokio::net::TcpSocket::new_v4().unwrap();
        closed.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = closed.local_addr().unwrap();
        for finding in compare(address, address, RootCertStore::empty()).await {
            assert!(!finding.naked.safe && finding.naked.said.starts_with("no answer: "), "{finding:?}");
        }
    }

    #[test]
    fn a_terminal_is_shown_text_and_not_too_much() {
        for (text, expected) in [
            ("plain", "plain".to_owned()),
            ("\u{1b}[2Jgone\r\n\u{9b}31m", "[2Jgone31m".to_owned()),
            (&"a".repeat(84), "a".repeat(84)),
            (&"é".repeat(85), format!("{}…", "é".repeat(84))),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }
}
