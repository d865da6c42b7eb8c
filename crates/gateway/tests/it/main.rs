//! Every test that uses the gateway as the world does.

mod config;
