//! A server that stands in front of any HTTP app with panoply's [`Shield`](panoply::Shield).

pub mod config;
#[cfg_attr(not(test), expect(dead_code, reason = "the server that asks for routes follows"))]
mod route;
