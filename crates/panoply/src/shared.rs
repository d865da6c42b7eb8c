//! A few small values that all machines of a site see: certificates that one of them ordered, keys that all seal with.
//!
//! Who can read the store must not be able to be the site, and who can write it neither: every value is sealed with
//! the site's [`Keys`] and opens under its own name alone. **Stops** secrets read from a store or its backup, values
//! put there by somebody else, and one name's value passed off as another's. **Leaves** an old value put back in the
//! place of its successor, and values taken away. **Defaults** 40 KiB a value, answers within a second.
//!
//! Keys can be replaced: what an older one of them sealed is sealed anew with the first when it is read, a day after
//! this machine was given them, when all machines have them too. From then on the older one can go.
//!
//! A claim is how one machine does what all of them could: it ends by itself, so that a machine that died keeps nobody
//! waiting for ever. It is no proof: who was suspended for longer may still believe in his own. So nothing may break
//! where two act at once; a claim only makes that rare.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;

use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::keys::{Context, Seal};
use crate::store::{Health, Standing, StoreError};
use crate::{Clock, Keys, SettingError, StoreUrl};

/// Small values under names, seen by all machines that share a store and keys. A clone of an `Arc` is how it is shared.
///
/// It connects at the first question and again whenever the connection broke: to open it asks nobody.
///
/// ```no_run
/// use std::time::Duration;
/// use panoply::shared::Shared;
/// use panoply::{Clock, Keys};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = Keys::from_env("PANOPLY_KEYS")?;
/// let shared = Shared::open("redis://127.0.0.1:6379", &keys, &Clock::system())?;
/// let (hour, minute) = (Duration::from_secs(3_600), Duration::from_secs(60));
/// if shared.claim("teapot", "machine 1", minute).await? {
///     shared.write("teapot", b"brewed once", hour).await?;
///     shared.release("teapot", "machine 1").await?;
/// }
/// assert_eq!(shared.read("teapot").await?.as_deref(), Some(&b"brewed once"[..]));
/// # Ok(())
/// # }
/// ```
pub struct Shared {
    place: Place,
    ring: RwLock<Ring>,
    clock: Clock,
    health: Health,
}

/// What is sealed with, and since when, in the time since 1970.
#[derive(Clone)]
struct Ring {
    seal: Seal,
    since: Duration,
}

enum Place {
    #[cfg(feature = "redis")]
    Redis(Box<redis::Redis>),
    #[cfg(feature = "postgres")]
    Postgres(Box<postgres::Postgres>),
}

impl Shared {
    /// The values in the store at `url`, as `counters::open` takes it, sealed with `keys`. `clock` tells when a value
    /// was sealed; when it ends is the store's to say.
    ///
    /// # Errors
    /// When no other machine sees what is there, when it was not compiled in, or when the store does not take the URL.
    /// An error never shows what the URL holds: that may be a password.
    pub fn open(url: &str, keys: &Keys, clock: &Clock) -> Result<Self, SettingError> {
        let place = match StoreUrl::parse(url)? {
            #[cfg(feature = "redis")]
            StoreUrl::Redis(url) => Place::Redis(Box::new(redis::Redis::open(url)?)),
            #[cfg(feature = "postgres")]
            StoreUrl::Postgres(url) => Place::Postgres(Box::new(postgres::Postgres::open(url)?)),
            _ => {
                return Err(SettingError::new(
                    "what is kept at this URL is not seen by other machines",
                    "write redis://…, rediss://… or postgres://…",
                ));
            }
        };
        Ok(Self {
            place,
            ring: RwLock::new(Ring::of(keys, clock)),
            clock: clock.clone(),
            health: Health::new("shared values", MEANWHILE),
        })
    }

    /// What stands under `name`. What is there but was sealed with other keys, or for another name, is as good as not
    /// there, and the log says so.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed = self.heard(match &self.place {
            #[cfg(feature = "redis")]
            Place::Redis(redis) => redis.read(name).await,
            #[cfg(feature = "postgres")]
            Place::Postgres(postgres) => postgres.read(name).await,
        })?;
        let Some(sealed) = sealed else { return Ok(None) };
        let Ring { seal, since } = self.ring();
        let Some(opened) = seal.open(&context(name), sealed.as_bytes()) else {
            tracing::warn!(
                name,
                hint = "give all machines the same `keys`, the old ones too until they are replaced on all",
                "a value in the store was not sealed with these keys"
            );
            return Ok(None);
        };
        let now = self.clock.unix_time();
        if !opened.key.is_first() && now.saturating_sub(since) >= EVERYWHERE {
            let fresh = seal.seal(&context(name), &opened.plain, now);
            // It is read already; what failed, or what another was quicker with, comes to its turn with the next question.
            let _ = self.heard(match &self.place {
                #[cfg(feature = "redis")]
                Place::Redis(redis) => redis.exchange(name, &sealed, &fresh).await,
                #[cfg(feature = "postgres")]
                Place::Postgres(postgres) => postgres.exchange(name, &sealed, &fresh).await,
            });
        }
        Ok(Some(opened.plain))
    }

    /// Puts `value` in the place of whatever stands under `name`, for `time`: between a millisecond and a hundred years.
    ///
    /// # Errors
    /// When the store does not answer, or the value is longer than [`LONGEST_VALUE`].
    pub async fn write(&self, name: &str, value: &[u8], time: Duration) -> Result<(), StoreError> {
        let sealed = self.sealed(name, value)?;
        self.heard(match &self.place {
            #[cfg(feature = "redis")]
            Place::Redis(redis) => redis.write(name, &sealed, time).await,
            #[cfg(feature = "postgres")]
            Place::Postgres(postgres) => postgres.write(name, &sealed, time).await,
        })
    }

    /// Writes where nothing stands under `name`, in one step of the store: of machines that all write at once, one does,
    /// and all can then read what stands there. Says whether this one did. What was sealed with other keys stands there
    /// too.
    ///
    /// # Errors
    /// As [`write`](Self::write). Perhaps it was written then, and perhaps not; to read tells.
    pub async fn write_first(&self, name: &str, value: &[u8], time: Duration) -> Result<bool, StoreError> {
        let sealed = self.sealed(name, value)?;
        self.heard(match &self.place {
            #[cfg(feature = "redis")]
            Place::Redis(redis) => redis.write_first(name, &sealed, time).await,
            #[cfg(feature = "postgres")]
            Place::Postgres(postgres) => postgres.write_first(name, &sealed, time).await,
        })
    }

    /// Takes what stands under `name` away; it is no error when nothing does.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.heard(match &self.place {
            #[cfg(feature = "redis")]
            Place::Redis(redis) => redis.remove(name).await,
            #[cfg(feature = "postgres")]
            Place::Postgres(postgres) => postgres.remove(name).await,
        })
    }

    /// Whether `name` is now `holder`'s, for `time` from now: because it was nobody's, or his already. `holder` is told
    /// from all others by a random part. Claims and values of one name have nothing to do with each other.
    ///
    /// # Errors
    /// When the store does not answer. Perhaps it is claimed then, and perhaps not: it ends by itself.
    pub async fn claim(&self, name: &str, holder: &str, time: Duration) -> Result<bool, StoreError> {
        self.heard(match &self.place {
            #[cfg(feature = "redis")]
            Place::Redis(redis) => redis.claim(name, holder, time).await,
            #[cfg(feature = "postgres")]
            Place::Postgres(postgres) => postgres.claim(name, holder, time).await,
        })
    }

    /// Gives `name` free, where it is still `holder`'s.
    ///
    /// # Errors
    /// When the store does not answer; then it ends by itself.
    pub async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        self.heard(match &self.place {
            #[cfg(feature = "redis")]
            Place::Redis(redis) => redis.release(name, holder).await,
            #[cfg(feature = "postgres")]
            Place::Postgres(postgres) => postgres.release(name, holder).await,
        })
    }
}

impl Shared {
    /// Seals with `keys` from now on, and opens what any of them sealed.
    pub fn follow(&self, keys: &Keys) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Ring::of(keys, &self.clock);
    }

    /// How the store does.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.health.standing()
    }

    fn ring(&self) -> Ring {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn sealed(&self, name: &str, value: &[u8]) -> Result<String, StoreError> {
        if value.len() > LONGEST_VALUE {
            let message = format!("a value has {} bytes, at most {LONGEST_VALUE} were expected", value.len());
            return Err(StoreError::Refused(message.into()));
        }
        Ok(self.ring().seal.seal(&context(name), value, self.clock.unix_time()))
    }

    fn heard<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        self.health.heard(&answer, self, self.clock.unix_time());
        answer
    }
}

/// Where it is, and nothing that lets one in.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Shared");
        match &self.place {
            #[cfg(feature = "redis")]
            Place::Redis(redis) => shown.field("at", redis),
            #[cfg(feature = "postgres")]
            Place::Postgres(postgres) => shown.field("at", postgres),
        };
        shown.finish_non_exhaustive()
    }
}

/// How long a value may be, in bytes: sealed and in base64 it is a third longer, and a [`Seal`] opens 64 KiB.
pub const LONGEST_VALUE: usize = 40 * 1024;

/// In this time keys come to all machines. Who sealed anew sooner would hide a value from those who have yet to be given
/// them, and they would make another.
const EVERYWHERE: Duration = Duration::from_secs(24 * 60 * 60);

const MEANWHILE: &str = "certificates and keys of tickets that others have are not seen";

impl Ring {
    fn of(keys: &Keys, clock: &Clock) -> Self {
        Self { seal: keys.seal("shared values"), since: clock.unix_time() }
    }
}

fn context(name: &str) -> Context<'_> {
    Context { site: "", name }
}

/// In milliseconds, at least one.
fn milliseconds(time: Duration) -> i64 {
    let whole = time.min(crate::store::LONGEST).as_nanos().div_ceil(1_000_000);
    i64::try_from(whole).unwrap_or(i64::MAX).max(1)
}

#[cfg(all(test, feature = "redis", feature = "postgres"))]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_one_that_other_machines_see_and_is_never_shown_whole() {
        let keys = Keys::new([Keys::generate()]).unwrap();
        for (url, found) in [
            ("redis://ann:hunter2@127.0.0.1:6379/1", "127.0.0.1:6379"),
            ("redis://:hunter2@127.0.0.1:1,redis://:hunter2@127.0.0.1:2", "127.0.0.1:2"),
            ("postgres://ann:hunter2@127.0.0.1/shop", "shop"),
            ("memory", "not seen by other machines"),
            ("file:hunter2", "not seen by other machines"),
            ("hunter2", "no store for this URL"),
            ("redis://ann:hunter2@127.0.0.1:port", "none that Redis has"),
            ("postgres://ann:hunter2@127.0.0.1:port/shop", "none that PostgreSQL has"),
        ] {
            let text = match Shared::open(url, &keys, &Clock::manual()) {
                Ok(shared) => format!("{shared:?}"),
                Err(error) => format!("{error} {error:?} {}", error.hint()),
            };
            assert!(text.contains(found) && !text.contains("hunter2"), "{url}: {text}");
        }
    }

    #[test]
    fn a_time_is_rounded_up_to_milliseconds_and_none_is_zero() {
        for (nanos, found) in [(0, 1), (1, 1), (1_000_001, 2)] {
            assert_eq!(milliseconds(Duration::from_nanos(nanos)), found, "{nanos}");
        }
        assert!(milliseconds(Duration::MAX) < i64::MAX / 1_000);
    }
}
