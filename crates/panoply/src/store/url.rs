use std::sync::Arc;

use super::{Memory, Store};
use crate::{Clock, SettingError, StoreUrl};

/// The store at `url`, by `clock`. Only a file is opened at once; servers are asked at the first use.
///
/// | URL | store |
/// |---|---|
/// | `memory` | this process's memory, [`Memory`] |
/// | `file:PATH` | a file on disk, `File`, with the cargo feature `file` |
/// | `redis://HOST:PORT`, `rediss://…`, `redis+unix:///PATH` | `Redis`, with the feature `redis` |
/// | `redis://HOST:PORT,redis://HOST:PORT` | the cluster to which these belong |
/// | `postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full` | `Postgres`, with the feature `postgres` |
///
/// ```
/// use panoply::{Clock, store};
///
/// # fn main() -> Result<(), panoply::SettingError> {
/// let sessions = store::open("memory", &Clock::system())?;
/// let error = store::open("mysql://root:hunter2@db.example", &Clock::system()).unwrap_err();
/// assert_eq!(error.to_string(), "there is no store for `mysql`");
/// assert!(error.hint().contains("postgres://"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When there is no such store, when it was not compiled in, or when the store does not take the URL. An error never
/// shows what the URL holds: that may be a password.
pub fn open(url: &str, clock: &Clock) -> Result<Arc<dyn Store>, SettingError> {
    match StoreUrl::parse(url)? {
        StoreUrl::Memory => Ok(Arc::new(Memory::with_clock(clock.clone()))),
        StoreUrl::File(path) => file(path, clock),
        StoreUrl::Redis(url) => redis(url, clock),
        StoreUrl::Postgres(url) => postgres(url, clock),
    }
}

#[cfg(feature = "file")]
fn file(path: &str, clock: &Clock) -> Result<Arc<dyn Store>, SettingError> {
    // `file://sessions` would name a host.
    if path.is_empty() || (path.starts_with("//") && !path.starts_with("///")) {
        return Err(SettingError::new(
            format!("`file:{path}` names no file on this machine"),
            "write file:PATH, such as file:sessions.redb or file:/var/lib/panoply/sessions.redb",
        ));
    }
    Ok(Arc::new(super::File::with_clock(path, clock.clone())?))
}

#[cfg(feature = "redis")]
fn redis(url: &str, clock: &Clock) -> Result<Arc<dyn Store>, SettingError> {
    let nodes = crate::store_url::nodes(url);
    let several = nodes.len() > 1;
    let store = if several { super::Redis::cluster(nodes)? } else { super::Redis::connect(url)? };
    Ok(Arc::new(store.clock(clock.clone())))
}

#[cfg(feature = "postgres")]
fn postgres(url: &str, clock: &Clock) -> Result<Arc<dyn Store>, SettingError> {
    Ok(Arc::new(super::Postgres::connect(url)?.clock(clock.clone())))
}

#[cfg(not(feature = "file"))]
fn file(_: &str, _: &Clock) -> Result<Arc<dyn Store>, SettingError> {
    Err(crate::store_url::not_compiled_in("file"))
}

#[cfg(not(feature = "redis"))]
fn redis(_: &str, _: &Clock) -> Result<Arc<dyn Store>, SettingError> {
    Err(crate::store_url::not_compiled_in("redis"))
}

#[cfg(not(feature = "postgres"))]
fn postgres(_: &str, _: &Clock) -> Result<Arc<dyn Store>, SettingError> {
    Err(crate::store_url::not_compiled_in("postgres"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_url_has_its_store_or_an_error_that_names_the_mend_and_no_password() {
        for (url, found) in [
            ("memory", "Memory"),
            ("redis://ann:hunter2@127.0.0.1:6379/1", "Redis"),
            ("rediss://:hunter2@cache.example", "Redis"),
            ("redis+unix:///run/redis.sock?pass=hunter2", "Redis"),
            ("redis://:hunter2@127.0.0.1:1,redis://:hunter2@127.0.0.1:2", "127.0.0.1:2"),
            ("redis://:hunter2,more@127.0.0.1:1", "Redis"),
            ("postgres://ann:hunter2@127.0.0.1/shop", "Postgres"),
            ("postgresql://ann:hunter2@127.0.0.1/shop", "Postgres"),
            ("", "no store for this URL"),
            ("memory:hunter2", "no store for `memory`"),
            ("hunter2", "no store for this URL"),
            ("an hunter2://x", "no store for this URL"),
            ("mongodb://ann:hunter2@127.0.0.1", "no store for `mongodb`"),
            ("file:", "names no file"),
            ("file://sessions", "names no file"),
            ("redis://ann:hunter2@127.0.0.1:port", "none that Redis has"),
            ("redis://:hunter2@127.0.0.1:1,redis://:other@127.0.0.1:2", "same user and password"),
            ("postgres://ann:hunter2@127.0.0.1:port/shop", "none that PostgreSQL has"),
        ] {
            let text = match open(url, &Clock::manual()) {
                Ok(store) => format!("{store:?}"),
                Err(error) => format!("{error} {error:?} {}", error.hint()),
            };
            assert!(text.contains(found), "{url}: {text}");
            assert!(!text.contains("hunter2"), "{url}: {text}");
        }
    }
}
