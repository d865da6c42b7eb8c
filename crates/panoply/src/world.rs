use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[cfg(target_os = "linux")]
use rustix::time::{ClockId, clock_gettime};

use crate::buckets::Moment;
use crate::counters::{Counters, Memory};
use crate::lines::{Allotment, Lines};
use crate::practices::brute_force::{InFlight, KnownPaths, Secrets};
use crate::{Bans, Buckets, Metrics, Refusals, SettingError};

/// What outlives a shield: the clock, the counters, the source of randomness.
///
/// A reload makes new shields on the same world, so that every counter is kept; a test brings its own
/// [`Clock`] and moves it.
#[derive(Debug)]
pub struct World {
    clock: Clock,
    pub(crate) buckets: Buckets,
    /// What must not be lost with this process, and what other machines count too.
    pub(crate) counters: Arc<dyn Counters>,
    /// Passwords that are being looked at.
    pub(crate) in_flight: InFlight,
    /// Where passwords are looked at.
    pub(crate) login_paths: KnownPaths,
    secrets: OnceLock<Secrets>,
    pub(crate) bans: Bans,
    pub(crate) metrics: Metrics,
    pub(crate) refusals: Refusals,
    /// How much of refusals the log still takes.
    pub(crate) lines: Lines,
    /// How much of masked error pages.
    pub(crate) originals: Allotment,
}

impl World {
    /// A world that lives by `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let counters = Arc::new(Memory::with_clock(clock.clone()));
        Self {
            clock,
            buckets: Buckets::default(),
            counters,
            in_flight: InFlight::default(),
            login_paths: KnownPaths::default(),
            secrets: OnceLock::new(),
            bans: Bans::default(),
            metrics: Metrics::default(),
            refusals: Refusals::default(),
            lines: Lines::default(),
            originals: Allotment::default(),
        }
    }

    /// Counts in `counters` what is counted by name: failed logins, and limits that are shared. Without, it is this
    /// process's memory.
    #[must_use]
    pub fn counters(mut self, counters: Arc<dyn Counters>) -> Self {
        self.counters = counters;
        self
    }

    /// Writes to the file at `path` what clients owe by rate limits: whole or not at all, and for this user alone. A
    /// charge of that moment may be missing. It is for a thread that may wait.
    ///
    /// # Errors
    /// When the file cannot be written, beside it first, as `path` with `.new` at its end. What was there stays then.
    pub fn save_debts(&self, path: &Path) -> io::Result<()> {
        self.buckets.save(path, self.moment())
    }

    /// Goes on from what [`save_debts`](Self::save_debts) wrote to `path`, if there is such a file. Debts end at the time
    /// of day that they had. It is for a world that has counted nothing yet: later it does nothing.
    ///
    /// ```
    /// use panoply::{Clock, World};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let path = std::env::temp_dir().join(format!("panoply-no-debts-{}", std::process::id()));
    /// let world = World::new(Clock::system());
    /// world.restore_debts(&path)?;
    /// world.save_debts(&path)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the file cannot be read, or is not whole: then nothing of it is used.
    pub fn restore_debts(&self, path: &Path) -> Result<(), SettingError> {
        self.buckets.restore(path, self.moment()).map_err(|error| {
            SettingError::new(
                format!("what is owed by rate limits cannot be read from `{}`: {error}", path.display()),
                "move the file away to begin with nobody owing anything",
            )
        })
    }

    fn moment(&self) -> Moment {
        Moment::new(self.now(), self.unix_time())
    }

    /// The networks that an operator keeps out.
    #[must_use]
    pub const fn bans(&self) -> &Bans {
        &self.bans
    }

    /// What was refused lately.
    #[must_use]
    pub const fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Tells the log how much of what was refused again and again it has no lines of. The next refusal does so too, ten
    /// seconds later or more; a server calls it every ten seconds and at its end, so that the last are told as well.
    pub fn tell_of_lines_left_out(&self) {
        self.lines.tell();
    }

    /// How often each practice refused and admitted.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The time since the world began, as of the last [tick](Clock::tick).
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.tick()
    }

    /// The time of day, since the beginning of 1970 UTC: for what others read too, such as a date in a cookie.
    #[must_use]
    pub fn unix_time(&self) -> Duration {
        self.clock.unix_time()
    }

    /// For policies that were given no keys: what is made with these ends with the process.
    pub(crate) fn secrets(&self) -> &Secrets {
        self.secrets.get_or_init(Secrets::passing)
    }

    /// 128 bits that nobody can guess.
    #[must_use]
    pub fn random(&self) -> u128 {
        rand::random()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new(Clock::system())
    }
}

/// A clock that only goes forward, and beside it the time of day.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { start: Instant, first: Ticks },
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's monotonic clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where a shield's time comes from")]
    pub fn system() -> Self {
        Self(Source::System { start: Instant::now(), first: Ticks::now() })
    }

    /// A clock that stands still at the end of 2026 until [`advance`](Self::advance) moves it; clones share it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use panoply::{Clock, World};
    ///
    /// let clock = Clock::manual();
    /// let world = World::new(clock.clone());
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(world.now(), Duration::from_secs(60));
    /// ```
    #[must_use]
    pub fn manual() -> Self {
        Self(Source::Manual(Arc::default()))
    }

    /// Moves a manual clock; the machine's goes by itself.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(nanos) = &self.0 {
            nanos.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// The time since this clock was made; nobody can set it back.
    #[must_use]
    pub fn now(&self) -> Duration {
        match &self.0 {
            Source::System { start, .. } => start.elapsed(),
            Source::Manual(nanos) => Duration::from_nanos(nanos.load(Ordering::Relaxed)),
        }
    }

    /// The same as of the kernel's last tick, which on Linux is one to ten milliseconds ago at most. It takes a
    /// quarter of the time: the exact clock waits until the processor has done all that it has begun, what it fetches
    /// from memory too. Decisions by seconds and minutes need no more; who measures needs [`now`](Self::now).
    #[must_use]
    pub fn tick(&self) -> Duration {
        match &self.0 {
            Source::System { first, .. } => Ticks::now().since(first),
            Source::Manual(_) => self.now(),
        }
    }

    /// The time of day, since the beginning of 1970 UTC; an operator can set it back.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the time of day comes from")]
    pub fn unix_time(&self) -> Duration {
        match &self.0 {
            Source::System { .. } => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Source::Manual(_) => END_OF_2026 + self.now(),
        }
    }
}

/// The kernel's account of its ticks.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
struct Ticks(Duration);

#[cfg(target_os = "linux")]
impl Ticks {
    fn now() -> Self {
        let time = clock_gettime(ClockId::MonotonicCoarse);
        let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Self(Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default()))
    }

    fn since(self, first: &Self) -> Duration {
        self.0.saturating_sub(first.0)
    }
}

/// Elsewhere the exact clock.
#[cfg(not(target_os = "linux"))]
#[derive(Clone, Copy, Debug)]
struct Ticks(Instant);

#[cfg(not(target_os = "linux"))]
impl Ticks {
    #[expect(clippy::disallowed_methods, reason = "the one place where a shield's time comes from")]
    fn now() -> Self {
        Self(Instant::now())
    }

    fn since(self, first: &Self) -> Duration {
        self.0.saturating_duration_since(first.0)
    }
}

/// Where a manual clock's time of day begins: 2026-12-31T00:00:00Z.
const END_OF_2026: Duration = Duration::from_secs(1_798_675_200);
