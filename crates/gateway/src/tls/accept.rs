//! A handshake, from the visitor's first bytes to an open stream.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::Tls;
use super::certificates::Certificates;
use super::terms::HTTP_2;
use super::visitor::Verified;
use crate::route::Routes;

/// A visitor whose handshake is done.
pub(crate) struct Accepted {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) http_2: bool,
    /// Whether browsers can trust what was shown.
    pub(crate) trusted_certificate: bool,
    pub(crate) called: Called,
    /// Who the visitor is, where the site asks.
    pub(crate) verified: Option<Verified>,
}

/// Which site's terms a handshake was done on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// The visitor named it.
    ByName(usize),
    /// He named none, as probes of load balancers do, and met the first.
    Nameless,
}

impl Called {
    pub(crate) const fn site(self) -> usize {
        match self {
            Self::ByName(site) => site,
            Self::Nameless => 0,
        }
    }
}

impl Tls {
    /// Reads the visitor's hello, chooses the terms by what it names, and does the handshake. The caller bounds the
    /// time for all of it. The error is of the kind `InvalidData` wherever the visitor is to blame.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        routes: &Routes,
    ) -> io::Result<Accepted> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let name = start.client_hello().server_name().map(str::to_owned);
        if is_authority(&start.client_hello()) {
            return Err(self.prove(start, name).await);
        }
        let Some(called) = self.called(name.as_deref(), peer, routes) else {
            return Err(refuse(start, name).await);
        };
        if let Some(name) = name.as_deref()
            && !self.is_shown(name).await
        {
            // It is a name of ours: that its certificate is not there yet is no fault of the visitor's.
            let refused = refuse(start, Some(name.to_owned())).await;
            return Err(io::Error::other(refused));
        }
        let local = start.io.local_addr()?.ip().to_canonical();
        let shown = match &name {
            Some(_) => self.certificates.shown(name.as_deref()),
            None => self.certificates.at(local).or_else(|| self.certificates.shown(None)),
        };
        let mut terms = self.terms(called.site());
        if name.is_none()
            && let Some(shown) = shown.as_ref().filter(|shown| shown.addresses().contains(&local))
        {
            let mut for_address = ServerConfig::clone(&terms);
            for_address.cert_resolver = Arc::new(This(Arc::clone(shown.certified())));
            terms = Arc::new(for_address);
        }
        let trusted_certificate = shown.is_some_and(|shown| shown.trusted());
        // Also where the visitor goes away now: the key has been used for him. But who does not take a certificate that
        // nobody can trust is right.
        let stream = start.into_stream(terms).await;
        let stream = stream
            .map_err(|error| if trusted_certificate { broken(error) } else { io::Error::other(error) })?;
        if let (Some(demand), Some(name)) = (self.demand.get(), &name) {
            demand.served(name, self.world.unix_time().as_secs());
        }
        let session = stream.get_ref().1;
        let http_2 = session.alpn_protocol() == Some(HTTP_2);
        let verified = session
            .peer_certificates()
            .and_then(<[_]>::first)
            .map(|own| Verified::of(own).ok_or_else(|| broken("the visitor's certificate cannot be read")))
            .transpose()?;
        let now = SystemTime::UNIX_EPOCH + self.world.unix_time();
        if verified.as_ref().is_some_and(|verified| verified.has_ended(now)) {
            return Err(broken("the visitor's certificate has ended since it was verified"));
        }
        Ok(Accepted { stream, http_2, trusted_certificate, called, verified })
    }

    /// Whether there is a certificate to show for `name`. One that is ordered for the first who asks is waited for.
    async fn is_shown(&self, name: &str) -> bool {
        let Some((demand, host)) = self.demand.get().and_then(|demand| Some((demand, demand.allows(name)?)))
        else {
            return true;
        };
        let now = || self.world.unix_time();
        let is_there = || {
            let found = self.certificates.find(Some(name)).filter(|found| found.trusted());
            found.is_some_and(|found| SystemTime::UNIX_EPOCH + now() <= found.not_after())
        };
        if !is_there() {
            // The order goes on when nobody waits any more, and the next who asks may find its certificate.
            let _ = tokio::time::timeout(PATIENCE, demand.order(&host, now().as_secs())).await;
        }
        is_there()
    }

    /// Shows an authority that a name is ours (RFC 8737 §3), and closes: nothing is said on such a connection.
    async fn prove(&self, start: StartHandshake<TcpStream>, name: Option<String>) -> io::Error {
        let name = name.unwrap_or_default();
        let shown = match self.answers.get() {
            Some(answers) => answers.tls_alpn(&name).await,
            None => None,
        };
        let Some(shown) = shown else { return refuse(start, Some(name)).await };
        let terms = ServerConfig::builder_with_provider(Arc::clone(&self.common.provider))
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_no_client_auth().with_cert_resolver(Arc::new(This(shown))));
        let mut terms = match terms {
            Ok(terms) => terms,
            Err(error) => return broken(error),
        };
        terms.alpn_protocols = vec![ACME.to_vec()];
        match start.into_stream(Arc::new(terms)).await {
            Ok(mut stream) => {
                let _ = stream.shutdown().await;
                io::Error::other("an authority has looked at a name")
            }
            Err(error) => error,
        }
    }

    /// Which site a name leads to; none where every site has names, and this is not among them. What this machine asks
    /// itself as localhost is for the shield to judge.
    fn called(&self, name: Option<&str>, peer: IpAddr, routes: &Routes) -> Option<Called> {
        let Some(name) = name else { return Some(Called::Nameless) };
        match routes.place(name) {
            Some(site) => Some(Called::ByName(site)),
            None if !routes.are_named() => Some(Called::ByName(0)),
            None if name == "localhost" && peer.to_canonical().is_loopback() => Some(Called::Nameless),
            None => None,
        }
    }
}

/// Tells the visitor that nobody here has that name (RFC 6066 §3), in the clear, as all is before the answer to a
/// hello. rustls would say `access_denied`, which a person reads as a question of rights.
async fn refuse(mut start: StartHandshake<TcpStream>, name: Option<String>) -> io::Error {
    let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
    let _ = start.io.shutdown().await;
    broken(NoSite(name.unwrap_or_default()))
}

/// A visitor asked for a name that is nobody's here.
#[derive(Debug, thiserror::Error)]
#[error("no site is called {0:?}")]
pub(crate) struct NoSite(String);

/// Only an authority offers this protocol, and no other beside it.
fn is_authority(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.next() == Some(ACME) && offered.next().is_none())
}

fn broken(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Shows the certificate for the name that is asked for, else the first.
#[derive(Debug)]
pub(super) struct ByName(pub(super) Arc<Certificates>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.shown(hello.server_name())?;
        Some(Arc::clone(shown.certified()))
    }
}

/// Shows one certificate.
#[derive(Debug)]
struct This(Arc<CertifiedKey>);

impl ResolvesServerCert for This {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Less than a handshake may take; an order takes two to six seconds.
const PATIENCE: Duration = Duration::from_secs(8);

/// A record of type alert, TLS 1.2 as all records say, of two bytes: fatal, 112.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// RFC 8737 §6.2.
const ACME: &[u8] = b"acme-tls/1";
