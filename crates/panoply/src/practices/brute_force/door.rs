use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts;

use super::device::Device;
use super::limiters::Limiters;
use super::login_path::spelled;
use super::tries::{Ip, Try, User, Who};
use super::{Naming, Settings, username};
use crate::client::Client;
use crate::{Rejection, Scheme, Visit, World};

/// Who somebody says to be, as far as his request tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named<'n> {
    /// Any of these; and, where a part of the request is hidden from us, who does so at that path.
    Users { usernames: &'n [String], is_all: bool, hidden_at: Option<&'n str> },
    /// There is a password and no user: there may be only one, or the path says which.
    Nobody { path: &'n str },
    /// It is hidden from us and not from the app: whoever does so at a path is one user there.
    Disguised { path: &'n str },
    /// Nothing was read of it.
    Unread,
}

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

    /// Asks whether the visitor may try so many passwords as who he is `named`.
    pub(super) async fn begin(&self, named: Named<'_>, guesses: u32) -> Result<Try, Rejection> {
        let limiters = Limiters::of(&self.settings, self.observed);
        Try::begin(Arc::clone(&self.world), limiters, self.who(named), guesses).await
    }

    /// Counts a try that was refused unread.
    pub(super) async fn charge_ip(&self) -> Result<(), Rejection> {
        self.begin(Named::Unread, 1).await?.end(super::outcome::Outcome::Unclear).await
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
    fn who(&self, named: Named<'_>) -> Who {
        let name = match self.settings.keys {
            Naming::Hashed => self.client.household(),
            Naming::Node => self.client.ip().to_string(),
        };
        let user = |username: &String, is_sure: bool| {
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
                name: Some(user),
                is_sure,
            }
        };
        let mut users: Vec<User> = match named {
            Named::Users { usernames, is_all, hidden_at } => {
                let hidden = hidden_at.and_then(|path| self.stand_in("disguised", path, &name));
                usernames.iter().map(|username| user(username, is_all)).chain(hidden).collect()
            }
            Named::Nobody { path } => self.stand_in("nobody", path, &name).into_iter().collect(),
            Named::Disguised { path } => self.stand_in("disguised", path, &name).into_iter().collect(),
            Named::Unread => Vec::new(),
        };
        users.sort_unstable_by(|one, other| one.pair.cmp(&other.pair));
        users.dedup_by(|one, other| one.pair == other.pair);
        Who { ip: Ip { name, stands_for_one: self.client.stands_for_one() }, users }
    }

    /// The user whom all at `path` share who name none. No user can be called so: in the spelling of one there is no NUL.
    ///
    /// Where nobody is named there is a count with the address, and none from everywhere: it may be all of a site's
    /// users. The recipe for Express knows neither.
    fn stand_in(&self, kind: &str, path: &str, from: &str) -> Option<User> {
        if self.settings.keys == Naming::Node {
            return None;
        }
        let path: Vec<u8> = spelled(path).collect();
        let name = format!("\0{kind} {}", path.escape_ascii());
        let name = self.settings.secrets(&self.world).hash(self.settings.scope, &name);
        let pair = format!("{name}_{from}");
        let is_sure = kind == "nobody";
        Some(User { shown: pair.clone(), pair, trusted: false, name: (!is_sure).then_some(name), is_sure })
    }
}
