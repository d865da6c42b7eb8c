//! Limits that all machines count together.

use std::borrow::Cow;
use std::sync::OnceLock;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;

use super::announce::{self, Notice};
use super::by::Owner;
use super::claim::{Claim, Force, Receipt, Settled, over_limit};
use super::{Announce, Limit};
use crate::buckets::{self, Key};
use crate::counters::{Limiter, Standing, Verdict};
use crate::keys::Signature;
use crate::{Evidence, Rate, Rejection, Visit, World};

/// What a request that passed all limits of this machine takes along: what is still to be asked elsewhere, what is
/// given back if that refuses, and what its answer says. Nothing, for nearly all.
#[derive(Debug, Default)]
pub(crate) struct Allowance(OnceLock<Box<Granted>>);

#[derive(Debug)]
struct Granted {
    /// Those that act come first.
    shared: Vec<Shared>,
    receipts: Vec<Receipt>,
    notices: Vec<Notice>,
    announce: Announce,
}

/// A claim that waits for the counters, with all that it needs of its request.
#[derive(Debug)]
pub(super) struct Shared {
    name: String,
    rate: Rate,
    cost: u32,
    limiter: Limiter,
    /// Under what the counters keep it, behind the prefix.
    key: String,
    /// As the log names it.
    shown: String,
    force: Force,
}

impl Shared {
    /// `scope` keeps sites apart that share one store.
    pub(super) fn new(
        claim: &Claim<'_>,
        limit: &Limit,
        scope: &str,
        signature: Option<&Signature>,
        visit: &Visit,
        world: &World,
    ) -> Self {
        let Claim { name, rate, cost, .. } = *claim;
        let observes = claim.state == "observe" || claim.force != Force::Acts;
        let prefix = prefix(name, limit, scope, observes);
        let shown = claim.owner.shown(claim.by, visit, world);
        let key = match &claim.owner {
            // As Node writes it, for a limiter there; IPv6's /64 is ours alone.
            Owner::Client if limit.prefix.is_some() => visit.client.ip().to_string(),
            Owner::Bearer(value) => pseudonym(name, value, signature),
            _ => shown.clone(),
        };
        let limiter = Limiter::new(prefix, rate.count(), rate.time());
        Self { name: name.to_owned(), rate, cost, limiter, key, shown, force: claim.force }
    }

    /// Its policy, where it may refuse.
    pub(super) fn notice(&self) -> Option<Notice> {
        (self.force == Force::Acts).then(|| Notice::of(&self.name, self.rate, self.cost))
    }

    fn standing(&self, standing: Standing) -> Notice {
        let requests = standing.remaining() / i64::from(self.cost.max(1));
        Notice::of(&self.name, self.rate, self.cost)
            .standing(requests.try_into().unwrap_or_default(), standing.left())
    }

    fn refusal(&self, standing: Standing) -> Rejection {
        over_limit(&self.name, self.rate, standing.left()).evidence(Evidence {
            rule: Cow::Owned(self.name.clone()),
            key: self.shown.clone(),
            count: standing.consumed(),
            points: self.rate.count(),
        })
    }

    /// Whether it is the first of a minute.
    fn is_news(&self, what: &str, world: &World) -> bool {
        let key = Key::new(buckets::scope((what, self.name.as_str())), 0, 0);
        world.buckets.charge(key, Rate::MINUTELY, 1, world.now()).is_ok()
    }
}

/// Under what the counters keep a limit. What refuses nobody leaves alone what others refuse by.
pub(super) fn prefix(name: &str, limit: &Limit, scope: &str, observes: bool) -> String {
    let own = || match scope {
        "" => format!("limit:{name}"),
        _ => format!("limit:{scope}:{name}"),
    };
    let prefix = limit.prefix.clone().unwrap_or_else(own);
    if observes { format!("observe:{prefix}") } else { prefix }
}

impl Allowance {
    pub(super) fn grant(&self, mut shared: Vec<Shared>, settled: Settled, announce: Announce) {
        shared.sort_by_key(|shared| shared.force != Force::Acts);
        let Settled { receipts, notices } = settled;
        if !shared.is_empty() || !notices.is_empty() {
            let _ = self.0.set(Box::new(Granted { shared, receipts, notices, announce }));
        }
    }

    /// Whether the counters are still to be asked.
    pub(crate) fn waits(&self) -> bool {
        self.0.get().is_some_and(|granted| !granted.shared.is_empty())
    }

    /// Asks the counters, one question for each limit that is shared. Who is refused gets back what he was charged
    /// elsewhere.
    ///
    /// The counters have an insurance of their own; where they fail all the same, the request passes: it has met this
    /// machine's rate, and a limit must not take an app down with its store.
    pub(crate) async fn ask(&mut self, world: &World) -> Result<(), Rejection> {
        let Some(granted) = self.0.get_mut() else { return Ok(()) };
        let (counters, mut observed) = (&*world.counters, None);
        for (place, shared) in granted.shared.iter().enumerate() {
            let verdict = match shared.limiter.consume(counters, &shared.key, shared.cost).await {
                Ok(verdict) => verdict,
                Err(error) => {
                    if shared.is_news("counters fail", world) {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the limit `{}` is not counted, since the counters fail",
                            shared.name
                        );
                    }
                    continue;
                }
            };
            match (shared.force, verdict) {
                (Force::Acts, Verdict::Admitted(standing)) if granted.announce == Announce::Always => {
                    granted.notices.push(shared.standing(standing));
                }
                (_, Verdict::Admitted(_)) => {}
                (Force::Acts, Verdict::Refused(standing)) => {
                    granted.receipts.iter().rev().for_each(|receipt| receipt.give_back(world));
                    for before in granted.shared.iter().take(place) {
                        // What cannot be given back is charged once too often, which is safe.
                        let _ = before.limiter.reward(counters, &before.key, before.cost).await;
                    }
                    let rejection = shared.refusal(standing);
                    if granted.announce == Announce::Never {
                        return Err(rejection);
                    }
                    granted.notices.truncate(granted.receipts.len());
                    granted.notices.extend(granted.shared.iter().filter_map(Shared::notice));
                    return Err(announce::refuse(rejection, &granted.notices, &[shared.standing(standing)]));
                }
                (Force::Everybodys, Verdict::Refused(_)) if !shared.is_news("everybody", world) => {}
                (_, Verdict::Refused(standing)) => {
                    observed.get_or_insert_with(|| shared.refusal(standing).only_observed());
                }
            }
        }
        observed.map_or(Ok(()), Err)
    }

    /// Says in an answer how its client stands, where that is asked for.
    pub(crate) fn finish(&self, headers: &mut HeaderMap) {
        if let Some(granted) = self.0.get()
            && granted.announce == Announce::Always
        {
            announce::admit(headers, &granted.notices);
        }
    }
}

/// What a visitor has sent, as a store may know it: another one under each limit.
fn pseudonym(name: &str, value: &[u8], signature: Option<&Signature>) -> String {
    let text = [name.as_bytes(), b"\0", value].concat();
    match signature {
        Some(signature) => signature.sign(&text),
        None => URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &text)),
    }
}
