use std::time::Duration;

use super::Settings;
use crate::counters::{Limiter, Standing};
use crate::store::StoreError;
use crate::{Period, World};

/// What is counted, each under the prefix that the recipe for Express gives it, so that Node counts along.
#[derive(Debug)]
pub(super) struct Limiters {
    pub(super) ip: Limiter,
    pub(super) username_and_ip: Limiter,
    pub(super) username: Limiter,
    /// The strictest that an address gets: while a user name is under attack from many.
    pub(super) under_attack: Limiter,
    /// How often a pair was blocked: each time it is for twice as long.
    blocks: Limiter,
    block: Option<Duration>,
}

impl Limiters {
    /// What is only observed is counted apart, or it would block when it is in earnest.
    pub(super) fn of(settings: &Settings, observed: bool) -> Self {
        let prefix = |name: &str| if observed { format!("observe:{name}") } else { name.to_owned() };
        Self {
            ip: settings.by_ip.limiter(prefix(IP)),
            username_and_ip: settings.by_username_and_ip.limiter(prefix(USERNAME_AND_IP)),
            username: settings.by_username.limiter(prefix(USERNAME)),
            under_attack: Limiter::new(prefix(UNDER_ATTACK), 1, HOUR),
            blocks: Limiter::new(prefix(BLOCKS), u32::MAX, REMEMBERED),
            block: settings.by_username_and_ip.block_time().map(Period::duration),
        }
    }

    /// The name of a limiter's rule, as operators know it.
    pub(super) fn rule(&self, limiter: &Limiter) -> &'static str {
        [(&self.ip, "by_ip"), (&self.username_and_ip, "by_username_and_ip")]
            .into_iter()
            .find_map(|(known, name)| (known == limiter).then_some(name))
            .unwrap_or("by_username")
    }

    /// All that keeps an address out, and how often it did, each with its rule's name.
    pub(super) fn into_all(self) -> [(&'static str, Limiter); 4] {
        [
            ("by_ip", self.ip),
            ("by_username_and_ip", self.username_and_ip),
            ("by_username", self.under_attack),
            ("by_username_and_ip", self.blocks),
        ]
    }

    /// A pair has just been blocked: if it was before, then for twice as long as the last time, up to a day.
    pub(super) async fn grow(
        &self,
        world: &World,
        pair: &str,
        standing: Standing,
    ) -> Result<Standing, StoreError> {
        let Some(block) = self.block else { return Ok(standing) };
        let counters = &*world.counters;
        let before = self.blocks.penalty(counters, pair, 1).await?.consumed().saturating_sub(1);
        if before < 1 {
            return Ok(standing);
        }
        let times = 1_u32.checked_shl(u32::try_from(before).unwrap_or(u32::MAX)).unwrap_or(u32::MAX);
        let time = block.saturating_mul(times).min(LONGEST_BLOCK.max(block));
        self.username_and_ip.block(counters, pair, time).await
    }

    /// The right password: what the pair failed before is forgotten, as the recipe does it.
    pub(super) async fn forgive(&self, world: &World, pair: &str) -> Result<(), StoreError> {
        let counters = &*world.counters;
        if self.username_and_ip.get(counters, pair).await?.is_some_and(|standing| standing.consumed() > 0) {
            self.username_and_ip.delete(counters, pair).await?;
        }
        for limiter in [&self.blocks, &self.under_attack] {
            limiter.delete(counters, pair).await?;
        }
        Ok(())
    }
}

/// The recipe's names.
const IP: &str = "login_fail_ip_per_day";
const USERNAME_AND_IP: &str = "login_fail_consecutive_username_and_ip";
const USERNAME: &str = "login_fail_username_per_day";

/// Ours: nobody else counts these.
const UNDER_ATTACK: &str = "login_fail_username_under_attack";
const BLOCKS: &str = "login_fail_blocks";

const HOUR: Duration = Duration::from_secs(3_600);

/// Whoever comes back after a block within this time is kept out for longer.
const REMEMBERED: Duration = Duration::from_secs(90 * 86_400);

/// Who has forgotten his password tries again on the next day.
const LONGEST_BLOCK: Duration = Duration::from_secs(86_400);
