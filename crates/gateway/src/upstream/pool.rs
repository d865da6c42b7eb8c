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
use http::HeaderMap;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use panoply::RequestBody;
use tokio::time::Instant;

use super::slot::Key;
use super::wire::Received;
use crate::clock;
use crate::progress::Progress;

/// What is sent to the app: the visitor's body as it comes, or none.
pub(crate) type Outgoing = Either<Progress<RequestBody<Incoming>>, Empty<Bytes>>;

/// A connection on loan for one request.
pub(crate) struct Lease {
    pub(crate) sender: SendRequest<Outgoing>,
    pub(crate) received: Received,
    key: Key,
    /// How long it may lie idle afterwards.
    rests: Duration,
    /// How long it lay idle before this request.
    pub(crate) rested: Duration,
    /// One of those that are under way, where they are counted.
    pub(crate) busy: Option<Busy>,
}

/// As long as it is there, a request is under way.
pub(crate) type Busy = Arc<()>;

impl Lease {
    pub(super) fn new(sender: SendRequest<Outgoing>, received: Received, key: Key) -> Self {
        Self { sender, received, key, rests: DEFAULT_REST, rested: Duration::ZERO, busy: None }
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
        if self.sender.is_closed() || self.rests.is_zero() {
            return;
        }
        let since = clock::now();
        let until = since + self.rests;
        POOL.with_borrow_mut(|pool| {
            if let Some(idle) = place(pool, self.key) {
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
        while let Some(Idle { lease, since, until }) = place.idle.pop() {
            if now < until && lease.sender.is_ready() {
                return Some(Lease { rested: now.duration_since(since), ..lease });
            }
        }
        None
    })
}

/// Closes what lay idle too long; each thread calls it about once a second.
pub(crate) fn prune() {
    let now = clock::now();
    POOL.with_borrow_mut(|pool| {
        for place in pool {
            place.idle.retain(|idle| now < idle.until && !idle.lease.sender.is_closed());
        }
    });
}

/// Where a connection rests: nowhere, if its upstream is gone and another has its slot.
fn place(pool: &mut Vec<Place>, key: Key) -> Option<&mut Vec<Idle>> {
    if pool.len() <= key.index {
        pool.resize_with(key.index + 1, Place::default);
    }
    let place = pool.get_mut(key.index)?;
    match place.key {
        Some(taken) if taken == key => {}
        Some(taken) if taken.is_after(key) => return None,
        _ => *place = Place { key: Some(key), idle: Vec::new() },
    }
    Some(&mut place.idle)
}

#[derive(Default)]
struct Place {
    key: Option<Key>,
    idle: Vec<Idle>,
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
/// For each thread and target; more would only be opened by a burst and then lie about.
const MAX_IDLE: usize = 64;

#[cfg(test)]
mod tests {
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
