//! An authority that asks for patience, one that is not there, and a network that is pulled.

use std::time::Duration;

use super::world::World;
use crate::ca::{DAY, HOUR, Mood, Place, Verdict};

#[tokio::test]
async fn who_is_told_to_wait_does_not_ask_again_before() {
    for (wait, heeded) in [(HOUR * 26, HOUR * 26), (DAY * 6, DAY * 6), (DAY * 400, DAY * 7)] {
        let mut world = World::new(&["shop.example"]).await;
        world.ca.mood(move |asked| match asked.place {
            Place::NewOrder => Mood::RateLimited(wait),
            _ => Mood::Well,
        });
        let begun = world.clock.now();
        world.live(heeded - HOUR).await;
        assert_eq!(world.orders(), 1, "in {wait:?}");
        world.ca.mood(|_| Mood::Well);
        world.live(HOUR * 8).await;
        assert!(world.is_covered(), "after {wait:?}");
        let second = world.ca.seen().orders[0].at;
        assert!(second >= begun + heeded, "{wait:?}: after {:?}", second.duration_since(begun));
        assert_eq!(world.orders(), 2);
    }
}

#[tokio::test]
async fn a_month_without_network_loses_nothing_that_a_retry_can_mend() {
    let mut world = World::new(&["shop.example", "www.shop.example"]).await;
    world.live(DAY * 59).await;
    assert_eq!(world.orders(), 2);
    let certificates = world.ca.seen().certificates.clone();
    let end = certificates.iter().map(|issued| issued.not_after).min().unwrap();
    let before = world.ca.seen().requests.len();

    world.ca.mood(|_| Mood::Down);
    let mut dark = Vec::new();
    for day in 0..30 {
        dark.extend(world.live(DAY).await.dark);
        if day % 7 == 3 {
            world.restart();
            assert!(world.is_covered(), "a start without network serves what there is");
        }
    }
    let asked = world.ca.seen().requests.len() - before;
    assert!((30..=400).contains(&asked), "some tries a day, and no more: {asked} in a month");
    assert_eq!(world.ca.seen().certificates.len(), 2);

    world.ca.mood(|_| Mood::Well);
    let left = end
        .duration_since(world.clock.now())
        .expect("less than a month is a window and what is left of life");
    assert!(left > HOUR * 6, "{left:?}");
    dark.extend(world.live(HOUR * 6).await.dark);
    assert!(dark.is_empty(), "{dark:?}");
    assert_eq!(world.ca.seen().certificates.len(), 4, "both were renewed");
    assert!(world.is_covered());
}

#[tokio::test]
async fn what_ended_without_network_is_back_within_hours() {
    let mut world =
        World::with(&["shop.example"], |settings| settings.profile = Some("shortlived".into())).await;
    world.live(DAY * 3).await;
    world.ca.mood(|_| Mood::Down);
    world.live(DAY * 30).await;
    assert!(!world.is_covered(), "six days of life are no thirty");
    world.ca.mood(|_| Mood::Well);
    world.live(HOUR * 6).await;
    assert!(world.is_covered());
    assert_eq!(world.ca.seen().certificates.len(), 2);
}

#[tokio::test]
async fn rejections_are_tried_again_ever_more_seldom_and_below_every_limit() {
    let mut world = World::new(&["shop.example"]).await;
    world.ca.rules(|rules| rules.verdict = Verdict::Reject);
    world.live(DAY * 7).await;
    let seen = world.ca.seen();
    assert!((20..=84).contains(&seen.validations.len()), "{}", seen.validations.len());
    assert!(seen.refusals.iter().all(|(_, problem)| problem.kind != "rateLimited"), "{:?}", seen.refusals);
    world.ca.rules(|rules| rules.verdict = Verdict::Honest);
    world.live(HOUR * 8).await;
    assert!(world.is_covered());
}

#[tokio::test]
async fn an_authority_that_is_never_content_is_followed_no_further_than_the_limits() {
    let mut world = World::new(&["shop.example"]).await;
    let long_ago = world.clock.now() - DAY;
    world.ca.rules(|rules| rules.window = Some((long_ago, long_ago)));
    for week in 1..=4 {
        let lived = world.live(DAY * 7).await;
        assert!(world.is_covered() && lived.dark.is_empty(), "week {week}");
        assert!((week + 1..=week * 4 + 1).contains(&world.orders()), "week {week}: {}", world.orders());
        assert!(lived.rounds < 100, "week {week}: {} rounds", lived.rounds);
    }
}

#[tokio::test]
async fn an_authority_that_hangs_or_never_ends_costs_a_bounded_time() {
    for mood in [Mood::Silent, Mood::Endless, Mood::Mute, Mood::Slow(Duration::from_secs(60))] {
        let mut world = World::with(&["shop.example"], |settings| {
            settings.pace.request = Duration::from_secs(1);
            settings.pace.order = Duration::from_secs(3);
        })
        .await;
        let chosen = mood.clone();
        world.ca.mood(move |_| chosen.clone());
        let acted = tokio::time::timeout(Duration::from_secs(60), world.acme.act(world.clock.now())).await;
        assert!(acted.is_ok(), "{mood:?}");
        world.ca.mood(|_| Mood::Well);
        world.live(DAY).await;
        assert!(world.is_covered(), "after {mood:?}");
    }
    let mut world =
        World::with(&["shop.example"], |settings| settings.pace.order = Duration::from_secs(1)).await;
    world.ca.rules(|rules| rules.verdict = Verdict::Never);
    let acted = tokio::time::timeout(Duration::from_secs(60), world.acme.act(world.clock.now())).await;
    assert!(acted.is_ok(), "an authority that looks for ever");
}
