use std::fmt;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_postgres::types::ToSql;

use super::milliseconds;
use crate::SettingError;
use crate::postgres_server::{Server, judge};
use crate::store::StoreError;

/// In a table of its own, which is made at the first use. Times are the server's, so that machines need not agree.
pub(super) struct Postgres {
    server: Server,
    migrated: OnceCell<()>,
}

impl Postgres {
    pub(super) fn open(url: &str) -> Result<Self, SettingError> {
        Ok(Self { server: Server::at(url)?, migrated: OnceCell::new() })
    }

    pub(super) async fn read(&self, name: &str) -> Result<Option<String>, StoreError> {
        let sql = format!("SELECT value FROM panoply_shared WHERE name = $1 AND expire > {NOW}");
        let rows = self.server(sql, &[&value(name)]).await?;
        rows.first().map(|row| row.try_get(0).map_err(judge)).transpose()
    }

    pub(super) async fn write(&self, name: &str, sealed: &str, time: Duration) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO panoply_shared (name, value, expire) VALUES ($1, $2, {NOW} + $3::bigint) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, expire = excluded.expire"
        );
        self.server(sql, &[&value(name), &sealed, &milliseconds(time)]).await?;
        self.clear().await;
        Ok(())
    }

    pub(super) async fn write_first(
        &self,
        name: &str,
        sealed: &str,
        time: Duration,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "INSERT INTO panoply_shared AS was (name, value, expire) VALUES ($1, $2, {NOW} + $3::bigint) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, expire = excluded.expire \
             WHERE was.expire <= {NOW} RETURNING true"
        );
        let rows = self.server(sql, &[&value(name), &sealed, &milliseconds(time)]).await?;
        self.clear().await;
        Ok(!rows.is_empty())
    }

    /// Puts `after` where `before` stands, for as long as that had still to stand.
    pub(super) async fn exchange(&self, name: &str, before: &str, after: &str) -> Result<(), StoreError> {
        let sql = "UPDATE panoply_shared SET value = $3 WHERE name = $1 AND value = $2".to_owned();
        self.server(sql, &[&value(name), &before, &after]).await.map(drop)
    }

    /// Takes out what has ended long ago. Each value has a name that comes again, or few of them: so seldom is enough.
    async fn clear(&self) {
        let ended = format!("DELETE FROM panoply_shared WHERE expire < {NOW} - 3600000");
        let _ = self.server(ended, &[]).await; // the next one does it too
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM panoply_shared WHERE name = $1".to_owned();
        self.server(sql, &[&value(name)]).await.map(drop)
    }

    pub(super) async fn claim(&self, name: &str, holder: &str, time: Duration) -> Result<bool, StoreError> {
        let sql = format!(
            "INSERT INTO panoply_shared AS was (name, value, expire) VALUES ($1, $2, {NOW} + $3::bigint) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, expire = excluded.expire \
             WHERE was.value = excluded.value OR was.expire <= {NOW} RETURNING true"
        );
        let rows = self.server(sql, &[&claim(name), &holder, &milliseconds(time)]).await?;
        Ok(!rows.is_empty())
    }

    pub(super) async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM panoply_shared WHERE name = $1 AND value = $2".to_owned();
        self.server(sql, &[&claim(name), &holder]).await.map(drop)
    }

    async fn server(
        &self,
        sql: String,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        self.migrated.get_or_try_init(|| self.server.migrate(TABLE)).await?;
        self.server.ask(&sql, values).await
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

fn value(name: &str) -> String {
    format!("value:{name}")
}

fn claim(name: &str) -> String {
    format!("claim:{name}")
}

const TABLE: &str = "\
CREATE TABLE IF NOT EXISTS panoply_shared (
  name text PRIMARY KEY,
  value text NOT NULL,
  expire bigint NOT NULL
)";

/// In milliseconds since 1970, by the server's clock.
const NOW: &str = "(extract(epoch from clock_timestamp()) * 1000)::bigint";
