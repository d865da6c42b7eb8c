//! The gateway as a library: its file, its routes and the app it starts.

mod config;
mod supervise;
