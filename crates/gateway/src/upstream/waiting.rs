//! Who waits for the head of an app's answer, at one of its places.
//!
//! A place is known by its address: two sites that lead there share what may wait, and a reload, which makes all else of
//! a site anew, finds those who wait already.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use panoply::Network;

use crate::config::Upstream;
use crate::holders::Holders;
use crate::places::Asker;

/// Those who wait at one place: on a line of memory of their own, since every core writes there.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Waiting {
    all: AtomicUsize,
    /// Of those who came when half of the room was taken, whose they are.
    crowd: Holders,
}

impl Waiting {
    /// Those at `address`, for everybody who leads there.
    pub(super) fn at(address: &Upstream) -> Arc<Self> {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == known.capacity() {
            known.retain(|_, waiting| waiting.strong_count() > 0);
        }
        let known = known.entry(address.to_string()).or_default();
        known.upgrade().unwrap_or_else(|| {
            let waiting = Arc::default();
            *known = Arc::downgrade(&waiting);
            waiting
        })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// A place among them, unless there are `most` already. While less than half of it is taken nobody asks whose a
    /// request is, and no lock is on its way; of the other half one client has a quarter at most.
    ///
    /// Whoever finds none has counted himself for a moment: two who come at once may both be refused the last place,
    /// and never both have it.
    pub(super) fn admit(&self, most: usize, asker: Asker<'_>) -> Option<Place<'_>> {
        let mut place = Place { waiting: self, client: None };
        let before = self.all.fetch_add(1, Ordering::Relaxed);
        let common = most / 2;
        if before >= most {
            return None;
        }
        if before >= common
            && let Some(client) = asker.client()
        {
            if !self.crowd.take(client, (most - common).div_ceil(SHARES)) {
                return None;
            }
            place.client = Some(client);
        }
        Some(place)
    }
}

/// A place among those who wait; it is free when this is dropped.
#[derive(Debug)]
pub(crate) struct Place<'w> {
    waiting: &'w Waiting,
    client: Option<Network>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = self.client {
            self.waiting.crowd.give_back(client);
        }
    }
}

/// With the half that is everybody's, one client has five eighths at most: an office behind one address, or a site whose
/// proxy nobody declared, keeps more than half.
const SHARES: usize = 4;

static KNOWN: LazyLock<Mutex<HashMap<String, Weak<Waiting>>>> = LazyLock::new(Mutex::default);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::places::Places;

    fn places() -> Places {
        let config = Config::parse("trusted_proxies = ['10.0.0.0/8']").unwrap();
        Places::new(&config, 100, Arc::default())
    }

    #[test]
    fn no_more_wait_than_may() {
        let (waiting, places) = (Waiting::default(), places());
        let admit = || waiting.admit(2, places.asker([127, 0, 0, 1].into()));
        let first = admit();
        let second = admit();
        assert!(first.is_some() && second.is_some() && admit().is_none());
        drop(first);
        assert!(admit().is_some(), "who is refused leaves no trace");
        assert_eq!(waiting.count(), 1);
    }

    #[test]
    fn one_client_leaves_room_for_others() {
        let places = places();
        for (client, most, share) in [
            ("192.0.2.1", 80, 50),
            ("192.0.2.1", 8, 5),
            ("192.0.2.1", 1, 1), // what is there is for anybody
            ("2001:db8::1", 80, 50),
            ("10.0.0.1", 80, 80), // a proxy is everybody
            ("127.0.0.1", 80, 80),
        ] {
            let waiting = Waiting::default();
            let admit = |ip: &str| waiting.admit(most, places.asker(ip.parse().unwrap()));
            let held: Vec<_> = (0..100).map_while(|_| admit(client)).collect();
            assert_eq!(held.len(), share, "{client} of {most}");
            let same = client.replace("::1", "::2");
            assert!(admit(&same).is_none(), "{same} is {client}");
            assert_eq!(admit("192.0.2.2").is_some(), share < most, "another beside {client} of {most}");
            drop(held);
            assert!(waiting.count() == 0 && waiting.crowd.is_empty(), "{client}: nobody is remembered");
        }
    }

    #[test]
    fn an_address_has_one_count_as_long_as_somebody_leads_there() {
        let address: Upstream = "http://waiting.test:1".parse().unwrap();
        let places = places();
        let asker = places.asker([127, 0, 0, 1].into());
        let site = Waiting::at(&address);
        let waits = site.admit(9, asker);
        assert_eq!(Waiting::at(&address).count(), 1, "a reload, or another site");
        drop(waits);
        drop(site);
        assert_eq!(Waiting::at(&address).count(), 0);
        for port in 1..500 {
            Waiting::at(&format!("http://waiting.test:{port}").parse().unwrap());
        }
        assert!(KNOWN.lock().unwrap().len() < 300, "nobody leads there any more");
    }
}
