//! Where one request ends and the next begins, read from the bytes of HTTP/1.1 themselves, and strictly.
//!
//! Two readers that see two ends let a visitor smuggle: what one takes for a body is a request to the other. hyper
//! forgives what this is made of (a lone line feed, one framing of two, a length that is given twice) and does not say
//! so. Here every byte is seen before hyper sees it, and what can be read in two ways it never sees: in its place it
//! gets NUL, which is no part of a head and no size of a chunk, so that it answers 400 and closes.

mod chunk;
mod fault;
mod head;
mod stream;

pub(crate) use fault::Fault;
pub(crate) use stream::{Outcome, Strict};

use head::{End, Head};
use memchr::memchr;

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    head: Head,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The bytes of the trailers so far.
    trailers: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a request line; whether one empty line was skipped.
    #[default]
    Before,
    AfterEmptyLine,
    Fields,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// A change of protocol was asked for: what follows means nothing before it is answered.
    Held,
    /// Another protocol's bytes.
    Switched,
    Refused(Fault),
}

impl Framing {
    /// Judges what came, and gives back how much of it may be read on. What comes after that has to wait until
    /// [`stayed`](Self::stayed) or [`switched`](Self::switched), and is then to be seen again.
    ///
    /// From the line on that cannot stand, `bytes` is overwritten.
    pub(crate) fn see(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
            at += match self.state {
                State::Held => return at,
                State::Switched => rest.len(),
                State::Refused(_) => {
                    rest.fill(0);
                    rest.len()
                }
                State::Body(left) => self.skip(left, rest.len(), State::Body),
                State::Chunk(left) => self.skip(left, rest.len(), State::Chunk),
                _ => match self.line(rest) {
                    Ok(taken) => taken,
                    Err(fault) => {
                        self.state = State::Refused(fault);
                        continue;
                    }
                },
            };
        }
        at
    }

    /// Whether what comes next waits for an answer.
    pub(crate) fn is_held(&self) -> bool {
        self.state == State::Held
    }

    /// Why the connection is refused.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self.state {
            State::Refused(fault) => Some(fault),
            _ => None,
        }
    }

    /// The protocol stays as it is: requests go on.
    pub(crate) fn stayed(&mut self) {
        self.state = State::Before;
    }

    /// The protocol is another one now.
    pub(crate) fn switched(&mut self) {
        self.state = State::Switched;
    }

    fn skip(&mut self, left: u64, there: usize, still: fn(u64) -> State) -> usize {
        let taken = usize::try_from(left).map_or(there, |left| left.min(there));
        self.state = match (left - taken as u64, self.state) {
            (0, State::Chunk(_)) => State::ChunkEnd,
            (0, _) => self.ended(),
            (left, _) => still(left),
        };
        taken
    }

    /// Takes a line, or the part of it that is there.
    fn line(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let Some(end) = memchr(b'\n', bytes) else {
            if self.line.len() + bytes.len() > self.longest() {
                return Err(Fault::LongLine);
            }
            self.line.extend_from_slice(bytes);
            return Ok(bytes.len());
        };
        let (this, _) = bytes.split_at(end);
        if self.line.is_empty() {
            self.judge(this)?;
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(this);
            let judged = self.judge(&line);
            line.clear();
            self.line = line; // keeps its room
            judged?;
        }
        Ok(end + 1)
    }

    /// `line` comes without its line feed.
    fn judge(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.len() > self.longest() {
            return Err(Fault::LongLine);
        }
        let line = line.strip_suffix(b"\r").ok_or(Fault::LoneLineFeed)?;
        if line.contains(&b'\r') {
            return Err(Fault::LoneReturn);
        }
        self.state = match self.state {
            State::Before if line.is_empty() => State::AfterEmptyLine,
            State::Before | State::AfterEmptyLine => {
                self.head = Head::begin(line)?;
                State::Fields
            }
            State::Fields if line.is_empty() => match self.head.end()? {
                End::Message => self.ended(),
                End::After(length) => State::Body(length),
                End::Chunks => State::ChunkSize,
            },
            State::Fields => {
                self.head.field(line)?;
                State::Fields
            }
            State::ChunkSize => match chunk::size(line)? {
                0 => {
                    self.trailers = 0;
                    State::Trailers
                }
                size => State::Chunk(size),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::ChunkEnd => return Err(Fault::ChunkEnd),
            State::Trailers if line.is_empty() => self.ended(),
            State::Trailers => {
                self.trailers += line.len();
                if self.trailers > LONGEST_TRAILERS {
                    return Err(Fault::LongLine);
                }
                head::trailer(line)?;
                State::Trailers
            }
            other => other,
        };
        Ok(())
    }

    fn ended(&self) -> State {
        if self.head.asks_to_switch() { State::Held } else { State::Before }
    }

    fn longest(&self) -> usize {
        match self.state {
            State::ChunkSize => LONGEST_CHUNK_SIZE,
            State::ChunkEnd => "\r".len(),
            _ => LONGEST_LINE,
        }
    }
}

/// More than hyper takes for a whole head, so that it is hyper that says 431.
const LONGEST_LINE: usize = 64 * 1024;
/// Sixteen digits, and an extension that nobody sends.
const LONGEST_CHUNK_SIZE: usize = 256;
const LONGEST_TRAILERS: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is read on of `text` when it comes in pieces of `piece` bytes, and how it ends.
    fn seen(text: &[u8], piece: usize) -> (Vec<u8>, Framing) {
        let mut framing = Framing::default();
        let mut read = Vec::new();
        for piece in text.chunks(piece) {
            let mut piece = piece.to_vec();
            let taken = framing.see(&mut piece);
            read.extend_from_slice(&piece[..taken]);
        }
        (read, framing)
    }

    const NORMAL: [&str; 9] = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\ncontent-length:0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked \r\n\r\n00a;x=\"y\"\r\nhello\nyou\r\r\n0 ;z\r\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-mine\r\nX-Mine: 1\r\nCookie: \r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n\n\r\n",
        "GET /?a=content-length HTTP/1.1\r\nX-Content-Length: a\r\nReferer: http://a/Transfer-Encoding: x\r\n\r\n",
    ];

    #[test]
    fn what_can_be_read_in_one_way_passes_to_the_byte() {
        for text in NORMAL {
            for piece in [1, 2, 3, 7, 1000] {
                let (read, framing) = seen(text.as_bytes(), piece);
                assert_eq!(framing.fault(), None, "{text:?} in pieces of {piece}");
                assert_eq!(read, text.as_bytes(), "{text:?} in pieces of {piece}");
                assert!(matches!(framing.state, State::Before), "{text:?}: {:?}", framing.state);
            }
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_read_by_nobody() {
        let post = "POST / HTTP/1.1\r\nHost: a\r\n";
        let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
        for (begin, bad, fault) in [
            ("", "GET / HTTP/1.1\n", Fault::LoneLineFeed),
            (post, "X: y\n\r\n", Fault::LoneLineFeed),
            (post, "X: y\rContent-Length: 5\r\n", Fault::LoneReturn),
            (post, "\n", Fault::LoneLineFeed),
            (post, " folded\r\n", Fault::Folded),
            (post, "\tfolded\r\n", Fault::Folded),
            (post, "Content-Length : 5\r\n", Fault::Name),
            (post, "Content-Length\t: 5\r\n", Fault::Name),
            (post, "Content\0Length: 5\r\n", Fault::Name),
            (post, "no colon\r\n", Fault::Name),
            (post, ": nameless\r\n", Fault::Name),
            (post, "Content-Length: +5\r\n", Fault::Length),
            (post, "Content-Length: -5\r\n", Fault::Length),
            (post, "Content-Length: 0x5\r\n", Fault::Length),
            (post, "Content-Length: 5, 5\r\n", Fault::Length),
            (post, "Content-Length: 5 5\r\n", Fault::Length),
            (post, "Content-Length: \r\n", Fault::Length),
            (post, "Content-Length: 99999999999999999999\r\n", Fault::Length),
            (&format!("{post}Content-Length: 5\r\n"), "Content-Length: 5\r\n", Fault::Length),
            (post, "Transfer-Encoding: identity\r\n", Fault::Coding),
            (post, "Transfer-Encoding: gzip, chunked\r\n", Fault::Coding),
            (post, "Transfer-Encoding: chunked, identity\r\n", Fault::Coding),
            (post, "Transfer-Encoding: \u{b}chunked\r\n", Fault::Coding),
            (post, "Transfer-Encoding: \"chunked\"\r\n", Fault::Coding),
            (post, "Transfer-Encoding: xchunked\r\n", Fault::Coding),
            (post, "Transfer-Encoding:\r\n", Fault::Coding),
            (
                &format!("{post}Transfer-Encoding: chunked\r\n"),
                "Transfer-Encoding: chunked\r\n",
                Fault::Coding,
            ),
            (
                &format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
                "\r\n",
                Fault::TwoFramings,
            ),
            (
                &format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
                "\r\n",
                Fault::TwoFramings,
            ),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", "\r\n", Fault::TwoFramings),
            (post, "Connection: close, Content-Length\r\n", Fault::Connection),
            (post, "Connection: Transfer-Encoding\r\n", Fault::Connection),
            (post, "Connection: host\r\n", Fault::Connection),
            ("", "GET / HTTP/2.0\r\n", Fault::Version),
            ("", "PRI * HTTP/2.0\r\n", Fault::Version),
            ("", "GET /\r\n", Fault::Version),
            ("\r\n", "\r\n", Fault::Version),
            (&chunked, "\r\n", Fault::ChunkSize),
            (&chunked, "+5\r\n", Fault::ChunkSize),
            (&chunked, "0x5\r\n", Fault::ChunkSize),
            (&chunked, " 5\r\n", Fault::ChunkSize),
            (&chunked, "5 5\r\n", Fault::ChunkSize),
            (&chunked, "-1\r\n", Fault::ChunkSize),
            (&chunked, "g\r\n", Fault::ChunkSize),
            (&chunked, "5\n", Fault::LoneLineFeed),
            (&chunked, "5;a\rb\r\n", Fault::LoneReturn),
            (&chunked, "11111111111111111\r\n", Fault::ChunkSize),
            (&format!("{chunked}5\r\nhello"), "X\r\n", Fault::LongLine),
            (&format!("{chunked}5\r\nhello"), "\n", Fault::LoneLineFeed),
            (&format!("{chunked}0\r\n"), "Content-Length: 5\r\n", Fault::Trailer),
            (&format!("{chunked}0\r\n"), "transfer-encoding: chunked\r\n", Fault::Trailer),
            (&format!("{chunked}0\r\n"), "Host: b\r\n", Fault::Trailer),
            (&format!("{chunked}0\r\n"), " folded\r\n", Fault::Folded),
        ] {
            let text = format!("{begin}{bad}GET /smuggled HTTP/1.1\r\n\r\n");
            for piece in [1, 3, 1000] {
                let (read, framing) = seen(text.as_bytes(), piece);
                assert_eq!(framing.fault(), Some(fault), "{text:?} in pieces of {piece}");
                assert_eq!(read.len(), text.len(), "{text:?}");
                assert_eq!(&read[..begin.len()], begin.as_bytes(), "{text:?}");
                // At least the line's own end never arrives, so that hyper cannot take the line.
                let after = &read[begin.len() + bad.len() - 1..];
                assert!(after.iter().all(|byte| *byte == 0), "{text:?} in pieces of {piece}: {after:?}");
            }
        }
    }

    #[test]
    fn what_follows_an_upgrade_waits_for_its_answer() {
        for asked in [
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhi",
        ] {
            let mut bytes = format!("{asked}GET /early HTTP/1.1\n").into_bytes();
            let mut framing = Framing::default();
            assert_eq!(framing.see(&mut bytes), asked.len(), "{asked:?}");
            assert!(framing.is_held(), "{asked:?}");
            let early = &mut bytes[asked.len()..];
            framing.stayed();
            framing.see(early);
            assert_eq!(framing.fault(), Some(Fault::LoneLineFeed), "it is judged as a request");
        }
        let mut framing = Framing { state: State::Held, ..Framing::default() };
        framing.switched();
        let mut frames = *b"\x81\x05hello\n";
        assert_eq!(framing.see(&mut frames), frames.len());
        assert_eq!(&frames, b"\x81\x05hello\n", "frames pass as they are");
    }

    #[test]
    fn a_line_without_end_takes_no_memory_without_end() {
        let (_, framing) = seen(&vec![b'a'; 1 << 20], 1000);
        assert_eq!(framing.fault(), Some(Fault::LongLine));
        assert!(framing.line.capacity() <= 2 * LONGEST_LINE, "{}", framing.line.capacity());
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(
            parts in prop::collection::vec(prop_oneof![
                prop::sample::select(NORMAL.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
                prop::collection::vec(any::<u8>(), 0..8),
                prop::sample::select(vec!["\r\n", "\n", ":", "0\r\n", "5\r\n", "Content-Length: 3\r\n",
                    "Transfer-Encoding: chunked\r\n"]).prop_map(|text| text.as_bytes().to_vec()),
            ], 0..6),
            piece in 1_usize..40,
        ) {
            let text = parts.concat();
            let (_, whole) = seen(&text, text.len().max(1));
            let (read, cut) = seen(&text, piece);
            prop_assert_eq!(whole.state, cut.state);
            prop_assert!(read.len() == text.len() || cut.is_held());
        }
    }
}
