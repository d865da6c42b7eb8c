//! The gateway as a library: its file, its routes, the app it starts, and certificates over time.

mod acme_over_time;
mod ca;
mod config;
mod supervise;
