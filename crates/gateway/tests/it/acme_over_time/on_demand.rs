//! Certificates that are ordered when a visitor asks for a name.

use panoply_gateway::acme::Name;

use super::world::World;
use crate::ca::{DAY, HOUR, Verdict};

#[tokio::test]
async fn a_name_that_was_asked_for_is_kept_in_order_as_long_as_somebody_comes_back() {
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
    world.live(DAY * 2).await;
    world.visit("a.customers.example").await;
    world.live(HOUR).await;
    world.restart();
    world.live(DAY * 100).await;
    assert!(is_valid(&world, "a.customers.example"), "somebody came back");
    assert!(!is_valid(&world, "b.customers.example"), "who began it does not count");
    assert_eq!(world.ca.seen().certificates.len(), 5, "of two others one was renewed");
    assert!(!world.is_kept("b.customers.example") && world.is_kept("a.customers.example"));
    world.visit("b.customers.example").await;
    assert!(is_valid(&world, "b.customers.example"), "it is ordered as at first");
    world.live(DAY * 100).await;
    assert!(!is_valid(&world, "a.customers.example"), "nobody came back since its renewal");
}

#[tokio::test]
async fn names_that_nobody_came_back_to_make_room_for_new_ones() {
    for (comes_back, makes_room) in [(false, true), (true, false)] {
        let mut world = world().await;
        world.visit("a.customers.example").await;
        world.live(DAY * 2).await;
        if comes_back {
            world.visit("a.customers.example").await;
        }
        world.live(DAY * 6).await;
        // A thousand others whose failures have to be remembered still.
        let now = world.clock.now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let mut roll = vec!["\"a.customers.example\"".to_owned()];
        for number in 1..1_000 {
            let name = format!("f{number}.customers.example");
            world.keep(&format!("{name}.json"), &format!("{{\"begun\":[{now}]}}"));
            roll.push(format!("\"{name}\""));
        }
        world.keep("on-demand.json", &format!("{{\"names\":[{}]}}", roll.join(",")));
        world.restart();
        world.visit("new.customers.example").await;
        let held = |name: &str| world.acme.held(&Name::parse(name)).is_some();
        assert_eq!(held("new.customers.example"), makes_room, "somebody came back: {comes_back}");
        assert_eq!(held("a.customers.example"), comes_back, "somebody came back: {comes_back}");
    }
}

#[tokio::test]
async fn strangers_enter_so_many_new_names_a_week_and_renewals_are_not_counted() {
    let mut world = World::with(&["shop.example"], |settings| {
        settings.on_demand = ["*.customers.example", "*.partners.example"].map(Name::parse).to_vec();
        settings.on_demand_weekly = 3;
    })
    .await;
    world.live(HOUR).await;
    let issued = |world: &World| world.ca.seen().certificates.len();
    for number in 0..6 {
        world.visit(&format!("c{number}.customers.example")).await;
    }
    assert_eq!(issued(&world), 1 + 3);
    world.visit("p.partners.example").await;
    assert_eq!(issued(&world), 1 + 4, "another domain");
    world.restart();
    world.visit("c6.customers.example").await;
    assert_eq!(issued(&world), 1 + 4, "a restart is no way around it");
    world.live(DAY * 2).await;
    world.visit("c0.customers.example").await;
    world.ca.renew_now();
    world.live(DAY).await;
    assert_eq!(issued(&world), 1 + 4 + 2, "the site's own and the one that somebody came back to");
    world.live(DAY * 5).await;
    for number in 7..12 {
        world.visit(&format!("c{number}.customers.example")).await;
    }
    assert_eq!(issued(&world), 1 + 4 + 2 + 3, "a week later");
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
