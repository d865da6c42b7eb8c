//! What the practices cost: `tests/instructions.rs` counts the instructions, `benches/` measure the time.

pub mod counters;
pub mod shield;
