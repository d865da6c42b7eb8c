//! The gateway through its public API, with real sockets and children.

mod supervise;
