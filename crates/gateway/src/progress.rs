//! A visitor's body on its way to the app. It tells how far it came, so that a slow upload is not taken for a slow app,
//! and what stands behind it says neither who asks nor how it was framed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{forwarded, hop};

pin_project! {
    /// Counts the frames of a body that another task reads, and cleans its trailers.
    #[derive(Debug)]
    pub(crate) struct Progress<B> {
        #[pin]
        body: B,
        frames: Arc<AtomicU32>,
    }
}

impl<B> Progress<B> {
    pub(crate) fn new(body: B) -> (Self, Arc<AtomicU32>) {
        let frames = Arc::default();
        (Self { body, frames: Arc::clone(&frames) }, frames)
    }
}

/// There is nothing more of the body: from here on it is the app that is waited for.
pub(crate) const ENDED: u32 = u32::MAX;

impl<B: Body> Body for Progress<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let mut this = this;
        let mut frame = this.body.as_mut().poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            hop::strip_trailers(trailers);
            forwarded::strip_trailers(trailers);
        }
        match &frame {
            Poll::Ready(Some(Ok(_))) => _ = this.frames.fetch_add(1, Ordering::Relaxed),
            Poll::Ready(_) => this.frames.store(ENDED, Ordering::Relaxed),
            Poll::Pending => {}
        }
        if this.body.is_end_stream() {
            this.frames.store(ENDED, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
