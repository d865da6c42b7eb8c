//! The real program, end to end: real TLS, real apps, real sockets.
#![cfg(test)]
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and waits by the machine's clock"
)]

mod access_log;
mod acme;
mod admin;
mod advisories;
mod audit;
mod authority;
mod boot;
mod browser;
mod brute_force;
mod client;
mod connections;
mod cookies;
mod floods;
mod frames;
mod gateway;
mod input;
mod matrix;
mod metrics;
mod migration;
mod netns;
mod node;
mod outage;
mod package;
mod pebble;
mod port;
mod process;
mod proxy;
mod proxy_protocol;
mod recorder;
mod reload;
mod replay;
mod run;
mod sandbox;
mod scratch;
mod serve;
mod siege;
mod slow;
mod smuggling;
mod store;
mod systemd;
mod takeover;
mod terminal;
mod tls;
mod tls_clients;
mod tls_faults;
mod tls_grade;
mod trace;
mod unread;
mod upstream;
mod upstreams;
mod visitor;
mod websocket;

#[path = "../../../panoply/tests/it/store"]
#[allow(dead_code, reason = "the library's tests need more of them")]
mod servers {
    pub(crate) mod postgres_server;
    pub(crate) mod server;
}
