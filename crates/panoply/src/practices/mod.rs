//! One practice a file. `ls` here is the catalogue.

pub mod brute_force;
pub mod cookies;
pub mod csrf;
pub mod errors;
pub mod fingerprint;
pub mod headers;
pub mod hosts;
pub mod limits;
pub mod rate_limit;
pub mod redirects;
pub mod sessions;
