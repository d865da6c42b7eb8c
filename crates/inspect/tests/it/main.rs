//! What the inspector promises, by its public face.
#![cfg(test)]
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says where"
)]

mod algebra;
mod index;
mod lockfiles;
mod lockfiles_hostile;
mod lockfiles_hygiene;
mod lockfiles_installed;
mod lockfiles_projects;
mod osv;
mod range;
