//! What strangers may send, thrown at whatever reads it.
//!
//! A body is a plain function that panics when a promise is broken. `tests/replay.rs` runs each over its folder of
//! seeds, and over what little damage makes of them, with every other test; `fuzz/run` hands them to libFuzzer for as
//! long as you like. What that finds goes into the folder and stays mended.

mod access_log;
mod audit;
mod cookies;
mod keys;
mod lockfile;
mod login;
mod mending;
mod proxy_header;
mod session;
mod settings;
mod shield;
mod websocket;
mod wire;

pub use access_log::access_log;
pub use audit::{advisory, archive, database, range, version};
pub use cookies::cookies;
pub use keys::{cookie_header, seal, unsign_cookie};
pub use lockfile::{lockfile_bun, lockfile_cargo, lockfile_npm, lockfile_pnpm, lockfile_yarn};
pub use login::{login_form, login_json, login_multipart, outcome, place, username};
pub use mending::{baseline, ignores, manifest, other_manifests};
pub use proxy_header::proxy_header;
pub use session::session;
pub use settings::{config, origin, rate};
pub use shield::shield;
pub use websocket::websocket;
pub use wire::{csp, forwarded, redirect, set_cookie, trace};

/// Panics when `input` breaks a promise.
pub type Body = fn(input: &[u8]);

/// Every body, by the name of its folder in `corpus/`.
pub const BODIES: &[(&str, Body)] = &[
    ("access_log", access_log),
    ("advisory", advisory),
    ("archive", archive),
    ("baseline", baseline),
    ("config", config),
    ("cookie_header", cookie_header),
    ("cookies", cookies),
    ("csp", csp),
    ("database", database),
    ("forwarded", forwarded),
    ("ignores", ignores),
    ("lockfile_bun", lockfile_bun),
    ("lockfile_cargo", lockfile_cargo),
    ("lockfile_npm", lockfile_npm),
    ("lockfile_pnpm", lockfile_pnpm),
    ("lockfile_yarn", lockfile_yarn),
    ("login_form", login_form),
    ("login_json", login_json),
    ("login_multipart", login_multipart),
    ("manifest", manifest),
    ("other_manifests", other_manifests),
    ("origin", origin),
    ("outcome", outcome),
    ("place", place),
    ("proxy_header", proxy_header),
    ("range", range),
    ("rate", rate),
    ("redirect", redirect),
    ("seal", seal),
    ("session", session),
    ("set_cookie", set_cookie),
    ("shield", shield),
    ("trace", trace),
    ("unsign_cookie", unsign_cookie),
    ("username", username),
    ("version", version),
    ("websocket", websocket),
];

/// What reads as text is read; a promise about text says nothing of other bytes.
fn text(input: &[u8]) -> &str {
    std::str::from_utf8(input).unwrap_or_default()
}
