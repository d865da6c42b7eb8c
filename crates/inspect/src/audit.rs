//! Are the dependencies safe?
//!
//! A [`Graph`](graph::Graph) is what a lockfile says is installed and why; an [`Advisory`](advisory::Advisory) is what is
//! known of a package. Where the two meet is a finding.

pub mod advisory;
pub mod graph;
