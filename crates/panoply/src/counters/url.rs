use std::sync::Arc;

use super::{Counters, Memory};
use crate::{Clock, SettingError, StoreUrl};

/// The counters at `url`, by `clock`. Nothing is asked of a server before the first use.
///
/// | URL | counters |
/// |---|---|
/// | `memory` | this process's memory, [`Memory`] |
/// | `redis://HOST:PORT`, `rediss://…`, `redis+unix:///PATH` | `Redis`, with the cargo feature `redis` |
/// | `redis://HOST:PORT,redis://HOST:PORT` | the cluster to which these belong |
/// | `postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full` | `Postgres`, with the feature `postgres` |
///
/// ```
/// use panoply::{Clock, counters};
///
/// # fn main() -> Result<(), panoply::SettingError> {
/// let failures = counters::open("memory", &Clock::system())?;
/// let error = counters::open("mysql://root:hunter2@db.example", &Clock::system()).unwrap_err();
/// assert_eq!(error.to_string(), "there is no store for `mysql`");
/// assert!(error.hint().contains("postgres://"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When nothing counts there, when it was not compiled in, or when it does not take the URL. An error never shows
/// what the URL holds: that may be a password.
pub fn open(url: &str, clock: &Clock) -> Result<Arc<dyn Counters>, SettingError> {
    match StoreUrl::parse(url)? {
        StoreUrl::Memory => Ok(Arc::new(Memory::with_clock(clock.clone()))),
        StoreUrl::Redis(url) => redis(url),
        StoreUrl::Postgres(url) => postgres(url, clock),
        StoreUrl::File(_) => Err(SettingError::new(
            "nothing counts in a file",
            "write memory, which a gateway keeps over a restart, redis://…, rediss://… or postgres://…",
        )),
    }
}

#[cfg(feature = "redis")]
fn redis(url: &str) -> Result<Arc<dyn Counters>, SettingError> {
    let nodes = crate::store_url::nodes(url);
    let several = nodes.len() > 1;
    Ok(Arc::new(if several { super::Redis::cluster(nodes)? } else { super::Redis::connect(url)? }))
}

#[cfg(feature = "postgres")]
fn postgres(url: &str, clock: &Clock) -> Result<Arc<dyn Counters>, SettingError> {
    Ok(Arc::new(super::Postgres::connect(url)?.clock(clock.clone()).create_table()))
}

#[cfg(not(feature = "redis"))]
fn redis(_: &str) -> Result<Arc<dyn Counters>, SettingError> {
    Err(crate::store_url::not_compiled_in("redis"))
}

#[cfg(not(feature = "postgres"))]
fn postgres(_: &str, _: &Clock) -> Result<Arc<dyn Counters>, SettingError> {
    Err(crate::store_url::not_compiled_in("postgres"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_url_has_its_counters_or_an_error_that_names_the_mend_and_no_password() {
        for (url, found) in [
            ("memory", "Memory"),
            ("redis://ann:hunter2@127.0.0.1:6379/1", "Redis"),
            ("rediss://:hunter2@cache.example", "Redis"),
            ("redis+unix:///run/redis.sock?pass=hunter2", "Redis"),
            ("redis://:hunter2@127.0.0.1:1,redis://:hunter2@127.0.0.1:2", "127.0.0.1:2"),
            ("redis://:hunter2,more@127.0.0.1:1", "Redis"),
            ("postgres://ann:hunter2@127.0.0.1/shop", "Postgres"),
            ("", "no store for this URL"),
            ("memory:hunter2", "no store for `memory`"),
            ("an hunter2://x", "no store for this URL"),
            ("file:counts", "nothing counts in a file"),
            ("mongodb://ann:hunter2@127.0.0.1", "no store for `mongodb`"),
            ("redis://ann:hunter2@127.0.0.1:port", "none that Redis has"),
            ("redis://:hunter2@127.0.0.1:1,redis://:other@127.0.0.1:2", "same user and password"),
            ("postgres://ann:hunter2@127.0.0.1:port/shop", "none that PostgreSQL has"),
        ] {
            let text = match open(url, &Clock::manual()) {
                Ok(counters) => format!("{counters:?}"),
                Err(error) => format!("{error} {error:?} {}", error.hint()),
            };
            assert!(text.contains(found), "{url}: {text}");
            assert!(!text.contains("hunter2"), "{url}: {text}");
        }
    }
}
