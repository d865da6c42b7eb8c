use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, StatusCode};
use panoply::{Passage, Practice, Visitor};

use super::line::{self, Line};
use super::{AccessLog, give_back};

/// The line of one request, from its head to the end of its answer. It is written when this is dropped, so that one
/// that was given up has its line too.
#[derive(Debug)]
pub(crate) struct Entry {
    log: Arc<AccessLog>,
    /// What the request itself says, as it will stand in the line.
    request: Vec<u8>,
    is_head: bool,
    peer: Option<SocketAddr>,
    visitor: OnceLock<Visitor>,
    at: Duration,
    began: Duration,
    status: Option<StatusCode>,
    refused: Option<(&'static str, Option<Box<str>>)>,
    bytes: u64,
    is_whole: bool,
}

impl Entry {
    pub(super) fn new(
        log: Arc<AccessLog>,
        request: Vec<u8>,
        method: &Method,
        peer: Option<SocketAddr>,
    ) -> Self {
        let (at, began) = (log.clock.unix_time(), log.clock.now());
        Self {
            log,
            request,
            is_head: method == Method::HEAD,
            peer,
            visitor: OnceLock::new(),
            at,
            began,
            status: None,
            refused: None,
            bytes: 0,
            is_whole: false,
        }
    }

    /// The shield knows who asks.
    pub(crate) fn asked_by(&self, visitor: Visitor) {
        let _ = self.visitor.set(visitor);
    }

    /// The head of the answer is there.
    pub(crate) fn answered(&mut self, status: StatusCode, passage: &Passage) {
        self.asked_by(passage.visitor);
        self.status = Some(status);
        self.refused = passage.refused().map(|verdict| {
            let practice = verdict.practice.map_or("app", Practice::name);
            (practice, verdict.rule.as_deref().map(Into::into))
        });
        // These have no body, whatever is said of its length (RFC 9110 §6.4.1).
        self.is_whole = self.is_head
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    }

    /// More of the body has left.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Nothing more is to come.
    pub(super) fn ended(&mut self) {
        self.is_whole = true;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let visitor = self.visitor.get();
        let line = Line {
            at: self.at,
            id: visitor.map(|visitor| visitor.id),
            trace: visitor.and_then(|visitor| visitor.trace),
            client: visitor.map(|visitor| visitor.ip).or(self.peer.map(|peer| peer.ip().to_canonical())),
            request: &self.request,
            status: self.status.map(|status| status.as_u16()),
            bytes: self.bytes,
            took: self.log.clock.now().saturating_sub(self.began),
            refused: self.refused.as_ref().map(|(practice, rule)| (*practice, rule.as_deref())),
            is_cut: !self.is_whole,
        };
        self.log.add(|lines| line::write(lines, &line));
        give_back(std::mem::take(&mut self.request));
    }
}
