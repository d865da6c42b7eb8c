//! One client asks so often that nothing is left for the others.
//!
//! **Stops** floods by one client, and the brute force of a script that does not wait. A client is an IPv4
//! address or an IPv6 /64; a request passes when it is within the rate, and within each of the named limits.
//! What is refused gets 429 with `Retry-After`, and `RateLimit` and `RateLimit-Policy` for clients that can
//! pace themselves (draft-ietf-httpapi-ratelimit-headers-10).
//!
//! **Leaves** floods by many clients, which take a network to stop, and requests that are few and dear: give
//! these a named limit of their own.
//!
//! **Defaults** 100 a second, 2,000 at once. A page of 200 parts in ten tabs, or in ten browsers behind an
//! office's one address, is no flood; a script that asks 10,000 times a second is, after a fifth of one. CORS
//! preflights are the browser's own, so they do not count with the requests, but by themselves at the same
//! rate. A name that is not served costs ten requests (see [`hosts`](crate::practices::hosts)). Behind a proxy
//! that nobody declared, or that names no visitor, one address is everybody's: there, and where the server
//! tells no address, this practice only observes.
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

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde::de::Deserializer;

use crate::buckets::{self, Key, Wait};
use crate::{Network, Policy, Practice, Rate, Rejection, SettingError, Visit, World};

/// Refuses a client that asks too often.
#[derive(Clone, Debug, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct RateLimit {
    rate: Rate,
    #[serde(deserialize_with = "named")]
    limits: BTreeMap<String, Rate>,
    exempt: Vec<Network>,
    exempt_loopback: bool,
    #[serde(skip)]
    scope: u64,
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
    /// When `name` is not of lower-case letters, digits, `-` and `_`, or is `default` or `preflight`, which are
    /// the names of the rate itself.
    pub fn limit(mut self, name: &str, rate: Rate) -> Result<Self, SettingError> {
        self.limits.insert(limit_name(name)?, rate);
        Ok(self)
    }

    /// Adds the named limits of `around`, but for those that have a name of these.
    #[must_use]
    pub fn with_limits_of(mut self, around: &Self) -> Self {
        for (name, &rate) in &around.limits {
            self.limits.entry(name.clone()).or_insert(rate);
        }
        self
    }

    /// Never limits clients of `network`.
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

    /// Counts apart from other shields in the same [`World`].
    ///
    /// Within one scope, a limit of the same name and rate is one, however many routes it stands on; without a
    /// scope all shields of a world count together.
    #[must_use]
    pub fn scope(mut self, scope: &str) -> Self {
        self.scope = buckets::scope(scope);
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
        if visit.client.is_unknown() {
            warn_of_no_address(visit, world);
        }
        let charge = |name, rate| {
            let scope = buckets::scope((self.scope, state, name, rate));
            let key = Key::of(scope, &visit.client);
            match world.buckets.charge(key, rate, 1, world.now()) {
                Ok(_) => Ok(()),
                Err(Wait(wait)) if visit.client.stands_for_one() => Err(refusal(name, rate, wait)),
                // That one address for everybody asks often is news once a minute, not with each request.
                Err(_) if world.buckets.charge(key.aside(), Rate::MINUTELY, 1, world.now()).is_err() => {
                    Ok(())
                }
                Err(Wait(wait)) => Err(refusal(name, rate, wait).only_observed()),
            }
        };
        if is_preflight(request) {
            return charge(PREFLIGHT, self.rate);
        }
        charge(DEFAULT, self.rate)?;
        for (name, &rate) in &self.limits {
            charge(name, rate)?;
        }
        Ok(())
    }

    /// Counts a request that another practice refused as `cost` requests, or, where fewer are left, as one.
    pub(crate) fn fine(&self, visit: &Visit, world: &World, cost: u32, state: &'static str) {
        if !self.exempts(visit) {
            let scope = buckets::scope((self.scope, state, DEFAULT, self.rate));
            let key = Key::of(scope, &visit.client);
            let charge = |cost| world.buckets.charge(key, self.rate, cost, world.now());
            let _ = charge(cost).or_else(|_| charge(1));
        }
    }

    /// Wins over everything: whoever is exempt is not even counted.
    fn exempts(&self, visit: &Visit) -> bool {
        let client = &visit.client;
        let is_local = || client.is_loopback() && visit.is_from_loopback();
        (self.exempt_loopback && is_local())
            || self.exempt.iter().any(|network| network.contains(client.ip()))
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            rate: Rate::FLOOD,
            limits: BTreeMap::new(),
            exempt: Vec::new(),
            exempt_loopback: false,
            scope: 0,
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

fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Rate>, D::Error> {
    let limits = BTreeMap::<String, Rate>::deserialize(deserializer)?;
    for name in limits.keys() {
        limit_name(name).map_err(SettingError::into_serde)?;
    }
    Ok(limits)
}

/// A name that can stand in a header between quotes.
fn limit_name(name: &str) -> Result<String, SettingError> {
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    if matches!(name, DEFAULT | PREFLIGHT | "") || name.len() > 64 || !is_plain {
        return Err(SettingError::new(
            format!("`{name}` is no name for a limit"),
            "write lower-case letters, digits, `-` and `_`, at most 64, and neither `default` nor `preflight`",
        ));
    }
    Ok(name.to_owned())
}

/// What a browser asks by itself before a cross-origin request (Fetch §4.8).
fn is_preflight(request: &Parts) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn refusal(name: &str, rate: Rate, wait: Duration) -> Rejection {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let (quota, window) = (rate.burst(), rate.window().as_secs());
    Rejection::by(Practice::RateLimit, StatusCode::TOO_MANY_REQUESTS, format!("over `{name}`, {rate}"))
        .retry_after(wait)
        .header(RATELIMIT_POLICY, header(name, format_args!(";q={quota};w={window}")))
        .header(RATELIMIT, header(name, format_args!(";r=0;t={seconds}")))
}

/// A list of one string with parameters (RFC 9651 §3.1).
fn header(name: &str, parameters: std::fmt::Arguments<'_>) -> HeaderValue {
    let mut value = String::with_capacity(48);
    let _ = write!(value, "\"{name}\"{parameters}");
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("\"default\""))
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

/// The rate itself, as clients see its name.
const DEFAULT: &str = "default";

/// The same rate, once more for preflights.
const PREFLIGHT: &str = "preflight";

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Guard, Policies};

    fn read(toml: &str) -> Result<Guard<RateLimit>, String> {
        let policies = toml::from_str::<Policies>(toml).map_err(|error| error.to_string())?;
        policies.rate_limit.ok_or_else(|| "no rate_limit".to_owned())
    }

    #[test]
    fn the_file_and_the_builder_say_the_same() {
        let built = RateLimit::of("300/min".parse().unwrap())
            .limit("login", "5/min".parse().unwrap())
            .unwrap()
            .exempt("10.0.0.0/8".parse().unwrap())
            .exempt_loopback();
        let written = read(
            "[rate_limit]\nrate = \"300/min\"\nlimits.login = \"5/min\"\nexempt = [\"10.0.0.0/8\"]\nexempt_loopback = true",
        );
        assert_eq!(format!("{:?}", written.unwrap()), format!("{:?}", Guard::On(built)));
        assert_eq!(read("rate_limit = \"300/min\"").unwrap().policy().unwrap().summary(), "300/min");
        assert_eq!(read("rate_limit = \"on\"").unwrap().policy().unwrap().summary(), "100/s, burst 2000");
    }

    #[test]
    fn what_cannot_be_says_what_to_write() {
        for (toml, hint) in [
            ("rate_limit = \"300/m\"", "hint: write a rate such as `300/min`"),
            ("rate_limit.limits.default = \"3/s\"", "neither `default`"),
            ("rate_limit.limits.\"a\\\"b\" = \"3/s\"", "lower-case letters"),
            ("rate_limit.exempt = [\"0.0.0.0/0\"]", "hint: write the addresses"),
            ("rate_limit.burst = 3", "unknown field `burst`"),
        ] {
            let error = read(toml).unwrap_err();
            assert!(error.contains(hint), "{toml}: {error}");
        }
    }
}
