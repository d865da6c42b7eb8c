use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

mod ahead;
mod measure;

use self::ahead::Ahead;
pub(crate) use self::ahead::{Extent, Held};
use self::measure::Measure;
pub use self::measure::TooSlow;
pub(crate) use self::measure::{Cut, Pace};

pin_project! {
    /// The body of a request, measured on its way to the app.
    ///
    /// Its error is that of the body within, or, where the limits cut it short,
    /// [`LengthLimitError`](http_body_util::LengthLimitError), from which extractors such as axum's know to
    /// answer 413, or [`TooSlow`]. After an error come only errors, so that a body which was cut short never
    /// looks like one that ended.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        source: Source<B>,
        // None of them: the body is passed on as it is.
        limits: Option<Measure>,
    }
}

pin_project! {
    #[project = SourceProjection]
    #[derive(Debug)]
    enum Source<B> {
        /// What the visitor sends, as it comes.
        Visitor { #[pin] body: B },
        /// The same, of which the beginning was read already.
        Ahead { ahead: Box<Ahead<B>> },
    }
}

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

impl<B> RequestBody<B> {
    pub(crate) fn unlimited(body: B) -> Self {
        Self { source: Source::Visitor { body }, limits: None }
    }

    /// `most`: how many bytes; `None`: as many as there are. `pace`: how fast; `None`: as slow as it likes.
    pub(crate) fn limited(body: B, most: Option<u64>, pace: Option<Pace>, cut: Cut) -> Self {
        Self { source: Source::Visitor { body }, limits: Some(Measure::new(most, pace, cut)) }
    }
}

impl<B> HttpBody for RequestBody<B>
where
    B: HttpBody,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let Some(limits) = this.limits else {
            return this.source.poll_frame(context);
        };
        if limits.has_failed {
            return Poll::Ready(Some(Err("the body was cut short".into())));
        }
        let frame = match this.source.poll_frame(context) {
            Poll::Pending => match limits.poll_patience(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(too_slow) => Err(too_slow),
            },
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => Err(error),
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                limits.arrived(bytes).map(|()| frame)
            }
        };
        limits.has_failed = frame.is_err();
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        let is_over = match &self.source {
            Source::Visitor { body } => body.is_end_stream(),
            Source::Ahead { ahead } => ahead.is_end_stream(),
        };
        is_over && !self.limits.as_ref().is_some_and(|limits| limits.has_failed)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Visitor { body } => body.size_hint(),
            Source::Ahead { ahead } => ahead.size_hint(),
        }
    }
}

impl<B> Source<B>
where
    B: HttpBody,
    B::Error: Into<BoxError>,
{
    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project() {
            SourceProjection::Visitor { body } => body
                .poll_frame(context)
                // No copy where it is `Bytes` already.
                .map_ok(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
                .map_err(Into::into),
            SourceProjection::Ahead { ahead } => ahead.poll_frame(context),
        }
    }
}
