//! What is said: one JSON object a line.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::listen::Role;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    /// Whoever is at work, to whoever comes.
    Hello {
        version: u32,
        /// Why nobody can take its place.
        refuses: Option<String>,
    },
    /// The new one's configuration is right.
    LetGo { version: u32 },
    /// The sockets come beside it, in this order.
    Yours { sockets: Vec<Handed>, notify: Option<String>, watchdog: Option<u64> },
    /// The new one accepts.
    Serving {},
    /// The one before ends.
    Done {},
    /// The new one hears what the other still counts.
    Tell {},
}

/// A listener that is handed over.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handed {
    pub(super) role: Role,
    /// As the file has it.
    pub(super) asked: String,
    pub(super) is_unasked: bool,
}

/// Says `line`, and sends `files` with it.
pub(super) async fn say(stream: &UnixStream, line: &Line, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let send = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(files)) {
            return Err(io::Error::other("more sockets than there are roles"));
        }
        Ok(sendmsg(stream.as_fd(), &[IoSlice::new(&text)], &mut beside, SendFlags::NOSIGNAL)?)
    };
    let sent = tokio::time::timeout(super::PROMPT, stream.async_io(Interest::WRITABLE, send)).await??;
    // A line is far shorter than a socket's buffer.
    if sent == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Hears one line within `patience`, and takes the files that come with it.
pub(super) async fn hear(stream: &UnixStream, patience: Duration) -> io::Result<(Line, Vec<OwnedFd>)> {
    let heard = async {
        let (mut text, mut files) = (Vec::new(), Vec::new());
        while text.last() != Some(&b'\n') {
            let (more, beside) = stream.async_io(Interest::READABLE, || receive(stream)).await?;
            if more.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            text.extend(more);
            files.extend(beside);
            if text.len() > LONGEST || files.len() > MOST_FILES {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a line of the hand-over is too long",
                ));
            }
        }
        Ok((read(&text)?, files))
    };
    tokio::time::timeout(patience, heard).await?
}

/// One line. Two at once are nobody's who waits for an answer.
fn read(text: &[u8]) -> io::Result<Line> {
    Ok(serde_json::from_slice(text)?)
}

fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut chunk = [0; 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(stream.as_fd(), &mut [IoSliceMut::new(&mut chunk)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let files = beside
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        })
        .flatten()
        .collect();
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more files than there are roles"));
    }
    Ok((chunk.get(..received.bytes).unwrap_or_default().to_vec(), files))
}

const LONGEST: usize = 8 * 1024;
const MOST_FILES: usize = 8;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_listener_comes_over_with_its_line() {
        let (one, other) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let handed = Handed { role: Role::Https, asked: "[::]:443".to_owned(), is_unasked: false };
        let line = Line::Yours { sockets: vec![handed], notify: None, watchdog: Some(1) };
        say(&one, &line, &[listener.as_fd()]).await.unwrap();
        let (heard, mut files) = hear(&other, Duration::from_secs(5)).await.unwrap();
        assert_eq!(heard, line);
        let received = TcpListener::from(files.pop().unwrap());
        assert_eq!(received.local_addr().unwrap(), listener.local_addr().unwrap());
    }

    #[tokio::test]
    async fn what_is_no_line_is_refused_and_takes_no_memory() {
        let long = vec![b'x'; 100_000];
        for said in [
            &b"\n"[..],
            b"hello\n",
            b"{\"say\":\"let_go\"}\n",
            b"{\"say\":\"serving\",\"more\":1}\n",
            b"{\"say\":\"serving\"}{\"say\":\"done\"}\n",
            b"{\"say\":\"serving\"}\n{\"say\":\"done\"}\n",
            b"{\"say\":\"serving\"}", // and then nothing
            b"\xff\xfe\n",
            b"",
            &long,
        ] {
            let (mut one, other) = UnixStream::pair().unwrap();
            let said = said.to_vec();
            let shown = String::from_utf8_lossy(said.get(..40).unwrap_or(&said)).into_owned();
            tokio::spawn(async move { one.write_all(&said).await });
            assert!(hear(&other, Duration::from_secs(5)).await.is_err(), "{shown}");
        }
        let (_silent, other) = UnixStream::pair().unwrap();
        let error = hear(&other, Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
