//! What strangers may send, thrown at whatever reads it.
//!
//! A body is a plain function that panics when a promise is broken. `tests/replay.rs` runs each over its folder of
//! seeds, and over what little damage makes of them, with every other test; `fuzz/run` hands them to libFuzzer for as
//! long as you like. What that finds goes into the folder and stays mended.

mod parsers;
mod shield;

pub use parsers::{config, csp, forwarded, origin, rate, set_cookie, target};
pub use shield::shield;

/// Panics when `input` breaks a promise.
pub type Body = fn(input: &[u8]);

/// Every body, by the name of its folder in `corpus/`.
pub const BODIES: &[(&str, Body)] = &[
    ("config", config),
    ("csp", csp),
    ("forwarded", forwarded),
    ("origin", origin),
    ("rate", rate),
    ("set_cookie", set_cookie),
    ("shield", shield),
    ("target", target),
];
