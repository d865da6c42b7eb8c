//! One client asks so often that nothing is left for the others.
//!
//! **Stops** floods by one client, and the brute force of a script that does not wait. A client is an IPv4
//! address or an IPv6 /64; a request passes when it is within the rate, and within each of the named limits that
//! hold for it. A [`Limit`] may be for some paths and methods, count by network, header, cookie or user, take a
//! request for several, and be counted by all machines together. All are decided at once: what one of them
//! refuses, none has charged. What is refused gets 429 with `Retry-After`, and `RateLimit` and `RateLimit-Policy`
//! for clients that can pace themselves (draft-ietf-httpapi-ratelimit-headers-11). Who is
//! [exempt](RateLimit::exempt) is asked for first, and never counted; who is [denied](RateLimit::deny) gets 403.
//!
//! **Leaves** floods by many clients, which take a network to stop, and requests that are few and dear: give
//! these a named limit of their own. A limit that counts by what visitors send (a key, a cookie, a user) binds who
//! wants to be known by it; who makes up another each time is bound by the rate.
//!
//! **Defaults** 100 a second, 2,000 at once. A page of 200 parts in ten tabs, or in ten browsers behind an
//! office's one address, is no flood; a script that asks 10,000 times a second is, after a fifth of one. CORS
//! preflights are the browser's own, so they do not count with the requests, but by themselves at the same
//! rate. A name that is not served costs ten requests (see [`hosts`](crate::practices::hosts)). Behind a proxy
//! that nobody declared, or that names no visitor, one address is everybody's: there, and where the server
//! tells no address, what counts by address only observes. An answer that was not refused says nothing of limits: that
//! is read by few and told to everybody.
//!
//! ```
//! use axum::{Router, body::Body, extract::Request, routing::get};
//! use panoply::{Connection, RateLimit, Shield};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let shield = Shield::bare().rate_limit(RateLimit::of("2/min".parse()?));
//! let app = Router::new().route("/", get("hello")).layer(shield);
//!
//! for status in [200, 200, 429] {
//!     let mut request = Request::new(Body::empty());
//!     request.extensions_mut().insert(Connection::plain(([192, 0, 2, 1], 50_000).into()));
//!     let answer = app.clone().oneshot(request).await?;
//!     assert_eq!(answer.status(), status);
//!     assert_eq!(answer.headers().contains_key("retry-after"), status == 429);
//! }
//! # Ok(())
//! # }
//! ```

mod announce;
mod by;
mod claim;
mod lift;
mod limit;
mod path;
mod shared;

use std::collections::BTreeMap;

use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;

use crate::buckets::{self, Key};
use crate::keys::Signature;
use crate::{Evidence, Keys, Network, Policy, Practice, Rate, Rejection, SettingError, Visit, World};
pub use announce::Announce;
pub use by::By;
use claim::{Claim, Force};
pub use limit::Limit;
use limit::{DEFAULT, DENY, PREFLIGHT};
use path::Asked;
pub use path::LimitedPath;
pub(crate) use shared::Allowance;
use shared::Shared;

/// Refuses a client that asks too often.
#[derive(Clone, Debug, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct RateLimit {
    rate: Rate,
    #[serde(deserialize_with = "limit::named")]
    limits: BTreeMap<String, Limit>,
    exempt: Vec<Network>,
    exempt_loopback: bool,
    deny: Vec<Network>,
    headers: Announce,
    #[serde(skip)]
    scope: Scope,
    #[serde(skip)]
    signature: Option<Signature>,
}

/// Whose counts these are: as a number for memory, by name for a store, which outlives a build.
#[derive(Clone, Debug, Default)]
struct Scope {
    number: u64,
    name: Box<str>,
}

impl RateLimit {
    /// This rate for each client.
    #[must_use]
    pub fn of(rate: Rate) -> Self {
        Self { rate, ..Self::default() }
    }

    /// A limit beside the rate; a request must pass them all. `name` is shown to clients.
    ///
    /// # Errors
    /// When `name` is not of lower-case letters, digits, `-` and `_`, or is `default`, `preflight` or `deny`, which
    /// have a meaning; or when settings of the limit do not go together.
    pub fn limit(mut self, name: &str, limit: impl Into<Limit>) -> Result<Self, SettingError> {
        let limit = limit.into();
        limit::check_name(name)?;
        limit.check()?;
        self.limits.insert(name.to_owned(), limit);
        Ok(self)
    }

    /// Adds the named limits of `around`, but for those that have a name of these, and whom it exempts and denies:
    /// who is kept out of a site is kept out of each path there.
    #[must_use]
    pub fn with_limits_of(mut self, around: &Self) -> Self {
        self.exempt.extend_from_slice(&around.exempt);
        self.deny.extend_from_slice(&around.deny);
        for (name, limit) in &around.limits {
            self.limits.entry(name.clone()).or_insert_with(|| limit.clone());
        }
        self
    }

    /// Never limits clients of `network`, whatever else is said of them: they are not even counted.
    #[must_use]
    pub fn exempt(mut self, network: Network) -> Self {
        self.exempt.push(network);
        self
    }

    /// Never limits this machine itself.
    #[must_use]
    pub const fn exempt_loopback(mut self) -> Self {
        self.exempt_loopback = true;
        self
    }

    /// Lets nobody of `network` in, with 403, unless it is [exempt](Self::exempt).
    #[must_use]
    pub fn deny(mut self, network: Network) -> Self {
        self.deny.push(network);
        self
    }

    /// Which answers have `RateLimit` and `RateLimit-Policy`; refusals alone, unless told.
    #[must_use]
    pub const fn headers(mut self, announce: Announce) -> Self {
        self.headers = announce;
        self
    }

    /// The named limits that count by what visitors send: a header, a cookie, a user.
    pub fn by_what_is_sent(&self) -> impl Iterator<Item = &str> {
        self.limits.iter().filter(|(_, limit)| limit.by.is_sent()).map(|(name, _)| name.as_str())
    }

    /// The same without these: for one who knows addresses alone, and would count all by address.
    #[must_use]
    pub fn without_what_is_sent(mut self) -> Self {
        self.limits.retain(|_, limit| !limit.by.is_sent());
        self
    }

    /// Counts apart from other shields in the same [`World`], and with shared limits in the same store.
    ///
    /// Within one scope, a limit of the same name and rate is one, however many routes it stands on; without a
    /// scope all shields of a world count together.
    #[must_use]
    pub fn scope(mut self, scope: &str) -> Self {
        self.scope = Scope { number: buckets::scope(scope), name: scope.into() };
        self
    }

    /// With what shared limits hide from the store which users and keys they count. Without, whoever reads the store
    /// can find out whether a name that he guesses is among them.
    #[must_use]
    pub fn keys(mut self, keys: &Keys) -> Self {
        self.signature = Some(keys.signature("rate limit"));
        self
    }

    /// `state` keeps what is only observed from counting when it is in earnest.
    pub(crate) fn admit(
        &self,
        visit: &Visit,
        request: &Parts,
        world: &World,
        state: &'static str,
    ) -> Result<(), Rejection> {
        if self.exempts(visit) {
            return Ok(());
        }
        world.bans.admit(&visit.client, world)?;
        // Whoever is let in by name has passed; whoever is kept out by name goes here, before anything is counted.
        self.denies(visit)?;
        if visit.client.is_unknown() {
            warn_of_no_address(visit, world);
        }
        let name = if limit::is_preflight(request) { PREFLIGHT } else { DEFAULT };
        let general = self.general(name, visit, state);
        let announce = if state == "on" { self.headers } else { Announce::Never };
        if self.limits.is_empty() && announce != Announce::Always {
            return general.settle_alone(visit, world, announce);
        }
        let mut claims = vec![general];
        let mut elsewhere = Vec::new();
        let path = Asked::of(request.uri.path());
        for (name, limit) in &self.limits {
            if limit.holds_for(request, &path) {
                let claim = self.claim(name, limit, visit, request, world, state);
                if limit.shared {
                    let signature = self.signature.as_ref();
                    elsewhere.push(Shared::new(&claim, limit, &self.scope.name, signature, visit, world));
                } else {
                    claims.push(claim);
                }
            }
        }
        let policies: Vec<_> = elsewhere.iter().filter_map(Shared::notice).collect();
        let (settled, observed) = claim::settle(&claims, &policies, visit, world, announce)?;
        visit.allowance.grant(elsewhere, settled, announce);
        observed.map_or(Ok(()), Err)
    }

    /// Counts a request that another practice refused as `cost` requests, or, where fewer are left, as one.
    pub(crate) fn fine(&self, visit: &Visit, world: &World, cost: u32, state: &'static str) {
        if !self.exempts(visit) {
            let key = self.general(DEFAULT, visit, state).key;
            let charge = |cost| world.buckets.charge(key, self.rate, cost, world.now());
            let _ = charge(cost).or_else(|_| charge(1));
        }
    }

    /// Whether who knocks may have a handshake. What became of his earlier ones is counted apart from requests: an
    /// address that stands for many uses up what it may ask for, but comes with the right names.
    pub(crate) fn admits_handshake(&self, visit: &Visit, world: &World) -> bool {
        let key = self.handshakes(visit);
        let is_over = || world.buckets.peek(key, self.rate, 1, world.now()).is_err();
        self.exempts(visit) || !visit.client.stands_for_one() || !is_over()
    }

    /// Counts a handshake that came to nothing as `cost` requests, of requests and of handshakes; where fewer are left,
    /// as one.
    pub(crate) fn fine_handshake(&self, visit: &Visit, world: &World, cost: u32, state: &'static str) {
        self.fine(visit, world, cost, state);
        let key = self.handshakes(visit);
        let charge = |cost| world.buckets.charge(key, self.rate, cost, world.now());
        let _ = charge(cost).or_else(|_| charge(1));
    }

    fn handshakes(&self, visit: &Visit) -> Key {
        Key::of(buckets::scope((self.scope.number, "handshakes", self.rate)), &visit.client)
    }

    /// The rate itself, under its name or, once more, that of preflights.
    fn general(&self, name: &'static str, visit: &Visit, state: &'static str) -> Claim<'_> {
        let scope = buckets::scope((self.scope.number, state, name, self.rate));
        let force = if visit.client.stands_for_one() { Force::Acts } else { Force::Everybodys };
        let key = Key::of(scope, &visit.client);
        Claim { name, rate: self.rate, cost: 1, by: &By::Client, owner: by::Owner::Client, key, state, force }
    }

    fn claim<'c>(
        &self,
        name: &'c str,
        limit: &'c Limit,
        visit: &Visit,
        request: &'c Parts,
        world: &World,
        state: &'static str,
    ) -> Claim<'c> {
        let Limit { rate, by, cost, observe, .. } = limit;
        let owner = by.owner(&request.headers);
        let force = if owner.is_address() && !visit.client.stands_for_one() {
            Force::Everybodys
        } else if *observe {
            Force::Observes
        } else {
            Force::Acts
        };
        let state = if *observe { "observe" } else { state };
        let scope = buckets::scope((self.scope.number, state, name, *rate, by));
        let key = owner.key(scope, visit, world);
        Claim { name, rate: *rate, cost: *cost, by, owner, key, state, force }
    }

    /// Wins over everything: whoever is exempt is not even counted.
    fn exempts(&self, visit: &Visit) -> bool {
        let client = &visit.client;
        let is_local = || client.is_loopback() && visit.is_from_loopback();
        (self.exempt_loopback && is_local())
            || self.exempt.iter().any(|network| network.contains(client.ip()))
    }

    fn denies(&self, visit: &Visit) -> Result<(), Rejection> {
        let ip = visit.client.ip();
        let Some(network) = self.deny.iter().find(|network| network.contains(ip)) else { return Ok(()) };
        let evidence = Evidence { rule: DENY.into(), key: ip.to_string(), count: 0, points: 0 };
        let reason = format!("{network} is denied");
        Err(Rejection::by(Practice::RateLimit, StatusCode::FORBIDDEN, reason).evidence(evidence))
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            rate: Rate::FLOOD,
            limits: BTreeMap::new(),
            exempt: Vec::new(),
            exempt_loopback: false,
            deny: Vec::new(),
            headers: Announce::default(),
            scope: Scope::default(),
            signature: None,
        }
    }
}

impl Policy for RateLimit {
    const PRACTICE: Practice = Practice::RateLimit;

    fn in_front() -> Self {
        Self::default()
    }

    fn summary(&self) -> String {
        self.rate.to_string()
    }

    fn from_short(text: &str) -> Result<Self, SettingError> {
        text.parse().map(Self::of)
    }
}

fn warn_of_no_address(visit: &Visit, world: &World) {
    let key = Key::new(buckets::scope("unknown client"), 0, 0);
    if world.buckets.charge(key, Rate::DAILY, 1, world.now()).is_err() {
        return;
    }
    if visit.connection.peer.is_none() {
        tracing::warn!(
            "a visitor's address is not known, so rate_limit only observes: serve with \
             into_make_service_with_connect_info::<SocketAddr>(), or give each request a Connection"
        );
    } else {
        let ip = visit.client.ip();
        tracing::warn!(
            "the trusted proxy {ip} names no visitor, so rate_limit only observes: have it send \
             X-Forwarded-For (its own health checks need none)"
        );
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, Method};

    use super::*;
    use crate::{Guard, Policies};

    fn read(toml: &str) -> Result<Guard<RateLimit>, String> {
        let policies = toml::from_str::<Policies>(toml).map_err(|error| error.to_string())?;
        policies.rate_limit.ok_or_else(|| "no rate_limit".to_owned())
    }

    #[test]
    fn the_file_and_the_builder_say_the_same() {
        let rate = |text: &str| text.parse::<Rate>().unwrap();
        let search = Limit::of(rate("1000/h"))
            .by(By::Header(HeaderName::from_static("x-api-key")))
            .path("/search/*".parse().unwrap())
            .method(Method::GET)
            .method(Method::POST)
            .cost(10)
            .observe();
        let built = RateLimit::of(rate("300/min"))
            .limit("login", rate("5/min"))
            .and_then(|limits| limits.limit("search", search))
            .and_then(|limits| {
                limits.limit("all", Limit::of(rate("9/s")).by(By::Everyone).shared().prefix("rlflx"))
            })
            .unwrap()
            .exempt("10.0.0.0/8".parse().unwrap())
            .exempt_loopback()
            .deny("192.0.2.0/24".parse().unwrap())
            .headers(Announce::Always);
        let written = read(
            r#"
            [rate_limit]
            rate = "300/min"
            exempt = ["10.0.0.0/8"]
            exempt_loopback = true
            deny = ["192.0.2.0/24"]
            headers = "always"

            [rate_limit.limits]
            login = "5/min"
            all = { rate = "9/s", by = "everyone", shared = true, prefix = "rlflx" }

            [rate_limit.limits.search]
            rate = "1000/h"
            by = "header:x-api-key"
            path = "/search/*"
            methods = ["GET", "POST"]
            cost = 10
            observe = true
            "#,
        );
        assert_eq!(format!("{:?}", written.unwrap()), format!("{:?}", Guard::On(built)));
        assert_eq!(read("rate_limit = \"300/min\"").unwrap().policy().unwrap().summary(), "300/min");
        assert_eq!(read("rate_limit = \"on\"").unwrap().policy().unwrap().summary(), "100/s, burst 2000");
    }

    #[test]
    fn what_stands_around_a_path_holds_there_too() {
        let read = |toml: &str| read(toml).unwrap().policy().unwrap().clone();
        let site = read(
            "rate_limit = { deny = [\"192.0.2.0/24\"], exempt = [\"192.0.2.1\"], limits = { a = \"1/s\", b = \"2/s\" } }",
        );
        let path = read("rate_limit = { rate = \"5/min\", limits = { b = \"3/s\" } }");
        let both = read(
            "rate_limit = { rate = \"5/min\", deny = [\"192.0.2.0/24\"], exempt = [\"192.0.2.1\"], limits = { a = \"1/s\", b = \"3/s\" } }",
        );
        assert_eq!(format!("{:?}", path.with_limits_of(&site)), format!("{both:?}"));
    }

    #[test]
    fn what_only_observes_is_said_and_what_acts_comes_first() {
        let policy = read(
            "rate_limit.limits = { a = { rate = \"1/day\", observe = true }, b = \"3/day\", c = { rate = \"1/day\", observe = true } }",
        );
        let policy = policy.unwrap().policy().unwrap().clone();
        let (world, request) = (World::default(), http::Request::new(()).into_parts().0);
        let client = crate::Client::from(std::net::IpAddr::from([192, 0, 2, 1]));
        let verdicts = (0..5).map(|_| {
            let connection = crate::Connection::unknown();
            let visit = Visit::new(&request, connection, client, crate::Scheme::Https, crate::RequestId(0));
            let rejection = policy.admit(&visit, &request, &world, "on").err()?;
            Some((rejection.rests_on().unwrap().rule.to_string(), rejection.only_observed))
        });
        let a = Some(("a".to_owned(), true));
        let b = Some(("b".to_owned(), false));
        assert_eq!(verdicts.collect::<Vec<_>>(), [None, a.clone(), a, b.clone(), b]);
    }

    #[test]
    fn a_refusal_says_who_was_counted_and_nothing_that_he_sent() {
        let guard = read(
            r#"
            [rate_limit]
            rate = "3/day"
            deny = ["198.51.100.0/24"]
            limits.key = { rate = "1/day", by = "header:x-api-key", path = "/key" }
            limits.user = { rate = "6/day", by = "user", path = "/user", cost = 4 }
            limits.net = { rate = "1/day", by = "network", path = "/net" }
            limits.all = { rate = "1/day", by = "everyone", path = "/all" }
            "#,
        );
        let policy = guard.unwrap().policy().unwrap().clone();
        for (peer, path, times, rule, key, count, points) in [
            ("192.0.2.1", "/", 4, "default", "192.0.2.1", 4, 3),
            ("2001:db8:1:2::3", "/", 4, "default", "2001:db8:1:2::/64", 4, 3),
            ("192.0.2.1", "/net", 2, "net", "192.0.2.0/24", 2, 1),
            ("192.0.2.1", "/all", 2, "all", "everyone", 2, 1),
            ("192.0.2.1", "/key", 2, "key", "header:x-api-key ", 2, 1),
            ("192.0.2.1", "/user", 2, "user", "user ", 8, 6),
            ("198.51.100.7", "/", 1, "deny", "198.51.100.7", 0, 0),
        ] {
            let world = World::default();
            let request = http::Request::get(path)
                .header("x-api-key", "s3cret")
                .header("authorization", "Bearer s3cret")
                .body(())
                .unwrap();
            let (request, ()) = request.into_parts();
            let verdict = (0..times).map(|_| {
                let client = peer.parse::<std::net::IpAddr>().unwrap().into();
                let connection = crate::Connection::unknown();
                let visit =
                    Visit::new(&request, connection, client, crate::Scheme::Https, crate::RequestId(0));
                policy.admit(&visit, &request, &world, "on")
            });
            let rejection = verdict.last().unwrap().unwrap_err();
            let evidence = rejection.rests_on().unwrap();
            assert_eq!((&*evidence.rule, evidence.count, evidence.points), (rule, count, points), "{path}");
            match key.strip_suffix(' ') {
                None => assert_eq!(evidence.key, key),
                Some(by) => {
                    let hash = evidence.key.strip_prefix(by).unwrap().trim_start();
                    assert!(hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
                }
            }
            assert!(!format!("{rejection:?}").contains("s3cret"));
        }
    }

    #[test]
    fn what_cannot_be_says_what_to_write() {
        for (toml, hint) in [
            ("rate_limit = \"300/m\"", "hint: write a rate such as `300/min`"),
            ("rate_limit.limits.default = \"3/s\"", "neither `default`"),
            ("rate_limit.limits.\"a\\\"b\" = \"3/s\"", "lower-case letters"),
            ("rate_limit.exempt = [\"0.0.0.0/0\"]", "hint: write the addresses"),
            ("rate_limit.burst = 3", "unknown field `burst`"),
            ("rate_limit.headers = \"all\"", "unknown variant `all`"),
            ("rate_limit.limits.x = 3", "expected a rate such as \"5/min\" or a table"),
            ("rate_limit.limits.deny = \"3/s\"", "nor `deny`"),
            ("rate_limit.limits.x = { by = \"user\" }", "missing field `rate`"),
            ("rate_limit.limits.x = { rate = \"3/s\", per = \"user\" }", "unknown field `per`"),
            ("rate_limit.limits.x = { rate = \"3/s\", by = \"ip\" }", "`header:x-api-key`"),
            ("rate_limit.limits.x = { rate = \"3/s\", path = \"login\" }", "hint: write `/login`"),
            ("rate_limit.limits.x = { rate = \"3/s\", methods = [\"post\"] }", "capital letters"),
            ("rate_limit.limits.x = { rate = \"3/s\", cost = 0 }", "a cost of at least 1"),
            ("rate_limit.limits.x = { rate = \"3/s\", cost = 4 }", "a smaller cost"),
            ("rate_limit.limits.x = { rate = \"3/s, burst 9\", shared = true }", "write the rate alone"),
            ("rate_limit.limits.x = { rate = \"3/s\", prefix = \"rlflx\" }", "write `shared = true`"),
            (
                "rate_limit.limits.x = { rate = \"3/s\", shared = true, prefix = \"a b\" }",
                "at most 128 letters",
            ),
        ] {
            let error = read(toml).unwrap_err();
            assert!(error.contains(hint), "{toml}: {error}");
        }
    }
}
