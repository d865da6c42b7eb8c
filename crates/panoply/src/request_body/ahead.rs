use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;

use super::{BoxError, RequestBody, Source};

/// A body whose beginning was looked at, to be passed on as if nobody had.
pub(crate) struct Held<B> {
    pub(crate) body: RequestBody<B>,
    pub(crate) extent: Extent,
}

/// How much of a body there was to see.
#[derive(PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it, in one piece.
    Whole(Bytes),
    /// More than was to be held.
    TooLarge,
    /// It broke off, came too slowly, or grew over the limits: who reads on is told which.
    Broken,
}

impl<B> RequestBody<B>
where
    B: HttpBody,
    B::Error: Into<BoxError>,
{
    /// Reads ahead, until the body is over or breaks, or more than `most` bytes are there.
    ///
    /// Limits and pace hold here as they do when the app reads, and count what comes once. Of a body that says
    /// that it is larger nothing is read. What is held is at most `most` bytes and one frame: pieces are joined
    /// as they come, since a thousand frames of one byte would cost a hundred times what they carry.
    pub(crate) async fn read(self, most: usize) -> Held<B> {
        if self.size_hint().lower() > most as u64 {
            return Held { body: self, extent: Extent::TooLarge };
        }
        if self.is_end_stream() {
            return Held { body: self, extent: Extent::Whole(Bytes::new()) };
        }
        let mut rest = Box::pin(self);
        let mut joined = Joined::default();
        let mut next = None;
        let (is_over, broken) = loop {
            match rest.frame().await {
                None => break (true, false),
                Some(Err(error)) => {
                    next = Some(Err(error));
                    break (false, true);
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if joined.len() + data.len() > most => {
                        next = Some(Ok(Frame::data(data)));
                        break (false, false);
                    }
                    Ok(data) => joined.push(data),
                    // Trailers are the last frame of a body (RFC 9110 §6.5); nothing behind them would be seen.
                    Err(trailers) => {
                        next = Some(Ok(trailers));
                        break (true, false);
                    }
                },
            }
        };
        let bytes = joined.into_bytes();
        let extent = match (is_over, broken) {
            (true, _) => Extent::Whole(bytes.clone()),
            (_, true) => Extent::Broken,
            _ => Extent::TooLarge,
        };
        let ahead = Box::new(Ahead { bytes, next, rest, is_over });
        Held { body: Self { source: Source::Ahead { ahead }, limits: None }, extent }
    }
}

/// What was read of a body, and the body.
pub(super) struct Ahead<B> {
    bytes: Bytes,
    /// What came behind the bytes: trailers, a piece too much, or why there was no more.
    next: Option<Result<Frame<Bytes>, BoxError>>,
    /// With its limits. Boxed, since it was polled and need not be `Unpin`.
    rest: Pin<Box<RequestBody<B>>>,
    /// The rest has said that it is over, and is not asked again.
    is_over: bool,
}

impl<B> Ahead<B>
where
    B: HttpBody,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.bytes.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.bytes)))));
        }
        match self.next.take() {
            Some(next) => Poll::Ready(Some(next)),
            None if self.is_over => Poll::Ready(None),
            None => self.rest.as_mut().poll_frame(context),
        }
    }

    /// As the body itself would say it: one whose end nobody could know says so only when asked for a frame, and
    /// is framed towards the app as it came.
    pub(super) fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.next.is_none() && self.rest.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let next = self.next.as_ref().and_then(|next| next.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        let held = (self.bytes.len() + next) as u64;
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(held));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

/// It may be a password.
impl<B> fmt::Debug for Ahead<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ahead({} bytes)", self.bytes.len())
    }
}

impl fmt::Debug for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::TooLarge => f.write_str("TooLarge"),
            Self::Broken => f.write_str("Broken"),
        }
    }
}

impl<B> fmt::Debug for Held<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({:?})", self.extent)
    }
}

/// Pieces in one: the first as it is, copied only when there are more.
#[derive(Default)]
struct Joined {
    first: Bytes,
    all: BytesMut,
}

impl Joined {
    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&data);
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::marker::PhantomPinned;
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};
    use http_body_util::{Full, LengthLimitError};
    use pin_project_lite::pin_project;
    use proptest::prelude::*;

    use super::super::{Cut, Pace, TooSlow};
    use super::*;

    pin_project! {
        /// Frames that are there at once, and then silence or the end. Not `Unpin`, as no body need be.
        struct Frames {
            frames: VecDeque<Result<Frame<Bytes>, &'static str>>,
            knows_its_size: bool,
            falls_silent: bool,
            #[pin]
            pinned: PhantomPinned,
        }
    }

    impl Frames {
        fn of(frames: impl IntoIterator<Item = Result<Frame<Bytes>, &'static str>>) -> Self {
            let frames = frames.into_iter().collect();
            Self { frames, knows_its_size: false, falls_silent: false, pinned: PhantomPinned }
        }

        fn len(&self) -> u64 {
            let frames = self.frames.iter().filter_map(|frame| frame.as_ref().ok()?.data_ref());
            frames.map(|data| data.len() as u64).sum()
        }
    }

    impl HttpBody for Frames {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            let this = self.project();
            match this.frames.pop_front() {
                None if *this.falls_silent => Poll::Pending,
                frame => Poll::Ready(frame),
            }
        }

        fn size_hint(&self) -> SizeHint {
            if self.knows_its_size { SizeHint::with_exact(self.len()) } else { SizeHint::new() }
        }
    }

    fn data(bytes: &[u8]) -> Result<Frame<Bytes>, &'static str> {
        Ok(Frame::data(Bytes::copy_from_slice(bytes)))
    }

    fn trailers() -> Result<Frame<Bytes>, &'static str> {
        Ok(Frame::trailers(HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("7"))])))
    }

    #[tokio::test]
    async fn what_is_held_says_how_much_of_the_body_it_is() {
        let whole = |text: &'static str| Extent::Whole(Bytes::from_static(text.as_bytes()));
        for (name, frames, extent, sum) in [
            ("nothing", vec![], whole(""), Ok(0)),
            ("one piece", vec![data(b"a=1")], whole("a=1"), Ok(3)),
            ("pieces", vec![data(b"a"), data(b""), data(b"=1&b")], whole("a=1&b"), Ok(5)),
            ("as much as is held", vec![data(b"12345678")], whole("12345678"), Ok(8)),
            ("a byte more", vec![data(b"1234567"), data(b"89")], Extent::TooLarge, Ok(9)),
            ("one large piece", vec![data(&[b'x'; 100])], Extent::TooLarge, Ok(100)),
            ("trailers", vec![data(b"a=1"), trailers()], whole("a=1"), Ok(3)),
            ("broken", vec![data(b"a="), Err("reset by peer")], Extent::Broken, Err("reset by peer")),
        ] {
            let has_trailers = name == "trailers";
            let held = RequestBody::unlimited(Frames::of(frames)).read(8).await;
            assert_eq!(held.extent, extent, "{name}");
            let read = held.body.collect().await;
            let read = read.map(|all| (all.trailers().is_some(), all.to_bytes().len()));
            let sum = sum.map(|sum| (has_trailers, sum)).map_err(ToOwned::to_owned);
            assert_eq!(read.map_err(|error| error.to_string()), sum, "{name}");
        }
    }

    #[tokio::test]
    async fn a_body_that_says_that_it_is_larger_is_not_touched() {
        let mut frames = Frames::of([data(&[0; 9])]);
        frames.knows_its_size = true;
        let held = RequestBody::unlimited(frames).read(8).await;
        assert_eq!(held.extent, Extent::TooLarge);
        assert!(matches!(held.body.source, Source::Visitor { .. }));
        assert_eq!(held.body.size_hint().exact(), Some(9));
    }

    #[tokio::test(start_paused = true)]
    async fn limits_hold_while_it_is_read_ahead_and_count_once() {
        for (frames, most, is_cut) in [
            (vec![data(b"12345"), data(b"67890")], 10, false),
            (vec![data(b"12345"), data(b"678901")], 10, true),
            // Read ahead to the ninth byte, then by the app.
            (vec![data(b"12345"), data(b"6789"), data(b"0")], 10, false),
            (vec![data(b"12345"), data(b"6789"), data(b"01")], 10, true),
        ] {
            let cut = Cut::armed();
            let body = RequestBody::limited(Frames::of(frames), Some(most), None, cut.clone());
            let read = body.read(8).await.body.collect().await;
            assert_eq!(read.is_err_and(|error| error.is::<LengthLimitError>()), is_cut);
            assert_eq!(cut.rejection().map(|cut| cut.status().as_u16()), is_cut.then_some(413));
        }

        let pace = Some(Pace { idle: Duration::from_secs(30), bytes_a_second: 500 });
        let mut frames = Frames::of([data(b"a=")]);
        frames.falls_silent = true;
        let held = RequestBody::limited(frames, None, pace, Cut::armed()).read(8).await;
        assert_eq!(held.extent, Extent::Broken);
        let mut body = Box::pin(held.body);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a=");
        assert!(body.frame().await.unwrap().unwrap_err().is::<TooSlow>());
        assert!(body.frame().await.unwrap().is_err(), "it never looks like one that ended");
        assert!(!body.is_end_stream());
    }

    #[tokio::test]
    async fn the_only_piece_is_not_copied_and_nothing_is_shown() {
        let sent = Bytes::from_static(b"password=hunter2");
        let held = RequestBody::unlimited(Full::new(sent.clone())).read(64).await;
        let Extent::Whole(whole) = &held.extent else { panic!("it is there") };
        assert_eq!(whole.as_ptr(), sent.as_ptr());
        assert_eq!(format!("{held:?}"), "Held(Whole(16 bytes))");
        let shown = format!("{:?}", held.body);
        assert!(shown.contains("Ahead(16 bytes)") && !shown.contains("hunter2"), "{shown}");
        assert_eq!(held.body.size_hint().exact(), Some(16));
        assert_eq!(held.body.collect().await.unwrap().to_bytes().as_ptr(), sent.as_ptr());
    }

    proptest! {
        #[test]
        fn whatever_the_frames_bytes_out_are_bytes_in(
            sent in proptest::collection::vec(any::<u8>(), 0..40),
            cuts in proptest::collection::vec(0_usize..40, 0..8),
            (most, knows_its_size) in (0_usize..48, any::<bool>()),
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(sent.len())).chain([0, sent.len()]).collect();
            cuts.sort_unstable();
            let mut frames = Frames::of(cuts.windows(2).map(|cut| data(&sent[cut[0]..cut[1]])));
            frames.knows_its_size = knows_its_size;
            let body = RequestBody::unlimited(frames);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let read = runtime.block_on(async {
                // Held twice, which nothing forbids.
                let held = body.read(most / 2).await.body.read(most).await;
                prop_assert_eq!(matches!(held.extent, Extent::Whole(_)), sent.len() <= most);
                let mut body = Box::pin(held.body);
                let mut read = Vec::new();
                loop {
                    let left = (sent.len() - read.len()) as u64;
                    prop_assert_eq!(body.size_hint().exact(), knows_its_size.then_some(left));
                    let Some(frame) = body.frame().await else { break };
                    read.extend_from_slice(&frame.unwrap().into_data().unwrap());
                }
                Ok(read)
            });
            prop_assert_eq!(read?, sent);
        }
    }
}
