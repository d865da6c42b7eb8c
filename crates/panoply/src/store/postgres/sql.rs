//! What is said to PostgreSQL.

use std::fmt;

use crate::SettingError;
use crate::postgres_server::{LONGEST_NAME, Name, qualified};

/// The statements about one table. Names are quoted in one place, values are parameters.
pub(super) struct Sql {
    schema: Option<Name>,
    table: Name,
    pub(super) load: String,
    pub(super) create: String,
    pub(super) replace: String,
    pub(super) touch: String,
    pub(super) destroy: String,
    pub(super) bind: String,
    pub(super) destroy_all: String,
    pub(super) prune: String,
}

impl Sql {
    pub(super) fn table(self, name: &str) -> Result<Self, SettingError> {
        Ok(Self::new(self.schema, Name::parse(name, LONGEST_TABLE)?))
    }

    pub(super) fn schema(self, name: &str) -> Result<Self, SettingError> {
        Ok(Self::new(Some(Name::parse(name, LONGEST_NAME)?), self.table))
    }

    /// `to_timestamp` becomes the column's type by the connection's time zone, exactly as in connect-pg-simple's
    /// statements. Times are `float8`, seconds since 1970.
    fn new(schema: Option<Name>, table: Name) -> Self {
        let (session, owners) =
            (qualified(schema.as_ref(), &table), qualified(schema.as_ref(), &table.with("_owner")));
        Self {
            load: format!(
                "SELECT sess::text FROM {session} WHERE sid = $1 AND expire >= to_timestamp($2::float8)"
            ),
            create: format!(
                "INSERT INTO {session} (sid, sess, expire) VALUES ($1, $2::text::json, to_timestamp($3::float8)) \
                 ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire"
            ),
            replace: format!(
                "UPDATE {session} SET sess = $3::text::json, expire = to_timestamp($4::float8) \
                 WHERE sid = $1 AND expire >= to_timestamp($5::float8) AND sess::text = $2 RETURNING 1"
            ),
            touch: format!(
                "UPDATE {session} SET expire = to_timestamp($2::float8) \
                 WHERE sid = $1 AND expire >= to_timestamp($3::float8) RETURNING 1"
            ),
            destroy: format!("DELETE FROM {session} WHERE sid = $1"),
            bind: format!(
                "INSERT INTO {owners} (sid, owner) SELECT sid, $1 FROM {session} WHERE sid = $2 \
                 ON CONFLICT (sid) DO UPDATE SET owner = excluded.owner"
            ),
            destroy_all: format!(
                "WITH gone AS (DELETE FROM {session} s USING {owners} o \
                 WHERE o.sid = s.sid AND o.owner = $1 AND s.sid IS DISTINCT FROM $2 RETURNING s.expire) \
                 SELECT count(*) FROM gone WHERE expire >= to_timestamp($3::float8)"
            ),
            // Asked twice: a row that was created again meanwhile stays.
            prune: format!(
                "DELETE FROM {session} WHERE expire < to_timestamp($1::float8) AND sid IN \
                 (SELECT sid FROM {session} WHERE expire < to_timestamp($1::float8) LIMIT 1000)"
            ),
            schema,
            table,
        }
    }

    /// The first two statements are connect-pg-simple's own `table.sql`, for those who have not made it yet. The other
    /// table is no `session_user`: that is a word of SQL's own.
    pub(super) fn migration(&self) -> String {
        let (schema, table, owner) = (self.schema.as_ref(), &self.table, &self.table.with("_owner"));
        let (session, owners) = (qualified(schema, table), qualified(schema, owner));
        let schema =
            schema.map_or(String::new(), |schema| format!("CREATE SCHEMA IF NOT EXISTS {schema};\n"));
        format!(
            r#"{schema}CREATE TABLE IF NOT EXISTS {session} (
  "sid" varchar NOT NULL COLLATE "default",
  "sess" json NOT NULL,
  "expire" timestamp(6) NOT NULL,
  CONSTRAINT {key} PRIMARY KEY ("sid")
);
CREATE INDEX IF NOT EXISTS {by_expire} ON {session} ("expire");
CREATE TABLE IF NOT EXISTS {owners} (
  "sid" varchar NOT NULL COLLATE "default" PRIMARY KEY REFERENCES {session} ("sid") ON DELETE CASCADE,
  "owner" text NOT NULL
);
CREATE INDEX IF NOT EXISTS {by_owner} ON {owners} ("owner");
"#,
            key = table.with("_pkey"),
            by_expire = table.within("IDX_", "_expire"),
            by_owner = table.within("IDX_", "_owner"),
        )
    }
}

impl Default for Sql {
    fn default() -> Self {
        Self::new(None, Name::plain("session"))
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&qualified(self.schema.as_ref(), &self.table))
    }
}

/// Leaves room for the names that are made from it.
const LONGEST_TABLE: usize = LONGEST_NAME - "IDX__expire".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        let sql = Sql::default().schema("a\"b").unwrap().table("x\"; DROP TABLE y; --").unwrap();
        assert!(
            sql.destroy.starts_with(r#"DELETE FROM "a""b"."x""; DROP TABLE y; --" WHERE"#),
            "{}",
            sql.destroy
        );
        for name in ["", "a\0b", &"x".repeat(53)] {
            assert!(Sql::default().table(name).is_err(), "{name:?}");
        }
        assert!(Sql::default().table(&"x".repeat(52)).is_ok());
    }
}
