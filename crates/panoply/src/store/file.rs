mod tables;
mod writer;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use self::tables::{Tables, read};
use self::writer::Writer;
use super::{Answer, LONGEST, Replaced, Store};
use crate::{Clock, SettingError, Size};

/// Sessions in a file, for one process whose restart must not log people out.
///
/// Writes go to one thread that commits many at once, so that a hundred visitors wait for one flush to the disk and
/// not for a hundred; an answer comes when the disk has it, so a machine that loses its power loses no session that
/// a visitor was told of. Reads run where they are asked: they wait for no lock and no writer, and what they need is
/// in this process's cache (32 MiB) or in the system's, which takes microseconds, less than to hand them to a thread.
///
/// The file is this user's alone (mode 0600). It keeps no more than its capacity, 1 GiB unless told; then sessions
/// go whose time would be over soonest, as in [`Memory`](super::Memory), and expired ones go with every write. At
/// opening it is read and checked as a whole, so that one that was damaged is an error and not a surprise.
///
/// A second process on the same file is an error: several processes share Redis or PostgreSQL.
///
/// ```
/// use std::time::Duration;
/// use panoply::store::{File, Store};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("panoply-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("sessions");
/// let sessions = File::open(&path)?;
/// sessions.create("id", "{}", Duration::from_secs(60)).await?;
/// drop(sessions);
/// assert_eq!(File::open(&path)?.load("id").await?.as_deref(), Some("{}"));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
pub struct File {
    writer: Writer,
    clock: Clock,
}

impl File {
    /// The file at `path`, made if there is none.
    ///
    /// # Errors
    /// When it cannot be made or read, when another process has it, or when it holds something else.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SettingError> {
        Self::with_clock(path, Clock::system())
    }

    /// The same, by `clock`'s time of day.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_clock(path: impl AsRef<Path>, clock: Clock) -> Result<Self, SettingError> {
        Ok(Self { writer: Writer::start(path.as_ref(), clock.clone())?, clock })
    }

    /// How much it keeps, texts and bookkeeping together; the file is larger by half or so, and does not shrink.
    #[must_use]
    pub fn capacity(self, capacity: Size) -> Self {
        self.writer.limit(capacity.in_bytes());
        self
    }

    fn write<'a, T: Send + 'static>(
        &'a self,
        change: impl FnOnce(&mut Tables<'_>, u64) -> Result<T, redb::Error> + Send + 'static,
    ) -> Answer<'a, T> {
        Box::pin(self.writer.write(change))
    }
}

impl Store for File {
    fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(async move {
            let now = millis(self.clock.unix_time());
            self.writer.read(|database| read(database, id, now)).await
        })
    }

    fn create<'a>(&'a self, id: &'a str, text: &'a str, time: Duration) -> Answer<'a, ()> {
        let (id, text) = (id.to_owned(), text.to_owned());
        self.write(move |tables, now| {
            tables.remove(&id)?;
            tables.put(&id, &text, until(now, time))
        })
    }

    fn replace<'a>(
        &'a self,
        id: &'a str,
        was: &'a str,
        text: &'a str,
        time: Duration,
    ) -> Answer<'a, Replaced> {
        let (id, was, text) = (id.to_owned(), was.to_owned(), text.to_owned());
        self.write(move |tables, now| {
            Ok(match tables.live(&id, now)? {
                None => Replaced::Gone,
                Some(found) if found != was => Replaced::Conflict { now: found.clone(), found },
                Some(_) => {
                    tables.put(&id, &text, until(now, time))?;
                    Replaced::Done
                }
            })
        })
    }

    fn touch<'a>(&'a self, id: &'a str, time: Duration) -> Answer<'a, bool> {
        let id = id.to_owned();
        self.write(move |tables, now| {
            let Some(text) = tables.live(&id, now)? else { return Ok(false) };
            tables.put(&id, &text, until(now, time))?;
            Ok(true)
        })
    }

    fn destroy<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        let id = id.to_owned();
        self.write(move |tables, _| tables.remove(&id))
    }

    /// As long as the session, whatever `time`.
    fn bind<'a>(&'a self, user: &'a str, id: &'a str, _: Duration) -> Answer<'a, ()> {
        let (user, id) = (user.to_owned(), id.to_owned());
        self.write(
            move |tables, now| {
                if tables.live(&id, now)?.is_some() { tables.bind(&user, &id) } else { Ok(()) }
            },
        )
    }

    fn destroy_all<'a>(&'a self, user: &'a str, except: Option<&'a str>) -> Answer<'a, usize> {
        let (user, except) = (user.to_owned(), except.map(str::to_owned));
        self.write(move |tables, now| tables.remove_all(&user, except.as_deref(), now))
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.writer.path()).finish_non_exhaustive()
    }
}

fn until(now: u64, time: Duration) -> u64 {
    now.saturating_add(millis(time.min(LONGEST)))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
