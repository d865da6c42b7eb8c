//! What the practices promise, through the layer and the public API alone: one file a practice.
#![cfg(test)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says where")]

mod app;
mod brute_force;
mod catalogue;
mod client;
mod cookies;
mod counters;
mod csrf;
mod errors;
mod fingerprint;
mod headers;
mod hosts;
mod interop;
mod limits;
mod log;
mod passage;
mod promises;
mod rate_limit;
mod redirects;
mod service;
mod sessions;
mod shared;
mod store;
