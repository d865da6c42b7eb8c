//! What the practices promise, through the layer and the public API alone: one file a practice.
#![cfg(test)]

mod headers;
mod interop;
