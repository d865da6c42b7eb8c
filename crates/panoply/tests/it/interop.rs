//! The real Node packages do the same, or are what is guarded.

mod errors;
mod headers;
mod node;
