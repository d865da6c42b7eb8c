//! `panoply demo`: a badly protected shop, alone and behind the gateway, and what a stranger sees of either.

mod questions;
mod shop;
mod table;
mod visit;

pub(crate) use shop::shop;
pub(crate) use table::{Paint, invitation, table};
pub(crate) use visit::{Finding, compare};
