//! Passwords are guessed: many for one user, or one for many users, from one address or from thousands.
//!
//! **Stops** it by the two metrics that Express's page asks for, and one more: failures in a row by one user name from
//! one address; failures from one address over a long time; failures by one user name from everywhere. The check comes
//! before anybody looks at the password, and tries at once weigh before they have failed, so that the app never sees
//! one more than is allowed. What is refused gets 429 with `Retry-After`, whether the account exists or not.
//!
//! **Leaves** a password that is guessed at once, and one that was stolen elsewhere: those take a second factor. A
//! body that its app reads in a way of its own (XML, MessagePack) is no login to this
//! practice; at a path that is called like one, or where logins were seen, it counts by its address.
//!
//! **Defaults** the recipe's that the page points to. Ten failures in a row by one user name from one address within
//! 90 days are let pass; one more keeps that pair out for an hour, and each time after that for twice as long, up to a
//! day: a forgetful person has ten tries, a program in the long run eleven a day. A right password forgives them.
//! 100 failures from one address within a day, and one more keeps it from logging in for a day: an office has room for
//! its slips. 50 failures by one user name within a day put it under attack: from then on an address has two tries an
//! hour for it, and its owner is not locked out. A browser in which a user has logged in before holds a sealed
//! cookie, is counted by itself, and does not suffer for others. Where the address is a proxy's that nobody declared,
//! it stands for everybody and is never blocked by itself.
//!
//! In front of an app that panoply does not know it finds logins by itself: forms (as parts and inflated, too) and JSON
//! of at most 64 KiB with one password field, by any method. It tells how they ended by the answer: 400, 401, 403 and
//! 422, a way back to the form, a page with a password field again, or a few words that it was wrong are failures; a
//! way elsewhere, or another 2xx, are successes; what is unclear counts by address alone. In an app of your own a
//! handler takes an [`Attempt`], or [`BruteForce::logins`] says where the user name is.
//!
//! User names are compared as people and their providers of e-mail read them, and kept as a keyed hash. With
//! [`Naming::Node`] keys are those that the recipe writes, so that Node counts along.
//!
//! ```
//! use axum::{Router, body::Body, extract::Request, http::StatusCode, routing::post};
//! use panoply::{BruteForce, Connection, Rejection, Shield, practices::brute_force::Attempt};
//! use tower::ServiceExt;
//!
//! async fn login(attempt: Attempt, password: String) -> Result<StatusCode, Rejection> {
//!     let guess = attempt.by("ann").await?; // 429 before the password is looked at
//!     if password == "open sesame" {
//!         guess.succeeded().await?;
//!         return Ok(StatusCode::OK);
//!     }
//!     guess.failed().await?; // 429 for the one that is too many
//!     Ok(StatusCode::UNAUTHORIZED)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let app = Router::new().route("/login", post(login)).layer(Shield::bare().brute_force(BruteForce::default()));
//! let mut answers = Vec::new();
//! for _ in 0..12 {
//!     let mut request = Request::post("/login").body(Body::from("guess"))?;
//!     request.extensions_mut().insert(Connection::plain(([192, 0, 2, 1], 50_000).into()));
//!     answers.push(app.clone().oneshot(request).await?.status().as_u16());
//! }
//! assert_eq!(answers, [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 429, 429]);
//! # Ok(())
//! # }
//! ```

mod answer;
mod attempt;
mod coding;
pub mod credentials;
mod device;
mod door;
#[cfg(feature = "axum")]
mod extract;
mod fields;
mod forgery;
mod form;
mod graphql;
mod in_flight;
mod json;
mod known_paths;
mod limiters;
mod login;
mod login_path;
mod metric;
mod multipart;
mod names;
pub mod outcome;
mod place;
mod redirect;
mod secrets;
mod signs;
mod tries;
pub mod username;

use std::sync::Arc;

use serde::Deserialize;
use serde::de::Deserializer;

pub use attempt::{Attempt, Guess};
pub use login_path::is_login;
pub use metric::Metric;
pub use place::Place;
pub use signs::Signs;

use crate::counters::Limiter;
use crate::{Guard, Keys, Network, Period, Policy, Practice, SettingError, Visit, World, buckets};
pub(crate) use in_flight::InFlight;
pub(crate) use known_paths::KnownPaths;
use limiters::Limiters;
pub(crate) use login::Login;
pub use login::Tried;
pub(crate) use secrets::Secrets;

/// Refuses who has failed to log in too often.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Settings")]
pub struct BruteForce(Arc<Settings>);

#[derive(Clone, Debug, Deserialize)]
#[serde(default = "Settings::in_front", deny_unknown_fields)]
struct Settings {
    username: Option<Place>,
    failure: Signs,
    by_username_and_ip: Metric,
    by_ip: Metric,
    by_username: Metric,
    keys: Naming,
    #[serde(deserialize_with = "trust")]
    trust_browsers: Option<Period>,
    exempt: Vec<Network>,
    /// Where no place of user names is set: whether logins are looked for, or handlers tell of them.
    #[serde(skip)]
    finds_logins: bool,
    #[serde(skip)]
    secrets: Option<Secrets>,
    #[serde(skip)]
    scope: u64,
}

/// Under which keys failures are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Naming {
    /// User names as a keyed hash, IPv6 addresses by their /64.
    #[default]
    Hashed,
    /// As the recipe for Express writes them: the user name as it was sent, `_`, and the address. Whoever reads the
    /// store reads the names, and an IPv6 /64 has as many tries as addresses. An IPv4 address is written as one: Node
    /// writes `::ffff:192.0.2.1` where it listens on `::`, so let it listen on `0.0.0.0`.
    Node,
}

impl BruteForce {
    /// Logins are requests that bring a user name in this place: lay the shield around their routes alone. How they
    /// end is told by the answer.
    ///
    /// ```
    /// use panoply::{BruteForce, Shield};
    ///
    /// let shield = Shield::bare().brute_force(BruteForce::logins("form:email".parse()?));
    /// # Ok::<(), panoply::SettingError>(())
    /// ```
    #[must_use]
    pub fn logins(username: Place) -> Self {
        Self::default().change(|settings| settings.username = Some(username))
    }

    /// What tells that a login failed, where that is not what the [module](self) says.
    #[must_use]
    pub fn failure(self, signs: Signs) -> Self {
        self.change(|settings| settings.failure = signs)
    }

    /// Failures in a row by one user name from one address: ten within 90 days, then an hour, unless told.
    #[must_use]
    pub fn by_username_and_ip(self, metric: Metric) -> Self {
        self.change(|settings| settings.by_username_and_ip = metric)
    }

    /// Failures from one address, by whatever user name: 100 within a day, then a day, unless told.
    #[must_use]
    pub fn by_ip(self, metric: Metric) -> Self {
        self.change(|settings| settings.by_ip = metric)
    }

    /// Failures by one user name from everywhere, after which an address has two tries an hour for it: 50 within a
    /// day, unless told. A block of this metric is nobody's and not used.
    #[must_use]
    pub fn by_username(self, metric: Metric) -> Self {
        self.change(|settings| settings.by_username = metric)
    }

    /// Under which keys failures are counted.
    #[must_use]
    pub fn naming(self, naming: Naming) -> Self {
        self.change(|settings| settings.keys = naming)
    }

    /// How long a browser is trusted after a login: 90 days, unless told.
    #[must_use]
    pub fn trust_browsers(self, time: Period) -> Self {
        self.change(|settings| settings.trust_browsers = Some(time))
    }

    /// Gives browsers no cookie, and trusts none.
    #[must_use]
    pub fn trust_no_browser(self) -> Self {
        self.change(|settings| settings.trust_browsers = None)
    }

    /// Never refuses clients of `network`, and counts nothing of theirs.
    #[must_use]
    pub fn exempt(self, network: Network) -> Self {
        self.change(|settings| settings.exempt.push(network))
    }

    /// What user names are hashed with and trusted browsers are known by. Without keys both end with the process;
    /// machines that count together need the same.
    #[must_use]
    pub fn keys(self, keys: &Keys) -> Self {
        self.change(|settings| settings.secrets = Some(Secrets::of(keys)))
    }

    /// Counts user names apart from other sites in the same [`World`]; addresses are everybody's.
    #[must_use]
    pub fn scope(self, scope: &str) -> Self {
        self.change(|settings| settings.scope = buckets::scope(scope))
    }

    /// The limiters that may keep somebody out.
    pub(crate) fn limiters(guard: &Guard<Self>) -> Vec<(&'static str, Limiter)> {
        let limiters = |policy: &Self| Limiters::of(&policy.0, guard.is_observed()).into_all().into();
        guard.policy().map(limiters).unwrap_or_default()
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

/// In an app of your own: nothing is read, handlers take an [`Attempt`].
impl Default for BruteForce {
    fn default() -> Self {
        Self(Arc::new(Settings { finds_logins: false, ..Settings::in_front() }))
    }
}

impl From<Settings> for BruteForce {
    fn from(settings: Settings) -> Self {
        Self(Arc::new(settings))
    }
}

impl Policy for BruteForce {
    const PRACTICE: Practice = Practice::BruteForce;

    fn in_front() -> Self {
        Settings::in_front().into()
    }

    fn summary(&self) -> String {
        let Settings { by_username_and_ip, by_ip, .. } = &*self.0;
        format!("{} by user and address, {} by address", by_username_and_ip.failures(), by_ip.failures())
    }
}

impl Settings {
    fn in_front() -> Self {
        Self {
            username: None,
            failure: Signs::default(),
            by_username_and_ip: Metric::new(10, Period::seconds(90 * DAY)).block(Period::seconds(HOUR)),
            by_ip: Metric::new(100, Period::seconds(DAY)).block(Period::seconds(DAY)),
            by_username: Metric::new(50, Period::seconds(DAY)),
            keys: Naming::Hashed,
            trust_browsers: Some(Period::seconds(90 * DAY)),
            exempt: Vec::new(),
            finds_logins: true,
            secrets: None,
            scope: 0,
        }
    }

    /// Whoever is exempt is not even counted.
    fn exempts(&self, visit: &Visit) -> bool {
        self.exempt.iter().any(|network| network.contains(visit.client.ip()))
    }

    fn secrets<'s>(&'s self, world: &'s World) -> &'s Secrets {
        self.secrets.as_ref().unwrap_or_else(|| world.secrets())
    }
}

/// `"off"`, or how long.
fn trust<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Period>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(SettingError::into_serde)
}

const HOUR: u32 = 3_600;
const DAY: u32 = 86_400;
