//! Whatever an authority answers, it is asked no more than it allows, and what it undoes a retry mends.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::world::World;
use crate::ca::{DAY, HOUR, Mood, Place, Verdict};

proptest! {
    #![proptest_config(Config { cases: 12, ..Config::default() })]

    #[test]
    fn an_authority_out_of_its_mind_is_never_asked_too_often(
        moods in prop::collection::vec(mood(), 1..60),
        verdicts in prop::collection::vec(prop_oneof![Just(Verdict::Honest), Just(Verdict::Reject)], 10),
        restarts in prop::collection::vec(any::<bool>(), 10),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(mad(moods, verdicts, restarts));
    }
}

async fn mad(moods: Vec<Mood>, verdicts: Vec<Verdict>, restarts: Vec<bool>) {
    let names = ["shop.example", "www.shop.example"];
    let mut world = World::with(&names, |settings| {
        settings.profile = Some("shortlived".into());
        settings.pace.request = Duration::from_millis(500);
        settings.pace.order = Duration::from_secs(2);
    })
    .await;
    world.ca.rules(|rules| rules.renewal_info = Some(HOUR * 12));
    let mut next = moods.into_iter().cycle();
    world.ca.mood(move |_| next.next().unwrap());
    for (verdict, restarts) in verdicts.into_iter().zip(restarts) {
        world.ca.rules(|rules| rules.verdict = verdict);
        let before = world.ca.seen().requests.len();
        let lived = world.live(DAY).await;
        if restarts {
            world.restart();
        }
        let asked = world.ca.seen().requests.len() - before;
        assert!(lived.rounds <= 300, "{} rounds in a day", lived.rounds);
        assert!(asked <= names.len() * MOST_A_DAY, "{asked} requests in a day");
    }
    let seen = world.ca.seen();
    // Those that the mood made up have this text; the authority's own count is what is meant here.
    let refused: Vec<_> = seen
        .refusals
        .iter()
        .filter(|(_, problem)| problem.kind == "rateLimited" && !problem.is_made_up())
        .collect();
    assert!(refused.is_empty(), "limits were met: {refused:?}");
    let orders: Vec<_> =
        seen.requests.iter().filter(|asked| asked.place == Place::NewOrder).map(|asked| asked.at).collect();
    for &first in &orders {
        let hour = orders.iter().filter(|&&at| first <= at && at < first + HOUR).count();
        // Nonces that are called used up are tried thrice.
        assert!(hour <= names.len() * 4 * 3, "{hour} orders in an hour");
    }

    world.ca.mood(|_| Mood::Well);
    world.ca.rules(|rules| rules.verdict = Verdict::Honest);
    world.live(DAY * 8).await;
    assert!(world.is_covered(), "a week after it came to its senses, everything is well");
}

fn mood() -> impl Strategy<Value = Mood> {
    let wait = (0_u64..200_000).prop_map(Duration::from_secs);
    prop_oneof![
        12 => Just(Mood::Well),
        1 => Just(Mood::Down),
        1 => Just(Mood::Mute),
        1 => Just(Mood::Endless),
        1 => Just(Mood::NonceUsedUp),
        1 => wait.clone().prop_map(Mood::Busy),
        1 => wait.prop_map(Mood::RateLimited),
        2 => prop_oneof![Just(500), Just(502), Just(200), Just(201), Just(400), Just(403), Just(404), Just(409)]
            .prop_flat_map(|status| prop_oneof![
                Just(Mood::Says(status, "")),
                Just(Mood::Says(status, "<html>who knows</html>")),
                Just(Mood::Says(status, "{}")),
                Just(Mood::Says(status, "[[[[[[[[[[[[[[")),
                Just(Mood::Says(status, GARBAGE)),
            ]),
    ]
}

/// Looks like an order that is ready, and leads nowhere.
const GARBAGE: &str = "{\"status\":\"ready\",\"identifiers\":[],\"authorizations\":[],\"finalize\":\"https://localhost:1/\",\"type\":\"urn:ietf:params:acme:error:accountDoesNotExist\"}";

/// What one name may cost in a day: twelve orders of twenty requests, and questions about renewal.
const MOST_A_DAY: usize = 300;
