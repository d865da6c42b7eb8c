//! Where the app is: at one place, or at several among which requests are shared.
//!
//! What is known of a place (whether it is well, how many wait for it) is seen by all threads, in atomics that a request
//! reads, or adds to, and never waits for. The connections are each thread's own.

mod budget;
mod check;
mod health;
mod pool;
mod secured;
mod slot;
mod sticky;
mod streams;
mod target;
mod waiting;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, HeaderValue};
use panoply::Keys;

use crate::config::{self, Balance, Upstream};
use crate::maintenance::Maintenance;
use crate::places::Asker;
use crate::supervise::Proof;
use crate::{GatewayError, clock};
use budget::Budget;
use health::{Chance, Standing};
use secured::Secured;
use sticky::Sticky;
use waiting::Place;

pub(crate) use check::watch;
pub(crate) use health::Failure;
pub(crate) use pool::{Busy, Lease, Outgoing, prune};
pub(crate) use target::{Figure, Target};

/// The app, at one address or at several.
#[derive(Debug)]
pub(crate) struct Upstreams {
    targets: OnceLock<Box<[Target]>>,
    terms: config::Upstreams,
    /// The site's first name, for the checks; empty where it has none.
    site: String,
    most_waiting: usize,
    /// At all of its places together, where that is less than each of them may have.
    most_in_all: Option<usize>,
    /// Whose turn it is; and so how many requests there were, where some may be sent again.
    next: AtomicUsize,
    budget: Budget,
    /// Where some are reached over TLS.
    secured: OnceLock<Secured>,
    maintenance: OnceLock<Maintenance>,
    /// The name of the cookie, and what it holds for each of the targets.
    sticky: Option<(String, Vec<Route>)>,
    /// Shows a Node child whose request this is; it is known once the child's preload said hello.
    proof: OnceLock<Proof>,
}

/// What leads a visitor back to one of the targets.
#[derive(Debug)]
struct Route {
    token: String,
    cookie: Option<HeaderValue>,
}

impl Upstreams {
    /// The app of `site` (its first name), or of a rule of it, at these addresses; at none yet, where it is still to be
    /// started. `share`: how many may wait for it, wherever it is.
    pub(crate) fn new(
        addresses: &[Upstream],
        terms: &config::Upstreams,
        site: &str,
        rule: Option<&str>,
        keys: Option<&Keys>,
        share: usize,
    ) -> Self {
        let targets = if addresses.is_empty() {
            OnceLock::new()
        } else {
            OnceLock::from(addresses.iter().cloned().map(Target::new).collect::<Box<[_]>>())
        };
        let several = addresses.len() > 1 && terms.balance == Balance::Sticky;
        let sticky = several.then(|| {
            let sticky = Sticky::new(keys, site);
            let token = |address: &Upstream| sticky.token(&address.to_string());
            let name = sticky.name(rule);
            let route = |token: String| Route { cookie: sticky::cookie(&name, &token), token };
            let routes = addresses.iter().map(token).map(route).collect();
            (name, routes)
        });
        let most_waiting = (terms.waiting.count() as usize).min(share);
        Self {
            targets,
            sticky,
            site: site.to_owned(),
            most_waiting,
            most_in_all: (most_waiting.saturating_mul(addresses.len()) > share).then_some(share),
            terms: terms.clone(),
            next: AtomicUsize::new(0),
            budget: Budget::default(),
            secured: OnceLock::new(),
            maintenance: OnceLock::new(),
            proof: OnceLock::new(),
        }
    }

    /// Reads the files that are needed: an authority, a page of maintenance.
    ///
    /// # Errors
    /// When one cannot be read, or no certificate could be for an app at `https://` or `h2://`.
    pub(crate) fn open(&self, maintenance: Option<&config::Maintenance>) -> Result<(), GatewayError> {
        if self.secured.get().is_some() || self.maintenance.get().is_some() {
            return Ok(()); // the app of several rules
        }
        let mut at_https =
            self.targets().iter().map(Target::address).filter(|at| at.scheme().is_secured()).peekable();
        if at_https.peek().is_some() {
            if self.terms.server_name.is_none() {
                at_https.try_for_each(|at| secured::server_name(at.host()).map(drop))?;
            }
            let _ = self.secured.set(Secured::open(&self.terms)?);
        }
        if let Some(settings) = maintenance {
            let _ = self.maintenance.set(Maintenance::open(settings)?);
        }
        Ok(())
    }

    /// Goes on with what `before` knew of the same places: a changed file makes no sick place well.
    pub(crate) fn go_on_from(&self, before: &Self) {
        for target in self.targets() {
            if let Some(known) = before.targets().iter().find(|known| known.address() == target.address()) {
                target.health.go_on_from(&known.health, self.terms.health.is_some());
            }
        }
    }

    /// What visitors get instead of the app, while it is worked on.
    pub(crate) fn maintenance(&self) -> Option<&Maintenance> {
        self.maintenance.get()
    }

    /// A new connection to one of the targets.
    pub(crate) async fn connect(&self, target: &Target) -> io::Result<Lease> {
        target.connect(self.secured.get(), self.terms.connect.duration()).await
    }

    /// The app was started, and is at `address`. What the file says of a site's app stays.
    pub(crate) fn found(&self, address: SocketAddr, proof: Option<&Proof>) {
        if self.targets.set([Target::new(address.into())].into()).is_ok()
            && let Some(proof) = proof
        {
            let _ = self.proof.set(proof.clone());
        }
    }

    pub(crate) fn proof(&self) -> Option<&Proof> {
        self.proof.get()
    }

    pub(crate) const fn terms(&self) -> &config::Upstreams {
        &self.terms
    }

    /// Where it is; nothing until it was found.
    pub(crate) fn targets(&self) -> &[Target] {
        self.targets.get().map(|targets| &**targets).unwrap_or_default()
    }

    /// The place that a visitor had before, as its cookie says.
    pub(crate) fn had(&self, headers: &HeaderMap) -> Option<usize> {
        let (name, routes) = self.sticky.as_ref()?;
        let token = sticky::brought(headers, name)?;
        routes.iter().position(|route| route.token.as_bytes() == token)
    }

    /// The cookie for a visitor who came to the place at `index`, and had another before, or none.
    pub(crate) fn cookie(&self, index: usize, had: Option<usize>) -> Option<&HeaderValue> {
        let (_, routes) = self.sticky.as_ref().filter(|_| had != Some(index))?;
        let route = routes.get(index)?;
        route.cookie.as_ref()
    }

    /// Where a request goes that was at the places `tried` before: to the one that it `had` if that is well, to one
    /// whose pause is over, then by the site's rule. Where none is well it goes to any rather than to none.
    pub(crate) fn turn(
        &self,
        had: Option<usize>,
        tried: Tried,
        asker: Asker<'_>,
    ) -> Result<Turn<'_>, NoTurn> {
        let targets = self.targets();
        let first = match targets {
            [] => return Err(NoTurn::Nowhere),
            [one] if !one.is_shared() => 0,
            many => self.next.fetch_add(1, Ordering::Relaxed) % many.len(),
        };
        self.has_room(first)?;
        let order = || (first..targets.len()).chain(0..first).filter(|index| !tried.has(*index));
        let give = |index: usize, chance| {
            let target = targets.get(index)?;
            let place = target.wait(self.most_waiting, asker)?;
            let busy = (self.terms.balance == Balance::LeastConnections).then(|| target.begin());
            Some(Turn { index, target, chance, busy, _place: place })
        };
        let is_well = |index: &usize| targets.get(*index).is_some_and(|target| target.health.is_well());
        let usual = |index: usize| give(index, Chance::Usual);
        let chosen = had
            .filter(|index| !tried.has(*index) && is_well(index))
            .and_then(usual)
            .or_else(|| order().find(|index| self.is_due(*index)).and_then(|index| give(index, Chance::Try)))
            .or_else(|| match self.terms.balance {
                Balance::LeastConnections => {
                    let under_way = |index: &usize| targets.get(*index).map_or(usize::MAX, Target::under_way);
                    order().filter(is_well).min_by_key(under_way).and_then(usual)
                }
                Balance::RoundRobin | Balance::Sticky => None,
            })
            .or_else(|| order().filter(is_well).find_map(usual));
        if let Some(turn) = chosen {
            return Ok(turn);
        }
        if order().next().is_none() {
            return Err(NoTurn::Nowhere);
        }
        // One that is well has as many as may wait: those that are sick would not help.
        if order().any(|index| is_well(&index)) {
            return Err(NoTurn::Full);
        }
        order()
            .filter(|index| !is_well(index))
            .find_map(|index| give(index, Chance::LastResort))
            .ok_or(NoTurn::Full)
    }

    /// Whether all places together have room for one more, who is the one's at `first`. Of those who come at once and
    /// find the last of it, each has it: that is one more a core at most.
    fn has_room(&self, first: usize) -> Result<(), NoTurn> {
        let Some(most) = self.most_in_all.filter(|_| self.targets().len() > 1) else { return Ok(()) };
        if self.targets().iter().map(Target::waiting).sum::<usize>() < most {
            return Ok(());
        }
        if let Some(target) = self.targets().get(first) {
            target.turn_away();
        }
        Err(NoTurn::Full)
    }

    /// Whether the pause of a place that was left out is over, and its try is this request's.
    fn is_due(&self, index: usize) -> bool {
        self.targets().get(index).is_some_and(|target| {
            !target.health.is_well() && target.health.standing(clock::millis()) == Standing::Due
        })
    }

    /// Whether a request that may have come to one place may be sent to another as well.
    pub(crate) fn may_send_again(&self) -> bool {
        self.budget.take(self.next.load(Ordering::Relaxed), clock::now())
    }

    /// What an operator sees of each place.
    pub(crate) fn figures(&self) -> impl Iterator<Item = (String, Figure)> {
        self.targets().iter().map(|target| (target.to_string(), target.figure()))
    }
}

/// The places where a request has been.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried(u64);

impl Tried {
    pub(crate) fn add(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    pub(crate) fn count(self) -> u32 {
        self.0.count_ones()
    }

    fn has(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }
}

/// A request's turn at one of the places; until it is dropped, the request is one of those that wait there.
#[derive(Debug)]
pub(crate) struct Turn<'u> {
    pub(crate) index: usize,
    pub(crate) target: &'u Target,
    pub(crate) busy: Option<Busy>,
    chance: Chance,
    _place: Place<'u>,
}

impl Turn<'_> {
    pub(crate) fn answered(&self) {
        self.target.answered(self.chance);
    }

    pub(crate) fn failed(&self, failure: Failure, reason: &str) {
        self.target.failed(failure, self.chance, reason);
    }
}

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// There is no place, or none where it has not been.
    Nowhere,
    /// At each of them as many wait as may, in all or of this client.
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::places::Places;

    fn upstreams(settings: &str, count: u16) -> Upstreams {
        // Who waits is counted by address, for whoever leads there: each test has its own.
        static TEST: AtomicUsize = AtomicUsize::new(0);
        let test = TEST.fetch_add(1, Ordering::Relaxed);
        let addresses: Vec<Upstream> =
            (1..=count).map(|port| format!("http://test-{test}:{port}").parse().unwrap()).collect();
        Upstreams::new(&addresses, &toml::from_str(settings).unwrap(), "shop.example", None, None, SHARE)
    }

    fn turn(upstreams: &Upstreams, had: Option<usize>, tried: Tried) -> Result<Turn<'_>, NoTurn> {
        let config = Config::parse("").unwrap();
        let places = Places::new(&config, SHARE, std::sync::Arc::default());
        upstreams.turn(had, tried, places.asker([127, 0, 0, 1].into()))
    }

    const SHARE: usize = 10;

    fn turns(upstreams: &Upstreams, count: usize) -> Vec<usize> {
        (0..count).map(|_| turn(upstreams, None, Tried::default()).unwrap().index).collect()
    }

    #[test]
    fn places_take_turns_and_who_is_left_out_is_passed_over() {
        let upstreams = upstreams("", 3);
        assert_eq!(turns(&upstreams, 4), [0, 1, 2, 0]);
        upstreams.targets()[1].failed(Failure::Refused, Chance::Usual, "a test");
        assert!(turns(&upstreams, 6).iter().all(|index| *index != 1));
        for target in upstreams.targets() {
            target.failed(Failure::Refused, Chance::Usual, "a test");
        }
        let mut any = turns(&upstreams, 3);
        any.sort_unstable();
        assert_eq!(any, [0, 1, 2], "when none is well any is better than none");
        turn(&upstreams, None, Tried::default()).unwrap().answered();
        assert_eq!(
            upstreams.figures().filter(|(_, figure)| !figure.left_out).count(),
            1,
            "and one that answers is well"
        );
    }

    #[test]
    fn a_request_comes_to_no_place_twice() {
        let upstreams = upstreams("", 2);
        let mut tried = Tried::default();
        let first = turn(&upstreams, None, tried).unwrap().index;
        tried.add(first);
        let second = turn(&upstreams, None, tried).unwrap().index;
        assert_ne!(first, second);
        tried.add(second);
        assert_eq!(turn(&upstreams, None, tried).unwrap_err(), NoTurn::Nowhere);
    }

    #[test]
    fn the_fewest_under_way_come_first() {
        let upstreams = upstreams("balance = 'least_connections'", 3);
        let mut held: Vec<_> = (0..3).map(|_| turn(&upstreams, None, Tried::default()).unwrap()).collect();
        let mut places: Vec<_> = held.iter().map(|turn| turn.index).collect();
        places.sort_unstable();
        assert_eq!(places, [0, 1, 2]);
        let free = held.pop().unwrap().index;
        assert_eq!(turns(&upstreams, 3), [free; 3]);
    }

    #[test]
    fn a_visitor_comes_back_to_the_place_that_he_had() {
        let upstreams = upstreams("balance = 'sticky'", 3);
        for index in 0..3 {
            let cookie = upstreams.cookie(index, None).unwrap().to_str().unwrap();
            let sent = cookie.split(';').next().unwrap();
            let headers = HeaderMap::from_iter([(http::header::COOKIE, sent.parse().unwrap())]);
            assert_eq!(upstreams.had(&headers), Some(index));
            assert_eq!(turn(&upstreams, Some(index), Tried::default()).unwrap().index, index);
            assert!(upstreams.cookie(index, Some(index)).is_none(), "he has it already");
        }
        upstreams.targets()[2].failed(Failure::Refused, Chance::Usual, "a test");
        let other = turn(&upstreams, Some(2), Tried::default()).unwrap().index;
        assert!(other != 2 && upstreams.cookie(other, Some(2)).is_some(), "one that is gone is replaced");
    }

    #[test]
    fn a_place_that_hangs_takes_so_many_and_no_more() {
        let upstreams = upstreams("waiting = 2", 2);
        let held: Vec<_> = (0..4).map(|_| turn(&upstreams, None, Tried::default()).unwrap()).collect();
        assert_eq!(held.iter().filter(|turn| turn.index == 0).count(), 2);
        assert_eq!(turn(&upstreams, None, Tried::default()).unwrap_err(), NoTurn::Full);
        assert!(upstreams.figures().all(|(_, figure)| figure.turned_away > 0 && figure.waiting == 2));
        drop(held);
        assert!(turn(&upstreams, None, Tried::default()).is_ok());
    }

    #[test]
    fn all_places_together_have_so_many_and_no_more() {
        for (settings, count, most) in [("", 1, SHARE), ("", 3, SHARE), ("waiting = 2", 3, 6)] {
            let upstreams = upstreams(settings, count);
            let held: Vec<_> = (0..40).map_while(|_| turn(&upstreams, None, Tried::default()).ok()).collect();
            assert_eq!(held.len(), most, "{settings:?} at {count}");
            assert_eq!(turn(&upstreams, None, Tried::default()).unwrap_err(), NoTurn::Full);
            assert!(upstreams.figures().any(|(_, figure)| figure.turned_away > 0), "{settings:?} at {count}");
        }
    }
}
