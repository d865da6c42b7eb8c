//! Every practice through the layer, by the public API alone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says where")]

mod cookies;
mod csrf;
mod redirects;
