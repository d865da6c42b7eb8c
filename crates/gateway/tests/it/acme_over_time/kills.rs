//! A gateway that is killed at any step of an order goes on from there, or begins anew within what it may.

use std::sync::Arc;

use panoply_gateway::acme::{ExternalAccount, Settings};
use tokio::sync::Notify;

use super::world::World;
use crate::ca::{DAY, HOUR, Mood, Rules};

/// Killed before the authority heard of a request, or after it has done what was asked and nobody was told.
#[derive(Clone, Copy, Debug)]
enum Killed {
    Before,
    After,
}

#[tokio::test]
async fn a_first_order_survives_a_kill_at_every_request() {
    first_orders(|_| {}, |_| {}).await;
}

/// Some authorities bind one account to a customer and no second.
#[tokio::test]
async fn an_account_that_is_bound_to_a_customer_survives_as_well() {
    let secret = b"thirty-two bytes of a secret....";
    let customer = || ExternalAccount { id: "customer".into(), key: secret.to_vec().into() };
    first_orders(
        |settings| settings.external_account = Some(customer()),
        |rules| rules.external_accounts = [("customer".into(), secret.to_vec())].into(),
    )
    .await;
}

async fn first_orders(set: impl Fn(&mut Settings), rule: impl Fn(&mut Rules)) {
    for killed in [Killed::Before, Killed::After] {
        let mut step = 0;
        loop {
            let mut world = World::with(&["shop.example"], &set).await;
            world.ca.rules(&rule);
            let was_killed = kill_at(&mut world, step, killed).await;
            if !was_killed {
                break;
            }
            world.restart();
            world.live(HOUR * 3).await;
            let seen = world.ca.seen();
            assert!(world.is_covered(), "killed {killed:?} request {step}");
            assert_eq!(seen.certificates.len(), 1, "killed {killed:?} request {step}");
            // Who is dead when the authority comes to look has to order once more.
            let missed = seen.validations.iter().filter(|looked| !looked.succeeded).count();
            assert!(missed <= 1, "killed {killed:?} request {step}: {missed}");
            assert_eq!(seen.orders.len(), 1 + missed, "killed {killed:?} request {step}");
            assert_eq!(seen.accounts, 1, "killed {killed:?} request {step}");
            step += 1;
        }
        assert!(step >= 10, "an order has at least ten requests, but {step} were seen");
    }
}

#[tokio::test]
async fn a_renewal_survives_a_kill_at_every_request() {
    for killed in [Killed::Before, Killed::After] {
        let mut step = 0;
        loop {
            let mut world = World::new(&["shop.example"]).await;
            world.live(DAY).await;
            world.ca.renew_now();
            world.clock.advance(HOUR * 6);
            let was_killed = kill_at(&mut world, step, killed).await;
            if !was_killed {
                break;
            }
            assert!(world.is_covered(), "the old one is still shown: killed {killed:?} request {step}");
            world.restart();
            let lived = world.live(HOUR * 12).await;
            let seen = world.ca.seen();
            assert!(world.is_covered() && lived.dark.is_empty(), "killed {killed:?} request {step}");
            assert_eq!(seen.certificates.len(), 2, "killed {killed:?} request {step}");
            assert!(seen.orders.len() <= 3, "killed {killed:?} request {step}: {}", seen.orders.len());
            step += 1;
        }
        assert!(step >= 10, "a renewal has at least ten requests, but {step} were seen");
    }
}

/// Whether it was killed: it is not when all was done before that many requests.
async fn kill_at(world: &mut World, step: usize, killed: Killed) -> bool {
    let (reached, first) = (Arc::new(Notify::new()), world.ca.seen().requests.len());
    let here = reached.clone();
    world.ca.mood(move |asked| {
        if asked.number != first + step {
            return Mood::Well;
        }
        here.notify_one();
        match killed {
            Killed::Before => Mood::Silent,
            Killed::After => Mood::Mute,
        }
    });
    let now = world.clock.now();
    let was_killed = tokio::select! {
        biased;
        () = reached.notified() => true,
        _ = world.acme.act(now) => false,
    };
    // What was asked is done by now, or never.
    world.ca.mood(|_| Mood::Well);
    was_killed
}
