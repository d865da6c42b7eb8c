use std::fmt;

use crate::SettingError;
use crate::postgres_server::{LONGEST_NAME, Name, qualified};

/// The statements about one table. Names are quoted in one place, values are parameters. Times are milliseconds since
/// 1970; a row without one stays for ever.
pub(super) struct Sql {
    schema: Option<Name>,
    table: Name,
    pub(super) add: String,
    pub(super) peek: String,
    pub(super) set: String,
    pub(super) forget: String,
    pub(super) over: String,
    pub(super) clear: String,
}

impl Sql {
    pub(super) fn table(self, name: &str) -> Result<Self, SettingError> {
        Ok(Self::new(self.schema, Name::parse(name, LONGEST_NAME)?))
    }

    pub(super) fn schema(self, name: &str) -> Result<Self, SettingError> {
        Ok(Self::new(Some(Name::parse(name, LONGEST_NAME)?), self.table))
    }

    fn new(schema: Option<Name>, table: Name) -> Self {
        let counts = qualified(schema.as_ref(), &table);
        Self {
            // `Rule::add`: $1 key, $2 points, $3 the end of a new row, $4 now, $5 the line, $6 the end of a window
            // that begins now, $7 that of a block. The row is locked while it is judged, so this is one step.
            add: format!(
                "INSERT INTO {counts} AS was (key, points, expire) VALUES ($1, {first}, $3::bigint) \
                 ON CONFLICT (key) DO UPDATE SET \
                 points = CASE WHEN was.expire <= $4::bigint THEN {first} ELSE {after} END, \
                 expire = CASE WHEN was.expire <= $4 THEN $3 \
                 WHEN $7::bigint IS NOT NULL AND was.points <= $5::bigint AND was.points + $2 > $5 THEN $7 \
                 WHEN was.expire IS NULL AND was.points <= $5 THEN $6::bigint \
                 ELSE was.expire END \
                 RETURNING points, expire",
                first = within("$2::bigint"),
                after = within("was.points + $2"),
            ),
            peek: format!("SELECT points, expire FROM {counts} WHERE key = $1 AND {}", stands("$2")),
            set: format!(
                "INSERT INTO {counts} (key, points, expire) VALUES ($1, $2::bigint::integer, $3) \
                 ON CONFLICT (key) DO UPDATE SET points = excluded.points, expire = excluded.expire"
            ),
            forget: format!("DELETE FROM {counts} WHERE key = $1 RETURNING {}", stands("$2")),
            over: format!(
                "SELECT points, expire, key FROM {counts} \
                 WHERE starts_with(key, $1) AND points > $2::bigint AND {} LIMIT $4",
                stands("$3")
            ),
            // Asked twice: a row that was hit again meanwhile stays.
            clear: format!(
                "DELETE FROM {counts} WHERE expire < $1 AND key IN \
                 (SELECT key FROM {counts} WHERE expire < $1 LIMIT 1000)"
            ),
            schema,
            table,
        }
    }

    /// The columns are those that rate-limiter-flexible makes.
    pub(super) fn migration(&self) -> String {
        let schema = self.schema.as_ref();
        let counts = qualified(schema, &self.table);
        let schema =
            schema.map_or(String::new(), |schema| format!("CREATE SCHEMA IF NOT EXISTS {schema};\n"));
        format!(
            r"{schema}CREATE TABLE IF NOT EXISTS {counts} (
  key varchar(255) PRIMARY KEY,
  points integer NOT NULL DEFAULT 0,
  expire bigint
);
"
        )
    }
}

impl Default for Sql {
    fn default() -> Self {
        Self::new(None, Name::plain("rlflx"))
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&qualified(self.schema.as_ref(), &self.table))
    }
}

/// As the column holds it: at its ends a count stays.
fn within(points: &str) -> String {
    format!("greatest(-2147483648, least(2147483647, {points}))::integer")
}

fn stands(now: &str) -> String {
    format!("(expire > {now}::bigint OR expire IS NULL)")
}
