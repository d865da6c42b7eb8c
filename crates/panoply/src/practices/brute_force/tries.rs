use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::in_flight::Reservation;
use super::limiters::Limiters;
use super::outcome::Outcome;
use crate::counters::{Limiter, Standing};
use crate::metrics::Guessed;
use crate::store::StoreError;
use crate::to_the_end::to_the_end;
use crate::{Evidence, Practice, Rejection, World};

/// One try of a password, or of several at once, from its check to its outcome.
///
/// It is reserved before it is checked, and counted before its reservation ends: seen from any other try it is there
/// once at least.
pub(crate) struct Try {
    world: Arc<World>,
    limiters: Limiters,
    who: Who,
    guesses: u32,
    reservations: Vec<Reservation>,
    /// The app has the password, and nobody knows yet what it says.
    open: bool,
}

/// Who tries, in the names under which it is counted.
#[derive(Debug)]
pub(super) struct Who {
    pub(super) ip: Ip,
    /// One, as a rule; a field that is sent twice is two.
    pub(super) users: Vec<User>,
}

#[derive(Debug)]
pub(super) struct Ip {
    pub(super) name: String,
    /// A proxy's that nobody declared is everybody's: no block of it would hit its visitors alone.
    pub(super) stands_for_one: bool,
}

#[derive(Debug)]
pub(super) struct User {
    /// Under which it is counted from everywhere; `None`: it is not.
    pub(super) name: Option<String>,
    /// With the address; with the browser, where it is trusted for this user.
    pub(super) pair: String,
    /// What the log may say of the pair.
    pub(super) shown: String,
    pub(super) trusted: bool,
    /// Whether a right password is this user's, and so forgives.
    pub(super) is_sure: bool,
}

impl Try {
    /// Asks whether `who` may try, before anybody looks at the password.
    pub(super) async fn begin(
        world: Arc<World>,
        limiters: Limiters,
        who: Who,
        guesses: u32,
    ) -> Result<Self, Rejection> {
        let mut begun = Self { world, limiters, who, guesses, reservations: Vec::new(), open: false };
        begun.check().await?;
        begun.open = true;
        Ok(begun)
    }

    async fn check(&mut self) -> Result<(), Rejection> {
        let Self { world, limiters, who, guesses, reservations, .. } = self;
        let beside = i64::from(guesses.saturating_sub(1));
        let mut check = async |limiter: &Limiter, key: &str, shown: &str| {
            let reservation = world.in_flight.reserve(limiter.key(key));
            let others = reservation.others.saturating_add(beside);
            reservations.push(reservation);
            let standing = limiter.get(&*world.counters, key).await.map_err(unavailable)?;
            judge(limiters, limiter, standing, others, shown)
        };
        if !who.is_trusted() {
            let verdict = check(&limiters.ip, &who.ip.name, &who.ip.name).await;
            if who.ip.stands_for_one || verdict.as_ref().is_err_and(|error| error.status == UNAVAILABLE) {
                verdict?;
            }
        }
        for user in &who.users {
            check(&limiters.username_and_ip, &user.pair, &user.shown).await?;
            if let Some(name) = user.counted_from_everywhere() {
                let counters = &*world.counters;
                let standing = limiters.username.get(counters, name).await.map_err(unavailable)?;
                if standing.is_some_and(|standing| standing.is_over()) {
                    check(&limiters.under_attack, &user.pair, &user.shown).await?;
                }
            }
        }
        Ok(())
    }

    /// Counts what came of it. The failure that is one too many is refused as the tries after it are: 429.
    pub(super) async fn end(mut self, outcome: Outcome) -> Result<(), Rejection> {
        self.open = false;
        to_the_end(async move { self.count(outcome).await }).await.unwrap_or(Ok(()))
    }

    async fn count(&self, outcome: Outcome) -> Result<(), Rejection> {
        let guessed = match outcome {
            Outcome::Failure => Some(Guessed::Wrong),
            Outcome::Success { .. } => Some(Guessed::Right),
            Outcome::Unclear => Some(Guessed::Unclear),
            Outcome::NoGuess => None,
        };
        guessed.into_iter().for_each(|guessed| self.world.metrics.count_guess(guessed));
        match outcome {
            Outcome::Failure => self.fail().await,
            // Of two names one may be the visitor's own: his password must not forgive what he tries with the other.
            Outcome::Success { .. } => match &*self.who.users {
                [user] if user.is_sure => {
                    self.limiters.forgive(&self.world, &user.pair).await.map_err(unavailable)
                }
                _ => Ok(()),
            },
            Outcome::Unclear => self.fail_by_ip().await,
            Outcome::NoGuess => Ok(()),
        }
    }

    /// All is counted, whatever the first of it says.
    async fn fail(&self) -> Result<(), Rejection> {
        let mut verdict = self.fail_by_ip().await;
        let (limiters, counters) = (&self.limiters, &*self.world.counters);
        for user in &self.who.users {
            let pair = limiters
                .username_and_ip
                .consume(counters, &user.pair, self.guesses)
                .await
                .map_err(unavailable)?;
            let mut standing = pair.standing();
            if pair.is_refused() {
                standing = limiters.grow(&self.world, &user.pair, standing).await.map_err(unavailable)?;
            }
            verdict = verdict.and(judge(limiters, &limiters.username_and_ip, Some(standing), 0, &user.shown));
            let Some(name) = user.counted_from_everywhere() else { continue };
            let username =
                limiters.username.penalty(counters, name, self.guesses).await.map_err(unavailable)?;
            if username.is_over() {
                let strictest = &limiters.under_attack;
                let standing =
                    strictest.penalty(counters, &user.pair, self.guesses).await.map_err(unavailable)?;
                verdict = verdict.and(judge(limiters, strictest, Some(standing), 0, &user.shown));
            }
        }
        verdict
    }

    async fn fail_by_ip(&self) -> Result<(), Rejection> {
        let Who { ip, .. } = &self.who;
        if self.who.is_trusted() {
            return Ok(());
        }
        let limiter = &self.limiters.ip;
        let standing =
            limiter.penalty(&*self.world.counters, &ip.name, self.guesses).await.map_err(unavailable)?;
        let verdict = judge(&self.limiters, limiter, Some(standing), 0, &ip.name);
        if ip.stands_for_one { verdict } else { Ok(()) }
    }
}

impl Who {
    /// Whether it is a browser that has logged in before, as the one that it names.
    fn is_trusted(&self) -> bool {
        !self.users.is_empty() && self.users.iter().all(|user| user.trusted)
    }
}

impl User {
    fn counted_from_everywhere(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| !self.trusted)
    }
}

/// Who goes away before the answer may have seen the app do something: it counts as what is unclear.
impl Drop for Try {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (world, limiter, guesses) = (Arc::clone(&self.world), self.limiters.ip.clone(), self.guesses);
        let ip = std::mem::take(&mut self.who.ip.name);
        let reservations = std::mem::take(&mut self.reservations);
        runtime.spawn(async move {
            if let Err(error) = limiter.penalty(&*world.counters, &ip, guesses).await {
                tracing::error!(error = &error as &dyn std::error::Error, "a failed login was not counted");
            }
            drop(reservations);
        });
    }
}

impl fmt::Debug for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Try").finish_non_exhaustive()
    }
}

/// `others` are in flight: they may fail, but nobody is blocked for what has not failed yet.
fn judge(
    limiters: &Limiters,
    limiter: &Limiter,
    standing: Option<Standing>,
    others: i64,
    shown: &str,
) -> Result<(), Rejection> {
    let count = standing.map_or(0, |standing| standing.consumed()).saturating_add(others);
    let points = limiter.rule().points();
    if count <= i64::from(points) {
        return Ok(());
    }
    let (reason, wait) = match standing.filter(Standing::is_over) {
        Some(standing) => ("too many failed logins", standing.left().unwrap_or(NEVER)),
        None => ("too many logins at once", AT_ONCE),
    };
    let rule = Cow::Borrowed(limiters.rule(limiter));
    let evidence = Evidence { rule, key: shown.to_owned(), count, points };
    Err(Rejection::by(Practice::BruteForce, StatusCode::TOO_MANY_REQUESTS, reason)
        .retry_after(wait)
        .evidence(evidence))
}

/// Logins alone are refused while nobody can count: the rest of the site goes on.
fn unavailable(error: StoreError) -> Rejection {
    tracing::error!(error = &error as &dyn std::error::Error, "failed logins cannot be counted");
    Rejection::by(Practice::BruteForce, UNAVAILABLE, "failed logins cannot be counted")
        .retry_after(STORE_BACK)
}

const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// What a store takes to come back, as a rule.
const STORE_BACK: Duration = Duration::from_secs(5);

/// What a login takes.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Only an operator blocks for ever, and may lift it any day.
const NEVER: Duration = Duration::from_secs(86_400);
