//! Every store keeps the same promises, and what it writes is what the Node packages read.

use std::sync::Arc;

use panoply::Clock;
use panoply::store::{Memory, conformance};

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_every_promise() {
    let clock = Clock::manual();
    let memory = Memory::with_clock(clock.clone());
    conformance(Arc::new(memory), async |time| clock.advance(time)).await;
}
