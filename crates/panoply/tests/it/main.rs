//! Each practice through the tower layer, by the public interface alone.

mod client;
mod hosts;
mod limits;
mod rate_limit;
