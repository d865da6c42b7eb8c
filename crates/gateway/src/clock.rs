//! The gateway's clock: the edge where time comes from.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "connections live and die by the machine's clock; tests pause tokio's"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Since the machine started, as systemd counts it.
pub(crate) fn monotonic() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.try_into().unwrap_or_default()
}

/// Milliseconds since the gateway first asked, and one more: 0 is no time.
pub(crate) fn millis() -> u64 {
    u64::try_from(now().duration_since(*START).as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// The same in nanoseconds.
pub(crate) fn nanos() -> u64 {
    u64::try_from(now().duration_since(*START).as_nanos()).unwrap_or(u64::MAX).saturating_add(1)
}

static START: LazyLock<Instant> = LazyLock::new(now);
