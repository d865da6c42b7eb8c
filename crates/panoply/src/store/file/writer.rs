//! One thread writes, so that many changes are one commit.

use std::fs::{self, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{Builder, Database, Error, StorageError};
use tokio::sync::{mpsc, oneshot};

use super::millis;
use super::tables::Tables;
use crate::store::StoreError;
use crate::{Clock, SettingError};

/// The thread, and what leads to it.
pub(super) struct Writer {
    /// None only while the last handle is dropped.
    changes: Option<mpsc::Sender<Change>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    clock: Clock,
    capacity: AtomicU64,
    /// After an error of the disk redb says no to everything, so the writer opens the file again. Readers and the
    /// writer share the lock but for that moment.
    database: RwLock<Option<Database>>,
}

/// What to do in a transaction; it gives back what to do when that was committed, or was not.
type Change = Box<dyn FnOnce(&mut Tables<'_>, u64) -> Result<Reply, Error> + Send>;
type Reply = Box<dyn FnOnce() + Send>;

impl Writer {
    pub(super) fn start(path: &Path, clock: Clock) -> Result<Self, SettingError> {
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            clock,
            capacity: AtomicU64::new(CAPACITY),
            database: RwLock::new(Some(open(path).map_err(|error| cannot_open(path, &error))?)),
        });
        // Read before anything was written, a table would not be there.
        shared.commit(Vec::new()).map_err(|error| cannot_open(path, &error))?;
        let (changes, queue) = mpsc::channel(QUEUED);
        let of_thread = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("panoply-store".to_owned()).spawn(move || of_thread.run(queue));
        let thread = thread.map_err(|error| {
            SettingError::new(format!("no thread for the store: {error}"), "allow this process more threads")
        })?;
        Ok(Self { changes: Some(changes), thread: Some(thread), shared })
    }

    pub(super) fn limit(&self, capacity: u64) {
        self.shared.capacity.store(capacity, Relaxed);
    }

    pub(super) fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Asks what was committed last. While the writer opens the file again, that waits and keeps no thread.
    pub(super) async fn read<T>(&self, ask: impl Fn(&Database) -> Result<T, Error>) -> Result<T, StoreError> {
        let mut waited = 0;
        loop {
            match self.shared.try_with(&ask) {
                Err(Error::DatabaseClosed | Error::PreviousIo) if waited < REOPENING => {
                    waited += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                answer => return answer.map_err(|error| StoreError::Refused(Box::new(error))),
            }
        }
    }

    /// Queues a change, and answers when the disk has it.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tables<'_>, u64) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (send, answer) = oneshot::channel();
        let change: Change = Box::new(move |tables, now| {
            let done = change(tables, now)?;
            Ok(Box::new(move || _ = send.send(done)))
        });
        let queued_and_answered = async {
            self.changes.as_ref()?.send(change).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(PATIENCE, queued_and_answered).await {
            Ok(Some(done)) => Ok(done),
            // Dropped without an answer: what the batch was refused for is in the log, once and not for each.
            Ok(None) => Err(StoreError::Refused(Box::new(NotWritten))),
            Err(_) => Err(StoreError::Slow(PATIENCE)),
        }
    }
}

/// Who opens the file next finds it free, with all that was queued.
impl Drop for Writer {
    fn drop(&mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, mut queue: mpsc::Receiver<Change>) {
        let mut batch = Vec::new();
        while queue.blocking_recv_many(&mut batch, BATCH) > 0 {
            if let Err(error) = self.commit(std::mem::take(&mut batch)) {
                tracing::error!(path = %self.path.display(), %error, "sessions could not be written");
                self.reopen();
            }
        }
    }

    /// All or none.
    fn commit(&self, batch: Vec<Change>) -> Result<(), Error> {
        let (now, changes) = (millis(self.clock.unix_time()), batch.len());
        let replies = self.with(|database| {
            let transaction = database.begin_write()?;
            let mut tables = Tables::open(&transaction)?;
            let replies: Vec<Reply> =
                batch.into_iter().map(|change| change(&mut tables, now)).collect::<Result<_, _>>()?;
            tables.sweep(now, changes, self.capacity.load(Relaxed))?;
            drop(tables);
            transaction.commit()?;
            Ok(replies)
        })?;
        replies.into_iter().for_each(|reply| reply());
        Ok(())
    }

    fn with<T>(&self, ask: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        ask(database.as_ref().ok_or(Error::DatabaseClosed)?)
    }

    /// The same, at once or not at all.
    fn try_with<T>(&self, ask: impl Fn(&Database) -> Result<T, Error>) -> Result<T, Error> {
        let database = match self.database.try_read() {
            Ok(database) => database,
            Err(TryLockError::Poisoned(database)) => database.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Error::DatabaseClosed),
        };
        ask(database.as_ref().ok_or(Error::DatabaseClosed)?)
    }

    fn reopen(&self) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // First the old one, whose lock the new one would meet.
        *database = None;
        *database = open(&self.path)
            .inspect_err(
                |error| tracing::error!(path = %self.path.display(), %error, "sessions cannot be opened"),
            )
            .ok();
    }
}

/// For this user alone, from its first moment.
fn open(path: &Path) -> Result<Database, Error> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(StorageError::Io)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    Ok(builder.create_with_backend(FileBackend::new(file)?)?)
}

fn cannot_open(path: &Path, error: &Error) -> SettingError {
    let hint = match error {
        Error::DatabaseAlreadyOpen => "another process has it: give each its own, or all of them redis://…",
        Error::Io(error) if error.kind() != ErrorKind::InvalidData => {
            "name a file in a folder that is there and where this user may write"
        }
        _ => "move it away: it is no store of sessions, or was damaged",
    };
    SettingError::new(format!("sessions cannot be kept in `{}`: {error}", path.display()), hint)
}

#[derive(Debug, thiserror::Error)]
#[error("the disk did not take it")]
struct NotWritten;

const CAPACITY: u64 = 1 << 30;
const CACHE: usize = 32 << 20;

/// As many changes may wait; more make their visitors wait before they queue.
const QUEUED: usize = 1024;
const BATCH: usize = 256;

/// How often a read looks whether the file is open again: for a second.
const REOPENING: usize = 20;

/// A disk that flushes for longer is as good as none.
const PATIENCE: Duration = Duration::from_secs(5);
