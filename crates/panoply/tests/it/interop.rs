//! The real Node packages do the same, or are what is guarded.

mod brute_force;
mod client;
mod cookie_header;
mod counters;
mod errors;
mod headers;
mod keys;
mod logins;
mod node;
mod sessions;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// So many values of a kind, the same ones in every run.
fn table<S: Strategy>(rows: u32, strategy: S) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..rows).map(|_| strategy.new_tree(&mut runner).expect("a value can be made").current()).collect()
}
