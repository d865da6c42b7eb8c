//! An upstream that writes down every byte it gets and answers what it is told: the judge of what was forwarded.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::gateway::PATIENCE;

pub(crate) struct Recorder {
    address: SocketAddr,
    seen: Seen,
}

type Seen = Arc<Mutex<Vec<Vec<u8>>>>;

/// What one connection brought.
pub(crate) struct Record {
    seen: Seen,
    connection: usize,
}

impl Record {
    pub(crate) fn add(&self, bytes: &[u8]) {
        self.seen.lock().unwrap()[self.connection].extend_from_slice(bytes);
    }
}

impl Recorder {
    /// Answers every request head with `answer`, byte for byte.
    pub(crate) fn answering(answer: &'static [u8]) -> Self {
        Self::with(move |stream, record| {
            let mut unanswered = Vec::new();
            let mut chunk = [0; 65536];
            while let Ok(read @ 1..) = stream.read(&mut chunk) {
                record.add(&chunk[..read]);
                unanswered.extend_from_slice(&chunk[..read]);
                while let Some(end) = find(&unanswered, b"\r\n\r\n") {
                    unanswered.drain(..end + 4);
                    let _ = stream.write_all(answer);
                }
            }
        })
    }

    /// Does with each connection what `serve` says; what it reads it must put into the record itself.
    pub(crate) fn with(serve: impl Fn(&mut TcpStream, &Record) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Seen::default();
        let all = Arc::clone(&seen);
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let connection = {
                    let mut all = all.lock().unwrap();
                    all.push(Vec::new());
                    all.len() - 1
                };
                let (record, serve) = (Record { seen: Arc::clone(&all), connection }, Arc::clone(&serve));
                thread::spawn(move || serve(&mut stream, &record));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came, connection by connection.
    pub(crate) fn seen(&self) -> Vec<String> {
        thread::sleep(Duration::from_millis(20));
        self.seen.lock().unwrap().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// What the first connection brought, to the byte: waits until that is enough.
    pub(crate) fn bytes(&self, is_enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let first = || self.seen.lock().unwrap().first().cloned().unwrap_or_default();
        self.until(|_| is_enough(&first()));
        first()
    }

    /// Waits until `count` request heads came, on whatever connections.
    pub(crate) fn heads(&self, count: usize) -> Vec<String> {
        let all = |seen: &[String]| seen.iter().flat_map(|seen| heads(seen)).collect::<Vec<_>>();
        all(&self.until(|seen| all(seen).len() >= count))
    }

    /// Waits until what came is enough.
    pub(crate) fn until(&self, is_enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.seen();
            if is_enough(&seen) {
                return seen;
            }
            assert!(Instant::now() < deadline, "more was expected, this came: {seen:#?}");
        }
    }
}

/// The heads in a record whose bodies hold no empty line.
fn heads(seen: &str) -> Vec<String> {
    let mut heads: Vec<_> = seen.split("\r\n\r\n").map(str::to_owned).collect();
    heads.pop();
    heads
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A good answer, and no more than that.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
