//! Clocks of machines that wake without a battery, and of those that somebody set by hand.

use std::time::Duration;

use super::world::World;
use crate::ca::{Clock, DAY, HOUR};

#[tokio::test]
async fn a_clock_that_was_wrong_costs_less_than_the_limits_and_nothing_in_the_end() {
    let year = DAY * 365;
    for (what, ahead, wrong_for) in [
        ("a day ahead", DAY, HOUR * 12),
        ("a month ahead", DAY * 30, DAY * 2),
        ("a year ahead", year, DAY * 2),
        ("twenty years ahead", year * 20, DAY * 2),
    ] {
        for back in [false, true] {
            let (clock, authority) = (Clock::new(), Clock::new());
            let mut world = World::apart(&["shop.example"], clock.clone(), authority.clone(), |_| {}).await;
            world.ca.rules(|rules| rules.renewal_info = Some(DAY));
            both(&mut world, &authority, DAY * 20).await;
            let right = clock.now();
            clock.set(if back { right - ahead.min(year * 2) } else { right + ahead });
            both(&mut world, &authority, wrong_for).await;
            clock.set(authority.now());
            world.restart();

            // Longer than a life, every name is to be covered, whatever was remembered of times that never were.
            for day in 0..95 {
                both(&mut world, &authority, DAY).await;
                assert!(world.is_covered(), "{what}, back: {back}, day {day}");
            }
            let seen = world.ca.seen();
            let refused = seen.refusals.iter().filter(|(_, problem)| problem.kind == "rateLimited").count();
            assert_eq!(refused, 0, "{what}, back: {back}");
            assert!(
                seen.certificates.len() <= 4 + 1 + 4,
                "{what}, back: {back}: {}",
                seen.certificates.len()
            );
        }
    }
}

/// Both clocks go on by as much.
async fn both(world: &mut World, authority: &Clock, span: Duration) {
    let end = authority.now() + span;
    while authority.now() < end {
        let now = world.clock.now();
        let next = world.acme.act(now).await;
        let by = next.duration_since(now).unwrap().min(end.duration_since(authority.now()).unwrap());
        world.clock.advance(by);
        authority.advance(by);
    }
}
