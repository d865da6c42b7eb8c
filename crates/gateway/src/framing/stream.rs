//! A connection whose bytes are judged on their way to hyper.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::Framing;
use crate::cuts::Cut;
use crate::tap::Tap;
use crate::worker::Open;

/// Reads through [`Framing`]; writes pass untouched.
#[derive(Debug)]
pub(crate) struct Strict {
    framing: Framing,
    /// What came while the answer to an upgrade was awaited.
    early: Vec<u8>,
    outcome: Outcome,
    open: Arc<Open>,
    /// Whether a refused head was ended.
    ended: bool,
}

/// How an upgrade was answered: told by who answers, heeded by who reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome(Arc<AtomicU8>);

impl Outcome {
    /// The protocol changes.
    pub(crate) fn switched(&self) {
        self.0.store(SWITCHED, Ordering::Release);
    }

    /// It does not.
    pub(crate) fn stayed(&self) {
        self.0.store(STAYED, Ordering::Release);
    }

    fn take(&self) -> u8 {
        self.0.swap(UNKNOWN, Ordering::Acquire)
    }
}

impl Strict {
    /// `open` is told what cannot stand. Whoever answers the requests of the stream has to say how upgrades end.
    pub(crate) fn new(outcome: Outcome, open: Arc<Open>) -> Self {
        Self { framing: Framing::default(), early: Vec::new(), outcome, open, ended: false }
    }
}

impl Tap for Strict {
    fn read<S: AsyncRead>(
        &mut self,
        mut stream: Pin<&mut S>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What could not stand was read as NUL. Once more there is the end of a head, so that hyper looks at what it has
        // and answers 400; and then nothing, since in a body or in trailers it would wait on.
        if let Some(fault) = self.framing.fault() {
            if !std::mem::replace(&mut self.ended, true) && buf.remaining() >= END.len() {
                buf.put_slice(END);
                return Poll::Ready(Ok(()));
            }
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
        }
        loop {
            if self.framing.is_held() {
                match self.outcome.take() {
                    STAYED => self.framing.stayed(),
                    SWITCHED => self.framing.switched(),
                    // Who answers wakes this task, since it is the same: hyper begins to time the next head then, and
                    // so asks for it. A visitor that leaves is seen meanwhile.
                    _ => return wait(stream, cx, &mut self.early),
                }
            }
            let before = buf.filled().len();
            if self.early.is_empty() {
                ready!(stream.as_mut().poll_read(cx, buf))?;
            } else {
                let there = self.early.len().min(buf.remaining());
                buf.put_slice(self.early.split_at(there).0);
                self.early.drain(..there);
            }
            let Some(fresh) = buf.filled_mut().get_mut(before..).filter(|fresh| !fresh.is_empty()) else {
                return Poll::Ready(Ok(())); // the end
            };
            let taken = self.framing.see(fresh);
            if let Some(fault) = self.framing.fault() {
                tracing::debug!(%fault, "a request can be read in two ways, its connection is closed");
                self.open.cut(Cut::Framing);
            }
            if let Some(rest) = fresh.get(taken..).filter(|rest| !rest.is_empty()) {
                self.early.splice(..0, rest.iter().copied());
                buf.set_filled(before + taken);
            }
            if taken > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Reads what comes too early, up to a limit, and gives none of it.
fn wait<S: AsyncRead>(
    mut stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    early: &mut Vec<u8>,
) -> Poll<io::Result<()>> {
    let mut piece = [0; 1024];
    while early.len() < MOST_EARLY {
        let mut buf = ReadBuf::new(&mut piece);
        ready!(stream.as_mut().poll_read(cx, &mut buf))?;
        if buf.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        early.extend_from_slice(buf.filled());
    }
    Poll::Pending
}

const END: &[u8] = b"\0\n\n";
const UNKNOWN: u8 = 0;
const STAYED: u8 = 1;
const SWITCHED: u8 = 2;
/// A visitor that does not wait sends a request or a frame or two.
const MOST_EARLY: usize = 16 * 1024;
