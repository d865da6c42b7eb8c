//! A visitor's body on its way to the app. It tells how far it came, so that a slow upload is not taken for a slow app,
//! and what stands behind it says neither who asks nor how it was framed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{clock, forwarded, hop};

pin_project! {
    /// Tells when a body was at its end that another task reads, and cleans its trailers.
    #[derive(Debug)]
    pub(crate) struct Progress<B> {
        #[pin]
        body: B,
        whole: Arc<AtomicU64>,
    }
}

impl<B> Progress<B> {
    /// With it comes when there was nothing more of the body ([`clock::nanos`]; 0: there still is). From then on it is the
    /// app that is waited for.
    pub(crate) fn new(body: B) -> (Self, Arc<AtomicU64>) {
        let whole = Arc::default();
        (Self { body, whole: Arc::clone(&whole) }, whole)
    }
}

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
        let has_ended = matches!(frame, Poll::Ready(None | Some(Err(_)))) || this.body.is_end_stream();
        if has_ended && this.whole.load(Ordering::Relaxed) == 0 {
            this.whole.store(clock::nanos(), Ordering::Relaxed);
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
