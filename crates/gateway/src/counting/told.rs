use std::time::Duration;

use panoply::counters::{Count, Counters, Key, Limiter, Rule};
use panoply::store::StoreError;
use serde::{Deserialize, Serialize};

/// What was done to a count, for another process to do the same.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Told {
    prefix: String,
    name: String,
    network: Option<String>,
    done: Done,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Done {
    Add { points: i64, line: u32, window: Option<Duration>, block: Option<Duration> },
    Set { points: i64, left: Option<Duration> },
    Block { points: i64, left: Option<Duration> },
    Forget {},
}

impl Done {
    pub(super) const fn added(points: i64, rule: &Rule) -> Self {
        Self::Add { points, line: rule.points(), window: rule.window(), block: rule.block() }
    }
}

impl Told {
    pub(super) fn of(Key { prefix, name, network }: Key<'_>, done: Done) -> Self {
        Self { prefix: prefix.to_owned(), name: name.to_owned(), network: network.map(str::to_owned), done }
    }

    /// Does it to `counters`.
    ///
    /// # Errors
    /// When they fail.
    pub(crate) async fn count(&self, counters: &dyn Counters) -> Result<(), StoreError> {
        let key = Key { prefix: &self.prefix, name: &self.name, network: self.network.as_deref() };
        match self.done {
            Done::Add { points, line, window, block } => {
                // No time is for ever, as everywhere.
                let limiter = Limiter::new("", line, window.unwrap_or_default());
                let limiter = limiter.block_time(block.unwrap_or_default());
                counters.add(key, points, limiter.rule()).await.map(drop)
            }
            Done::Set { points, left } => counters.set(key, Count { points, left }).await,
            Done::Block { points, left } => counters.block(key, Count { points, left }).await,
            Done::Forget {} => counters.forget(key).await.map(drop),
        }
    }
}
