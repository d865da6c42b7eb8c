//! Asks one practice, and does what it says: the answer to who is refused, and the word of it to whoever runs the site.

use http::response::Parts as ResponseParts;
use http::{Response, StatusCode};

use crate::metrics::Said;
use crate::{Body, Guard, Policy, Practice, Rejection, Verdict, Visit, World, page};

/// Asks one practice; what it only observes is logged and passes.
pub(super) fn judge<P: Policy>(
    world: &World,
    visit: &mut Visit,
    guard: &Guard<P>,
    verdict: impl FnOnce(&P, &mut Visit) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let Some(policy) = guard.policy() else { return Ok(()) };
    let verdict = verdict(policy, visit);
    // A practice that is asked twice says the last time what it says.
    visit.passed.not_by(P::PRACTICE);
    match verdict {
        Ok(()) => {
            visit.passed.by(P::PRACTICE);
            Ok(())
        }
        Err(mut rejection) if rejection.only_observed || matches!(guard, Guard::Observe(_)) => {
            log(world, visit, &rejection, "would refuse");
            visit.verdicts.push(Verdict::of(&mut rejection, Said::Observed));
            Ok(())
        }
        refused => refused,
    }
}

/// Lets one practice change the head of an answer; observing, it changes a copy and the log says whether it did.
pub(super) fn harden<P>(
    world: &World,
    visit: &Visit,
    guard: &Guard<P>,
    response: &mut ResponseParts,
    change: impl FnOnce(&P, &mut ResponseParts),
) where
    P: Policy,
{
    match guard {
        Guard::Off => {}
        Guard::On(policy) => change(policy, response),
        Guard::Observe(policy) => {
            let mut copy = response.clone();
            change(policy, &mut copy);
            if copy.headers != response.headers {
                let rejection = Rejection::by(P::PRACTICE, response.status, "the head of the answer");
                log(world, visit, &rejection, "would change");
            }
        }
    }
}

/// The answer to a refused request.
pub(super) fn refuse<B>(visit: &mut Visit, mut rejection: Rejection) -> (ResponseParts, Body<B>) {
    visit.verdicts.push(Verdict::of(&mut rejection, Said::Refused));
    let (mut response, ()) = Response::new(()).into_parts();
    response.status = rejection.status;
    response.headers = rejection.into_headers();
    let page = page::neutral(visit, &mut response);
    (response, Body::page(page))
}

/// The app's answer without what it said: the headers about its body go, the others stay.
pub(super) fn mask<B>(visit: &Visit, response: &mut ResponseParts) -> Body<B> {
    Body::page(page::neutral(visit, response))
}

/// Every refusal, and what would have been one, is counted; kept, so that its visitor's page can be explained; and in the
/// log with what it rests on, but for the many of one client ([`Lines`](crate::lines::Lines)). No visitor is told any of it.
pub(super) fn log(world: &World, visit: &Visit, rejection: &Rejection, what: &'static str) {
    let said = if what == "refused" { Said::Refused } else { Said::Observed };
    let evidence = rejection.rests_on();
    world.metrics.count(rejection.practice, said);
    if let (Some(practice), Some(evidence)) = (rejection.practice, evidence) {
        world.metrics.count_rule(practice, &evidence.rule, said);
    }
    world.refusals.keep(visit, rejection, what, world.unix_time());
    if !world.lines.take(visit.client.key(), rejection.practice, world.now()) {
        return;
    }

    let practice = rejection.practice.map_or("app", Practice::name);
    let (client, status, id) = (visit.client.ip(), rejection.status.as_u16(), visit.id);
    let rule = evidence.map(|evidence| &*evidence.rule);
    let key = evidence.map(|evidence| &*evidence.key);
    let (count, points) = (evidence.map(|evidence| evidence.count), evidence.map(|evidence| evidence.points));
    let (reason, trace_id) = (rejection.reason(), visit.trace.map(tracing::field::display));
    if rejection.status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(practice, rule, key, count, points, %client, status, %id, trace_id, reason, "{what}");
    } else {
        tracing::info!(practice, rule, key, count, points, %client, status, %id, trace_id, reason, "{what}");
    }
}
