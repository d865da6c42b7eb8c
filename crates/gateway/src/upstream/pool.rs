//! The connections to apps that each thread keeps.
//!
//! A connection belongs to the thread that made it: no lock, no atomic on the way. A [`Lease`] returns its
//! connection when the answer's body was read to its end; a body that is dropped early closes the connection,
//! since the rest of it would stand before the next answer.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use panoply::RequestBody;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::slot::Key;
use super::streams::Streams;
use super::wire::Received;
use crate::clock;
use crate::progress::Progress;

/// What is sent to the app: the visitor's body as it comes, or none.
pub(crate) type Outgoing = Either<Progress<RequestBody<Incoming>>, Empty<Bytes>>;

/// A connection on loan for one request.
pub(crate) struct Lease {
    sender: Sender,
    pub(crate) received: Received,
    key: Key,
    /// How long it may lie idle afterwards.
    rests: Duration,
    /// How long it lay idle before this request.
    pub(crate) rested: Duration,
    /// One of those that are under way, where they are counted.
    pub(crate) busy: Option<Busy>,
}

/// What takes requests for a connection.
enum Sender {
    /// HTTP/1.1: one after the other.
    Alone(http1::SendRequest<Outgoing>),
    /// HTTP/2: as many at once as the app takes, or as share one.
    Shared(Shared),
}

/// A connection that a thread's requests share, and when it was made, which tells it from the next.
#[derive(Clone)]
struct Shared {
    sender: http2::SendRequest<Outgoing>,
    streams: Streams,
    made: Instant,
    /// As many as there are of it beside the pool's own, so many requests are on the connection.
    load: Arc<()>,
}

impl Shared {
    /// Whether there is room for one more: the app takes it, and all that are on it may be left unread, and there is
    /// window for the others.
    fn has_room(&self) -> bool {
        !self.sender.is_closed() && self.load() < self.streams.most().min(MOST_ON_ONE)
    }

    fn load(&self) -> usize {
        Arc::strong_count(&self.load) - 1
    }
}

/// As long as it is there, a request is under way.
pub(crate) type Busy = Arc<()>;

impl Lease {
    pub(super) fn new(sender: http1::SendRequest<Outgoing>, received: Received, key: Key) -> Self {
        Self::of(Sender::Alone(sender), received, key)
    }

    /// One of many on a connection that this thread shares from now on.
    pub(super) fn share(sender: http2::SendRequest<Outgoing>, streams: Streams, key: Key) -> Self {
        let made = clock::now();
        let shared = Shared { sender, streams, made, load: Arc::default() };
        POOL.with_borrow_mut(|pool| {
            if let Some(place) = place(pool, key) {
                place.shared.push((shared.clone(), made));
            }
        });
        Self::of(Sender::Shared(shared), Received::default(), key)
    }

    fn of(sender: Sender, received: Received, key: Key) -> Self {
        Self { sender, received, key, rests: DEFAULT_REST, rested: Duration::ZERO, busy: None }
    }

    pub(crate) const fn is_shared(&self) -> bool {
        matches!(self.sender, Sender::Shared(_))
    }

    /// Sends `request`, and waits for the head of the answer.
    ///
    /// # Errors
    /// With the request, if nothing of it was written.
    pub(crate) async fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Outgoing>>> {
        match &mut self.sender {
            Sender::Alone(sender) => sender.try_send_request(request).await,
            Sender::Shared(shared) => shared.sender.try_send_request(request).await,
        }
    }

    /// Whether `error` says that the stream was refused, or came after the last one that the app took before it said
    /// good-bye: nothing of it was processed (RFC 9113 §8.7). After a good-bye the next request needs another connection.
    pub(crate) fn was_refused(&self, error: &hyper::Error) -> bool {
        let Sender::Shared(Shared { made, .. }) = &self.sender else { return false };
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
        let Some(cause) = cause.filter(|cause| cause.is_remote()) else { return false };
        if cause.is_go_away() {
            POOL.with_borrow_mut(|pool| {
                if let Some(place) = place(pool, self.key) {
                    place.shared.retain(|(shared, _)| shared.made != *made);
                }
            });
        }
        cause.is_go_away() || cause.reason() == Some(h2::Reason::REFUSED_STREAM)
    }

    /// Learns from the answer how long the app keeps the connection: one second less than it announced.
    pub(crate) fn heed(&mut self, answer: &HeaderMap) {
        if let Some(announced) = announced_timeout(answer) {
            self.rests = announced.saturating_sub(Duration::from_secs(1));
        }
    }

    /// Gives the connection back to this thread's pool.
    pub(crate) fn release(mut self) {
        self.busy = None;
        match &self.sender {
            Sender::Alone(sender) if !sender.is_closed() && !self.rests.is_zero() => {}
            Sender::Alone(_) | Sender::Shared(_) => return,
        }
        let since = clock::now();
        let until = since + self.rests;
        POOL.with_borrow_mut(|pool| {
            if let Some(Place { idle, .. }) = place(pool, self.key) {
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
        f.debug_struct("Lease").field("key", &self.key).field("rested", &self.rested).finish_non_exhaustive()
    }
}

/// A connection that was used before and is still open, if this thread has one.
pub(super) fn idle(key: Key) -> Option<Lease> {
    let now = clock::now();
    POOL.with_borrow_mut(|pool| {
        let place = pool.get_mut(key.index).filter(|place| place.key == Some(key))?;
        if let Some((shared, used)) = place.shared.iter_mut().find(|(shared, _)| shared.has_room()) {
            *used = now;
            return Some(Lease::of(Sender::Shared(shared.clone()), Received::default(), key));
        }
        while let Some(Idle { lease, since, until }) = place.idle.pop() {
            let is_ready = matches!(&lease.sender, Sender::Alone(sender) if sender.is_ready());
            if now < until && is_ready {
                return Some(Lease { rested: now.duration_since(since), ..lease });
            }
        }
        None
    })
}

/// Waits until the app has said of each open connection how many it takes at once: it says so first of all. One that is
/// too busy to say anything has as many wait for it as share one.
pub(super) async fn settled(key: Key) {
    let unknown = |place: &Place| {
        let mut open = place.shared.iter().map(|(shared, _)| shared).filter(|one| !one.sender.is_closed());
        open.find(|one| !one.streams.are_known()).map(|one| (one.streams.clone(), one.made + PATIENCE))
    };
    let unknown = POOL.with_borrow_mut(|pool| place(pool, key).and_then(|place| unknown(place)));
    if let Some((streams, until)) = unknown
        && tokio::time::timeout_at(until, streams.known()).await.is_err()
    {
        streams.are(MOST_ON_ONE);
    }
}

/// Where there may be no more connections: the one with the fewest, behind whom this request waits.
pub(super) fn crowded(key: Key) -> Option<Lease> {
    POOL.with_borrow_mut(|pool| {
        let place = place(pool, key)?;
        place.shared.retain(|(shared, _)| !shared.sender.is_closed());
        if place.shared.len() < MOST_SHARED {
            return None;
        }
        let (shared, _) = place.shared.iter().min_by_key(|(shared, _)| shared.load())?;
        Some(Lease::of(Sender::Shared(shared.clone()), Received::default(), key))
    })
}

/// Closes what lay idle too long; each thread calls it about once a second.
pub(crate) fn prune() {
    let now = clock::now();
    POOL.with_borrow_mut(|pool| {
        for place in pool {
            let is_open =
                |lease: &Lease| matches!(&lease.sender, Sender::Alone(sender) if !sender.is_closed());
            place.idle.retain(|idle| now < idle.until && is_open(&idle.lease));
            place.shared.retain(|(shared, used)| {
                let is_used = shared.load() > 0 || now.saturating_duration_since(*used) <= SHARED_REST;
                !shared.sender.is_closed() && is_used
            });
        }
    });
}

/// No request of this thread begins on what it shares now.
pub(super) fn forget_shared(key: Key) {
    POOL.with_borrow_mut(|pool| {
        if let Some(place) = place(pool, key) {
            place.shared.clear();
        }
    });
}

/// Who makes a connection that others will share; the others wait for it.
pub(super) fn gate(key: Key) -> Option<Arc<Mutex<()>>> {
    POOL.with_borrow_mut(|pool| place(pool, key).map(|place| Arc::clone(&place.gate)))
}

/// Where a connection rests: nowhere, if its upstream is gone and another has its slot.
fn place(pool: &mut Vec<Place>, key: Key) -> Option<&mut Place> {
    if pool.len() <= key.index {
        pool.resize_with(key.index + 1, Place::default);
    }
    let place = pool.get_mut(key.index)?;
    match place.key {
        Some(taken) if taken == key => {}
        Some(taken) if taken.is_after(key) => return None,
        _ => *place = Place { key: Some(key), ..Place::default() },
    }
    Some(place)
}

#[derive(Default)]
struct Place {
    key: Option<Key>,
    idle: Vec<Idle>,
    /// Connections that this thread's requests share, and when each was used last.
    shared: Vec<(Shared, Instant)>,
    gate: Arc<Mutex<()>>,
}

struct Idle {
    lease: Lease,
    since: Instant,
    until: Instant,
}

thread_local! {
    /// By slot. Never borrowed across an await.
    static POOL: RefCell<Vec<Place>> = const { RefCell::new(Vec::new()) };
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

/// Node closes an idle connection after five seconds.
const DEFAULT_REST: Duration = Duration::from_secs(4);
/// A shared connection costs the app little, and a new one costs the next visitor a round trip or three.
const SHARED_REST: Duration = Duration::from_secs(60);
/// Longer than an app's first words take, and short beside what a visitor waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many answers have a stream's window each, and the connection's is not used up (target.rs). Most apps take a hundred.
const MOST_ON_ONE: usize = 60;
/// For each thread and target. An app that takes a hundred at once has room for more than there are places for visitors;
/// one that takes three, for as many as it will ever answer.
const MOST_SHARED: usize = 256;
/// For each thread and target; more would only be opened by a burst and then lie about.
const MAX_IDLE: usize = 64;

#[cfg(test)]
mod tests {
    use hyper_util::rt::{TokioExecutor, TokioIo};

    use super::super::slot::Slot;
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

    #[tokio::test]
    async fn beyond_the_most_connections_who_comes_waits_behind_the_fewest() {
        let slot = Slot::take();
        let (key, mut open, mut leases) = (slot.key(), Vec::new(), Vec::new());
        for number in 0..MOST_SHARED {
            assert!(crowded(key).is_none(), "there may be one more than {number}");
            let (mine, theirs) = tokio::io::duplex(4096);
            let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(mine)).await;
            let (sender, connection) = shaken.unwrap();
            let streams = Streams::default();
            streams.are(1);
            leases.push(Lease::share(sender, streams, key));
            open.push((connection, theirs));
        }
        assert!(idle(key).is_none(), "each has as many as its app takes");
        leases.extend((0..MOST_SHARED).map(|_| crowded(key).unwrap()));
        let loads = || {
            POOL.with_borrow_mut(|pool| {
                place(pool, key).unwrap().shared.iter().map(|(one, _)| one.load()).collect::<Vec<_>>()
            })
        };
        assert_eq!(loads(), [2; MOST_SHARED]);
        leases.clear();
        assert!(idle(key).is_some() && loads() == [0; MOST_SHARED]);
        open.pop();
        assert!(crowded(key).is_none(), "one that has ended makes room");
    }

    #[test]
    fn who_takes_a_slot_over_gets_no_connection_of_the_one_before() {
        let mut pool = Vec::new();
        let before = Slot::take();
        let old = before.key();
        assert!(place(&mut pool, old).is_some());
        drop(before);
        let new = Slot::take().key();
        // Another test's thread may have been quicker to take it.
        let new = Key { index: old.index, ..new };
        assert!(place(&mut pool, new).is_some());
        assert!(
            place(&mut pool, old).is_none(),
            "an answer that ends late has nowhere to leave its connection"
        );
        assert_eq!(pool[old.index].key, Some(new));
    }
}
