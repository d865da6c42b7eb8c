//! The places for connections: so many in all, so many for one client.
//!
//! Who finds none is closed before the handshake, which is what costs. Trusted proxies, balancers that do not say whose
//! a connection is, and this machine are no one client: for them there is only the first of the two.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use panoply::{Network, TrustedProxies};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{Config, Connections};
use crate::cuts::{Cut, Cuts};
use crate::holders::Holders;

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
    clients: Holders,
}

impl Places {
    /// `room`: how many connections the system has files for.
    pub(crate) fn new(config: &Config, room: usize, cuts: Arc<Cuts>) -> Self {
        let terms = config.connections.clone();
        let most = most(config, room);
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

    /// The one client that `ip` is; nothing for a trusted proxy, a balancer and this machine, which are everybody.
    fn client(&self, ip: IpAddr) -> Option<Network> {
        let ip = ip.to_canonical();
        let is_everybody = ip.is_loopback() || self.proxies.contains(ip) || self.is_balancer(ip);
        if is_everybody { None } else { Network::from(ip).of_client() }
    }

    /// Who asks from `ip`, for whoever counts by client.
    pub(crate) const fn asker(&self, ip: IpAddr) -> Asker<'_> {
        Asker { places: self, ip }
    }
}

/// Who makes a request. Which client that is, is looked up where it matters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'p> {
    places: &'p Places,
    ip: IpAddr,
}

impl Asker<'_> {
    /// As [`Places`] count; nothing for who is everybody.
    pub(crate) fn client(&self) -> Option<Network> {
        self.places.client(self.ip)
    }
}

/// How many of the places those may have who wait for one app. An app that hangs must not have them all: half are for
/// the other apps; and where there is no other, a quarter is for being told that it hangs.
pub(crate) fn share_of_an_app(config: &Config, room: usize) -> usize {
    let rules = config.sites.iter().flat_map(|site| &site.rules).filter(|rule| !rule.upstream.is_empty());
    let mut apps = config.sites.iter().map(|site| &site.upstream).chain(rules.map(|rule| &rule.upstream));
    let first = apps.next();
    let is_alone = apps.all(|app| Some(app) == first);
    let most = most(config, room);
    (if is_alone { most - most / 4 } else { most / 2 }).max(1)
}

/// How many places there are.
fn most(config: &Config, room: usize) -> usize {
    config.connections.most.map_or(room, |most| number(most).min(room))
}

fn number(number: NonZeroU32) -> usize {
    usize::try_from(number.get()).unwrap_or(usize::MAX)
}

/// How many connections may be open at once: each needs a descriptor, and so does the one to the app.
pub(crate) fn room() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(MAX_FILES).min(MAX_FILES);
    files.saturating_sub(RESERVED_FILES).max(2) / 2
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
        let Some(client) = self.places.client(ip).filter(|_| self.client.get().is_none()) else {
            return Ok(());
        };
        if !self.places.taken.clients.take(client, self.places.most_by_client) {
            return Err(Cut::Client);
        }
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
        if let Some(client) = self.client.get() {
            self.places.taken.clients.give_back(*client);
        }
    }
}

const MAX_FILES: usize = 1 << 20;
/// Listeners, log, certificates, and each thread's own.
const RESERVED_FILES: usize = 128;

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
        let text = "trusted_proxies = ['10.0.0.0/8']\nproxy_protocol = ['192.168.0.0/16']\n\
                    [connections]\nmost_by_client = 3";
        for (ip, other, share) in [
            ("192.0.2.1", "192.0.2.2", 3),
            ("::ffff:192.0.2.1", "192.0.2.2", 3),
            ("2001:db8::1", "2001:db8:0:1::1", 3),
            ("10.0.0.1", "192.0.2.2", 20),    // a proxy is everybody
            ("192.168.0.1", "192.0.2.2", 20), // and so is a balancer that names nobody
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
            assert!(places.taken.clients.is_empty(), "nobody is remembered");
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

    #[test]
    fn an_app_has_its_share_of_all_places() {
        let site = |upstream: &str| {
            format!("[[site]]\nhosts = ['{upstream}.example']\nupstream = 'http://{upstream}'\n")
        };
        let (shop, blog) = (site("shop"), site("blog"));
        let rule =
            |upstream: &str| format!("{shop}[[site.rule]]\npath = '/a'\nupstream = 'http://{upstream}'\n");
        let same = "[[site]]\nhosts = ['www.example']\nupstream = 'http://shop'\n";
        for (text, most) in [
            (String::new(), 75),
            (shop.clone(), 75),
            (format!("{shop}[[site.rule]]\npath = '/a'\n"), 75),
            ([&*shop, same].concat(), 75), // one app under two names
            (rule("shop"), 75),
            (rule("api"), 50),
            ([&*shop, &blog].concat(), 50),
            (format!("[connections]\nmost = 10\n{shop}{blog}"), 5),
            (format!("[connections]\nmost = 1\n{shop}{blog}"), 1),
        ] {
            assert_eq!(share_of_an_app(&Config::parse(&text).unwrap(), 100), most, "{text}");
        }
    }
}
