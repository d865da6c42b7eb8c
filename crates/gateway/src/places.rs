//! The places for connections: so many in all, so many for one client.
//!
//! Who finds none is closed before the handshake, which is what costs. Trusted proxies and this machine are no one
//! client: for them there is only the first of the two.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use panoply::{Network, TrustedProxies};

use crate::config::{Config, Connections};
use crate::cuts::{Cut, Cuts};

/// All places, and who has how many.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    most_by_client: usize,
    proxies: TrustedProxies,
    balancers: TrustedProxies,
    taken: Arc<Taken>,
    pub(crate) terms: Connections,
    pub(crate) cuts: Arc<Cuts>,
}

/// Those that are taken, which a reload leaves as they are.
#[derive(Debug, Default)]
struct Taken {
    all: AtomicUsize,
    /// No more entries than places are taken.
    clients: Mutex<HashMap<Network, usize>>,
}

impl Places {
    /// `room`: how many connections the system has files for.
    pub(crate) fn new(config: &Config, room: usize, cuts: Arc<Cuts>) -> Self {
        let terms = config.connections.clone();
        let number = |number: std::num::NonZeroU32| usize::try_from(number.get()).unwrap_or(usize::MAX);
        let most = terms.most.map_or(room, |most| number(most).min(room));
        Self {
            most,
            most_by_client: number(terms.most_by_client).min(most.div_ceil(2)),
            proxies: config.trusted_proxies.clone(),
            balancers: config.proxy_protocol.clone(),
            taken: Arc::default(),
            terms,
            cuts,
        }
    }

    /// The same places, by what `config` says of them.
    pub(crate) fn after(&self, config: &Config, room: usize) -> Self {
        Self { taken: Arc::clone(&self.taken), ..Self::new(config, room, Arc::clone(&self.cuts)) }
    }

    /// A place for whoever is at the other end of a socket. A balancer has yet to say who that is.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Place, Cut> {
        let place = self.take()?;
        if !self.is_balancer(ip) {
            place.claim(ip)?;
        }
        Ok(place)
    }

    /// Whether the PROXY protocol is spoken from there.
    pub(crate) fn is_balancer(&self, ip: IpAddr) -> bool {
        self.balancers.contains(ip)
    }

    fn take(self: &Arc<Self>) -> Result<Place, Cut> {
        let place = Place { places: Arc::clone(self), client: OnceLock::new() };
        // The place is given back as it is dropped, whether it was one too many or not.
        if self.taken.all.fetch_add(1, Ordering::Relaxed) < self.most { Ok(place) } else { Err(Cut::Full) }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<Network, usize>> {
        self.taken.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection among those that are open at once.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    client: OnceLock<Network>,
}

impl Place {
    /// It is known who has it.
    pub(crate) fn claim(&self, ip: IpAddr) -> Result<(), Cut> {
        let ip = ip.to_canonical();
        if ip.is_loopback() || self.client.get().is_some() || self.places.proxies.contains(ip) {
            return Ok(());
        }
        let Some(client) = Network::from(ip).of_client() else { return Ok(()) };
        let mut clients = self.places.clients();
        let held = clients.entry(client).or_default();
        if *held >= self.places.most_by_client {
            return Err(Cut::Client);
        }
        *held += 1;
        drop(clients);
        let _ = self.client.set(client);
        Ok(())
    }

    /// Those that it is one of.
    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.places
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.all.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client.get() else { return };
        let mut clients = self.places.clients();
        if let Some(held) = clients.get_mut(client) {
            *held -= 1;
            if *held == 0 {
                clients.remove(client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str, room: usize) -> Arc<Places> {
        Arc::new(Places::new(&Config::parse(text).unwrap(), room, Arc::default()))
    }

    #[test]
    fn there_are_as_many_places_as_files_and_settings_allow() {
        for (text, room, most) in [
            ("", 10, 10),
            ("[connections]\nmost = 4", 10, 4),
            ("[connections]\nmost = 400", 10, 10), // what the system has no files for is no place
        ] {
            let places = places(text, room);
            let taken: Vec<_> = (0..most).map(|_| places.take().unwrap()).collect();
            assert_eq!(places.take().unwrap_err(), Cut::Full, "{text} {room}");
            assert_eq!(places.take().unwrap_err(), Cut::Full, "who found none has taken none: {text} {room}");
            drop(taken);
            assert!(places.take().is_ok(), "{text} {room}");
        }
    }

    #[test]
    fn a_client_has_its_share_and_nobody_elses() {
        let text = "trusted_proxies = [\"10.0.0.0/8\"]\n[connections]\nmost_by_client = 3";
        for (ip, other, share) in [
            ("192.0.2.1", "192.0.2.2", 3),
            ("::ffff:192.0.2.1", "192.0.2.2", 3),
            ("2001:db8::1", "2001:db8:0:1::1", 3),
            ("10.0.0.1", "192.0.2.2", 20), // a proxy is everybody
            ("127.0.0.1", "192.0.2.2", 20),
            ("::1", "192.0.2.2", 20),
        ] {
            let places = places(text, 100);
            let take = |ip: &str| {
                let place = places.take().unwrap();
                place.claim(ip.parse().unwrap()).map(|()| place)
            };
            let held: Vec<_> = (0..20).map_while(|_| take(ip).ok()).collect();
            assert_eq!(held.len(), share, "{ip}");
            assert!(take(other).is_ok(), "{other} beside {ip}");
            drop(held);
            assert!(take(ip).is_ok(), "{ip} again");
            assert!(places.clients().is_empty(), "nobody is remembered");
        }
        let places = places("", 3);
        let all: Vec<_> = (0..3).map(|_| places.take().unwrap()).collect();
        let claimed = all.iter().filter_map(|place| place.claim([192, 0, 2, 1].into()).ok()).count();
        assert_eq!(claimed, 2, "half of all is the most that one client has");
    }

    #[test]
    fn a_household_of_ipv6_is_one_client() {
        let places = places("[connections]\nmost_by_client = 1", 100);
        let [one, other] = [places.take().unwrap(), places.take().unwrap()];
        one.claim("2001:db8::1".parse().unwrap()).unwrap();
        assert_eq!(other.claim("2001:db8::ffff:1".parse().unwrap()), Err(Cut::Client));
    }
}
