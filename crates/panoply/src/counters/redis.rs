use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use redis::cmd;

use super::{Answer, Count, Counters, Key, MOST_LISTED, Rule};
use crate::SettingError;
use crate::redis_servers::{Question, Script, Servers, Walk, seconds};
use crate::store::StoreError;

/// Counts in Redis 7, Valkey or Dragonfly, alone or as a cluster, as rate-limiter-flexible keeps them: the value is
/// the points in decimal, the time the key's own. Node and Rust count together.
///
/// It connects at the first use and again whenever the connection broke, so a site starts without its counters. All
/// requests share two connections, and each call is one round trip; hits that come at once go in one write. What found
/// the connection broken is asked once more on a new one, but for points that are given back: a hit may be counted
/// twice then, and never a reward. What waited for its turn as long as an answer may take is not asked at all.
///
/// Redis counts in seconds: a window, a block and the time of [`set`](Counters::set) are rounded up. A value that is
/// no whole number is an error, and stays.
///
/// ```no_run
/// use panoply::counters::Redis;
///
/// # fn main() -> Result<(), panoply::SettingError> {
/// let counters = Redis::connect("rediss://panoply:a-password@redis.example:6380/0")?;
/// let of_a_cluster = Redis::cluster(["redis://10.0.0.1", "redis://10.0.0.2"])?;
/// # Ok(())
/// # }
/// ```
pub struct Redis {
    servers: Servers,
}

impl Redis {
    /// The server at `redis://`, `rediss://` (by TLS), or `redis+unix://`: `redis://USER:PASSWORD@HOST:PORT/DATABASE`.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// When the URL is none of these.
    pub fn connect(url: &str) -> Result<Self, SettingError> {
        Ok(Self { servers: Servers::one(url)? })
    }

    /// The cluster to which the servers at `urls` belong; the others are found.
    ///
    /// # Errors
    /// When one of the URLs is none, or there is none.
    pub fn cluster<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, SettingError> {
        Ok(Self { servers: Servers::cluster(urls)? })
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

    /// How long an answer may take, 500 ms unless told: a visitor waits for it, and Redis needs less than one. A new
    /// connection has a second more.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.servers.timeout(timeout);
        self
    }

    async fn hit(&self, script: Script) -> Result<Count, StoreError> {
        let (points, left) = self.servers.ask(Question::Script(script)).await?;
        Ok(Count { points, left: time_left(left) })
    }

    async fn found(&self, key: &str) -> Result<Option<Count>, StoreError> {
        let mut pipe = redis::pipe();
        pipe.atomic().cmd("GET").arg(key).cmd("PTTL").arg(key);
        let (points, left): (Option<i64>, i64) = self.servers.ask(Question::Several(pipe)).await?;
        Ok(points.map(|points| Count { points, left: time_left(left) }))
    }

    async fn search(&self, prefix: &str, line: i64) -> Result<Vec<(String, Count)>, StoreError> {
        let start = Key { prefix, name: "", network: None }.to_string();
        let (mut walk, mut found) = (Walk::new(&self.servers, &start), BTreeMap::new());
        while found.len() < MOST_LISTED
            && let Some(keys) = walk.next().await?
        {
            for key in self.above(keys, line).await? {
                let name = key.strip_prefix(&start).unwrap_or_default();
                // A walk may come by twice, and time goes by meanwhile.
                if let Some(count) = self.found(&key).await?.filter(|count| count.points > line) {
                    found.insert(name.to_owned(), count);
                }
            }
        }
        Ok(found.into_iter().take(MOST_LISTED).collect())
    }

    /// Those of the keys that hold a number above the line.
    async fn above(&self, keys: Vec<String>, line: i64) -> Result<Vec<String>, StoreError> {
        if keys.is_empty() {
            return Ok(keys);
        }
        let mut get = cmd("MGET");
        get.arg(&keys);
        let values: Vec<Option<Vec<u8>>> = self.servers.ask(Question::One(get)).await?;
        let points = values.into_iter().map(|value| String::from_utf8(value?).ok()?.parse::<i64>().ok());
        let above =
            keys.into_iter().zip(points).filter(|(_, points)| points.is_some_and(|points| points > line));
        Ok(above.map(|(key, _)| key).collect())
    }
}

impl Counters for Redis {
    fn add<'a>(&'a self, key: Key<'a>, points: i64, rule: &'a Rule) -> Answer<'a, Count> {
        let whole = |time: Option<Duration>| i64::try_from(time.map_or(0, seconds)).unwrap_or(i64::MAX);
        Answer::later(self.hit(Script {
            hash: &HASH,
            text: HIT,
            key: key.to_string(),
            arguments: [points, whole(rule.window()), whole(rule.block()), rule.points().into()],
            repeatable: points >= 0,
        }))
    }

    fn peek<'a>(&'a self, key: Key<'a>) -> Answer<'a, Option<Count>> {
        Answer::later(async move { self.found(&key.to_string()).await })
    }

    fn set<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        let mut set = cmd("SET");
        set.arg(key.to_string()).arg(count.points);
        if let Some(left) = count.left {
            set.arg("EX").arg(seconds(left).max(1));
        }
        Answer::later(self.servers.ask(Question::One(set)))
    }

    /// The same: what Redis drops when it is full is its operator's to say (`maxmemory-policy noeviction`).
    fn block<'a>(&'a self, key: Key<'a>, count: Count) -> Answer<'a, ()> {
        self.set(key, count)
    }

    fn forget<'a>(&'a self, key: Key<'a>) -> Answer<'a, bool> {
        let mut delete = cmd("DEL");
        delete.arg(key.to_string());
        Answer::later(self.servers.ask(Question::One(delete)))
    }

    /// All keys of the server, or of the cluster's masters, are looked through, a thousand at a time; ten million at
    /// most.
    fn over<'a>(&'a self, prefix: &'a str, line: u32) -> Answer<'a, Vec<(String, Count)>> {
        Answer::later(self.search(prefix, line.into()))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("at", &self.servers.addresses()).finish_non_exhaustive()
    }
}

/// In milliseconds; −1 is for ever.
fn time_left(milliseconds: i64) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

/// [`Rule::add`], in the order of rate-limiter-flexible's steps. The end of a key is set with it, so that none is
/// left without; what Lua 5.1 and 5.4 print differently is never printed: values are Redis' own or come as they are.
const HIT: &str = "\
local points, line = tonumber(ARGV[1]), tonumber(ARGV[4])
local window, block = tonumber(ARGV[2]), tonumber(ARGV[3])
if window > 0 then
  redis.call('SET', KEYS[1], '0', 'EX', ARGV[2], 'NX')
end
local after = redis.call('INCRBY', KEYS[1], ARGV[1])
local before = after - points
if block > 0 and before <= line and after > line then
  redis.call('EXPIRE', KEYS[1], ARGV[3])
  return {after, block * 1000}
end
local left = redis.call('PTTL', KEYS[1])
if left == -1 and window > 0 and before <= line then
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  left = window * 1000
end
return {after, left}
";

/// By which Redis knows a script.
static HASH: LazyLock<String> = LazyLock::new(|| {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, HIT.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
});
