use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of an answer: the app's own, untouched or with a piece of it read ahead, or a page of the shield's.
    #[derive(Debug)]
    pub struct Body<B> {
        #[pin]
        pub(crate) source: Source<B>,
    }
}

pin_project! {
    /// Whose body it is.
    #[project = SourceProjection]
    #[derive(Debug)]
    pub(crate) enum Source<B> {
        /// What the app sends, as it sends it.
        App { #[pin] body: B },
        /// What the app sends, of which the first frames were looked at; no `rest` where it is over.
        Replayed { frames: VecDeque<Frame<Bytes>>, rest: Option<Pin<Box<B>>> },
        /// A page of the shield's; `None` once it was read.
        Page { page: Option<Bytes> },
    }
}

impl<B> Body<B> {
    /// What the app sends, as it sends it: for an answer that meets no shield.
    pub fn app(body: B) -> Self {
        Self { source: Source::App { body } }
    }

    pub(crate) fn replayed(frames: VecDeque<Frame<Bytes>>, rest: Option<Pin<Box<B>>>) -> Self {
        Self { source: Source::Replayed { frames, rest } }
    }

    pub(crate) fn page(page: Bytes) -> Self {
        Self { source: Source::Page { page: Some(page).filter(|page| !page.is_empty()) } }
    }

    /// Whether it is what the app says, and no page of the shield's.
    pub(crate) const fn is_apps(&self) -> bool {
        !matches!(self.source, Source::Page { .. })
    }
}

impl<B: HttpBody<Data = Bytes>> HttpBody for Body<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().source.project() {
            SourceProjection::App { body } => body.poll_frame(context),
            SourceProjection::Replayed { frames, rest } => match frames.pop_front() {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None => match rest {
                    Some(rest) => rest.as_mut().poll_frame(context),
                    None => Poll::Ready(None),
                },
            },
            SourceProjection::Page { page } => Poll::Ready(page.take().map(|page| Ok(Frame::data(page)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::App { body } => body.is_end_stream(),
            Source::Replayed { frames, rest } => {
                frames.is_empty() && rest.as_ref().is_none_or(HttpBody::is_end_stream)
            }
            Source::Page { page } => page.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::App { body } => body.size_hint(),
            Source::Replayed { frames, rest } => {
                let held: usize = frames.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
                let rest = rest.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint);
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower() + held as u64);
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper + held as u64);
                }
                hint
            }
            Source::Page { page } => SizeHint::with_exact(page.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}
