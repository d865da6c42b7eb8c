//! Counts are one step each wherever they are, end in their time, and are told when they cannot be had.
#![allow(clippy::disallowed_methods, reason = "real servers live by the machine's clock")]

mod failover;
mod flaky;
mod insured;
mod postgres;
mod redis;

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// How time passes for a real server.
async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}
