mod sql;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use self::sql::Sql;
use super::{Answer, Count, Counters, Key, MOST_LISTED, Rule};
use crate::postgres_server::{Server, judge};
use crate::store::{LONGEST, StoreError};
use crate::{Clock, SettingError};

/// Counts in PostgreSQL, in the table of rate-limiter-flexible: `"rlflx"`, with the key, its points and when it
/// expires, in milliseconds since 1970. Node and Rust count together.
///
/// It connects at the first use, keeps ten connections at most unless told, and replaces those that broke, so a site
/// starts without its counters. Each call is one prepared statement. What found its connection closed is asked once
/// more on a new one, but for points that are given back: a hit may be counted twice then, and never a reward.
/// [`migrate`](Self::migrate) makes the table, or [`create_table`](Self::create_table) when it is first needed. Rows
/// that expired an hour ago go every five minutes or so, as with Node.
///
/// **Limits.** The column holds up to 2,147,483,647 points, where a count stays; a line or a count above is refused.
/// A key is up to 255 characters: of a longer one, and of one that holds NUL, the first 190 stand there without it,
/// then `#` and the SHA-256 of the whole in hexadecimal digits. Node fails on these.
///
/// **Time.** As with Node the clock is that of the machine that asks: those that share the table must agree. Every
/// hit is a commit, for which PostgreSQL waits for its disk; `ALTER ROLE … SET synchronous_commit TO off` spares
/// that, and a crash of the server then loses the counts of its last second.
///
/// **TLS** is the URL's `sslmode`: `require` and `verify-full` both check the certificate and the name in it, by
/// the authorities that the machine trusts or by `sslrootcert=FILE`; without one, and with `disable`, there is none.
///
/// ```no_run
/// use panoply::counters::Postgres;
///
/// # fn main() -> Result<(), panoply::SettingError> {
/// let counters = Postgres::connect("postgres://panoply:a-password@db.example/shop?sslmode=verify-full")?
///     .schema("web")?
///     .table("login_fail")?;
/// # Ok(())
/// # }
/// ```
pub struct Postgres {
    server: Server,
    sql: Sql,
    clock: Clock,
    creates_table: bool,
}

impl Postgres {
    /// The server at `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full`. Nothing is sent yet.
    ///
    /// # Errors
    /// When the URL is none of PostgreSQL's, or what it asks for cannot be.
    pub fn connect(url: &str) -> Result<Self, SettingError> {
        Ok(Self {
            server: Server::at(url)?,
            sql: Sql::default(),
            clock: Clock::system(),
            creates_table: false,
        })
    }

    /// The table's name, `rlflx` unless told; in Node it is `tableName`, and without one the limiter's prefix.
    ///
    /// # Errors
    /// When PostgreSQL would not take the name as it is.
    pub fn table(mut self, name: &str) -> Result<Self, SettingError> {
        self.sql = self.sql.table(name)?;
        Ok(self)
    }

    /// The table's schema; without one it is the connection's (`search_path`).
    ///
    /// # Errors
    /// When PostgreSQL would not take the name as it is.
    pub fn schema(mut self, name: &str) -> Result<Self, SettingError> {
        self.sql = self.sql.schema(name)?;
        Ok(self)
    }

    /// Makes the table at the first use where it is missing, as rate-limiter-flexible does. Who may not make tables
    /// uses the one that is there.
    #[must_use]
    pub fn create_table(mut self) -> Self {
        self.creates_table = true;
        self
    }

    /// The clock by which counts end, the machine's unless told: all that share the table must agree.
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

    /// Makes the table where it is missing; that of rate-limiter-flexible stays as it is.
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

    async fn hit(&self, key: Key<'_>, points: i64, rule: &Rule) -> Result<Count, StoreError> {
        let (key, now, line) = (written(key), self.now(), i64::from(rule.points()));
        if line >= MOST {
            return Err(too_many(line));
        }
        let first = rule.add(None, points);
        let (first_end, window, block) =
            (end(now, first.left), end(now, rule.window()), end(now, rule.block()));
        // Far more than the column holds, and nothing that overflows on the way.
        let points = points.clamp(-4 * MOST, 4 * MOST);
        let values: Values<'_> = &[&key, &points, &first_end, &now, &line, &window, &block];
        let rows = if points < 0 {
            self.ask_once(&self.sql.add, values).await
        } else {
            self.ask(&self.sql.add, values).await
        }?;
        let row = rows.first().ok_or_else(|| StoreError::Refused("a hit left no row".into()))?;
        count(row, now)
    }

    async fn put(&self, key: Key<'_>, count: Count) -> Result<(), StoreError> {
        if count.points > MOST {
            return Err(too_many(count.points));
        }
        let (key, end) = (written(key), end(self.now(), count.left));
        self.ask(&self.sql.set, &[&key, &count.points.max(-MOST), &end]).await.map(drop)
    }

    async fn listed(&self, prefix: &str, line: i64) -> Result<Vec<(String, Count)>, StoreError> {
        let (start, now) = (Key { prefix, name: "", network: None }.to_string(), self.now());
        let most = i64::try_from(MOST_LISTED).unwrap_or(i64::MAX);
        let rows = self.ask(&self.sql.over, &[&start, &line, &now, &most]).await?;
        rows.iter()
            .map(|row| {
                let key: &str = row.try_get(2).map_err(judge)?;
                Ok((key.strip_prefix(&start).unwrap_or_default().to_owned(), count(row, now)?))
            })
            .collect()
    }

    async fn ask(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        self.clear();
        let answer = self.server.ask(sql, values).await;
        if self.needs_table(&answer).await { self.server.ask(sql, values).await } else { answer }
    }

    async fn ask_once(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        self.clear();
        let answer = self.server.ask_once(sql, values).await;
        if self.needs_table(&answer).await { self.server.ask_once(sql, values).await } else { answer }
    }

    /// Whether the table was missing, and is there now.
    async fn needs_table<T>(&self, answer: &Result<T, StoreError>) -> bool {
        let Err(StoreError::Refused(error)) = answer else { return false };
        let code = error.downcast_ref().and_then(tokio_postgres::Error::code);
        self.creates_table && code == Some(&SqlState::UNDEFINED_TABLE) && self.migrate().await.is_ok()
    }

    fn clear(&self) {
        self.server.clear_sometimes(&self.clock, PAUSE, &self.sql.clear, || self.now() - HOUR);
    }

    /// In milliseconds since 1970.
    fn now(&self) -> i64 {
        i64::try_from(self.clock.unix_time().as_millis()).unwrap_or(i64::MAX)
    }
}

impl Counters for Postgres {
    fn add<'a>(&'a self, key: Key<'a>, points: i64, rule: &'a Rule) -> Answer<'a, Count> {
        Answer::later(self.hit(key, points, rule))
    }

    fn peek<'a>(&'a self, key: Key<'a>) -> Answer<'a, Option<Count>> {
        Answer::later(async move {
            let now = self.now();
            let rows = self.ask(&self.sql.peek, &[&written(key), &now]).await?;
            rows.first().map(|row| count(row, now)).transpose()
        })
    }

    fn set<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        Answer::later(self.put(key, count))
    }

    /// The same: a table has room for all.
    fn block<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        self.set(key, count)
    }

    fn forget<'a>(&'a self, key: Key<'a>) -> Answer<'a, bool> {
        Answer::later(async move {
            let rows = self.ask(&self.sql.forget, &[&written(key), &self.now()]).await?;
            rows.first().map_or(Ok(false), |row| row.try_get(0)).map_err(judge)
        })
    }

    /// The whole table is looked through.
    fn over<'a>(&'a self, prefix: &'a str, line: u32) -> Answer<'a, Vec<(String, Count)>> {
        Answer::later(self.listed(prefix, line.into()))
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("at", &self.server).field("table", &self.sql).finish_non_exhaustive()
    }
}

type Values<'v> = &'v [&'v (dyn ToSql + Sync)];

/// As it stands in the table. What [`over`](Counters::over) lists of a long one is that key's name too.
fn written(key: Key<'_>) -> String {
    let key = key.to_string();
    if !key.contains('\0') && (key.len() <= LONGEST_KEY || key.chars().count() <= LONGEST_KEY) {
        return key;
    }
    let hash = digest(&SHA256, key.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let start: String = key.chars().filter(|letter| *letter != '\0').take(LONGEST_START).collect();
    format!("{start}#{hash}")
}

fn end(now: i64, left: Option<Duration>) -> Option<i64> {
    left.map(|left| {
        let milliseconds = left.min(LONGEST).as_nanos().div_ceil(1_000_000);
        now.saturating_add(i64::try_from(milliseconds).unwrap_or(i64::MAX))
    })
}

/// Of a row that begins with points and expire.
fn count(row: &Row, now: i64) -> Result<Count, StoreError> {
    let points: i32 = row.try_get(0).map_err(judge)?;
    let end: Option<i64> = row.try_get(1).map_err(judge)?;
    let left =
        end.map(|end| Duration::from_millis(u64::try_from(end.saturating_sub(now)).unwrap_or_default()));
    Ok(Count { points: points.into(), left })
}

fn too_many(points: i64) -> StoreError {
    StoreError::Refused(format!("the column of points ends at {MOST}, but here are {points}").into())
}

/// What PostgreSQL's `integer` holds.
const MOST: i64 = i32::MAX as i64;

const LONGEST_KEY: usize = 255;
/// Leaves room for `#` and the hash.
const LONGEST_START: usize = LONGEST_KEY - 65;

const HOUR: i64 = 3_600_000;

/// Seconds: five minutes, half more or less.
const PAUSE: Range<u64> = 150..450;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_the_column_does_not_hold_is_hashed() {
        let written = |name: &str| written(Key { prefix: "login", name, network: None });
        let long = "ä".repeat(249);
        assert_eq!(written(&long), format!("login:{long}"), "255 characters");
        for (name, start) in [
            (format!("{long}x"), "login:ää"),
            (format!("{long}y"), "login:ää"),
            ("a\0b".to_owned(), "login:ab#"),
            ("x".repeat(1 << 20), "login:xxx"),
        ] {
            let key = written(&name);
            assert!(key.starts_with(start) && key.chars().count() <= 255 && !key.contains('\0'), "{key}");
            assert_eq!(written(key.strip_prefix("login:").unwrap()), key, "what is listed is found");
        }
        assert_ne!(written(&format!("{long}x")), written(&format!("{long}y")));
        assert_ne!(written("a\0b"), written("ab"));
    }

    #[test]
    fn a_time_is_rounded_up_to_milliseconds() {
        for (nanos, milliseconds) in [(1, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(end(7, Some(Duration::from_nanos(nanos))), Some(7 + milliseconds));
        }
        assert_eq!(end(7, None), None);
        assert!(end(7, Some(Duration::MAX)).unwrap() > 99 * 365 * 24 * HOUR);
    }
}
