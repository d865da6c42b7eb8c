//! Certificates over months and years, against the tests' own authority and by a clock that the tests move.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, that is how it fails")]

mod bad_days;
mod budget;
mod clocks;
mod door;
mod kills;
mod on_demand;
mod renewals;
mod world;
