use std::fmt;
use std::time::Duration;

use redis::cmd;

use super::milliseconds;
use crate::SettingError;
use crate::redis_servers::{Question, Servers};
use crate::store::StoreError;
use crate::store_url::nodes;

/// In Redis, alone or as a cluster: each verb is one step on one key.
pub(super) struct Redis(Servers);

impl Redis {
    pub(super) fn open(url: &str) -> Result<Self, SettingError> {
        let nodes = nodes(url);
        Ok(Self(if nodes.len() > 1 { Servers::cluster(nodes)? } else { Servers::one(url)? }))
    }

    pub(super) async fn read(&self, name: &str) -> Result<Option<String>, StoreError> {
        let mut read = cmd("GET");
        read.arg(value(name));
        let bytes: Option<Vec<u8>> = self.0.ask(Question::One(read)).await?;
        // What is no text is nothing that was sealed.
        Ok(bytes.map(|bytes| String::from_utf8(bytes).unwrap_or_default()))
    }

    pub(super) async fn write(&self, name: &str, sealed: &str, time: Duration) -> Result<(), StoreError> {
        let mut write = cmd("SET");
        write.arg(value(name)).arg(sealed).arg("PX").arg(milliseconds(time));
        self.0.ask(Question::One(write)).await
    }

    /// Where it was asked twice because the connection broke, the second time finds what the first has written, and says
    /// that it did not.
    pub(super) async fn write_first(
        &self,
        name: &str,
        sealed: &str,
        time: Duration,
    ) -> Result<bool, StoreError> {
        let mut write = cmd("SET");
        write.arg(value(name)).arg(sealed).arg("NX").arg("PX").arg(milliseconds(time));
        let done: Option<String> = self.0.ask(Question::One(write)).await?;
        Ok(done.is_some())
    }

    /// Puts `after` where `before` stands, for as long as that had still to stand.
    pub(super) async fn exchange(&self, name: &str, before: &str, after: &str) -> Result<(), StoreError> {
        let mut run = cmd("EVAL");
        run.arg(EXCHANGE).arg(1).arg(value(name)).arg(before).arg(after);
        self.0.ask(Question::One(run)).await
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let mut remove = cmd("DEL");
        remove.arg(value(name));
        self.0.ask(Question::One(remove)).await
    }

    pub(super) async fn claim(&self, name: &str, holder: &str, time: Duration) -> Result<bool, StoreError> {
        self.run(CLAIM, name, holder, milliseconds(time)).await
    }

    pub(super) async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        self.run(RELEASE, name, holder, 0).await.map(drop)
    }

    /// Claims are rare: a script is sent whole. It may run twice, since a claim that is his already is his again.
    async fn run(&self, script: &str, name: &str, holder: &str, time: i64) -> Result<bool, StoreError> {
        let mut run = cmd("EVAL");
        run.arg(script).arg(1).arg(format!("panoply:claim:{name}")).arg(holder).arg(time);
        self.0.ask(Question::One(run)).await
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.addresses().fmt(f)
    }
}

fn value(name: &str) -> String {
    format!("panoply:shared:{name}")
}

const EXCHANGE: &str = "\
local left = redis.call('PTTL', KEYS[1])
if left > 0 and redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', left)
end
return 0
";

const CLAIM: &str = "\
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
";

const RELEASE: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
";
