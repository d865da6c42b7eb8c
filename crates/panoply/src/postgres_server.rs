mod name;
mod url;

use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use deadpool_postgres::{
    Client, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

pub(crate) use self::name::{LONGEST_NAME, Name, qualified};
use self::url::Place;
use crate::store::StoreError;
use crate::{Clock, SettingError};

/// PostgreSQL: connected at the first question, by so many connections at most, each replaced when it broke.
pub(crate) struct Server {
    place: Place,
    connections: usize,
    timeout: Duration,
    pool: OnceLock<Pool>,
    /// When expired rows go next, in seconds since 1970; nought is not known yet.
    next_clearing: AtomicU64,
}

impl Server {
    pub(crate) fn at(url: &str) -> Result<Self, SettingError> {
        Ok(Self {
            place: url::parse(url)?,
            connections: CONNECTIONS,
            timeout: TIMEOUT,
            pool: OnceLock::new(),
            next_clearing: AtomicU64::new(0),
        })
    }

    pub(crate) fn time_zone(&mut self, zone: &str) -> Result<(), SettingError> {
        self.place.time_zone(zone)
    }

    /// How many there are at most; one at least.
    pub(crate) fn connections(&mut self, most: usize) {
        self.connections = most.max(1);
    }

    /// How long an answer may take; a new connection has a second more.
    pub(crate) fn timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Runs statements that change nothing where they ran before.
    pub(crate) async fn migrate(&self, sql: &str) -> Result<(), StoreError> {
        let client = self.client().await?;
        // Two at once would both find nothing. The lock ends with the statement.
        let sql = format!("SELECT pg_advisory_xact_lock({MIGRATION});\n{sql}");
        match tokio::time::timeout(self.timeout, client.batch_execute(&sql)).await {
            Ok(done) => done.map_err(judge),
            Err(_) => {
                drop(Client::take(client));
                Err(StoreError::Slow(self.timeout))
            }
        }
    }

    /// Asks what does no harm when it is asked twice.
    pub(crate) async fn ask(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        match self.ask_once(sql, values).await {
            // The connection had been closed, perhaps long ago: this is how one learns of it.
            Err(StoreError::Down(error)) if error.downcast_ref().is_some_and(Error::is_closed) => {
                self.ask_once(sql, values).await
            }
            answer => answer,
        }
    }

    pub(crate) async fn ask_once(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let client = self.client().await?;
        let query = async { client.query(&client.prepare_cached(sql).await?, values).await };
        match tokio::time::timeout(self.timeout, query).await {
            Ok(answer) => answer.map_err(judge),
            Err(_) => {
                // It is still busy with this: not for the next one.
                drop(Client::take(client));
                Err(StoreError::Slow(self.timeout))
            }
        }
    }

    /// Now and then, after a `pause` of so many seconds, runs `sql`, which removes a thousand rows that expired
    /// `before`. The first call sets the time, so that a fleet that starts together does not do it together.
    pub(crate) fn clear_sometimes<T: ToSql + Send + Sync + 'static>(
        &self,
        clock: &Clock,
        pause: Range<u64>,
        sql: &str,
        before: impl FnOnce() -> T,
    ) {
        let (now, next) = (clock.unix_time().as_secs(), self.next_clearing.load(Relaxed));
        if now < next {
            return;
        }
        let then = now + rand::random_range(pause);
        if self.next_clearing.compare_exchange(next, then, Relaxed, Relaxed).is_err() {
            return;
        }
        let Some(pool) = self.pool.get().filter(|_| next > 0).cloned() else { return };
        let (sql, before) = (sql.to_owned(), before());
        // Aside, so that no visitor waits for it.
        tokio::spawn(async move {
            if let Err(error) = clear(&pool, &sql, &before).await {
                tracing::warn!(%error, "expired rows could not be removed");
            }
        });
    }

    async fn client(&self) -> Result<Client, StoreError> {
        self.pool()?.get().await.map_err(|error| match error {
            PoolError::Backend(error) => judge(error),
            PoolError::Timeout(_) => StoreError::Slow(self.timeout),
            error => StoreError::Down(Box::new(error)),
        })
    }

    fn pool(&self) -> Result<&Pool, StoreError> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let config = self.place.config.clone();
        let manager = match &self.place.tls {
            Some(tls) => Manager::from_config(config, MakeRustlsConnect::new(tls.clone()), how),
            None => Manager::from_config(config, NoTls, how),
        };
        let pool = Pool::builder(manager)
            .max_size(self.connections)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(self.timeout),
                create: Some(CONNECTING),
                recycle: Some(self.timeout),
            })
            .build()
            .map_err(|error| StoreError::Down(Box::new(error)))?;
        Ok(self.pool.get_or_init(|| pool))
    }
}

/// What lets one in is left out.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

/// A thousand at a time, so that no lock is long and no other statement waits.
async fn clear(
    pool: &Pool,
    sql: &str,
    before: &(dyn ToSql + Sync),
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let client = pool.get().await?;
    for _ in 0..CLEARED_AT_MOST {
        let statement = client.prepare_cached(sql).await?;
        if client.execute(&statement, &[before]).await? == 0 {
            break;
        }
    }
    Ok(())
}

pub(crate) fn judge(error: Error) -> StoreError {
    // Classes of the standard: 08 connection, 53 resources, 57P the operator ends or starts the server.
    let down = error
        .code()
        .is_none_or(|code| ["08", "53", "57P"].iter().any(|class| code.code().starts_with(class)));
    if down { StoreError::Down(Box::new(error)) } else { StoreError::Refused(Box::new(error)) }
}

const CONNECTIONS: usize = 10;
const TIMEOUT: Duration = Duration::from_secs(1);
const CONNECTING: Duration = Duration::from_secs(1);

/// A hundred thousand rows; what is left goes next time.
const CLEARED_AT_MOST: usize = 100;

/// Any number that no other program has.
const MIGRATION: i64 = 0x70_61_6e_6f_70_6c_79;
