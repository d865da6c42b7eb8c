//! What the one before still counts, for those who came to it, after its place is another's.

use std::io;
use std::time::Duration;

use panoply::counters::Counters;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::PROMPT;
use super::line::{Line, hear, say};
use crate::counting::Told;

/// What comes of it.
#[derive(Debug)]
pub struct Bequest(UnixStream);

impl Bequest {
    pub(super) const fn from(stream: UnixStream) -> Self {
        Self(stream)
    }

    /// Counts all of it in `counters`, until the one before has ended.
    pub(crate) async fn count(self, counters: &dyn Counters) {
        if let Err(error) = self.heard(counters).await {
            tracing::warn!(%error, "what the process before counts at its end is not known here");
        }
    }

    async fn heard(self, counters: &dyn Counters) -> io::Result<()> {
        say(&self.0, &Line::Tell {}, &[]).await?;
        let mut lines = BufReader::new(self.0);
        loop {
            let mut line = Vec::new();
            (&mut lines).take(LONGEST).read_until(b'\n', &mut line).await?;
            if line.is_empty() {
                return Ok(());
            }
            let told: Told = serde_json::from_slice(&line)?;
            if let Err(error) = told.count(counters).await {
                tracing::warn!(%error, "a count of the process before finds no place here");
            }
        }
    }
}

/// Says what was `counted` as it comes, until nothing more can.
pub(super) async fn tell(mut stream: UnixStream, mut counted: mpsc::Receiver<Told>) -> io::Result<()> {
    match hear(&stream, PROMPT).await?.0 {
        Line::Tell {} => {}
        other => return Err(super::offer::unexpected(&other)),
    }
    while let Some(told) = counted.recv().await {
        let mut line = serde_json::to_vec(&told)?;
        line.push(b'\n');
        tokio::time::timeout(PROMPT, stream.write_all(&line)).await??;
    }
    Ok(())
}

/// In bytes. A name is a hash, an address, or what a header may have.
const LONGEST: u64 = 256 * 1024;
/// For what was counted last, when the old process ends.
pub(crate) const LAST_COUNTS: Duration = PROMPT;

#[cfg(test)]
mod tests {
    use panoply::Clock;
    use panoply::counters::{Limiter, Memory};

    use super::*;

    #[tokio::test]
    async fn what_is_no_line_ends_it_and_takes_no_memory() {
        let counters = Memory::with_clock(Clock::manual());
        let good = r#"{"prefix":"login","name":"ann","network":null,"done":{"add":{"points":1,"line":3,"window":null,"block":null}}}"#;
        let long = vec![b'x'; 1_000_000];
        for (said, is_right) in [
            (format!("{good}\n{good}\n").into_bytes(), true),
            (Vec::new(), true),
            (b"\n".to_vec(), false),
            (b"{\"say\":\"done\"}\n".to_vec(), false),
            (long, false),
        ] {
            let (one, mut other) = UnixStream::pair().unwrap();
            let saying = tokio::spawn(async move {
                let heard = hear(&other, PROMPT).await.unwrap().0;
                assert_eq!(heard, Line::Tell {});
                let _ = other.write_all(&said).await;
            });
            assert_eq!(Bequest::from(one).heard(&counters).await.is_ok(), is_right);
            saying.await.unwrap();
        }
        let standing = Limiter::new("login", 3, Duration::ZERO).get(&counters, "ann").await.unwrap();
        assert_eq!(standing.unwrap().consumed(), 2);
    }
}
