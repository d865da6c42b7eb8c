//! The gateway's clock: the edge where time comes from.

use tokio::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "connections live and die by the machine's clock; tests pause tokio's"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
