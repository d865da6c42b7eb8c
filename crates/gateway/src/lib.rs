//! A server that stands in front of any HTTP app with panoply's [`Shield`](panoply::Shield).

pub mod config;
