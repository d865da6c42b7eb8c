use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::Poll;

use super::Life;
use crate::clock;
use crate::tap::Tap;

/// Tells a connection's life whether what is written is taken.
#[derive(Debug)]
pub(crate) struct Watched(pub(crate) Arc<Life>);

impl Tap for Watched {
    fn wrote(&mut self, written: &Poll<io::Result<usize>>, _: &[IoSlice<'_>]) {
        match written {
            Poll::Pending => self.0.blocked(clock::now()),
            Poll::Ready(Ok(bytes)) => self.0.wrote(*bytes, clock::now),
            Poll::Ready(Err(_)) => {}
        }
    }
}
