//! What an operator can undo.

use super::by::Owner;
use super::shared;
use super::{By, DEFAULT, PREFLIGHT, RateLimit};
use crate::buckets::{self, Key};
use crate::counters::Limiter;
use crate::{Client, Guard, World};

impl RateLimit {
    /// The limits that all machines count together, by name.
    pub(crate) fn limiters(guard: &Guard<Self>) -> Vec<(String, Limiter)> {
        let Some(policy) = guard.policy() else { return Vec::new() };
        let shared = policy.limits.iter().filter(|(_, limit)| limit.shared);
        shared
            .map(|(name, limit)| {
                let observes = limit.observe || guard.state() == "observe";
                let prefix = shared::prefix(name, limit, &policy.scope.name, observes);
                (name.clone(), Limiter::new(prefix, limit.rate.count(), limit.rate.time()))
            })
            .collect()
    }

    /// Forgets what a client, or its neighbourhood, owes in memory, and names the limits that would have refused it.
    pub(crate) fn forgive(&self, client: &Client, world: &World, state: &'static str) -> Vec<String> {
        let now = world.now();
        let general = [DEFAULT, PREFLIGHT].map(|name| {
            let scope = buckets::scope((self.scope.number, state, name, self.rate));
            (name, Key::of(scope, client), self.rate, 1)
        });
        let named = self.limits.iter().filter_map(|(name, limit)| {
            let state = if limit.observe { "observe" } else { state };
            let scope = buckets::scope((self.scope.number, state, name.as_str(), limit.rate, &limit.by));
            // Who brings nothing of his own is counted by address.
            let owner = match limit.by {
                By::Network => Owner::Network,
                By::Everyone => return None,
                _ => Owner::Client,
            };
            let key = match owner {
                Owner::Network => Key::new(scope, client.network(), client.network()),
                _ => Key::of(scope, client),
            };
            Some((name.as_str(), key, limit.rate, limit.cost))
        });
        let refusing = |(name, key, rate, cost): (&str, Key, _, _)| {
            world.buckets.forgive(key, rate, cost, now).then(|| name.to_owned())
        };
        general.into_iter().chain(named).filter_map(refusing).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::Request;

    use super::*;
    use crate::{Clock, Connection, RequestId, Scheme, TrustedProxies, Visit};

    #[test]
    fn who_is_forgiven_may_ask_as_if_he_never_had() {
        let world = World::new(Clock::manual());
        let limits = RateLimit::of("3/day".parse().unwrap())
            .limit("all", crate::practices::rate_limit::Limit::of("2/day".parse().unwrap()))
            .unwrap()
            .limit("near", crate::practices::rate_limit::Limit::of("4/day".parse().unwrap()).by(By::Network))
            .unwrap()
            .scope("shop.example");
        let ask = |ip: &str| {
            let ip: IpAddr = ip.parse().unwrap();
            let (request, ()) = Request::get("/").body(()).unwrap().into_parts();
            let connection = Connection::tls((ip, 443).into());
            let (client, _) = TrustedProxies::default().client(&connection, &request.headers);
            let visit = Visit::new(&request, connection, client, Scheme::Https, RequestId(0));
            limits.admit(&visit, &request, &world, "on").is_ok()
        };
        let forgive = |ip: &str| limits.forgive(&ip.parse::<IpAddr>().unwrap().into(), &world, "on");
        assert_eq!(forgive("192.0.2.1"), [""; 0], "nobody has asked");
        assert_eq!([(); 3].map(|()| ask("192.0.2.1")), [true, true, false]);
        assert_eq!(forgive("192.0.2.2"), [""; 0], "another client");
        assert_eq!(forgive("192.0.2.1"), ["all"]);
        assert_eq!([(); 3].map(|()| ask("192.0.2.1")), [true, true, false]);
        assert_eq!([(); 3].map(|()| ask("192.0.2.2")), [true, true, false]);
        assert_eq!(forgive("192.0.2.2"), ["all", "near"]);
    }
}
