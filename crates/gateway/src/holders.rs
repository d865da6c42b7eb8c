//! Who holds how many of something that there are only so many of.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use panoply::Network;

/// The clients that hold some. It has no more entries than are held.
#[derive(Debug, Default)]
pub(crate) struct Holders(Mutex<HashMap<Network, usize>>);

impl Holders {
    /// One more for `client`, unless it holds `most`.
    pub(crate) fn take(&self, client: Network, most: usize) -> bool {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = clients.entry(client).or_default();
        let found = *held < most;
        *held += usize::from(found);
        found
    }

    /// One less.
    pub(crate) fn give_back(&self, client: Network) {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = clients.get_mut(&client) {
            *held -= 1;
            if *held == 0 {
                clients.remove(&client);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}
