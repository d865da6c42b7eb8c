//! A web app needs more than its own code before strangers may use it.
//!
//! A [`Shield`] is all of it in one tower layer: known hosts, limits, rate limits, protection from
//! cross-site writes and open redirects, hardened cookies, neutral error pages, no fingerprints, and
//! Helmet's headers. Each practice is one word: the same in [`Practice`], in the struct that holds its
//! settings, in the builder of [`Shield`], in `panoply.toml` and in the log.
//!
//! ```
//! use panoply::{Csrf, Practice, Shield};
//!
//! # fn main() -> Result<(), panoply::SettingError> {
//! let whole = Shield::for_hosts(["shop.example"])?;
//! let one = Shield::bare().csrf(Csrf::default());
//!
//! assert!(whole.has(Practice::Headers) && whole.has(Practice::Csrf));
//! assert!(one.has(Practice::Csrf) && !one.has(Practice::Headers));
//! # Ok(())
//! # }
//! ```

mod ahead;
pub mod bans;
mod body;
mod buckets;
mod cdn;
mod client;
pub mod cookie_header;
pub mod counters;
mod digested;
mod exemption;
pub mod forwarded;
mod guard;
pub mod keys;
mod lines;
pub mod metrics;
mod network;
mod origin;
mod page;
mod passage;
mod period;
mod policies;
#[cfg(feature = "postgres")]
mod postgres_server;
mod practice;
pub mod practices;
mod random;
mod rate;
#[cfg(feature = "redis")]
mod redis_servers;
pub mod refusals;
mod rejection;
mod request_body;
mod service;
mod setting;
#[cfg(any(feature = "redis", feature = "postgres"))]
pub mod shared;
mod shield;
mod size;
pub mod store;
mod store_url;
mod to_the_end;
pub mod trace;
mod visit;
mod world;

pub use bans::{Ban, Bans, Counted, KeptOut};
pub use body::Body;
pub use buckets::Buckets;
pub use client::{Client, TrustedProxies};
pub use exemption::Exemption;
pub use guard::{Guard, Policy};
pub use keys::Keys;
pub use metrics::Metrics;
pub use network::Network;
pub use origin::{Origin, OriginError};
pub use passage::{Passage, Verdict};
pub use period::Period;
pub use policies::Policies;
pub use practice::{Practice, UnknownPractice};
pub use practices::{
    brute_force::BruteForce,
    cookies::Cookies,
    csrf::Csrf,
    errors::Errors,
    fingerprint::Fingerprint,
    headers::Headers,
    hosts::Hosts,
    limits::Limits,
    rate_limit::RateLimit,
    redirects::Redirects,
    sessions::{CookieSession, Session, SessionError, Sessions},
};
pub use rate::Rate;
pub use refusals::{Refusal, Refusals};
pub use rejection::{Evidence, Rejection};
pub use request_body::{RequestBody, TooSlow};
pub use service::ShieldService;
pub use setting::SettingError;
pub use shield::Shield;
pub use size::Size;
pub use store_url::StoreUrl;
pub use visit::{Connection, Nonce, RequestId, Scheme, Visit, Visitor};
pub use world::{Clock, World};
