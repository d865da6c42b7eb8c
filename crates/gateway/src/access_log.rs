//! A line for each request, for whoever looks into it afterwards.
//!
//! No request waits for a disk. The thread that has served it adds its line to a buffer that is the thread's own; one
//! thread looks into these ten times a second and writes what it finds. What does not fit into a buffer, because the
//! disk is slow or full, or because nobody reads the pipe, is dropped and counted.

mod body;
mod entry;
mod escape;
mod line;
mod output;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use http::Request;
use panoply::Clock;

use crate::GatewayError;
use crate::config::LogFile;
use crate::parts::Parts;

pub(crate) use body::Logged;
pub(crate) use entry::Entry;
use output::Output;

/// The lines that wait to be written, and the thread that writes them.
pub(crate) struct AccessLog {
    clock: Clock,
    parts: Parts<Part>,
    output: Mutex<Option<Output>>,
    writer: OnceLock<Thread>,
    reopen: AtomicBool,
    closing: AtomicBool,
    written: (Mutex<bool>, Condvar),
    dropped: AtomicU64,
    /// The second before which nothing more is said.
    quiet_until: AtomicU64,
}

/// One thread's lines, and on no cache line of another's.
#[derive(Default)]
#[repr(align(128))]
struct Part(Mutex<Vec<u8>>);

impl AccessLog {
    /// Opens the file. Nothing is written before [`start`](Self::start).
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn open(file: &LogFile, clock: &Clock) -> Result<Arc<Self>, GatewayError> {
        let output = Output::open(file)?;
        Ok(Arc::new(Self {
            clock: clock.clone(),
            parts: Parts::default(),
            output: Mutex::new(Some(output)),
            writer: OnceLock::new(),
            reopen: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            written: Default::default(),
            dropped: AtomicU64::new(0),
            quiet_until: AtomicU64::new(0),
        }))
    }

    /// Starts the thread that writes. It ends with [`close`](Self::close), or when nobody has the log any more.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(self: &Arc<Self>) -> io::Result<()> {
        let Some(output) = locked(&self.output).take() else { return Ok(()) };
        let log = Arc::downgrade(self);
        let writer = thread::Builder::new().name("panoply-log".to_owned()).spawn(move || {
            let mut output = output;
            let mut lines = Vec::new();
            loop {
                thread::park_timeout(EVERY);
                match log.upgrade() {
                    Some(log) if log.write(&mut output, &mut lines) => {}
                    _ => return,
                }
            }
        })?;
        let _ = self.writer.set(writer.thread().clone());
        Ok(())
    }

    /// Begins the line of a request. Whatever becomes of it, there will be one.
    pub(crate) fn begin<B>(
        self: &Arc<Self>,
        request: &Request<B>,
        connection: &panoply::Connection,
    ) -> Entry {
        let mut text = spare();
        line::request(&mut text, request, connection.scheme);
        Entry::new(Arc::clone(self), text, request.method(), connection.peer)
    }

    /// Goes on in a new file where the old one was moved away.
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// Writes what is there and ends; gives up when that takes more than `patience`, since nobody may be reading.
    pub(crate) fn close(&self, patience: Duration) {
        if self.writer.get().is_none() {
            return;
        }
        self.closing.store(true, Ordering::Release);
        self.wake();
        let (done, told) = &self.written;
        let _ = told.wait_timeout_while(locked(done), patience, |done| !*done);
    }

    /// How many lines were never written.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Adds a line that `write` writes, or drops it.
    fn add(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut lines = locked(&self.parts.mine().0);
        let before = lines.len();
        if before >= FULL {
            drop(lines);
            return self.lose(1, &"they come faster than they can be written");
        }
        write(&mut lines);
        let is_half_full = before < FULL / 2 && lines.len() >= FULL / 2;
        drop(lines);
        if is_half_full {
            self.wake();
        }
    }

    /// Writes what waits; `false`: it was the last time.
    fn write(&self, output: &mut Output, lines: &mut Vec<u8>) -> bool {
        // Looked at first, so that what came before is written.
        let is_last = self.closing.load(Ordering::Acquire);
        if (self.reopen.swap(false, Ordering::AcqRel) || output.has_moved())
            && let Err(error) = output.reopen()
            && self.is_news()
        {
            tracing::warn!(%error, file = %output, "the access log cannot be opened anew: it goes on in the old file");
        }
        for part in self.parts.all() {
            std::mem::swap(lines, &mut *locked(&part.0));
            if let Err(error) = output.write(lines) {
                self.lose(lines.iter().filter(|byte| **byte == b'\n').count() as u64, &error);
            }
            lines.clear();
        }
        if is_last {
            let (done, told) = &self.written;
            *locked(done) = true;
            told.notify_all();
        }
        !is_last
    }

    /// Counts lines that nobody will read.
    fn lose(&self, lines: u64, why: &dyn fmt::Display) {
        let dropped = self.dropped.fetch_add(lines, Ordering::Relaxed) + lines;
        if self.is_news() {
            tracing::warn!(dropped, reason = %why, "lines of the access log are lost");
        }
    }

    /// Once a minute.
    fn is_news(&self) -> bool {
        let now = self.clock.now().as_secs();
        let quiet = |until| (now >= until).then_some(now + 60);
        self.quiet_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, quiet).is_ok()
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

/// What a panic left is still a list of lines, of which the last may be half a one.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty text, if possible one that this thread has used before.
fn spare() -> Vec<u8> {
    let kept = SPARE.try_with(|spare| spare.try_borrow_mut().ok().and_then(|mut spare| spare.pop()));
    kept.ok().flatten().unwrap_or_else(|| Vec::with_capacity(512))
}

fn give_back(mut text: Vec<u8>) {
    text.clear();
    let _ = SPARE.try_with(|spare| {
        if let Ok(mut spare) = spare.try_borrow_mut()
            && spare.len() < MOST_SPARE
            && text.capacity() <= LARGEST_SPARE
        {
            spare.push(text);
        }
    });
}

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that wait in a part before lines are dropped: those of a thread that serves 25,000 requests a second, for a
/// hundred milliseconds. The last line may go over.
const FULL: usize = 1024 * 1024;

/// Whoever watches the log does not feel it, and a machine at rest wakes seldom.
const EVERY: Duration = Duration::from_millis(100);

const MOST_SPARE: usize = 64;
const LARGEST_SPARE: usize = 4 * 1024;
