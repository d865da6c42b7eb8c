//! Asks the authority over HTTPS: one connection for each question, a bounded answer, a bounded time.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{HOST, HeaderValue, RETRY_AFTER};
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Pace;
use crate::GatewayError;

/// A clone shares what was seen last.
#[derive(Clone)]
pub(super) struct Client {
    tls: Arc<ClientConfig>,
    deadline: Duration,
    last: Arc<Last>,
    trusts_nobody: bool,
}

/// What the last answer said beside its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// `None`: there was no answer.
    pub(super) status: Option<u16>,
    /// The seconds of patience that it asked for.
    pub(super) wait: Option<u64>,
}

#[derive(Default)]
struct Last {
    seen: Mutex<Seen>,
    /// In seconds since 1970: a date in an answer is a time from here.
    now: AtomicU64,
}

impl Client {
    /// Trusts the authority's certificate if `ca`, in PEM, signed it; without one, if somebody did whom the machine
    /// trusts.
    pub(super) fn new(ca: Option<&[u8]>, pace: &Pace) -> Result<Self, GatewayError> {
        let roots = match ca {
            Some(pem) => given(pem)?,
            None => trusted(),
        };
        let trusts_nobody = roots.is_empty();
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| setting(error.to_string(), "report this: it is a fault of panoply"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls), deadline: pace.request, last: Arc::default(), trusts_nobody })
    }

    /// Why nobody can be asked, if so.
    pub(super) fn trusts_nobody(&self) -> Option<GatewayError> {
        self.trusts_nobody.then(|| {
            setting(
                "this machine trusts no authority, so that none can be asked for a certificate".to_owned(),
                "install the package ca-certificates, or name a file in SSL_CERT_FILE, and start again",
            )
        })
    }

    /// Tells what time it is for the questions that follow.
    pub(super) fn at(&self, now: u64) {
        self.last.now.store(now, Relaxed);
    }

    pub(super) fn seen(&self) -> Seen {
        *self.last.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, seen: Seen) {
        *self.last.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Bytes>, Fault> {
        let (request, place) = towards(request)?;
        let stream = TcpStream::connect((place.host(), place.port)).await?;
        let stream = TlsConnector::from(self.tls).connect(place.name, stream).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(MOST_HEADERS)
            .handshake::<_, BodyWrapper<Bytes>>(TokioIo::new(stream))
            .await?;
        let exchange = async {
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await?.to_bytes();
            Ok::<_, Fault>(Response::from_parts(parts, body))
        };
        tokio::select! {
            answer = exchange => answer,
            // It is over before there was an answer: the exchange says why, if anybody does.
            ended = connection => Err(ended.err().map_or_else(|| "the connection was closed".into(), Fault::from)),
        }
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            this.saw(Seen::default());
            let deadline = this.deadline;
            let answer = tokio::time::timeout(deadline, this.clone().ask(request)).await;
            let late = |_| format!("no whole answer came within {} s", deadline.as_secs_f32());
            let mut answer =
                answer.map_err(|error| Error::Other(late(error).into()))?.map_err(Error::Other)?;
            let now = this.last.now.load(Relaxed);
            let wait = answer.headers().get(RETRY_AFTER).and_then(|value| patience(value, now));
            this.saw(Seen { status: Some(answer.status().as_u16()), wait });
            // instant-acme adds it to the time as it stands, and no clock shows what may come of that.
            match wait {
                Some(wait) => drop(answer.headers_mut().insert(RETRY_AFTER, wait.min(LONGEST_WAIT).into())),
                None => drop(answer.headers_mut().remove(RETRY_AFTER)),
            }
            let (parts, body) = answer.into_parts();
            Ok(BytesResponse { parts, body: Box::new(body) })
        })
    }
}

type Fault = Box<dyn StdError + Send + Sync>;

/// Where a question goes.
struct Place {
    name: ServerName<'static>,
    port: u16,
}

impl Place {
    fn host(&self) -> String {
        self.name.to_str().into_owned()
    }
}

/// The request as it is written on a connection to that place. Nothing is asked in the clear, whatever the authority
/// names.
fn towards(mut request: Request<BodyWrapper<Bytes>>) -> Result<(Request<BodyWrapper<Bytes>>, Place), Fault> {
    let uri = request.uri().clone();
    if uri.scheme() != Some(&Scheme::HTTPS) {
        return Err("the authority named an address that is not https".into());
    }
    let authority = uri.authority().ok_or("the authority named an address without a host")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host)?;
    let port = authority.port_u16().unwrap_or(443);
    let host = match authority.port_u16() {
        Some(port) if port != 443 => format!("{}:{port}", authority.host()),
        _ => authority.host().to_owned(),
    };
    request.headers_mut().insert(HOST, HeaderValue::try_from(host)?);
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    Ok((request, Place { name, port }))
}

/// The seconds that `Retry-After` asks for from `now` on (RFC 9110 §10.2.3).
fn patience(value: &HeaderValue, now: u64) -> Option<u64> {
    let value = value.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(seconds);
    }
    let at: SystemTime = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(UNIX_EPOCH).ok()?.as_secs().saturating_sub(now))
}

fn given(pem: &[u8]) -> Result<RootCertStore, GatewayError> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(pem).take(MOST_ROOTS) {
        let added = root.ok().map(|root| roots.add(root).is_ok());
        if added != Some(true) {
            return Err(setting("`ca` in [tls.acme] holds what is no certificate".to_owned(), IN_PEM));
        }
    }
    if roots.is_empty() {
        return Err(setting("`ca` in [tls.acme] holds no certificate".to_owned(), IN_PEM));
    }
    Ok(roots)
}

fn trusted() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn setting(message: String, hint: &str) -> GatewayError {
    GatewayError::Setting { message, hint: hint.to_owned() }
}

const IN_PEM: &str = "give the root of the private authority as PEM, with its BEGIN and END lines";

/// A chain of five certificates has 10 KiB.
const LONGEST_ANSWER: usize = 64 * 1024;
/// In seconds: nobody is waited for longer than a week.
const LONGEST_WAIT: u64 = 7 * 24 * 60 * 60;
const MOST_HEADERS: usize = 64;
const MOST_ROOTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_asked_for_in_seconds_or_until_a_date() {
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Fri, 15 Jan 2027 08:00:30 GMT", Some(30)),
            ("Fri, 15 Jan 2021 08:00:30 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(patience(&HeaderValue::from_static(value), 1_800_000_000), seconds, "{value:?}");
        }
    }

    #[test]
    fn nothing_is_asked_in_the_clear_or_of_nobody() {
        for (uri, found) in [
            ("https://ca.example/dir?x=1", Some(("ca.example", "ca.example", 443, "/dir?x=1"))),
            ("https://ca.example:14000", Some(("ca.example:14000", "ca.example", 14_000, "/"))),
            ("https://[::1]:1/a", Some(("[::1]:1", "::1", 1, "/a"))),
            ("http://ca.example/dir", None),
            ("/dir", None),
        ] {
            let request = Request::builder().uri(uri).body(BodyWrapper::default()).unwrap();
            let towards = towards(request).ok();
            let host = |request: &Request<_>| request.headers()[HOST].to_str().unwrap().to_owned();
            let towards = towards.map(|(request, place)| {
                (host(&request), place.host(), place.port, request.uri().to_string())
            });
            let found = found.map(|(host, name, port, path)| (host.into(), name.into(), port, path.into()));
            assert_eq!(towards, found, "{uri}");
        }
    }
}
