//! Where the app is, and the connections to it that each thread keeps.
//!
//! A connection belongs to the thread that made it: no lock, no atomic on the way. A [`Lease`] returns its
//! connection when the answer's body was read to its end; a body that is dropped early closes the connection,
//! since the rest of it would stand before the next answer.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use panoply::RequestBody;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::clock;
use crate::config::Upstream;
use crate::supervise::Proof;

/// What is sent to the app: the visitor's body as it comes, or none.
pub(crate) type Outgoing = Either<crate::progress::Progress<RequestBody<Incoming>>, Empty<Bytes>>;

/// The app, at one address or at several that take turns.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    targets: OnceLock<Box<[Target]>>,
    next: AtomicUsize,
    /// Shows a Node child whose request this is; it is known once the child's preload said hello.
    proof: OnceLock<Proof>,
}

impl Upstreams {
    /// The app at these addresses; at none yet, where it is still to be started.
    pub(crate) fn new(addresses: &[Upstream]) -> Self {
        let target = |upstream: &Upstream| Target::at(upstream.host().to_owned(), upstream.port());
        let targets = if addresses.is_empty() {
            OnceLock::new()
        } else {
            OnceLock::from(addresses.iter().map(target).collect::<Box<[_]>>())
        };
        Self { targets, ..Self::default() }
    }

    /// The app was started, and is at `address`. What the file says of a site's app stays.
    pub(crate) fn found(&self, address: SocketAddr, proof: Option<&Proof>) {
        if self.targets.set([Target::at(address.ip().to_string(), address.port())].into()).is_ok()
            && let Some(proof) = proof
        {
            let _ = self.proof.set(proof.clone());
        }
    }

    pub(crate) fn proof(&self) -> Option<&Proof> {
        self.proof.get()
    }

    /// Whose turn it is.
    pub(crate) fn target(&self) -> Option<&Target> {
        match &**self.targets.get()? {
            [one] => Some(one),
            many => many.get(self.next.fetch_add(1, Ordering::Relaxed) % many.len().max(1)),
        }
    }
}

/// One address of the app.
#[derive(Debug)]
pub(crate) struct Target {
    /// The place of its idle connections in every thread's pool.
    slot: usize,
    host: String,
    port: u16,
}

impl Target {
    fn at(host: String, port: u16) -> Self {
        static SLOTS: AtomicUsize = AtomicUsize::new(0);
        Self { slot: SLOTS.fetch_add(1, Ordering::Relaxed), host, port }
    }

    /// A connection that was used before and is still open, if this thread has one.
    pub(crate) fn idle(&self) -> Option<Lease> {
        let now = clock::now();
        POOL.with_borrow_mut(|pool| {
            let idle = pool.get_mut(self.slot)?;
            while let Some(Idle { lease, since, until }) = idle.pop() {
                if now < until && lease.sender.is_ready() {
                    return Some(Lease { rested: now.duration_since(since), ..lease });
                }
            }
            None
        })
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> io::Result<Lease> {
        let connect = async {
            match self.host.parse::<IpAddr>() {
                Ok(ip) => TcpStream::connect(SocketAddr::new(ip, self.port)).await,
                Err(_) => TcpStream::connect((self.host.as_str(), self.port)).await,
            }
        };
        let stream = tokio::time::timeout(CONNECT, connect).await??;
        stream.set_nodelay(true)?;
        // Told how many headers to read, hyper makes room for them anew with every answer; its own 100 cost nothing.
        let (sender, connection) = http1::Builder::new()
            .max_header_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(async move {
            // How it ended is told to whoever waits for an answer on it.
            let _ = connection.with_upgrades().await;
        });
        Ok(Lease { sender, slot: self.slot, rests: DEFAULT_REST, rested: Duration::ZERO })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

/// A connection on loan for one request.
pub(crate) struct Lease {
    pub(crate) sender: SendRequest<Outgoing>,
    slot: usize,
    /// How long it may lie idle afterwards.
    rests: Duration,
    /// How long it lay idle before this request.
    pub(crate) rested: Duration,
}

impl Lease {
    /// Learns from the answer how long the app keeps the connection: one second less than it announced.
    pub(crate) fn heed(&mut self, answer: &HeaderMap) {
        if let Some(announced) = announced_timeout(answer) {
            self.rests = announced.saturating_sub(Duration::from_secs(1));
        }
    }

    /// Gives the connection back to this thread's pool.
    pub(crate) fn release(self) {
        if self.sender.is_closed() || self.rests.is_zero() {
            return;
        }
        let since = clock::now();
        let until = since + self.rests;
        POOL.with_borrow_mut(|pool| {
            if pool.len() <= self.slot {
                pool.resize_with(self.slot + 1, Vec::new);
            }
            if let Some(idle) = pool.get_mut(self.slot) {
                if idle.len() >= MAX_IDLE {
                    idle.remove(0); // the one that rested longest
                }
                idle.push(Idle { lease: self, since, until });
            }
        });
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("slot", &self.slot)
            .field("rested", &self.rested)
            .finish_non_exhaustive()
    }
}

/// Closes what lay idle too long; each thread calls it about once a second.
pub(crate) fn prune() {
    let now = clock::now();
    POOL.with_borrow_mut(|pool| {
        for idle in pool {
            idle.retain(|idle| now < idle.until && !idle.lease.sender.is_closed());
        }
    });
}

struct Idle {
    lease: Lease,
    since: Instant,
    until: Instant,
}

thread_local! {
    /// By target slot. Never borrowed across an await.
    static POOL: RefCell<Vec<Vec<Idle>>> = const { RefCell::new(Vec::new()) };
}

/// `Keep-Alive: timeout=5, max=100`.
fn announced_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("keep-alive")?.to_str().ok()?;
    value
        .split(',')
        .find_map(|parameter| {
            let (name, seconds) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("timeout").then(|| seconds.trim().parse().ok()).flatten()
        })
        .map(|seconds: u32| Duration::from_secs(seconds.into()))
}

/// A loopback or data-centre peer answers at once or is gone.
const CONNECT: Duration = Duration::from_secs(5);
/// Node closes an idle connection after five seconds.
const DEFAULT_REST: Duration = Duration::from_secs(4);
/// For each thread and target; more would only be opened by a burst and then lie about.
const MAX_IDLE: usize = 64;
/// An app's answer may be larger than a visitor's request: many cookies, a long policy.
const MAX_HEAD: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_lives_as_long_as_the_app_says() {
        for (value, seconds) in [
            ("timeout=5", Some(5)),
            ("max=100, timeout=72", Some(72)),
            ("Timeout = 5", Some(5)),
            ("timeout=x", None),
            ("timeout=-1", None),
            ("max=5", None),
        ] {
            let headers = HeaderMap::from_iter([(
                http::header::HeaderName::from_static("keep-alive"),
                value.parse().unwrap(),
            )]);
            assert_eq!(announced_timeout(&headers), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
