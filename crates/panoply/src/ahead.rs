use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;

use crate::Body;
use crate::body::Source;

/// The body of an answer whose beginning was read, with nothing lost.
pub(crate) struct Ahead<B> {
    frames: VecDeque<Frame<Bytes>>,
    rest: Option<Pin<Box<B>>>,
    /// It failed before it was over: what was read is not all that there was.
    pub(crate) broken: bool,
}

impl<B: HttpBody<Data = Bytes>> Ahead<B> {
    /// Reads until `body` is over, [`MOST_BYTES`] are there, or [`PATIENCE`] is spent; what was read before counts.
    ///
    /// Most pages are there at once, and then no timer is needed.
    pub(crate) async fn read(body: Body<B>) -> Self {
        let (mut frames, mut rest) = match body.source {
            Source::App { body } => (VecDeque::new(), Some(Box::pin(body))),
            Source::Replayed { frames, rest } => (frames, rest),
            Source::Page { page } => (page.map(Frame::data).into_iter().collect(), None),
        };
        let mut broken = false;
        {
            let mut reading = pin!(async {
                let mut held = frames.iter().filter_map(Frame::data_ref).map(Bytes::len).sum::<usize>();
                while held < MOST_BYTES
                    && frames.len() < MOST_FRAMES
                    && let Some(body) = &mut rest
                {
                    match body.frame().await {
                        Some(Ok(frame)) => {
                            held += frame.data_ref().map_or(0, Bytes::len);
                            frames.push_back(frame);
                        }
                        end => {
                            broken = end.is_some();
                            rest = None;
                        }
                    }
                }
            });
            let at_once = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context).is_ready())).await;
            if !at_once {
                // Out of patience or not, what is there is judged.
                let _ = tokio::time::timeout(PATIENCE, reading).await;
            }
        }
        Self { frames, rest, broken }
    }

    /// What was read, up to [`MOST_BYTES`].
    pub(crate) fn text(&self) -> Cow<'_, [u8]> {
        let mut data = self.frames.iter().filter_map(Frame::data_ref);
        let first = data.next().map(Bytes::as_ref).unwrap_or_default();
        let first = first.get(..MOST_BYTES).unwrap_or(first);
        let mut text = Cow::Borrowed(first);
        for data in data {
            let room = MOST_BYTES.saturating_sub(text.len());
            text.to_mut().extend_from_slice(data.get(..room).unwrap_or(data));
        }
        text
    }

    /// The body again, as if nobody had looked.
    pub(crate) fn replayed(self) -> Body<B> {
        Body::replayed(self.frames, self.rest)
    }
}

/// Development pages run to hundreds of KiB, and all of them say within the first few what they are.
const MOST_BYTES: usize = 64 * 1024;

/// One frame costs as much memory as some hundred bytes, however short it is.
const MOST_FRAMES: usize = 1024;

/// A default page comes in one piece. What still dribbles after this long is a stream, and somebody waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tokio::sync::mpsc;

    use super::*;

    /// A body that sends what the test sends, and is over when the test drops its end.
    fn channel() -> (mpsc::UnboundedSender<Result<Frame<Bytes>, &'static str>>, Polled) {
        let (sender, mut frames) = mpsc::unbounded_channel();
        let stream = Polled(Box::new(move |context: &mut std::task::Context<'_>| frames.poll_recv(context)));
        (sender, stream)
    }

    type Poller = dyn FnMut(&mut std::task::Context<'_>) -> Poll<Option<Result<Frame<Bytes>, &'static str>>>;
    struct Polled(Box<Poller>);

    impl HttpBody for Polled {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            (self.0)(context)
        }
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_comes_back_whole_with_its_trailers() {
        let (sender, body) = channel();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("7"));
        for frame in [data("one "), data("two"), Ok(Frame::trailers(trailers.clone()))] {
            sender.send(frame).unwrap();
        }
        drop(sender);
        let ahead = Ahead::read(Body::app(body)).await;
        assert_eq!(*ahead.text(), *b"one two");
        assert!(!ahead.broken);
        let whole = ahead.replayed();
        assert_eq!(whole.size_hint().exact(), Some(7));
        let whole = whole.collect().await.unwrap();
        assert_eq!(whole.trailers(), Some(&trailers));
        assert_eq!(whole.to_bytes(), "one two");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_dribbles_is_passed_on_after_a_second() {
        let (sender, body) = channel();
        sender.send(data("first ")).unwrap();
        let ahead = Ahead::read(Body::app(body)).await;
        assert_eq!(*ahead.text(), *b"first ");
        sender.send(data("second")).unwrap();
        drop(sender);
        assert_eq!(ahead.replayed().collect().await.unwrap().to_bytes(), "first second");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_held_than_the_limits_say() {
        let (sender, body) = channel();
        for _ in 0..3 * MOST_FRAMES {
            sender.send(data("")).unwrap();
        }
        let ahead = Ahead::read(Body::app(body)).await;
        assert_eq!(ahead.frames.len(), MOST_FRAMES);

        let large = Bytes::from(vec![b'x'; 3 * MOST_BYTES]);
        let ahead = Ahead::read(Body::app(Full::new(large.clone()))).await;
        assert_eq!(ahead.text().len(), MOST_BYTES);
        assert_eq!(ahead.replayed().collect().await.unwrap().to_bytes(), large);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_breaks_off_says_so() {
        let (sender, body) = channel();
        sender.send(data("half")).unwrap();
        sender.send(Err("the app died")).unwrap();
        assert!(Ahead::read(Body::app(body)).await.broken);
    }

    #[test]
    fn a_body_that_is_there_needs_no_runtime() {
        let full = Full::<Bytes>::from("there");
        let mut reading = pin!(Ahead::read(Body::app(full)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(reading.as_mut().poll(&mut context).is_ready());
    }
}
