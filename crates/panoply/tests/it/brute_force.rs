//! How often a password may be guessed.

mod found;
mod handlers;
