use http::{HeaderMap, HeaderValue};

use super::secrets::Secrets;
use crate::keys::Context;
use crate::random::random_id;
use crate::{Period, World, cookie_header};

/// A browser in which users have logged in before: it holds a sealed cookie that says so, and for whom.
///
/// Such a browser is counted by itself, and not with the others at its address or the tries of its user name from
/// elsewhere (OWASP's device cookies). It is trusted for its own users alone, so that a thief gains ten tries at them.
#[derive(Clone, Debug)]
pub(super) struct Device {
    id: String,
    /// Hashed, the last that logged in at the end.
    users: Vec<String>,
    /// How long ago the cookie was made; `None`: it has not been yet.
    age: Option<std::time::Duration>,
}

impl Device {
    /// What the request's cookie says, unless it is too old, or none of ours.
    pub(super) fn presented(
        headers: &HeaderMap,
        site: &str,
        secrets: &Secrets,
        world: &World,
        trust: Period,
    ) -> Option<Self> {
        let sealed = cookie_header::find(headers, NAME)?;
        let opened = secrets.devices.open(&context(site), sealed.as_bytes())?;
        let age = world.unix_time().saturating_sub(opened.issued);
        if age > trust.duration() {
            return None;
        }
        let text = String::from_utf8(opened.plain).ok()?;
        let mut parts = text.split(' ').map(ToOwned::to_owned);
        Some(Self { id: parts.next()?, users: parts.collect(), age: Some(age) })
    }

    /// One that nobody has seen yet.
    pub(super) fn new() -> Self {
        Self { id: random_id(), users: Vec::new(), age: None }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether `user`, hashed, has logged in here.
    pub(super) fn knows(&self, user: &str) -> bool {
        self.users.iter().any(|known| known == user)
    }

    /// The line that makes this browser trusted for `user`, hashed; `None` where it has a good one.
    pub(super) fn welcome(
        mut self,
        user: &str,
        site: &str,
        secrets: &Secrets,
        world: &World,
        trust: Period,
    ) -> Option<HeaderValue> {
        let is_fresh = self.age.is_some_and(|age| age < trust.duration() / 2);
        if is_fresh && self.knows(user) {
            return None;
        }
        self.users.retain(|known| known != user);
        let surplus = (self.users.len() + 1).saturating_sub(MOST_USERS);
        self.users.drain(..surplus);
        self.users.push(user.to_owned());
        let plain = format!("{} {}", self.id, self.users.join(" "));
        let sealed = secrets.devices.seal(&context(site), plain.as_bytes(), world.unix_time());
        let seconds = trust.duration().as_secs();
        let line = format!("{NAME}={sealed}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
        line.try_into().ok()
    }
}

const fn context(site: &str) -> Context<'_> {
    Context { site, name: NAME }
}

/// It names no software, and no neighbouring host can set it.
const NAME: &str = "__Host-device";

/// A family's browser; whoever has not logged in for the longest goes first.
const MOST_USERS: usize = 8;
