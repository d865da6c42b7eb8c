//! What the file holds.

use redb::{Database, Error, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

/// A transaction's view of the sessions, of which any part may have changed and nothing is lasting yet.
pub(super) struct Tables<'a> {
    sessions: Table<'a, &'static str, Session>,
    ends: Table<'a, (u64, &'static str), ()>,
    owners: Table<'a, &'static str, &'static str>,
    users: Table<'a, (&'static str, &'static str), ()>,
    totals: Table<'a, &'static str, u64>,
}

/// When it ends, in milliseconds since 1970, and its text.
type Session = (u64, &'static str);

impl<'a> Tables<'a> {
    pub(super) fn open(transaction: &'a WriteTransaction) -> Result<Self, Error> {
        Ok(Self {
            sessions: transaction.open_table(SESSIONS)?,
            ends: transaction.open_table(ENDS)?,
            owners: transaction.open_table(OWNERS)?,
            users: transaction.open_table(USERS)?,
            totals: transaction.open_table(TOTALS)?,
        })
    }

    pub(super) fn live(&self, id: &str, now: u64) -> Result<Option<String>, Error> {
        let found = self.sessions.get(id)?;
        Ok(found.and_then(|found| text(found.value(), now)))
    }

    /// Puts a text there, in the place of what was; whose session it is stays.
    pub(super) fn put(&mut self, id: &str, text: &str, until: u64) -> Result<(), Error> {
        let before = self.sessions.insert(id, (until, text))?.map(|old| ending(id, old.value()));
        if let Some((ended, bytes)) = before {
            self.ends.remove((ended, id))?;
            self.add(0, bytes)?;
        }
        self.ends.insert((until, id), ())?;
        self.add(cost(id, text), 0)
    }

    pub(super) fn remove(&mut self, id: &str) -> Result<(), Error> {
        let Some((ended, bytes)) = self.sessions.remove(id)?.map(|old| ending(id, old.value())) else {
            return Ok(());
        };
        self.ends.remove((ended, id))?;
        self.add(0, bytes)?;
        self.unbind(id)
    }

    pub(super) fn bind(&mut self, user: &str, id: &str) -> Result<(), Error> {
        self.unbind(id)?;
        self.owners.insert(id, user)?;
        self.users.insert((user, id), ())?;
        self.add(cost(id, user), 0)
    }

    pub(super) fn remove_all(&mut self, user: &str, except: Option<&str>, now: u64) -> Result<usize, Error> {
        let (mut ids, mut count) = (Vec::new(), 0);
        for key in self.users.range((user, "")..)? {
            let (key, _) = key?;
            let (owner, id) = key.value();
            if owner != user {
                break;
            }
            ids.push(id.to_owned());
        }
        for id in ids.iter().filter(|id| Some(id.as_str()) != except) {
            count += usize::from(self.live(id, now)?.is_some());
            self.remove(id)?;
        }
        Ok(count)
    }

    /// Drops what has expired, some at a time but more than one change brings; and what ends soonest, while there is
    /// more than `capacity`.
    pub(super) fn sweep(&mut self, now: u64, changes: usize, capacity: u64) -> Result<(), Error> {
        let most = changes.saturating_mul(2).saturating_add(SWEPT);
        for swept in 0.. {
            let first = self.ends.first()?.map(|(key, _)| (key.value().0, key.value().1.to_owned()));
            let Some((until, id)) = first else { break };
            let full = self.total()? > capacity;
            if !full && (until > now || swept >= most) {
                break;
            }
            self.remove(&id)?;
        }
        Ok(())
    }

    fn unbind(&mut self, id: &str) -> Result<(), Error> {
        let Some(user) = self.owners.remove(id)?.map(|user| user.value().to_owned()) else { return Ok(()) };
        self.users.remove((user.as_str(), id))?;
        self.add(0, cost(id, &user))
    }

    fn total(&self) -> Result<u64, Error> {
        Ok(self.totals.get(BYTES)?.map_or(0, |bytes| bytes.value()))
    }

    fn add(&mut self, more: u64, less: u64) -> Result<(), Error> {
        let total = self.total()?;
        self.totals.insert(BYTES, total.saturating_add(more).saturating_sub(less))?;
        Ok(())
    }
}

/// What was committed last, whatever the writer does meanwhile.
pub(super) fn read(database: &Database, id: &str, now: u64) -> Result<Option<String>, Error> {
    let sessions = database.begin_read()?.open_table(SESSIONS)?;
    let found = sessions.get(id)?;
    Ok(found.and_then(|found| text(found.value(), now)))
}

fn text((until, text): (u64, &str), now: u64) -> Option<String> {
    (until > now).then(|| text.to_owned())
}

fn ending(id: &str, (until, text): (u64, &str)) -> (u64, u64) {
    (until, cost(id, text))
}

/// The id stands there twice, and each place has a few words beside it.
fn cost(id: &str, with: &str) -> u64 {
    (2 * id.len() + with.len() + 64) as u64
}

const SESSIONS: TableDefinition<'_, &str, Session> = TableDefinition::new("sessions");
/// The order in which sessions end.
const ENDS: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("ends");
/// Whose a session is.
const OWNERS: TableDefinition<'_, &str, &str> = TableDefinition::new("owners");
/// Which sessions a user has.
const USERS: TableDefinition<'_, (&str, &str), ()> = TableDefinition::new("users");
const TOTALS: TableDefinition<'_, &str, u64> = TableDefinition::new("totals");
const BYTES: &str = "bytes";

const SWEPT: usize = 64;
