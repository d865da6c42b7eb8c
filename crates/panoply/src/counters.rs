//! Who guesses passwords is stopped by counting; this counts, on one machine or on many, with Node or without.
//!
//! A [`Limiter`] says how many points a key may consume in a window, which begins at the key's first hit and has a
//! fixed end; [`Counters`] is where the counts are: in [`Memory`], or where other machines see them too.
//! **Stops** more tries than the points of a window, also when they come at once. **Leaves** who changes the key (his
//! address, the user name): that is the caller's to choose. **Defaults** none: points, window and prefix depend on
//! what is counted.
//!
//! ```
//! use std::time::Duration;
//! use panoply::Clock;
//! use panoply::counters::{Limiter, Memory, Verdict};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), panoply::store::StoreError> {
//! let clock = Clock::manual();
//! let counters = Memory::with_clock(clock.clone());
//! let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
//! let failures = Limiter::new("login_fail", 2, minute).block_time(hour);
//!
//! assert!(!failures.consume(&counters, "ann", 1).await?.is_refused());
//! assert!(!failures.consume(&counters, "ann", 1).await?.is_refused());
//! let Verdict::Refused(third) = failures.consume(&counters, "ann", 1).await? else { panic!() };
//! assert_eq!((third.consumed(), third.remaining(), third.left()), (3, 0, Some(hour)));
//! assert_eq!(third.retry_after(), Some(3_600));
//! clock.advance(hour);
//! assert!(!failures.consume(&counters, "ann", 1).await?.is_refused());
//! # Ok(())
//! # }
//! ```
//!
//! # Beside rate-limiter-flexible
//! Keys, counts, ends and refusals are those of rate-limiter-flexible 11.4.0. Where its behaviour is a trap, ours
//! differs:
//!
//! | | rate-limiter-flexible | here |
//! |---|---|---|
//! | windows of 0.5 s and 1.9 s in Redis | are floored: to none, so that the count never ends, and to 1 s | are rounded up to whole seconds |
//! | a window of more than 24.8 days in memory | overflows a timer and ends after a millisecond | ends in its time |
//! | `penalty` crosses the line | no block ever begins | begins the block, as any hit that crosses |
//! | the block at the crossing | a second step, lost when the process ends before it | one step with the hit |
//! | a block for ever, met by `consume` in Redis | is given the window, and ends with it | stays for ever |
//! | a key without an end in memory or PostgreSQL | stays for ever | is given the window by the next hit, unless it is over the line |
//! | never (−1 ms) in `Retry-After` | "1 second" in the recipes | [`Standing::retry_after`] is none |
//! | `set` answers | that nothing remains | what remains |
//! | a key of more than 255 characters in PostgreSQL | is an error | is cut and hashed: `Postgres` |
//! | the store fails | each request waits for it first, and what `insuranceLimiter` counted is lost | it is not asked, and is told afterwards: [`Insured`] |
//! | who is blocked in memory | has consumed nothing, and waits for the memory's time | stands as in the store |
//! | a memory that is full | grows until the process ends | forgets the smallest counts, never one that is refused: [`Memory`] |

mod answer;
mod conformance;
mod insured;
mod key;
mod limiter;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod rule;
mod url;

use std::fmt;
use std::time::Duration;

pub use answer::Answer;
pub use conformance::conformance;
pub use insured::{Insured, State};
pub use key::{Key, Who};
pub use limiter::{Limiter, Standing, Verdict};
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "redis")]
pub use redis::Redis;
pub use rule::Rule;
pub use url::open;

/// Keeps a count by key, each until its end.
///
/// Times are rounded up to whole seconds by those that count in seconds; none is zero, and over a hundred years are a
/// hundred. No end, `None`, is for ever. Counts are exact up to 2^31 − 1, and up to 2^53 in all but PostgreSQL. Every call
/// is one step: others see all of it or nothing.
///
/// [`conformance`] checks every sentence of this page.
pub trait Counters: fmt::Debug + Send + Sync {
    /// Adds `points`, which may be negative, as [`Rule::add`] says, and answers what stands there now.
    fn add<'a>(&'a self, key: Key<'a>, points: i64, rule: &'a Rule) -> Answer<'a, Count>;

    /// What stands there, unless its end has come.
    fn peek<'a>(&'a self, key: Key<'a>) -> Answer<'a, Option<Count>>;

    /// Puts `count` in the place of whatever stands there.
    fn set<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()>;

    /// The same for a count that keeps somebody out: who has no room for all others keeps this one.
    fn block<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()>;

    /// Forgets the key, and says whether it stood there.
    fn forget<'a>(&'a self, key: Key<'a>) -> Answer<'a, bool>;

    /// Who is kept out: the names under `prefix` whose count is above `line`, which is that of the rule they were
    /// counted by; in no order, at most [`MOST_LISTED`]. It is for an operator who looks, and may take its time.
    fn over<'a>(&'a self, prefix: &'a str, line: u32) -> Answer<'a, Vec<(String, Count)>>;
}

/// How many names [`Counters::over`] gives at most.
pub const MOST_LISTED: usize = 1_000;

/// What stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many points were consumed; below zero when more were given back.
    pub points: i64,
    /// How long until it is forgotten; `None` is never.
    pub left: Option<Duration>,
}
