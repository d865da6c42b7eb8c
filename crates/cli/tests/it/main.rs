//! The real program, end to end: real TLS, real apps, real sockets.

mod client;
mod gateway;
mod node;
mod recorder;
mod scratch;

mod serve;
