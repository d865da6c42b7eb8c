//! A stream that is looked at while it is read and written.
//!
//! What looks is known when this is compiled, and what it does not look at is passed on as it is: nothing is called
//! through a table, and nothing is copied.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Looks at what passes.
pub(crate) trait Tap {
    /// Reads from `stream`, or does something else than that.
    fn read<S: AsyncRead>(
        &mut self,
        stream: Pin<&mut S>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        stream.poll_read(cx, buf)
    }

    /// So much of `parts`, one after the other, was `written`, or none.
    fn wrote(&mut self, _written: &Poll<io::Result<usize>>, _parts: &[IoSlice<'_>]) {}
}

pin_project! {
    /// The stream with its tap.
    #[derive(Debug)]
    pub(crate) struct Tapped<S, T> {
        #[pin]
        stream: S,
        tap: T,
    }
}

impl<S, T: Tap> Tapped<S, T> {
    pub(crate) const fn new(stream: S, tap: T) -> Self {
        Self { stream, tap }
    }
}

impl<S: AsyncRead, T: Tap> AsyncRead for Tapped<S, T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        this.tap.read(this.stream, cx, buf)
    }
}

impl<S: AsyncWrite, T: Tap> AsyncWrite for Tapped<S, T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.stream.poll_write(cx, buf);
        this.tap.wrote(&written, &[IoSlice::new(buf)]);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.stream.poll_write_vectored(cx, bufs);
        this.tap.wrote(&written, bufs);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Remembers all that was written.
    #[derive(Default)]
    struct Recorder(Vec<u8>);

    impl Tap for Recorder {
        fn wrote(&mut self, written: &Poll<io::Result<usize>>, parts: &[IoSlice<'_>]) {
            let Poll::Ready(Ok(written)) = written else { return };
            self.0.extend(parts.iter().flat_map(|part| part.iter()).take(*written));
        }
    }

    #[tokio::test]
    async fn all_passes_and_each_byte_is_seen_once() {
        let (mine, mut theirs) = tokio::io::duplex(5);
        let mut tapped = Tapped::new(mine, Recorder::default());
        assert!(tapped.is_write_vectored());
        let parts = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")];
        let written = tapped.write_vectored(&parts).await.unwrap();
        assert_eq!(tapped.tap.0, b"onetwo"[..written]);
        let rest = tokio::spawn(async move {
            let mut read = String::new();
            theirs.read_to_string(&mut read).await.unwrap();
            read
        });
        tapped.write_all(&b"onetwothree"[written..]).await.unwrap();
        tapped.shutdown().await.unwrap();
        assert_eq!(rest.await.unwrap(), "onetwothree");
        assert_eq!(tapped.tap.0, b"onetwothree");
        assert_eq!(tapped.read(&mut [0]).await.unwrap(), 0);
    }
}
