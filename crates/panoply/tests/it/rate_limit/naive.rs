//! Whatever comes, at once or one after the other, no limit passes more than a naive count would.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, Uri};
use panoply::{Clock, Connection, Shield, World};
use proptest::prelude::*;

use super::{ask, asking, everywhere, limits, statuses};

#[test]
fn threads_together_pass_no_limit_more_often_than_it_says() {
    let limit = limits(
        "rate = \"1/day, burst 30\"\nlimits.a = { rate = \"1/h, burst 20\" }\nlimits.b = { rate = \"2/day, burst 20\", by = \"everyone\" }",
    );
    let app = everywhere(Shield::bare().world(Arc::default()).rate_limit(limit));
    let admitted: usize = std::thread::scope(|threads| {
        let asking = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let statuses = runtime.block_on(statuses(&app, "192.0.2.1:1", 200));
            statuses.into_iter().filter(|&status| status == 200).count()
        };
        let threads: Vec<_> = (0..4).map(|_| threads.spawn(asking)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 20);
}

/// Each limit by itself, in milliseconds: until when each of those whom it counts owes.
#[derive(Default)]
struct Naive(HashMap<(usize, String), u64>);

impl Naive {
    /// `limits`: whom they count, what a request owes, and how much may be owed.
    fn admits(&mut self, limits: &[(usize, String, u64, u64)], now: u64) -> bool {
        let owed = |(limit, whom, cost, _): &(usize, String, u64, u64)| {
            self.0.get(&(*limit, whom.clone())).copied().unwrap_or(0).max(now) + cost
        };
        let after: Vec<u64> = limits.iter().map(owed).collect();
        let passes = limits.iter().zip(&after).all(|((.., most), after)| *after <= now + most);
        if passes {
            self.0.extend(
                limits.iter().zip(after).map(|((limit, whom, ..), after)| ((*limit, whom.clone()), after)),
            );
        }
        passes
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_is_counted(
        path in "/[ -~&&[^ \"<>`{}^|#]]{0,40}",
        value in prop::collection::vec(prop::sample::select(vec![0x09_u8, b'B', b'a', b' ', b'=', b';', b'"', b'%', 0x80, 0xff]), 0..40),
        basic: bool,
    ) {
        let toml = r#"
            rate = "1/day"
            limits.login = { rate = "1/day", path = "/login/*" }
            limits.key = { rate = "1/day", by = "header:x-api-key" }
            limits.sid = { rate = "1/day", by = "cookie:sid" }
            limits.user = { rate = "1/day", by = "user" }
        "#;
        let value = if basic { [b"Basic ", value.as_slice()].concat() } else { value };
        prop_assume!(path.parse::<Uri>().is_ok());
        let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
        let app = everywhere(Shield::bare().rate_limit(limits(toml)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for status in [200, 429] {
            let mut request = asking("GET", &path, &[]);
            for name in ["authorization", "x-api-key", "cookie"] {
                request.headers_mut().insert(name, value.clone());
            }
            prop_assert_eq!(runtime.block_on(ask(&app, request)).status().as_u16(), status);
        }
    }

    #[test]
    fn several_limits_pass_what_each_by_itself_would(
        asks in prop::collection::vec((0_u8..3, 0_u8..3, 0_usize..3, 0_u64..600), 1..120),
    ) {
        let toml = r#"
            rate = "1/s, burst 6"
            limits.login = { rate = "30/min, burst 6", cost = 2, path = "/login" }
            limits.key = { rate = "1/s, burst 3", by = "header:x-api-key" }
            limits.all = { rate = "5/s, burst 9", by = "everyone", cost = 5, path = "/login/*" }
        "#;
        let clock = Clock::manual();
        let world = Arc::new(World::new(clock.clone()));
        let app = everywhere(Shield::bare().world(world).rate_limit(limits(toml)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut naive, mut now) = (Naive::default(), 0);
        for (client, key, path, pause) in asks {
            now += pause;
            clock.advance(Duration::from_millis(pause));
            let client = format!("192.0.2.{client}");
            let (path, is_login, below) =
                [("/", false, false), ("/login", true, true), ("/login/help", false, true)][path];
            let mut held = vec![(0, client.clone(), 1_000, 6_000)];
            if is_login {
                held.push((1, client.clone(), 4_000, 12_000));
            }
            let key = (key > 0).then(|| format!("key {key}"));
            held.push((2, key.clone().unwrap_or_else(|| client.clone()), 1_000, 3_000));
            if below {
                held.push((3, String::new(), 1_000, 1_800));
            }
            let mut request = asking("GET", path, &[]);
            if let Some(key) = &key {
                request.headers_mut().insert("x-api-key", key.parse().unwrap());
            }
            request.extensions_mut().insert(Connection::plain(format!("{client}:1").parse().unwrap()));
            let status = runtime.block_on(ask(&app, request)).status();
            prop_assert_eq!(status == 200, naive.admits(&held, now), "{} {:?} at {}", path, held, now);
        }
    }
}
