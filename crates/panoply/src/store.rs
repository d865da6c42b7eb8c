//! Where sessions are kept: one trait, and a suite that every implementation must pass.

mod conformance;
#[cfg(feature = "file")]
mod file;
mod health;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod url;
mod watched;

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

pub use conformance::conformance;
#[cfg(feature = "file")]
pub use file::File;
pub use health::{Health, Standing};
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "redis")]
pub use redis::Redis;
pub use url::open;
pub use watched::Watched;

/// Keeps texts by id, each until its time is over.
///
/// An id is of printable ASCII without white space, at most 256 bytes; a text is JSON (a store may have a column
/// of that type), as long as the session policy allows. Times are rounded up to whole seconds by stores that
/// count in seconds; no time is over at once, and over a hundred years are a hundred.
///
/// [`conformance`] checks every sentence of this page.
pub trait Store: fmt::Debug + Send + Sync {
    /// The text under `id`, to the byte, unless there is none or its time is over.
    fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>>;

    /// Keeps `text` for `time` under `id`, whatever stood there.
    fn create<'a>(&'a self, id: &'a str, text: &'a str, time: Duration) -> Answer<'a, ()>;

    /// Keeps `text` for `time` in the place of `was`. Where nothing stands under `id`, nothing will: a session
    /// that was destroyed stays so.
    fn replace<'a>(
        &'a self,
        id: &'a str,
        was: &'a str,
        text: &'a str,
        time: Duration,
    ) -> Answer<'a, Replaced>;

    /// Keeps what stands under `id` for `time` from now, as it is. Whether there is anything.
    fn touch<'a>(&'a self, id: &'a str, time: Duration) -> Answer<'a, bool>;

    /// Forgets `id`. That it is not there is no error.
    fn destroy<'a>(&'a self, id: &'a str) -> Answer<'a, ()>;

    /// Notes that the session `id`, which stands there already, is `user`'s, for `time` at least: give it the
    /// longest that the session may live. A session is one user's, the last it was bound to. `user` is any text
    /// without NUL, of at most 1 KiB.
    fn bind<'a>(&'a self, user: &'a str, id: &'a str, time: Duration) -> Answer<'a, ()>;

    /// Destroys every session that is `user`'s but `except`, and says how many there were.
    fn destroy_all<'a>(&'a self, user: &'a str, except: Option<&'a str>) -> Answer<'a, usize>;
}

/// What a store answers, some time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What became of a text that was to replace another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It stands.
    Done,
    /// Nothing stood there any more, and nothing does now.
    Gone,
    /// Somebody else had replaced the text before: merge what was `found`, and try again with `now` as what is
    /// to be replaced.
    Conflict {
        /// What the other one wrote.
        found: String,
        /// What stands there now: the same, or, in a store that can only swap and not compare, the new text.
        now: String,
    },
}

/// A store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, or broke off.
    #[error("the store cannot be reached")]
    Down(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It did not answer in time.
    #[error("the store did not answer within {0:?}")]
    Slow(Duration),
    /// It answered with an error.
    #[error("the store refused")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// No store has to count further.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// As stores count that count in seconds: a session never ends too early.
#[cfg(any(feature = "redis", feature = "postgres"))]
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
