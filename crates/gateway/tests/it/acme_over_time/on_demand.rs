//! Certificates that are ordered when a visitor asks for a name.

use panoply_gateway::acme::Name;

use super::world::World;
use crate::ca::{DAY, HOUR, Verdict};

#[tokio::test]
async fn a_name_that_was_asked_for_is_kept_in_order_since_and_no_other_is_ordered() {
    let mut world = world().await;
    let is_valid = |world: &World, name: &str| {
        let held = world.acme.held(&Name::parse(name));
        held.is_some_and(|held| world.clock.now() < held.not_after())
    };
    world.live(HOUR).await;
    assert_eq!(world.orders(), 1, "nobody has asked");
    for (name, orders) in [
        ("a.customers.example", 2),
        ("A.customers.example.", 2),
        ("evil.example", 2),
        ("a.b.customers.example", 2),
        ("customers.example", 2),
        ("b.customers.example", 3),
    ] {
        world.visit(name).await;
        assert_eq!(world.orders(), orders, "{name}");
    }
    world.restart();
    assert!(is_valid(&world, "a.customers.example") && is_valid(&world, "b.customers.example"));
    world.live(DAY * 100).await;
    assert!(is_valid(&world, "a.customers.example") && is_valid(&world, "b.customers.example"));
    assert_eq!(world.ca.seen().certificates.len(), 6, "each was renewed once");
}

#[tokio::test]
async fn a_name_that_failed_waits_for_its_pause_and_for_somebody_to_ask() {
    let mut world = world().await;
    world.live(HOUR).await;
    world.ca.rules(|rules| rules.verdict = Verdict::Reject);
    for _ in 0..3 {
        world.visit("a.customers.example").await;
        assert_eq!(world.orders(), 2);
    }
    world.restart();
    world.visit("a.customers.example").await;
    assert_eq!(world.orders(), 2, "a restart is no way around the pause");
    world.live(DAY).await;
    assert_eq!(world.orders(), 2, "nobody has asked");
    world.ca.rules(|rules| rules.verdict = Verdict::Honest);
    world.visit("a.customers.example").await;
    assert!(world.acme.held(&Name::parse("a.customers.example")).is_some());
    assert_eq!(world.orders(), 3);
}

#[tokio::test]
async fn a_name_that_the_list_has_no_more_is_not_shown_and_not_renewed() {
    let mut world = world().await;
    world.visit("a.customers.example").await;
    assert!(world.acme.held(&Name::parse("a.customers.example")).is_some());
    world.settings.on_demand.clear();
    world.restart();
    assert!(world.acme.held(&Name::parse("a.customers.example")).is_none());
    world.live(DAY * 100).await;
    assert_eq!(world.orders(), 3, "the site's own, and its renewal");
}

#[tokio::test]
async fn strangers_leave_half_of_the_orders_to_the_names_that_are_there() {
    let mut world = world().await;
    world.live(HOUR * 4).await;
    world.ca.rules(|rules| rules.verdict = Verdict::Reject);
    for number in 0..140 {
        world.visit(&format!("c{number}.customers.example")).await;
    }
    assert_eq!(world.orders(), 1 + 125);
    world.ca.rules(|rules| rules.verdict = Verdict::Honest);
    world.ca.renew_now();
    world.clock.advance(HOUR * 2);
    world.live(HOUR / 2).await;
    world.visit("later.customers.example").await;
    assert_eq!(world.ca.seen().certificates.len(), 2, "the site's own was replaced");
    assert_eq!(world.orders(), 1 + 125 + 1);
}

async fn world() -> World {
    World::with(&["shop.example"], |settings| {
        settings.on_demand = vec![Name::parse("*.customers.example"), Name::parse("shop.partner.example")];
    })
    .await
}
