use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts;

use super::device::Device;
use super::limiters::Limiters;
use super::tries::{Ip, Try, User, Who};
use super::{Naming, Settings, username};
use crate::client::Client;
use crate::{Rejection, Scheme, Visit, World};

/// Where a visitor stands with what he brings, before he says who he is.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) settings: Arc<Settings>,
    pub(super) world: Arc<World>,
    pub(super) observed: bool,
    pub(super) exempt: bool,
    client: Client,
    scheme: Scheme,
    /// The name that the browser came to, in lower case: it is trusted there alone.
    site: String,
    device: Option<Device>,
}

impl Door {
    pub(super) fn new(
        settings: &Arc<Settings>,
        world: &Arc<World>,
        observed: bool,
        visit: &Visit,
        request: &Parts,
    ) -> Self {
        let site = visit.host().unwrap_or_default().to_ascii_lowercase();
        let secrets = settings.secrets(world);
        let device = settings
            .trust_browsers
            .and_then(|trust| Device::presented(&request.headers, &site, secrets, world, trust));
        Self {
            settings: Arc::clone(settings),
            world: Arc::clone(world),
            observed,
            exempt: settings.exempts(visit),
            client: visit.client,
            scheme: visit.scheme,
            site,
            device,
        }
    }

    /// Asks whether the visitor may try to log in as any of `usernames`; as none, where they could not be read.
    pub(super) async fn begin(&self, usernames: &[String]) -> Result<Try, Rejection> {
        let limiters = Limiters::of(&self.settings, self.observed);
        Try::begin(Arc::clone(&self.world), limiters, self.who(usernames)).await
    }

    /// Counts a try that was refused unread.
    pub(super) async fn charge_ip(&self) -> Result<(), Rejection> {
        self.begin(&[]).await?.end(super::outcome::Outcome::Unclear).await
    }

    /// The line that makes the browser trusted for `username`, where that is wanted and new, and the way is secret.
    pub(super) fn welcome(&self, username: &str) -> Option<HeaderValue> {
        let trust = self.settings.trust_browsers?;
        if self.scheme != Scheme::Https {
            return None;
        }
        let device = self.device.clone().unwrap_or_else(Device::new);
        device.welcome(
            &self.hash(username),
            &self.site,
            self.settings.secrets(&self.world),
            &self.world,
            trust,
        )
    }

    fn hash(&self, username: &str) -> String {
        self.settings.secrets(&self.world).hash(self.settings.scope, &username::normalised(username))
    }

    /// In the names under which it is counted.
    fn who(&self, usernames: &[String]) -> Who {
        let name = match self.settings.keys {
            Naming::Hashed => self.client.household(),
            Naming::Node => self.client.ip().to_string(),
        };
        let user = |username: &String| {
            let hash = self.hash(username);
            let trusted = self.device.as_ref().filter(|device| device.knows(&hash));
            let from = trusted.map_or(&*name, Device::id);
            let (user, shown) = match self.settings.keys {
                Naming::Hashed => (hash.clone(), hash),
                Naming::Node => (username.clone(), "*".to_owned()),
            };
            User {
                pair: format!("{user}_{from}"),
                shown: format!("{shown}_{from}"),
                trusted: trusted.is_some(),
                name: user,
            }
        };
        let mut users: Vec<User> = usernames.iter().map(user).collect();
        users.sort_unstable_by(|one, other| one.pair.cmp(&other.pair));
        users.dedup_by(|one, other| one.pair == other.pair);
        Who { ip: Ip { name, stands_for_one: self.client.stands_for_one() }, users }
    }
}
