use std::fmt;
use std::time::Duration;

use redis::cmd;

use super::{Answer, Replaced, Store, StoreError};
use crate::redis_servers::{Question, Servers, seconds};
use crate::{Clock, SettingError};

/// Sessions in Redis 7, Valkey or Dragonfly, alone or as a cluster, in the format of connect-redis: the key is
/// `sess:` and the id, the value the session's JSON, the time the key's own.
///
/// It connects at the first use and again whenever the connection broke, so a site starts without its store. All
/// requests share one connection. Each call is one round trip of plain commands, no scripts;
/// [`destroy_all`](Store::destroy_all) is three for a thousand sessions. What found the connection broken is asked
/// once more on a new one: every question here may be asked twice.
///
/// Redis can swap but not compare, so [`replace`](Store::replace) leaves the new text in any case and says what it
/// displaced: a request that ends between that and its second try leaves out what another wrote.
///
/// Whose sessions are whose stands beside them, in the sorted set `user-sess:` and the user: outside what
/// connect-redis finds when it lists or clears its keys. Redis cannot take a session from a user to whom it
/// was bound before: it is either's.
///
/// ```no_run
/// use panoply::store::Redis;
///
/// # fn main() -> Result<(), panoply::SettingError> {
/// let sessions = Redis::connect("rediss://panoply:a-password@redis.example:6380/0")?.prefix("shop:");
/// let of_a_cluster = Redis::cluster(["redis://10.0.0.1", "redis://10.0.0.2"])?;
/// # Ok(())
/// # }
/// ```
pub struct Redis {
    servers: Servers,
    clock: Clock,
    prefix: String,
}

impl Redis {
    /// The server at `redis://`, `rediss://` (by TLS), or `redis+unix://`: `redis://USER:PASSWORD@HOST:PORT/DATABASE`.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// When the URL is none of these.
    pub fn connect(url: &str) -> Result<Self, SettingError> {
        Ok(Self::at(Servers::one(url)?))
    }

    /// The cluster to which the servers at `urls` belong; the others are found.
    ///
    /// # Errors
    /// When one of the URLs is none, or there is none.
    pub fn cluster<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, SettingError> {
        Ok(Self::at(Servers::cluster(urls)?))
    }

    /// What keys begin with, `sess:` unless told, as with connect-redis.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The authority that signed the servers' certificates, in PEM, for `rediss://`; without one it is those that the
    /// machine trusts, or that `SSL_CERT_FILE` names.
    ///
    /// # Errors
    /// When it holds no certificate.
    pub fn authority(mut self, pem: &[u8]) -> Result<Self, SettingError> {
        self.servers.trust(pem)?;
        Ok(self)
    }

    /// The clock by which the index of users forgets, the machine's unless told; sessions expire by Redis' own.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How long an answer may take, 500 ms unless told: a visitor waits for it, and Redis needs less than one. A new
    /// connection has a second more.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.servers.timeout(timeout);
        self
    }

    fn at(servers: Servers) -> Self {
        Self { servers, clock: Clock::system(), prefix: "sess:".to_owned() }
    }

    fn key(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    /// Never matched by `SCAN prefix*`.
    fn user_key(&self, user: &str) -> String {
        let lead = if self.prefix.starts_with('u') { "of-user-" } else { "user-" };
        format!("{lead}{}{user}", self.prefix)
    }

    async fn bound(&self, user: &str, id: &str, time: Duration) -> Result<(), StoreError> {
        let (key, now) = (self.user_key(user), self.clock.unix_time().as_secs());
        let seconds = seconds(time);
        let mut pipe = redis::pipe();
        pipe.cmd("ZADD").arg(&key).arg("GT").arg(now.saturating_add(seconds)).arg(id).ignore();
        // What has expired goes, so that the set holds one user's living sessions and those destroyed lately.
        pipe.cmd("ZREMRANGEBYSCORE").arg(&key).arg("-inf").arg(now).ignore();
        // `GT` takes a key without a time for one that lives for ever.
        pipe.cmd("EXPIRE").arg(&key).arg(seconds).arg("NX").ignore();
        pipe.cmd("EXPIRE").arg(&key).arg(seconds).arg("GT").ignore();
        self.servers.ask(Question::Several(pipe)).await
    }

    async fn forget_all(&self, user: &str, except: Option<&str>) -> Result<usize, StoreError> {
        let (key, mut count) = (self.user_key(user), 0);
        loop {
            let mut range = cmd("ZRANGE");
            range.arg(&key).arg(0).arg(AT_ONCE);
            let ids: Vec<String> = self.servers.ask(Question::One(range)).await?;
            let ids: Vec<&str> = ids.iter().map(String::as_str).filter(|id| Some(*id) != except).collect();
            if ids.is_empty() {
                return Ok(count);
            }
            // In a cluster the keys are sorted by where they are, and the numbers added up.
            let mut delete = cmd("DEL");
            ids.iter().for_each(|id| _ = delete.arg(self.key(id)));
            count += self.servers.ask::<usize>(Question::One(delete)).await?;
            // Not the whole set: a login that comes now stays in it.
            let mut remove = cmd("ZREM");
            remove.arg(&key).arg(ids);
            self.servers.ask::<()>(Question::One(remove)).await?;
        }
    }
}

impl Store for Redis {
    fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>> {
        let mut get = cmd("GET");
        get.arg(self.key(id));
        Box::pin(self.servers.ask(Question::One(get)))
    }

    fn create<'a>(&'a self, id: &'a str, text: &'a str, time: Duration) -> Answer<'a, ()> {
        if time.is_zero() {
            return self.destroy(id);
        }
        let mut set = cmd("SET");
        set.arg(self.key(id)).arg(text).arg("EX").arg(seconds(time));
        Box::pin(self.servers.ask(Question::One(set)))
    }

    fn replace<'a>(
        &'a self,
        id: &'a str,
        was: &'a str,
        text: &'a str,
        time: Duration,
    ) -> Answer<'a, Replaced> {
        let mut swap = cmd(if time.is_zero() { "GETDEL" } else { "SET" });
        swap.arg(self.key(id));
        if !time.is_zero() {
            swap.arg(text).arg("XX").arg("GET").arg("EX").arg(seconds(time));
        }
        Box::pin(async move {
            Ok(match self.servers.ask::<Option<String>>(Question::One(swap)).await? {
                None => Replaced::Gone,
                Some(found) if found == was => Replaced::Done,
                Some(found) => Replaced::Conflict { found, now: text.to_owned() },
            })
        })
    }

    fn touch<'a>(&'a self, id: &'a str, time: Duration) -> Answer<'a, bool> {
        let mut expire = cmd("EXPIRE");
        expire.arg(self.key(id)).arg(seconds(time));
        Box::pin(self.servers.ask(Question::One(expire)))
    }

    fn destroy<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        let mut delete = cmd("DEL");
        delete.arg(self.key(id));
        Box::pin(self.servers.ask(Question::One(delete)))
    }

    fn bind<'a>(&'a self, user: &'a str, id: &'a str, time: Duration) -> Answer<'a, ()> {
        Box::pin(self.bound(user, id, time))
    }

    fn destroy_all<'a>(&'a self, user: &'a str, except: Option<&'a str>) -> Answer<'a, usize> {
        Box::pin(self.forget_all(user, except))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("at", &self.servers.addresses())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The last of a thousand.
const AT_ONCE: usize = 999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("redis://ann:hunter2@shop.example:6380/3", true),
            ("rediss://:hunter2@shop.example", true),
            ("redis://ann:hunter2@shop.example:port", false),
            ("rediss://:hunter2@shop.example#insecure", false),
            ("http://:hunter2@shop.example", false),
        ] {
            let text = match Redis::connect(url) {
                Ok(store) => format!("{store:?}"),
                Err(error) => format!("{error:?} {error} {}", error.hint()),
            };
            assert_eq!(text.contains("shop.example"), shown, "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert!(Redis::cluster([]).is_err());
    }

    #[test]
    fn the_index_of_users_is_outside_what_connect_redis_lists() {
        for prefix in ["sess:", "u", "user-", "of-"] {
            let store = Redis::connect("redis://127.0.0.1").unwrap().prefix(prefix);
            assert!(!store.user_key("ann").starts_with(prefix), "{prefix}");
        }
    }
}
