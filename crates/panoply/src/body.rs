use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{Practice, Rejection};

pin_project! {
    /// The body of an answer: the app's own, untouched or with a piece of it read ahead, or a page of the shield's.
    #[project = BodyProjection]
    #[derive(Debug)]
    pub enum Body<B> {
        /// What the app sends, as it sends it.
        App { #[pin] body: B },
        /// What the app sends, of which the first frames were looked at; no `rest` where it is over.
        Replayed { frames: VecDeque<Frame<Bytes>>, rest: Option<Pin<Box<B>>> },
        /// A page of the shield's; `None` once it was read.
        Page { page: Option<Bytes> },
    }
}

impl<B> Body<B> {
    pub(crate) fn page(page: Bytes) -> Self {
        Self::Page { page: Some(page).filter(|page| !page.is_empty()) }
    }
}

impl<B: HttpBody<Data = Bytes>> HttpBody for Body<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project() {
            BodyProjection::App { body } => body.poll_frame(context),
            BodyProjection::Replayed { frames, rest } => match frames.pop_front() {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None => match rest {
                    Some(rest) => rest.as_mut().poll_frame(context),
                    None => Poll::Ready(None),
                },
            },
            BodyProjection::Page { page } => Poll::Ready(page.take().map(|page| Ok(Frame::data(page)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::App { body } => body.is_end_stream(),
            Self::Replayed { frames, rest } => {
                frames.is_empty() && rest.as_ref().is_none_or(HttpBody::is_end_stream)
            }
            Self::Page { page } => page.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::App { body } => body.size_hint(),
            Self::Replayed { frames, rest } => {
                let held: usize = frames.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
                let rest = rest.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint);
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower() + held as u64);
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper + held as u64);
                }
                hint
            }
            Self::Page { page } => SizeHint::with_exact(page.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}

pin_project! {
    /// The body of a request, counted on its way to the app.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        body: B,
        // How many bytes may still come; `None`: as many as there are.
        left: Option<u64>,
        cut: Cut,
    }
}

impl<B> RequestBody<B> {
    pub(crate) fn unlimited(body: B) -> Self {
        Self { body, left: None, cut: Cut::default() }
    }

    pub(crate) fn limited(body: B, limit: u64, cut: Cut) -> Self {
        Self { body, left: Some(limit), cut }
    }
}

impl<B> HttpBody for RequestBody<B>
where
    B: HttpBody,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = B::Data;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BodyError>>> {
        let this = self.project();
        let frame = match ready!(this.body.poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(BodyError::Read(error.into())))),
            Some(Ok(frame)) => frame,
        };
        if let (Some(left), Some(data)) = (this.left, frame.data_ref()) {
            match left.checked_sub(data.remaining() as u64) {
                Some(rest) => *left = rest,
                None => {
                    this.cut.trip();
                    return Poll::Ready(Some(Err(BodyError::TooLarge)));
                }
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why the app got no more of a request's body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It grew over the limit.
    #[error("the body is over the limit")]
    TooLarge,
    /// It could not be read.
    #[error("the body could not be read")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Tells `finish` that a body was cut short while the app was reading it.
#[derive(Clone, Default)]
pub(crate) struct Cut(Option<Arc<AtomicBool>>);

impl Cut {
    pub(crate) fn armed() -> Self {
        Self(Some(Arc::default()))
    }

    fn trip(&self) {
        if let Some(flag) = &self.0 {
            flag.store(true, Ordering::Release);
        }
    }

    /// What to answer in place of the app, which saw only a part.
    pub(crate) fn rejection(&self) -> Option<Rejection> {
        let tripped = self.0.as_ref().is_some_and(|flag| flag.load(Ordering::Acquire));
        tripped.then(|| {
            Rejection::by(Practice::Limits, StatusCode::PAYLOAD_TOO_LARGE, "the body grew over the limit")
        })
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cut({})", self.rejection().is_some())
    }
}
