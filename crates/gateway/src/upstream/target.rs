//! One place of an app, and what all threads know of it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::uri::Authority;
use http::{Request, Uri};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::health::{Chance, Change, Failure, Health};
use super::pool::{self, Busy, Lease, Outgoing};
use super::secured::Secured;
use super::slot::Slot;
use super::streams::Streams;
use super::waiting::{Place, Waiting};
use super::wire::Received;
use crate::clock;
use crate::config::{Scheme, Upstream};
use crate::places::Asker;
use crate::tap::Tapped;

/// One of the places.
#[derive(Debug)]
pub(crate) struct Target {
    slot: Slot,
    address: Upstream,
    /// Where it is a number: nothing has to be looked up.
    ip: Option<IpAddr>,
    pub(super) health: Health,
    waiting: Arc<Waiting>,
    busy: Busy,
    failures: [AtomicU64; 3],
    sent_again: AtomicU64,
    turned_away: AtomicU64,
}

impl Target {
    pub(super) fn new(address: Upstream) -> Self {
        Self {
            slot: Slot::take(),
            ip: address.ip(),
            waiting: Waiting::at(&address),
            address,
            health: Health::default(),
            busy: Busy::default(),
            failures: Default::default(),
            sent_again: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    /// Whether a connection of it has many requests at once.
    pub(crate) const fn is_shared(&self) -> bool {
        self.address.scheme().is_shared()
    }

    /// A connection that was used before and is still open, if this thread has one.
    pub(crate) fn idle(&self) -> Option<Lease> {
        pool::idle(self.slot.key())
    }

    /// What is shared is asked no more: the next request makes a new connection.
    pub(crate) fn forget_shared(&self) {
        pool::forget_shared(self.slot.key());
    }

    /// A new connection.
    pub(super) async fn connect(&self, secured: Option<&Secured>, deadline: Duration) -> io::Result<Lease> {
        let connect = async {
            if !self.address.scheme().is_shared() {
                return self.open(secured).await;
            }
            let gate = pool::gate(self.slot.key()).unwrap_or_default();
            let _alone = gate.lock().await;
            pool::settled(self.slot.key()).await;
            match self.idle() {
                Some(lease) => Ok(lease), // somebody was quicker
                None => match pool::crowded(self.slot.key()) {
                    Some(lease) => Ok(lease),
                    None => self.open(secured).await,
                },
            }
        };
        tokio::time::timeout(deadline, connect).await?
    }

    async fn open(&self, secured: Option<&Secured>) -> io::Result<Lease> {
        if let Some(path) = self.address.socket() {
            return self.begin_on(UnixStream::connect(path).await?).await;
        }
        let (host, port) = (self.address.host(), self.address.port());
        let stream = match self.ip {
            Some(ip) => TcpStream::connect(SocketAddr::new(ip, port)).await?,
            None => TcpStream::connect((host, port)).await?,
        };
        stream.set_nodelay(true)?;
        match (self.address.scheme(), secured) {
            (Scheme::Http | Scheme::Unix, _) => self.begin_on(stream).await,
            (Scheme::H2c, _) => self.share_on(stream).await,
            (scheme, Some(secured)) => {
                let stream = secured.shake(stream, host, scheme).await?;
                if scheme.is_shared() { self.share_on(stream).await } else { self.begin_on(stream).await }
            }
            (Scheme::Https | Scheme::H2, None) => Err(io::Error::other("no authority was read")),
        }
    }

    async fn begin_on<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        &self,
        stream: S,
    ) -> io::Result<Lease> {
        let received = Received::default();
        let stream = Tapped::new(stream, received.clone());
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
        Ok(Lease::new(sender, received, self.slot.key()))
    }

    async fn share_on<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        &self,
        stream: S,
    ) -> io::Result<Lease> {
        let streams = Streams::default();
        let stream = Tapped::new(stream, streams.clone());
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(MAX_HEAD as u32)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(1) // until the app has said how many
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let driven = streams.clone().drive(connection, http2::Connection::current_max_send_streams);
        tokio::spawn(async move {
            // How it ended is told to whoever waits for an answer on it.
            let _ = driven.await;
        });
        Ok(Lease::share(sender, streams, self.slot.key()))
    }

    /// A place among those who wait, of whom there may be `most`.
    pub(super) fn wait(&self, most: usize, asker: Asker<'_>) -> Option<Place<'_>> {
        let found = self.waiting.admit(most, asker);
        if found.is_none() {
            self.turn_away();
        }
        found
    }

    /// One more who is not let in.
    pub(super) fn turn_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.count()
    }

    /// A request comes here that another place may have acted on.
    pub(crate) fn asked_again(&self) {
        self.sent_again.fetch_add(1, Ordering::Relaxed);
    }

    /// One more that is under way, until what is given back is dropped.
    pub(super) fn begin(&self) -> Busy {
        Busy::clone(&self.busy)
    }

    /// How many are under way, where they are counted.
    pub(super) fn under_way(&self) -> usize {
        Arc::strong_count(&self.busy) - 1
    }

    pub(super) fn answered(&self, chance: Chance) {
        self.tell(self.health.answered(chance), "");
    }

    pub(super) fn failed(&self, failure: Failure, chance: Chance, reason: &str) {
        if let Some(count) = self.failures.get(failure as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.tell(self.health.failed(failure, chance, clock::millis()), reason);
    }

    fn tell(&self, change: Option<Change>, reason: &str) {
        match change {
            None => {}
            Some(Change::Back) => tracing::info!(upstream = %self, "an upstream is asked again"),
            Some(Change::LeftOut(milliseconds)) => {
                tracing::warn!(upstream = %self, milliseconds, reason, "an upstream is left out");
            }
            Some(Change::StaysOut(milliseconds)) => {
                tracing::info!(upstream = %self, milliseconds, reason, "an upstream stays left out");
            }
        }
    }

    pub(super) const fn address(&self) -> &Upstream {
        &self.address
    }

    /// As `Host` names it.
    pub(super) fn authority(&self) -> String {
        self.address.authority()
    }

    /// Makes the target of a request what HTTP/2 wants: with scheme and authority (RFC 9113 §8.3.1). `Host` stays, for
    /// apps that look for it there.
    pub(crate) fn address_to(&self, request: &mut Request<Outgoing>) {
        let authority =
            request.headers().get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let mut parts = request.uri().clone().into_parts();
        parts.authority = authority.or_else(|| self.authority().parse().ok());
        parts.scheme = Some(if self.address.scheme().is_secured() {
            http::uri::Scheme::HTTPS
        } else {
            http::uri::Scheme::HTTP
        });
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }

    /// What an operator sees.
    pub(super) fn figure(&self) -> Figure {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figure {
            left_out: !self.health.is_well(),
            waiting: self.waiting() as u64,
            failures: self.failures.each_ref().map(count),
            sent_again: count(&self.sent_again),
            turned_away: count(&self.turned_away),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// The state of one upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) left_out: bool,
    /// Requests that wait for the head of their answer.
    pub(crate) waiting: u64,
    /// No connection; broken; no answer in time.
    pub(crate) failures: [u64; 3],
    /// Requests that came here after another place had failed.
    pub(crate) sent_again: u64,
    /// Requests that found as many waiting as may.
    pub(crate) turned_away: u64,
}

impl Figure {
    /// The same place in another of the site's lists.
    pub(crate) fn add(&mut self, other: Self) {
        self.left_out |= other.left_out;
        self.waiting = self.waiting.max(other.waiting); // it is one count
        for (sum, more) in self.failures.iter_mut().zip(other.failures) {
            *sum += more;
        }
        self.sent_again += other.sent_again;
        self.turned_away += other.turned_away;
    }
}

/// An app's answer may be larger than a visitor's request: many cookies, a long policy.
const MAX_HEAD: usize = 128 * 1024;
/// What an answer brings before its visitor reads; and all answers of a connection together: more than as many as share one
/// (pool.rs), so that those whom nobody reads do not hold up the others.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_under_way_is_counted_until_he_is_done() {
        let target = Target::new("http://127.0.0.1:1".parse().unwrap());
        let under_way = [target.begin(), target.begin()];
        assert_eq!(target.under_way(), 2);
        drop(under_way);
        assert_eq!(target.under_way(), 0);
    }
}
