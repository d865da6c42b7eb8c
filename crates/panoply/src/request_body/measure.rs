use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body as HttpBody;
use http_body_util::{Full, Limited};
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

use super::BoxError;
use crate::{Practice, Rejection};

/// The visitor sent its request's body too slowly, or stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body came too slowly")]
pub struct TooSlow;

/// How long a body may keep us waiting: `idle` in one piece, and every so many bytes give a second back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) idle: Duration,
    pub(crate) bytes_a_second: u64,
}

/// What a body may still send, and how long its peer may still keep us waiting.
#[derive(Debug)]
pub(super) struct Measure {
    /// How many bytes may still come.
    left: Option<u64>,
    pace: Option<Pace>,
    /// How long we are still ready to wait.
    patience: Duration,
    /// Since when we wait; `None` while the app does not read or the peer keeps up.
    waiting: Option<Instant>,
    /// Set when we wait for the first time. Boxed, so that the body need not be pinned for it.
    alarm: Option<Pin<Box<Sleep>>>,
    cut: Cut,
    pub(super) has_failed: bool,
}

impl Measure {
    /// `most`: how many bytes; `None`: as many as there are. `pace`: how fast; `None`: as slow as it likes.
    pub(super) fn new(most: Option<u64>, pace: Option<Pace>, cut: Cut) -> Self {
        Self {
            left: most,
            pace,
            patience: pace.map_or(Duration::ZERO, |pace| pace.idle),
            waiting: None,
            alarm: None,
            cut,
            has_failed: false,
        }
    }

    /// Takes `bytes` off what may come, and gives the time back that they are worth.
    pub(super) fn arrived(&mut self, bytes: u64) -> Result<(), BoxError> {
        if let (Some(pace), Some(since)) = (self.pace, self.waiting.take()) {
            let waited = now().saturating_duration_since(since);
            if waited <= self.patience + NOTICED_AT_ONCE {
                self.patience = self.patience.saturating_sub(waited);
            }
            let worth = Duration::from_millis(bytes.saturating_mul(1000) / pace.bytes_a_second.max(1));
            self.patience = self.patience.saturating_add(worth).min(pace.idle);
        }
        if let Some(left) = &mut self.left {
            match left.checked_sub(bytes) {
                Some(rest) => *left = rest,
                None => return Err(self.cut.short(Short::TooLarge, length_limit_error())),
            }
        }
        Ok(())
    }

    /// Ready when the peer kept us waiting for too long.
    ///
    /// The alarm is set late and moved lazily: only when it rings does it learn that bytes came in between.
    /// One that is noticed late says that the app was away, not that the peer was slow, and starts anew.
    pub(super) fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<BoxError> {
        let Some(pace) = self.pace else { return Poll::Pending };
        // Without tokio there is no timer, and no pace is kept; with it the timer must be enabled.
        if Handle::try_current().is_err() {
            return Poll::Pending;
        }
        let now = now();
        let since = *self.waiting.get_or_insert(now);
        let mut deadline = since + self.patience;
        if now > deadline + NOTICED_AT_ONCE {
            self.waiting = Some(now);
            self.patience = pace.idle;
            deadline = now + self.patience;
        }
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if alarm.deadline() > deadline {
            alarm.as_mut().reset(deadline);
        }
        while alarm.as_mut().poll(context).is_ready() {
            if alarm.deadline() >= deadline {
                return Poll::Ready(self.cut.short(Short::TooSlow, TooSlow.into()));
            }
            alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: it must be the clock of the timer that it sets")]
fn now() -> Instant {
    Instant::now()
}

/// The error that extractors look for. It has no constructor, so one is had from an empty allowance.
fn length_limit_error() -> BoxError {
    let body = pin!(Limited::new(Full::new(Bytes::from_static(b"x")), 0));
    match body.poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Err(error))) => error,
        _ => "length limit exceeded".into(),
    }
}

/// Tells `finish` that a body was cut short while the app was reading it.
#[derive(Clone, Default)]
pub(crate) struct Cut(Option<Arc<AtomicU8>>);

#[derive(Clone, Copy)]
enum Short {
    TooLarge = 1,
    TooSlow = 2,
}

impl Cut {
    pub(crate) fn armed() -> Self {
        Self(Some(Arc::default()))
    }

    fn short(&self, by: Short, error: BoxError) -> BoxError {
        if let Some(flag) = &self.0 {
            flag.store(by as u8, Ordering::Release);
        }
        error
    }

    /// What to answer in place of the app, which saw only a part.
    pub(crate) fn rejection(&self) -> Option<Rejection> {
        const TOO_LARGE: u8 = Short::TooLarge as u8;
        const TOO_SLOW: u8 = Short::TooSlow as u8;
        let (status, reason) = match self.0.as_ref()?.load(Ordering::Acquire) {
            TOO_LARGE => (StatusCode::PAYLOAD_TOO_LARGE, "the body grew over the limit"),
            TOO_SLOW => (StatusCode::REQUEST_TIMEOUT, "the body came too slowly"),
            _ => return None,
        };
        Some(Rejection::by(Practice::Limits, status, reason))
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cut({:?})", self.rejection().map(|rejection| rejection.status))
    }
}

/// A task that is not busy is polled within this time after its alarm.
const NOTICED_AT_ONCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use http_body::Frame;
    use http_body_util::{BodyExt, LengthLimitError};
    use tokio::sync::mpsc;
    use tokio::time::sleep;

    use super::super::RequestBody;
    use super::*;

    const PACE: Option<Pace> = Some(Pace { idle: Duration::from_secs(30), bytes_a_second: 500 });

    /// A body of so many bytes a frame, or an error.
    struct Peer(mpsc::UnboundedReceiver<Result<usize, &'static str>>);

    impl HttpBody for Peer {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            self.0.poll_recv(context).map_ok(|bytes| Frame::data(Bytes::from(vec![0; bytes])))
        }
    }

    /// Reads to the end what a peer sends: so many bytes, so many milliseconds after the last.
    async fn read(
        sends: &'static [(u64, usize)],
        most: Option<u64>,
    ) -> (Result<usize, BoxError>, Option<u16>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for &(milliseconds, bytes) in sends {
                sleep(Duration::from_millis(milliseconds)).await;
                if sender.send(Ok(bytes)).is_err() {
                    break;
                }
            }
        });
        let cut = Cut::armed();
        let body = RequestBody::limited(Peer(receiver), most, PACE, cut.clone());
        let read = body.collect().await.map(|body| body.to_bytes().len());
        (read, cut.rejection().map(|rejection| rejection.status().as_u16()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_slow_but_steady_passes_and_one_that_drips_does_not() {
        const STEADY: &[(u64, usize)] = &[(1000, 500); 3600];
        const DRIP: &[(u64, usize)] = &[(1000, 1); 3600];
        const TUNNEL: &[(u64, usize)] = &[(100, 4096), (29_000, 16_384), (29_000, 16_384), (29_000, 16_384)];
        const CREDIT: &[(u64, usize)] = &[(0, 100_000_000), (31_000, 1)]; // much at once buys no pause
        for (name, sends, status) in [
            ("steady", STEADY, None),
            ("drip", DRIP, Some(408)),
            ("tunnel", TUNNEL, None),
            ("credit", CREDIT, Some(408)),
            ("silent", &[(31_000, 1)], Some(408)),
            ("nearly silent", &[(29_900, 1)], None),
            ("empty frames", &[(10_000, 0); 5], Some(408)),
        ] {
            let (read, cut) = read(sends, None).await;
            assert_eq!(cut, status, "{name}");
            assert_eq!(read.is_err_and(|error| error.is::<TooSlow>()), status.is_some(), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_over_the_limit_errs_as_extractors_expect() {
        for (sends, status) in [(&[(0, 5), (0, 5)][..], None), (&[(0, 5), (0, 6)], Some(413)), (&[], None)] {
            let (read, cut) = read(sends, Some(10)).await;
            assert_eq!(cut, status);
            assert_eq!(read.is_err_and(|error| error.is::<LengthLimitError>()), status.is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_app_does_not_read_is_not_the_peers() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut body = pin!(RequestBody::limited(Peer(receiver), None, PACE, Cut::armed()));
        for _ in 0..3 {
            sender.send(Ok(1)).unwrap();
            assert!(body.frame().await.unwrap().is_ok());
            sleep(Duration::from_secs(60)).await; // busy with what came
            assert!(poll(body.as_mut()).is_pending());
            sleep(Duration::from_secs(60)).await; // asked, then went away
            assert!(poll(body.as_mut()).is_pending());
        }
        sender.send(Ok(1)).unwrap();
        sleep(Duration::from_secs(60)).await; // and was away when it came
        assert!(body.frame().await.unwrap().is_ok());
        assert!(poll(body.as_mut()).is_pending());
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(error.is::<TooSlow>(), "now it reads");
    }

    fn poll(body: Pin<&mut RequestBody<Peer>>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        body.poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_body_that_was_cut_short_never_looks_complete() {
        let body = RequestBody::limited(Full::new(Bytes::from_static(b"123")), Some(2), PACE, Cut::armed());
        let mut body = pin!(body);
        assert!(body.frame().await.unwrap().is_err());
        assert!(!body.is_end_stream());
        assert!(body.frame().await.unwrap().is_err());

        let (sender, receiver) = mpsc::unbounded_channel();
        for frame in [Ok(1), Err("reset by peer")] {
            sender.send(frame).unwrap();
        }
        drop(sender);
        let mut body = pin!(RequestBody::limited(Peer(receiver), None, PACE, Cut::armed()));
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "reset by peer");
        assert!(body.frame().await.unwrap().is_err());
    }
}
