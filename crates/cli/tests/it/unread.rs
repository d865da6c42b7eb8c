//! Answers that nobody reads: what the gateway holds of each is little, however large it is.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use crate::connections::serve;
use crate::frames::{END_HEADERS, END_STREAM, HEADERS, SETTINGS, WINDOW_UPDATE, literal};
use crate::gateway::{Gateway, PATIENCE};
use crate::recorder::Recorder;
use crate::slow::peak;

/// In KiB, on average over 300 of them: some four pieces, each of a sixteenth of a mebibyte, and two connections.
const EACH: u64 = 700;

/// An app that has more to say than all buffers hold.
fn app() -> Recorder {
    Recorder::with(|stream, _| {
        let mut piece = [0; 16384];
        if stream.read(&mut piece).is_ok_and(|read| read > 0) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
            while stream.write_all(&piece).is_ok() {}
        }
    })
}

#[tokio::test]
async fn an_answer_that_is_left_unread_takes_little_memory() {
    let app = app();
    for (protocol, connections, streams) in [("http/1.1", 300, 1), ("h2", 3, 100)] {
        let gateway = serve(app.address(), "[shield]\nrate_limit = \"off\"\n");
        let client = gateway.client();
        let before = peak(gateway.pid());
        let mut held = Vec::new();
        for _ in 0..connections {
            let mut stream = client.connect(protocol).await;
            stream.write_all(&asks(protocol, streams)).await.unwrap();
            held.push(stream);
        }
        let each = (settled(&gateway) - before) / u64::from(connections * streams);
        println!("{protocol}: {each} KiB an answer");
        assert!(each < EACH, "{protocol}: {each} KiB an answer");
    }
}

/// So many requests at once; in HTTP/2 with all the windows that there can be (RFC 9113 §6.9).
fn asks(protocol: &str, requests: u32) -> Vec<u8> {
    if protocol == "http/1.1" {
        return b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec();
    }
    let fields = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")];
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    let window = [&[0, 4][..], &0x7fff_ffff_u32.to_be_bytes()].concat();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &window));
    bytes.extend(frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes()));
    for number in 0..requests {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &block));
    }
    bytes
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The most memory that it ever had, once that grows no more.
fn settled(gateway: &Gateway) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = peak(gateway.pid());
        std::thread::sleep(Duration::from_millis(1500));
        let now = peak(gateway.pid());
        if now == before {
            return now;
        }
        assert!(Instant::now() < deadline, "it grows and grows: {now} KiB");
    }
}
