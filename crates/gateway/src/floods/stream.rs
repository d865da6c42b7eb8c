//! A connection whose frames are counted on their way to hyper.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::Floods;
use crate::clock;
use crate::cuts::Cut;
use crate::tap::Tap;
use crate::worker::Open;

/// Counts what a stream brings.
#[derive(Debug)]
pub(crate) struct Counted {
    floods: Floods,
    open: Arc<Open>,
}

impl Counted {
    /// `open` is told when it is too much.
    pub(crate) fn new(open: Arc<Open>) -> Self {
        Self { floods: Floods::new(clock::now()), open }
    }
}

impl Tap for Counted {
    fn read<S: AsyncRead>(
        &mut self,
        stream: Pin<&mut S>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(stream.poll_read(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.floods.see(fresh, clock::now()).map_err(|flood| {
            tracing::debug!(%flood, "an HTTP/2 connection is cut off");
            self.open.cut(Cut::Flood);
            io::Error::new(io::ErrorKind::InvalidData, flood)
        }))
    }

    fn wrote(&mut self, written: &Poll<io::Result<usize>>, parts: &[IoSlice<'_>]) {
        let Poll::Ready(Ok(written)) = written else { return };
        let mut left = *written;
        for part in parts {
            let part = part.get(..left).unwrap_or(part);
            self.floods.wrote(part);
            left -= part.len();
        }
    }
}
