//! What the practices promise, through the layer and the public API alone: one file a practice.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and so do its helpers"
)]

mod app;
mod errors;
mod fingerprint;
mod interop;
mod promises;
mod service;
