use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::{Asked, Unread};
use crate::clock;
use crate::pace::Pace;
use crate::pieces::Long;

/// The body of an answer as the visitor takes it.
///
/// Whoever leaves it unread is noticed by the connection's [`check`](super::Life::check), since nobody asks a body
/// for more whose stream has no room: then it is let go of, and ends with an error when it is asked after all.
#[derive(Debug)]
pub(crate) struct Handed<B>(Answer<B>);

#[derive(Debug)]
enum Answer<B> {
    /// It has one piece so far, like most.
    Own { body: B, asked: Asked },
    /// It has several.
    Shared(Arc<Slot<B>>),
    /// Between the two.
    Gone,
}

/// What the connection lets go of.
#[derive(Debug)]
struct Slot<B>(Mutex<Held<B>>);

#[derive(Debug)]
struct Held<B> {
    /// Empty once it was given up.
    there: Option<(B, Asked, Long)>,
    pace: Pace,
}

type Polled<E> = Poll<Option<Result<Frame<Bytes>, E>>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<B> Handed<B> {
    pub(crate) const fn new(body: B, asked: Asked) -> Self {
        Self(Answer::Own { body, asked })
    }
}

impl<B: Body<Data = Bytes> + Unpin + Send + std::fmt::Debug + 'static> Handed<B> {
    /// From the second piece on the connection looks after it.
    fn share(&mut self, last: usize) {
        let Answer::Own { body, asked } = std::mem::replace(&mut self.0, Answer::Gone) else { return };
        let life = Arc::clone(&asked.0);
        let mut held =
            Held { there: Some((body, asked, Long::begin())), pace: Pace::of_stream(life.terms.unread) };
        held.pace.hand(last, clock::now());
        let slot = Arc::new(Slot(Mutex::new(held)));
        let answer: Weak<dyn Unread> = Arc::downgrade(&slot) as Weak<dyn Unread>;
        life.watch(answer);
        self.0 = Answer::Shared(slot);
    }
}

impl<B> Body for Handed<B>
where
    B: Body<Data = Bytes> + Unpin + Send + std::fmt::Debug + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = match &mut self.0 {
            Answer::Own { body, .. } => {
                let polled = Pin::new(&mut *body).poll_frame(context);
                match &polled {
                    Poll::Ready(Some(Ok(frame))) if !body.is_end_stream() => {
                        let bytes = frame.data_ref().map_or(0, Bytes::len);
                        self.share(bytes);
                    }
                    // The one piece is handed out: hyper may hold it as long as it likes, the request is over. Who never
                    // makes room for it is a connection that asks nothing any more.
                    Poll::Ready(_) => self.0 = Answer::Gone,
                    Poll::Pending => {}
                }
                polled
            }
            Answer::Shared(slot) => match slot.held().poll(context) {
                Some(polled) => polled,
                None => return Poll::Ready(Some(Err("the visitor left the answer unread".into()))),
            },
            Answer::Gone => Poll::Ready(None),
        };
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Answer::Own { body, .. } => body.is_end_stream(),
            Answer::Shared(slot) => slot.held().there.as_ref().is_some_and(|(body, ..)| body.is_end_stream()),
            Answer::Gone => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Answer::Own { body, .. } => body.size_hint(),
            Answer::Shared(slot) => {
                slot.held().there.as_ref().map(|(body, ..)| body.size_hint()).unwrap_or_default()
            }
            Answer::Gone => SizeHint::with_exact(0),
        }
    }
}

impl<B> Slot<B> {
    fn held(&self) -> MutexGuard<'_, Held<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Held<B> {
    /// The next piece; `None` where it was given up.
    fn poll(&mut self, context: &mut Context<'_>) -> Option<Polled<B::Error>> {
        let (body, ..) = self.there.as_mut()?;
        let now = clock::now();
        self.pace.took(0, now);
        let polled = Pin::new(body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.pace.hand(frame.data_ref().map_or(0, Bytes::len), now);
        }
        Some(polled)
    }
}

impl<B: Send + std::fmt::Debug> Unread for Slot<B> {
    fn give_up(&self, now: Instant) -> bool {
        let mut held = self.held();
        if !held.pace.is_over(now) {
            return false;
        }
        let there = held.there.take();
        drop(held);
        // Closes the app's connection, since the answer is not at its end.
        there.is_some()
    }
}
