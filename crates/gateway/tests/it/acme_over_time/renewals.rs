//! What is ordered when everything goes well, and when the authority changes its mind.

use std::time::{Duration, SystemTime};

use panoply_gateway::acme::Challenge;

use super::world::World;
use crate::ca::{Ca, Clock, DAY, HOUR, Place};

#[tokio::test]
async fn a_year_of_renewals_is_one_order_for_each_window() {
    // 340 days: five windows of two days are over by then, and the sixth has not begun.
    for (what, ask_again, asked, orders) in [
        ("with renewal information", Some(DAY), 340..=360, 6),
        ("without it, at two thirds of life and a twentieth more", None, 0..=0, 6),
    ] {
        let mut world = World::new(&["shop.example"]).await;
        world.ca.rules(|rules| rules.renewal_info = ask_again);
        let month = world.live(DAY * 30).await;
        assert_eq!(world.orders(), 1, "{what}: in the first month");
        let rest = world.live(DAY * 310).await;
        assert_eq!(world.orders(), orders, "{what}");
        assert_eq!(world.ca.seen().certificates.len(), orders, "{what}");
        assert!(month.dark.is_empty() && rest.dark.is_empty(), "{what}: {rest:?}");
        assert!(world.is_covered(), "{what}");
        let questions = world.asked(|place| matches!(place, Place::RenewalInfo(_)));
        assert!(asked.contains(&questions), "{what}: asked {questions} times");
        in_time(&world, ask_again.is_some(), what);
    }
}

#[tokio::test]
async fn a_month_of_short_lives_is_an_order_every_four_days() {
    let mut world =
        World::with(&["shop.example"], |settings| settings.profile = Some("shortlived".into())).await;
    world.ca.rules(|rules| rules.polls_to_wait = 2);
    let lived = world.live(DAY * 30).await;
    assert!(lived.dark.is_empty(), "{lived:?}");
    // Windows begin after 95 hours and end after 110.
    assert!((7..=8).contains(&world.orders()), "{}", world.orders());
    assert!(world.ca.seen().orders.iter().all(|order| order.profile.as_deref() == Some("shortlived")));
    in_time(&world, true, "shortlived");
}

#[tokio::test]
async fn addresses_have_certificates_too() {
    for (address, challenge) in [
        ("127.0.0.1", Challenge::TlsAlpn01),
        ("127.0.0.1", Challenge::Http01),
        ("[::1]", Challenge::TlsAlpn01),
        ("[::1]", Challenge::Http01),
    ] {
        let mut world = World::with(&[address], |settings| {
            settings.profile = Some("shortlived".into());
            settings.challenges = vec![challenge];
        })
        .await;
        let lived = world.live(DAY * 12).await;
        assert!(lived.dark.is_empty() && world.is_covered(), "{address} {challenge:?}: {lived:?}");
        assert!((3..=4).contains(&world.orders()), "{address} {challenge:?}: {}", world.orders());
    }
}

#[tokio::test]
async fn a_mass_revocation_is_followed_as_soon_as_it_is_heard_of() {
    let mut world = World::new(&["shop.example", "www.shop.example"]).await;
    world.live(DAY * 10).await;
    assert_eq!(world.orders(), 2);
    let moved = world.clock.now();
    world.ca.renew_now();
    let lived = world.live(HOUR * 6).await;
    let seen = world.ca.seen();
    assert_eq!(seen.orders.len(), 4, "within the Retry-After of the last answer");
    for order in &seen.orders[2..] {
        assert!(order.at <= moved + HOUR * 6 && order.replaces.is_some(), "{order:?}");
    }
    assert!(lived.dark.is_empty() && world.is_covered());
    world.live(DAY * 10).await;
    assert_eq!(world.orders(), 4, "once");
}

#[tokio::test]
async fn what_the_authority_offers_beside_is_left_alone() {
    let mut world = World::new(&["shop.example"]).await;
    let offered = ["dns-persist-01", "tls-alpn-02", "http-01", "", "🦀"].map(str::to_owned);
    world.ca.rules(|rules| rules.challenges = offered.into());
    world.live(HOUR).await;
    assert!(world.is_covered());
    assert!(world.ca.seen().validations.iter().all(|looked| looked.kind == "http-01"));

    let mut world = World::new(&["shop.example"]).await;
    world.ca.rules(|rules| rules.challenges = vec!["dns-persist-01".into()]);
    world.live(DAY).await;
    assert!(!world.is_covered());
    assert!((2..=12).contains(&world.orders()), "tried, and not all day: {}", world.orders());
    world.ca.rules(|rules| rules.challenges.push("tls-alpn-01".into()));
    // The order that waits is the same order for a week, with what was offered when it was made.
    world.live(DAY * 8).await;
    assert!(world.is_covered(), "and it mends itself");
}

#[tokio::test]
async fn what_the_authority_remembers_is_not_shown_again() {
    let mut world =
        World::with(&["shop.example"], |settings| settings.profile = Some("shortlived".into())).await;
    world.ca.rules(|rules| rules.remembers = DAY * 365);
    world.live(DAY * 30).await;
    assert!(world.is_covered() && world.orders() >= 7);
    assert_eq!(world.ca.seen().validations.len(), 1);
}

#[tokio::test]
async fn the_first_order_is_rehearsed_elsewhere_and_nothing_after_it() {
    let clock = Clock::new();
    let rehearsals = Ca::start(clock.clone()).await;
    let directory = rehearsals.directory();
    let mut world = World::apart(&["shop.example"], clock.clone(), clock, |settings| {
        settings.staging = Some(directory);
        let roots = [settings.ca.take().unwrap(), rehearsals.root().as_bytes().to_vec()];
        settings.ca = Some(roots.concat());
    })
    .await;
    world.ca.rules(|rules| rules.renewal_info = Some(DAY));
    rehearsals.rules(|rules| {
        rules.ports = world.ports();
        rules.verdict = crate::ca::Verdict::Reject;
    });
    world.live(DAY).await;
    assert!((2..=12).contains(&rehearsals.seen().orders.len()), "{}", rehearsals.seen().orders.len());
    assert!(world.ca.seen().requests.is_empty(), "nobody in earnest was asked");

    rehearsals.rules(|rules| rules.verdict = crate::ca::Verdict::Honest);
    let before = rehearsals.seen().orders.len();
    world.live(DAY).await;
    assert!(world.is_covered());
    assert_eq!(rehearsals.seen().orders.len(), before + 1);
    assert_eq!(world.orders(), 1);
    world.live(DAY * 80).await;
    assert_eq!(rehearsals.seen().orders.len(), before + 1, "what is held is renewed in earnest");
    assert_eq!(world.orders(), 2);
}

#[tokio::test]
async fn of_two_who_have_one_folder_one_orders() {
    let mut world = World::new(&["shop.example"]).await;
    let mut another = world.another();
    let now = world.clock.now();
    let (_, next) = tokio::join!(world.acme.act(now), another.act(now));
    assert_eq!(world.orders(), 1);
    assert!(next > now && next <= now + DAY);
    another.act(now + HOUR).await;
    assert_eq!(world.orders(), 1);
    assert!(world.is_covered());
}

/// Each order but the first replaced the one before, in its window where there was one, else between two thirds of its
/// life and a twentieth more.
fn in_time(world: &World, by_window: bool, what: &str) {
    let seen = world.ca.seen();
    for (before, order) in seen.certificates.iter().zip(&seen.orders[1..]) {
        let life = before.not_after.duration_since(before.not_before).unwrap();
        let start = before.not_before + life * 2 / 3 - Duration::from_secs(2);
        let long = if by_window { (life / 10).min(DAY * 2) } else { life / 20 };
        let within = |at: SystemTime| start <= at && at <= start + long + HOUR;
        assert!(within(order.at), "{what}: {:?} of {long:?}", order.at.duration_since(start));
        let replaces = by_window.then(|| before.identifier.clone());
        assert_eq!(order.replaces, replaces, "{what}");
    }
}
