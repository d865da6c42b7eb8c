//! Every store keeps the same promises, and what it writes is what the Node packages read.
#![allow(clippy::disallowed_methods, reason = "real servers live by the machine's clock")]

mod file;
mod model;
pub(crate) mod node;
mod postgres;
pub(crate) mod postgres_server;
mod redis;
pub(crate) mod server;

use std::sync::Arc;
use std::time::Duration;

use panoply::Clock;
use panoply::store::{Memory, conformance};

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_every_promise() {
    let clock = Clock::manual();
    let memory = Memory::with_clock(clock.clone());
    conformance(Arc::new(memory), async |time| clock.advance(time)).await;
}

/// How time passes for a real server.
async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

const LONG: Duration = Duration::from_secs(60);
