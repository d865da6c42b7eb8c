use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::header::{ACCEPT, HOST};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method, Uri};

use crate::Verdict;
use crate::client::Client;
use crate::practices::brute_force::Login;
use crate::practices::sessions::Ticket;
use crate::trace::TraceId;

/// How a visitor's request travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// 80 or 443.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// What the server knows of the connection a request came on.
///
/// The gateway gives it to the shield. In an app it is a request extension: put it there where connections
/// are accepted, or, with the `axum` feature, serve with `into_make_service_with_connect_info::<SocketAddr>()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The other end of the socket; `None` where the server did not say.
    pub peer: Option<SocketAddr>,
    /// Whether the peer is one visitor. The address of a load balancer is everybody's on a connection of which it does not
    /// say whose it is, and is never blocked.
    pub named: bool,
    /// Whether the socket itself carries TLS.
    pub scheme: Scheme,
    /// Whether browsers can trust the certificate. HSTS on a self-made one would lock its visitors out.
    pub trusted_certificate: bool,
}

impl Connection {
    /// A connection in the clear from `peer`.
    #[must_use]
    pub const fn plain(peer: SocketAddr) -> Self {
        Self { peer: Some(peer), named: true, scheme: Scheme::Http, trusted_certificate: true }
    }

    /// A TLS connection from `peer`.
    #[must_use]
    pub const fn tls(peer: SocketAddr) -> Self {
        Self { scheme: Scheme::Https, ..Self::plain(peer) }
    }

    /// Nothing is known: a server that tells no address.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { peer: None, named: false, scheme: Scheme::Http, trusted_certificate: true }
    }
}

/// One request on its way through a shield: made before the first check, it reaches `finish` whatever happens.
#[derive(Debug)]
pub struct Visit {
    pub(crate) connection: Connection,
    pub(crate) client: Client,
    /// As the visitor sees it: through a trusted proxy, what that says.
    pub(crate) scheme: Scheme,
    /// The name and port that the visitor asked for, as sent: HTTP/2's `:authority`, else `Host`.
    pub(crate) authority: Option<Authority>,
    pub(crate) id: RequestId,
    /// Of what it says to be a part.
    pub(crate) trace: Option<TraceId>,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) accept: Option<HeaderValue>,
    pub(crate) nonce: Option<Nonce>,
    /// What the visitor presented for a session, where sessions are kept.
    pub(crate) ticket: Option<Ticket>,
    /// A password that the app is to look at.
    pub(crate) login: Option<Login>,
    /// Under which names the request brought cookies that `cookies` renames or seals.
    pub(crate) cookies: crate::practices::cookies::Presented,
    /// What the request's limits have granted it.
    pub(crate) allowance: crate::practices::rate_limit::Allowance,
    /// What was said against it so far.
    pub(crate) verdicts: Vec<Verdict>,
    /// Set where the request's body was cut short by `limits`; the answer is then 413 or 408.
    pub(crate) cut: crate::request_body::Cut,
    /// Whose word is not in the metrics yet.
    pub(crate) passed: crate::metrics::Passed,
}

impl Visit {
    pub(crate) fn new(
        request: &Parts,
        connection: Connection,
        client: Client,
        scheme: Scheme,
        id: RequestId,
    ) -> Self {
        Self {
            connection,
            client,
            scheme,
            authority: authority(request),
            id,
            trace: TraceId::of(&request.headers),
            method: request.method.clone(),
            uri: request.uri.clone(),
            accept: request.headers.get(ACCEPT).cloned(),
            nonce: None,
            ticket: None,
            login: None,
            cookies: crate::practices::cookies::Presented::default(),
            allowance: crate::practices::rate_limit::Allowance::default(),
            verdicts: Vec::new(),
            cut: crate::request_body::Cut::default(),
            passed: crate::metrics::Passed::default(),
        }
    }

    /// What the app may know of the visitor.
    #[must_use]
    pub fn visitor(&self) -> Visitor {
        Visitor { ip: self.client.ip(), scheme: self.scheme, id: self.id, trace: self.trace }
    }

    /// The nonce of this request's Content-Security-Policy, where the policy has one.
    #[must_use]
    pub fn nonce(&self) -> Option<Nonce> {
        self.nonce
    }

    /// Whether the socket's other end is this machine.
    pub(crate) fn is_from_loopback(&self) -> bool {
        self.connection.peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
    }

    /// The host name that was asked for, lower or upper case as sent, without port.
    pub(crate) fn host(&self) -> Option<&str> {
        self.authority.as_ref().map(|authority| {
            // Most are a name and nothing else, and `Authority` looks for its parts each time anew.
            let whole = authority.as_str();
            if whole.bytes().any(|byte| matches!(byte, b':' | b'@')) { authority.host() } else { whole }
        })
    }

    /// The port that the visitor's browser talks to.
    pub(crate) fn port(&self) -> u16 {
        self.authority.as_ref().and_then(Authority::port_u16).unwrap_or(self.scheme.default_port())
    }
}

/// What the app may know of a visitor; a request extension behind the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Who asks: the peer, or what a trusted proxy says. Unspecified (`0.0.0.0`) where nobody said.
    pub ip: IpAddr,
    /// How the visitor's own request travelled.
    pub scheme: Scheme,
    /// The name of this request in the log and on error pages.
    pub id: RequestId,
    /// Of which trace the request says to be a part (W3C Trace Context).
    pub trace: Option<TraceId>,
}

impl Default for Visitor {
    fn default() -> Self {
        Self { ip: Ipv4Addr::UNSPECIFIED.into(), scheme: Scheme::Http, id: RequestId(0), trace: None }
    }
}

/// 128 random bits that name a request; prints as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub(crate) u128);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The nonce of this request's Content-Security-Policy; a request extension where the policy has one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub(crate) u128);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce([secret])")
    }
}

/// HTTP/2 carries the host in `:authority`, HTTP/1.1 in `Host`, and in an absolute target, which then wins
/// (RFC 9112 §3.2.2).
fn authority(request: &Parts) -> Option<Authority> {
    if let Some(authority) = request.uri.authority() {
        return Some(authority.clone());
    }
    let host = request.headers.get(HOST)?;
    Authority::from_maybe_shared(bytes::Bytes::copy_from_slice(host.as_bytes())).ok()
}
