//! HTTP/2 frame by frame, for what no client library would send (RFC 9113 §4.1).

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream;

use crate::client::Client;
use crate::gateway::PATIENCE;

/// A connection whose preface and settings were sent.
pub(crate) struct Frames {
    stream: WriteHalf<TlsStream<TcpStream>>,
    /// What came; it is read all the time, so that nobody waits for anybody.
    came: mpsc::UnboundedReceiver<Frame>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frames {
    pub(crate) async fn open(client: &Client) -> Self {
        let (reading, stream) = tokio::io::split(client.connect("h2").await);
        let (sender, came) = mpsc::unbounded_channel();
        tokio::spawn(read_all(reading, sender));
        let mut frames = Self { stream, came };
        frames.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        frames.send(SETTINGS, 0, 0, &[]).await;
        frames
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // A gateway that has had enough closes while we write.
        let _ = self.stream.write_all(&frame).await;
        tokio::task::yield_now().await;
    }

    /// Whether the gateway has not closed it.
    pub(crate) fn is_open(&self) -> bool {
        !self.came.is_closed()
    }

    /// A whole request, or with more to come.
    pub(crate) async fn headers(&mut self, stream: u32, end: bool, fields: &[(&str, &str)]) {
        let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
        self.send(HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, stream, &block).await;
    }

    /// The next frame; `None` when the connection is closed, or nothing comes for five seconds.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        tokio::time::timeout(Duration::from_secs(5), self.came.recv()).await.ok()?
    }

    /// Reads on until one of `kinds` comes. `None` when the connection is closed, or nothing more comes.
    pub(crate) async fn until(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.came.recv()).await.ok()??;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }
}

async fn read_all(mut stream: ReadHalf<TlsStream<TcpStream>>, came: mpsc::UnboundedSender<Frame>) {
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        let [.., a, b, c, d] = head;
        let frame =
            Frame { kind: head[3], flags: head[4], stream: u32::from_be_bytes([a, b, c, d]), payload };
        if came.send(frame).is_err() {
            return;
        }
    }
}

/// A literal field without indexing and without Huffman's code (RFC 7541 §6.2.2).
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        // Seven bits, and then seven at a time (RFC 7541 §5.1).
        match text.len() {
            short @ 0..127 => field.push(short as u8),
            long => {
                field.push(127);
                let mut rest = long - 127;
                while rest >= 128 {
                    field.push((rest % 128 + 128) as u8);
                    rest /= 128;
                }
                field.push(rest as u8);
            }
        }
        field.extend(text.as_bytes());
    }
    field
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
