mod sql;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use self::sql::Sql;
use super::{Answer, Replaced, Store, StoreError, whole_seconds};
use crate::postgres_server::{Server, judge};
use crate::{Clock, SettingError};

/// Sessions in PostgreSQL, in the table of connect-pg-simple: `"session"`, with the id, the session's JSON and when
/// it expires.
///
/// It connects at the first use, keeps ten connections at most unless told, and replaces those that broke, so a site
/// starts without its store. Each call is one prepared statement; [`replace`](Store::replace) is a second one where
/// the first found another text. What found its connection closed is asked once more on a new one.
/// [`migrate`](Self::migrate) makes the tables, as does `panoply store migrate`. Expired rows go every quarter of an
/// hour or so.
///
/// **Time zones.** connect-pg-simple's column has none, so what it holds depends on the `TimeZone` of the connection
/// that wrote it. Like node-pg this leaves the server's setting as it is, so that both agree; where Node sets another
/// (by `options` or `PGOPTIONS`), say the same with [`time_zone`](Self::time_zone). In a zone with summer time the
/// hour that comes twice is stored once, so a session may then live an hour longer; `ALTER ROLE … SET timezone`
/// to UTC, on both sides, has no such hour.
///
/// **TLS** is the URL's `sslmode`: `require` and `verify-full` both check the certificate and the name in it, by
/// the authorities that the machine trusts or by `sslrootcert=FILE`; without one, and with `disable`, there is none,
/// as with node-pg. `prefer` is refused: who stands between could say no to TLS.
///
/// ```no_run
/// use panoply::store::Postgres;
///
/// # fn main() -> Result<(), panoply::SettingError> {
/// let sessions = Postgres::connect("postgres://panoply:a-password@db.example/shop?sslmode=verify-full")?
///     .schema("web")?
///     .table("user_sessions")?;
/// # Ok(())
/// # }
/// ```
pub struct Postgres {
    server: Server,
    sql: Sql,
    clock: Clock,
}

impl Postgres {
    /// The server at `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full`. Nothing is sent yet.
    ///
    /// # Errors
    /// When the URL is none of PostgreSQL's, or what it asks for cannot be.
    pub fn connect(url: &str) -> Result<Self, SettingError> {
        Ok(Self { server: Server::at(url)?, sql: Sql::default(), clock: Clock::system() })
    }

    /// The table's name, `session` unless told. That of whose sessions are whose is the same with `_owner`.
    ///
    /// # Errors
    /// When PostgreSQL would not take the name as it is.
    pub fn table(mut self, name: &str) -> Result<Self, SettingError> {
        self.sql = self.sql.table(name)?;
        Ok(self)
    }

    /// The schema of both tables; without one it is the connection's (`search_path`).
    ///
    /// # Errors
    /// When PostgreSQL would not take the name as it is.
    pub fn schema(mut self, name: &str) -> Result<Self, SettingError> {
        self.sql = self.sql.schema(name)?;
        Ok(self)
    }

    /// The time zone of every connection, such as `Europe/Berlin`: the one that Node's connections have. Without one
    /// it is the server's.
    ///
    /// # Errors
    /// When it cannot be the name of a zone.
    pub fn time_zone(mut self, zone: &str) -> Result<Self, SettingError> {
        self.server.time_zone(zone)?;
        Ok(self)
    }

    /// The clock by which sessions expire, the machine's unless told: all that share the table must agree.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How many connections there are at most: ten unless told, as with node-pg.
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.server.connections(most);
        self
    }

    /// How long an answer may take, one second unless told. A new connection has a second more.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.server.timeout(timeout);
        self
    }

    /// Makes the tables where they are missing; those of connect-pg-simple stay as they are.
    ///
    /// # Errors
    /// When the server is not there, or does not let this user.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.server.migrate(&self.sql.migration()).await
    }

    /// What [`migrate`](Self::migrate) runs, for those who run it themselves.
    #[must_use]
    pub fn migration(&self) -> String {
        self.sql.migration()
    }

    async fn swap(&self, id: &str, was: &str, text: &str, time: Duration) -> Result<Replaced, StoreError> {
        let (now, until) = (self.now(), self.until(time));
        if !self.ask(&self.sql.replace, &[&id, &was, &text, &until, &now]).await?.is_empty() {
            return Ok(Replaced::Done);
        }
        Ok(match self.load(id).await? {
            None => Replaced::Gone,
            Some(found) => Replaced::Conflict { now: found.clone(), found },
        })
    }

    async fn bound(&self, user: &str, id: &str) -> Result<(), StoreError> {
        match self.ask(&self.sql.bind, &[&user, &id]).await {
            // It was destroyed this moment, and what is not there is nobody's.
            Err(StoreError::Refused(error)) if is(&*error, &SqlState::FOREIGN_KEY_VIOLATION) => Ok(()),
            bound => bound.map(drop),
        }
    }

    async fn ask(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        self.server.clear_sometimes(&self.clock, PAUSE, &self.sql.prune, || self.now());
        self.server.ask(sql, values).await
    }

    /// connect-pg-simple rounds both up: a session is there until the second in which its time is over has ended.
    fn now(&self) -> f64 {
        seconds(whole_seconds(self.clock.unix_time()))
    }

    fn until(&self, time: Duration) -> f64 {
        if time.is_zero() {
            return 0.0; // 1970
        }
        seconds(whole_seconds(self.clock.unix_time().saturating_add(time.min(super::LONGEST))))
    }
}

impl Store for Postgres {
    fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(async move {
            let rows = self.ask(&self.sql.load, &[&id, &self.now()]).await?;
            rows.first().map(|row| row.try_get(0)).transpose().map_err(judge)
        })
    }

    fn create<'a>(&'a self, id: &'a str, text: &'a str, time: Duration) -> Answer<'a, ()> {
        Box::pin(async move { self.ask(&self.sql.create, &[&id, &text, &self.until(time)]).await.map(drop) })
    }

    fn replace<'a>(
        &'a self,
        id: &'a str,
        was: &'a str,
        text: &'a str,
        time: Duration,
    ) -> Answer<'a, Replaced> {
        Box::pin(self.swap(id, was, text, time))
    }

    fn touch<'a>(&'a self, id: &'a str, time: Duration) -> Answer<'a, bool> {
        Box::pin(async move {
            let touched = self.ask(&self.sql.touch, &[&id, &self.until(time), &self.now()]).await?;
            Ok(!touched.is_empty())
        })
    }

    fn destroy<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.ask(&self.sql.destroy, &[&id]).await.map(drop) })
    }

    /// As long as the session, whatever `time`.
    fn bind<'a>(&'a self, user: &'a str, id: &'a str, _: Duration) -> Answer<'a, ()> {
        Box::pin(self.bound(user, id))
    }

    fn destroy_all<'a>(&'a self, user: &'a str, except: Option<&'a str>) -> Answer<'a, usize> {
        Box::pin(async move {
            let rows = self.ask(&self.sql.destroy_all, &[&user, &except, &self.now()]).await?;
            let count = rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0)).map_err(judge)?;
            Ok(usize::try_from(count).unwrap_or_default())
        })
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("at", &self.server).field("table", &self.sql).finish_non_exhaustive()
    }
}

fn is(error: &(dyn std::error::Error + 'static), state: &SqlState) -> bool {
    error.downcast_ref::<Error>().and_then(Error::code) == Some(state)
}

#[expect(clippy::cast_precision_loss, reason = "exact for more years than there will be")]
fn seconds(whole: u64) -> f64 {
    whole as f64
}

/// Seconds: a quarter of an hour, half more or less, as connect-pg-simple waits.
const PAUSE: Range<u64> = 450..1_350;
