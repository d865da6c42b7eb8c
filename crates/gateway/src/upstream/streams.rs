//! How many streams an app takes on a connection of HTTP/2 at once (RFC 9113 §5.1.2).
//!
//! What is sent beyond that waits in hyper's queue until others end, which events that are streamed do not. So it is
//! minded here, and another connection is opened instead.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;

use crate::tap::Tap;

/// What the app last said of one connection; a clone is of the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<Said>);

#[derive(Debug, Default)]
struct Said {
    /// 0: nothing yet.
    most: AtomicUsize,
    told: Notify,
    /// The first bytes did.
    has_come: AtomicBool,
    came: Notify,
}

impl Streams {
    /// Drives `connection` to its end, and learns meanwhile how many the app takes: `most` of it.
    pub(super) async fn drive<C: Future + Unpin>(
        self,
        mut connection: C,
        most: impl Fn(&C) -> usize,
    ) -> C::Output {
        let mut came = pin!(self.0.came.notified());
        let mut has_come = false;
        let ended = poll_fn(|cx| {
            let ended = Pin::new(&mut connection).poll(cx);
            // hyper reads in a task of its own, and wakes this one for requests alone. What an app sends first is how many
            // it takes; what it says later is heard with the next request.
            has_come = has_come || came.as_mut().poll(cx).is_ready();
            if has_come {
                self.are(most(&connection));
            }
            ended
        })
        .await;
        self.are(0); // nobody waits for it any more
        ended
    }

    /// The app takes so many. One that takes none for now has one waiting, who sees when that changes.
    pub(super) fn are(&self, most: usize) {
        if self.0.most.swap(most.max(1), Ordering::Relaxed) == 0 {
            self.0.told.notify_one();
        }
    }

    /// How many may be sent; before the app has said it, one.
    pub(super) fn most(&self) -> usize {
        self.0.most.load(Ordering::Relaxed).max(1)
    }

    /// Whether the app has said it.
    pub(super) fn are_known(&self) -> bool {
        self.0.most.load(Ordering::Relaxed) != 0
    }

    /// Waits until it has.
    pub(super) async fn known(&self) {
        while !self.are_known() {
            self.0.told.notified().await;
        }
    }
}

impl Tap for Streams {
    fn read<S: AsyncRead>(
        &mut self,
        stream: Pin<&mut S>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(stream.poll_read(cx, buf))?;
        if !self.0.has_come.load(Ordering::Relaxed) {
            self.0.has_come.store(true, Ordering::Relaxed);
            self.0.came.notify_one();
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::tap::Tapped;

    #[tokio::test]
    async fn until_the_app_has_said_it_there_is_one_and_others_wait_to_hear() {
        let streams = Streams::default();
        assert_eq!((streams.most(), streams.are_known()), (1, false));
        let waits = tokio::spawn({
            let streams = streams.clone();
            async move { streams.known().await }
        });
        tokio::task::yield_now().await;
        streams.are(3);
        waits.await.unwrap();
        for (said, most) in [(7, 7), (0, 1), (usize::MAX, usize::MAX)] {
            streams.are(said);
            streams.known().await;
            assert_eq!(streams.most(), most, "{said}");
        }
    }

    /// hyper's connection is woken by requests alone, as this one is by nothing.
    #[tokio::test]
    async fn the_first_word_is_heard_though_nobody_asks_and_later_ones_when_somebody_does() {
        let (mine, mut theirs) = tokio::io::duplex(64);
        let streams = Streams::default();
        let mut stream = Tapped::new(mine, streams.clone());
        let (end, ends) = tokio::sync::oneshot::channel::<()>();
        let said = Arc::new(AtomicUsize::new(100));
        let now = Arc::clone(&said);
        let driven = tokio::spawn(streams.clone().drive(ends, move |_| now.load(Ordering::Relaxed)));
        tokio::task::yield_now().await;
        assert_eq!((streams.most(), streams.are_known()), (1, false), "nobody knows before bytes came");
        streams.are(60); // presumed of one who is slow to say
        theirs.write_all(b"SETTINGS").await.unwrap();
        stream.read_exact(&mut [0; 8]).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(streams.most(), 100);
        end.send(()).unwrap();
        driven.await.unwrap().unwrap();
        assert_eq!(streams.most(), 1);
    }
}
