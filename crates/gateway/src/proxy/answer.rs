//! The body of an answer: the app's, or a text of our own.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use crate::hop;
use crate::upstream::Lease;

pin_project! {
    /// The app's body, at whose end the connection goes back to the pool; or a text of our own.
    #[project = AnswerProjection]
    #[derive(Debug)]
    pub(crate) enum Answer {
        App { #[pin] body: Incoming, lease: Option<Lease> },
        Text { text: Option<Bytes> },
        None,
    }
}

impl Answer {
    pub(super) fn new(body: Incoming, lease: Lease) -> Self {
        if body.is_end_stream() {
            lease.release();
            return Self::None;
        }
        Self::App { body, lease: Some(lease) }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let (mut body, lease) = match self.project() {
            AnswerProjection::App { body, lease } => (body, lease),
            AnswerProjection::Text { text } => {
                return Poll::Ready(text.take().map(|text| Ok(Frame::data(text))));
            }
            AnswerProjection::None => return Poll::Ready(None),
        };
        let mut frame = ready!(body.as_mut().poll_frame(context));
        if let Some(Ok(trailers)) = &mut frame
            && let Some(trailers) = trailers.trailers_mut()
        {
            hop::strip_trailers(trailers);
        }
        if matches!(frame, Some(Err(_))) {
            *lease = None; // broken: it closes as it is dropped
        } else if (frame.is_none() || body.is_end_stream())
            && let Some(lease) = lease.take()
        {
            lease.release();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::App { body, .. } => body.is_end_stream(),
            Self::Text { text } => text.is_none(),
            Self::None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::App { body, .. } => body.size_hint(),
            Self::Text { text } => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::None => SizeHint::with_exact(0),
        }
    }
}
