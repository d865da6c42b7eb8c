use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::counters::Key;

/// The tries of passwords between their check and their outcome, by what a failure would be counted under.
///
/// Whoever checks first and counts later lets through as many as come at once. So each try is reserved before it is
/// checked, and weighs in the check of the next as if it had failed already; but it is no failure, and blocks nobody.
/// There are never more than requests in flight. A login costs the app milliseconds of hashing, so that one lock for
/// all is nothing.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashMap<String, i64>>>);

/// A try that has begun; its end is its drop.
#[must_use]
pub(crate) struct Reservation {
    table: InFlight,
    key: String,
    /// How many had begun before this one, and not ended.
    pub(crate) others: i64,
}

impl InFlight {
    pub(crate) fn reserve(&self, key: Key<'_>) -> Reservation {
        let key = key.to_string();
        let mut tries = self.lock();
        let count = tries.entry(key.clone()).or_default();
        let others = *count;
        *count += 1;
        drop(tries);
        Reservation { table: self.clone(), key, others }
    }

    /// A thread that panicked under the lock leaves a try that never ends, and nothing worse.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut tries = self.table.lock();
        if let Some(count) = tries.get_mut(&self.key) {
            *count -= 1;
            if *count <= 0 {
                tries.remove(&self.key);
            }
        }
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("keys", &self.lock().len()).finish()
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("others", &self.others).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_weighs_until_it_ends() {
        let table = InFlight::default();
        let key = |name| Key { prefix: "login", name, network: None };
        let first = table.reserve(key("ann"));
        let second = table.reserve(key("ann"));
        let other = table.reserve(key("bob"));
        assert_eq!((first.others, second.others, other.others), (0, 1, 0));
        drop(first);
        assert_eq!(table.reserve(key("ann")).others, 1);
        drop((second, other));
        assert!(table.lock().is_empty(), "nothing stays behind");
    }
}
