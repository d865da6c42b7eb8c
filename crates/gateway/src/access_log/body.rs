use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::Entry;

pin_project! {
    /// The body of an answer, and the line that is written when it is over.
    #[derive(Debug)]
    pub(crate) struct Logged<B> {
        #[pin]
        body: B,
        entry: Option<Entry>,
    }
}

impl<B: Body> Logged<B> {
    /// `entry`: none where no log is kept.
    pub(crate) fn new(body: B, mut entry: Option<Entry>) -> Self {
        if let Some(entry) = &mut entry
            && body.is_end_stream()
        {
            entry.ended();
        }
        Self { body, entry }
    }
}

impl<B: Body<Data = Bytes>> Body for Logged<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let polled = this.body.as_mut().poll_frame(context);
        if let Some(entry) = this.entry {
            match &polled {
                Poll::Ready(Some(Ok(frame))) => {
                    entry.sent(frame.data_ref().map_or(0, Buf::remaining));
                    // Whose length is known is not asked for its end.
                    if this.body.is_end_stream() {
                        entry.ended();
                    }
                }
                Poll::Ready(None) => entry.ended(),
                Poll::Ready(Some(Err(_))) | Poll::Pending => {}
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
