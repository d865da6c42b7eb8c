//! What one limit asks of one request, and how several are decided together.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use super::announce::{self, Notice, seconds};
use super::by::Owner;
use super::{Announce, By};
use crate::buckets::{Charged, Key, Over};
use crate::{Evidence, Practice, Rate, Rejection, Visit, World};

/// What one limit asks of one request.
#[derive(Debug)]
pub(super) struct Claim<'c> {
    pub(super) name: &'c str,
    pub(super) rate: Rate,
    pub(super) cost: u32,
    pub(super) by: &'c By,
    pub(super) owner: Owner<'c>,
    pub(super) key: Key,
    /// `on` or `observe`: under which it counts.
    pub(super) state: &'static str,
    pub(super) force: Force,
}

/// What becomes of who is over a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Force {
    /// He is refused.
    Acts,
    /// He is logged.
    Observes,
    /// His address is everybody's: that it asks often is news once a minute, not with each request.
    Everybodys,
}

/// A charge that can be taken back.
#[derive(Debug)]
pub(super) struct Receipt {
    key: Key,
    rate: Rate,
    charged: Charged,
}

impl Receipt {
    pub(super) fn give_back(&self, world: &World) {
        world.buckets.give_back(self.key, self.rate, self.charged);
    }
}

/// The charges of a request that passes, and how its client now stands.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) receipts: Vec<Receipt>,
    pub(super) notices: Vec<Notice>,
}

impl Claim<'_> {
    /// The only one that a request has to meet: one exchange in memory, or a refusal.
    pub(super) fn settle_alone(
        &self,
        visit: &Visit,
        world: &World,
        announce: Announce,
    ) -> Result<(), Rejection> {
        match world.buckets.charge(self.key, self.rate, self.cost, world.now()) {
            Ok(_) => Ok(()),
            Err(over) if self.force == Force::Acts => {
                Err(refusal(visit, world, announce, &[(self, over)], &[self], &[]))
            }
            Err(over) => self.watched(visit, world, over).map_or(Ok(()), Err),
        }
    }

    /// What the log is told of a request that another state of affairs would refuse.
    fn watched(&self, visit: &Visit, world: &World, over: Over) -> Option<Rejection> {
        let is_news = self.force == Force::Observes
            || world.buckets.charge(self.key.aside(), Rate::MINUTELY, 1, world.now()).is_ok();
        is_news.then(|| refusal(visit, world, Announce::Never, &[(self, over)], &[], &[]).only_observed())
    }

    fn evidence(&self, visit: &Visit, world: &World, over: Over) -> Evidence {
        let burst = self.rate.burst();
        let left = i64::try_from(over.left.requests(self.rate, 1)).unwrap_or(i64::MAX);
        Evidence {
            rule: Cow::Owned(self.name.to_owned()),
            key: self.owner.shown(self.by, visit, world),
            count: i64::from(burst) - left + i64::from(self.cost),
            points: burst,
        }
    }
}

/// Charges all limits that act, or none of them; then those that only observe.
///
/// All are looked at first, so that who is refused has written nothing. Between the look and the charge another
/// request of the same client may take the last: then what was charged is given back, but only where nobody has built
/// on it. So never more passes than each limit lets through, and a client that races with itself may be charged for a
/// refused request now and then. `elsewhere`: the policies that the counters decide on later.
pub(super) fn settle(
    claims: &[Claim<'_>],
    elsewhere: &[Notice],
    visit: &Visit,
    world: &World,
    announce: Announce,
) -> Result<(Settled, Option<Rejection>), Rejection> {
    let now = world.now();
    let acting: Vec<&Claim<'_>> = claims.iter().filter(|claim| claim.force == Force::Acts).collect();
    let over: Vec<(&Claim<'_>, Over)> = acting
        .iter()
        .filter_map(|claim| {
            let looked = world.buckets.peek(claim.key, claim.rate, claim.cost, now);
            looked.err().map(|over| (*claim, over))
        })
        .collect();
    if !over.is_empty() {
        return Err(refusal(visit, world, announce, &over, &acting, elsewhere));
    }
    let mut settled = Settled::default();
    for claim in &acting {
        let Claim { name, rate, cost, key, .. } = **claim;
        match world.buckets.charge(key, rate, cost, now) {
            Ok(charged) => {
                settled.receipts.push(Receipt { key, rate, charged });
                if announce == Announce::Always || !elsewhere.is_empty() {
                    let left = charged.left;
                    let more_in = Some(left.until_more(rate, cost));
                    settled
                        .notices
                        .push(Notice::of(name, rate, cost).standing(left.requests(rate, cost), more_in));
                }
            }
            Err(over) => {
                settled.receipts.iter().rev().for_each(|receipt| receipt.give_back(world));
                return Err(refusal(visit, world, announce, &[(claim, over)], &acting, elsewhere));
            }
        }
    }
    let mut observed = None;
    for claim in claims.iter().filter(|claim| claim.force != Force::Acts) {
        if let Err(over) = world.buckets.charge(claim.key, claim.rate, claim.cost, now) {
            observed = observed.or_else(|| claim.watched(visit, world, over));
        }
    }
    Ok((settled, observed))
}

/// 429 for the limit that takes longest: who waits as long as it says meets none of the others.
#[cold]
fn refusal(
    visit: &Visit,
    world: &World,
    announce: Announce,
    over: &[(&Claim<'_>, Over)],
    acting: &[&Claim<'_>],
    elsewhere: &[Notice],
) -> Rejection {
    let Some((claim, longest)) = over.iter().max_by_key(|(_, over)| over.wait) else {
        return Rejection::by(Practice::RateLimit, StatusCode::TOO_MANY_REQUESTS, "over a limit"); // cannot be
    };
    let rejection = over_limit(claim.name, claim.rate, Some(longest.wait))
        .evidence(claim.evidence(visit, world, *longest));
    if announce == Announce::Never {
        return rejection;
    }
    let policy = |claim: &Claim<'_>| Notice::of(claim.name, claim.rate, claim.cost);
    let policies = acting.iter().map(|claim| policy(claim)).chain(elsewhere.iter().cloned());
    let refusing = over.iter().map(|(claim, over)| {
        policy(claim).standing(over.left.requests(claim.rate, claim.cost), Some(over.wait))
    });
    announce::refuse(rejection, &policies.collect::<Vec<_>>(), &refusing.collect::<Vec<_>>())
}

/// `wait` is none where waiting never helps.
pub(super) fn over_limit(name: &str, rate: Rate, wait: Option<Duration>) -> Rejection {
    let reason = format!("over `{name}`, {rate}");
    let rejection = Rejection::by(Practice::RateLimit, StatusCode::TOO_MANY_REQUESTS, reason);
    match wait {
        Some(wait) => rejection.retry_after(Duration::from_secs(seconds(wait).max(1))),
        None => rejection,
    }
}
