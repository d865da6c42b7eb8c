use std::sync::Arc;
use std::time::{Duration, Instant};

use panoply::Clock;
use panoply::counters::{Count, Counters, Limiter, MOST_LISTED, Postgres, conformance};
use panoply::store::StoreError;

use super::{MINUTE, sleep};
use crate::store::postgres_server::PostgresServer;
use crate::store::server::{PATIENCE, until};

async fn migrated(server: &PostgresServer) -> Postgres {
    // Of a server that answers it is not asked here how fast.
    let counters = Postgres::connect(&server.url()).unwrap().timeout(PATIENCE);
    counters.migrate().await.unwrap();
    counters
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_every_promise() {
    let server = PostgresServer::start();
    conformance(Arc::new(migrated(&server).await), sleep).await;
    // What has ended goes an hour later.
    assert_eq!(server.psql("select count(*) from rlflx where expire is null or expire > 1e15"), "0");
}

#[tokio::test]
async fn migrating_makes_nodes_own_table_once() {
    let server = PostgresServer::start();
    server.psql("CREATE TABLE \"rlflx\" (key varchar(255) PRIMARY KEY, points integer NOT NULL DEFAULT 0, expire bigint)");
    let describe = "select column_name, data_type, character_maximum_length, is_nullable, column_default \
                    from information_schema.columns where table_name = 'rlflx' order by 1; \
                    select indexdef from pg_indexes where tablename = 'rlflx'";
    let theirs = server.psql(describe);
    let counters = migrated(&server).await;
    assert_eq!(server.psql(describe), theirs);
    server.psql("drop table rlflx");
    let (one, two) = tokio::join!(counters.migrate(), counters.migrate());
    one.and(two).unwrap();
    assert_eq!(server.psql(describe), theirs);

    let odd = Postgres::connect(&server.url()).unwrap().schema("we\"b").unwrap().table("Ü; --").unwrap();
    odd.migrate().await.unwrap();
    let limiter = Limiter::new("login", 1, MINUTE);
    assert!(!limiter.consume(&odd, "ann", 1).await.unwrap().is_refused());
    assert_eq!(server.psql("select key, points from \"we\"\"b\".\"Ü; --\""), "login:ann|1");
    assert_eq!(server.psql("select count(*) from rlflx"), "0");
}

#[tokio::test]
async fn the_first_use_makes_the_table_and_who_may_not_uses_the_one_that_is_there() {
    let server = PostgresServer::start();
    let limiter = Limiter::new("login", 1, MINUTE);
    let counters = panoply::counters::open(&server.url(), &Clock::system()).unwrap();
    assert!(!limiter.consume(&*counters, "ann", 1).await.unwrap().is_refused());
    assert_eq!(server.psql("select key, points from rlflx"), "login:ann|1");

    server.psql(
        "revoke create on schema public from public; create role clerk login; grant all on rlflx to clerk",
    );
    let url = server.url().replace("postgres@", "clerk@");
    let clerk = panoply::counters::open(&url, &Clock::system()).unwrap();
    assert!(limiter.consume(&*clerk, "ann", 1).await.unwrap().is_refused());
    server.psql("drop table rlflx");
    let error = limiter.consume(&*clerk, "ann", 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
}

/// Every row of [`Rule::add`](panoply::counters::Rule::add), in the table.
#[tokio::test]
async fn a_hit_is_judged_in_the_table_as_the_rule_judges_it() {
    let server = PostgresServer::start();
    let clock = Clock::manual();
    let counters = migrated(&server).await.clock(clock.clone());
    let (plain, none) = (Limiter::new("p", 3, MINUTE), Duration::ZERO);
    let limiters =
        [plain.clone(), plain.block_time(10 * MINUTE), Limiter::new("p", 3, none).block_time(MINUTE)];
    for limiter in limiters {
        for before in [None, Some(-2), Some(0), Some(1), Some(3), Some(4), Some(2_147_483_647)] {
            for left in [None, Some(MINUTE / 3)] {
                for points in [-3, 0, 1, 2, 9] {
                    let key = limiter.key("ann");
                    counters.forget(key).await.unwrap();
                    let was = before.map(|points| Count { points, left });
                    if let Some(was) = was {
                        counters.set(key, was).await.unwrap();
                    }
                    let mut expected = limiter.rule().add(was, points);
                    expected.points = expected.points.min(2_147_483_647); // the column's end
                    let row = format!("{points} to {was:?} by {:?}", limiter.rule());
                    assert_eq!(counters.add(key, points, limiter.rule()).await.unwrap(), expected, "{row}");
                    assert_eq!(counters.peek(key).await.unwrap(), Some(expected), "{row}");
                    // A window is over at its end, as in Node, and begins anew.
                    let Some(end) = expected.left else { continue };
                    clock.advance(end);
                    assert_eq!(counters.peek(key).await.unwrap(), None, "{row}");
                    let anew = counters.add(key, points, limiter.rule()).await.unwrap();
                    assert_eq!(anew, limiter.rule().add(None, points), "{row}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_the_columns_do_not_hold_is_refused_or_hashed() {
    let server = PostgresServer::start();
    let counters = migrated(&server).await;
    let limiter = Limiter::new("login", 3, MINUTE);
    for name in ["ä".repeat(9_000), "a\0b".to_owned(), "x".repeat(255), String::new()] {
        for _ in 0..3 {
            assert!(!limiter.consume(&counters, &name, 1).await.unwrap().is_refused());
        }
        assert!(limiter.consume(&counters, &name, 1).await.unwrap().is_refused());
    }
    let over = limiter.over(&counters).await.unwrap();
    assert_eq!(over.len(), 4);
    for (name, standing) in over {
        assert_eq!(standing.consumed(), 4, "{name}");
        assert!(limiter.delete(&counters, &name).await.unwrap(), "what is listed can be lifted");
    }
    assert_eq!(server.psql("select count(*) from rlflx"), "0");

    let wide = Limiter::new("wide", u32::MAX, MINUTE);
    for error in [
        wide.consume(&counters, "ann", 1).await.unwrap_err(),
        wide.block(&counters, "ann", MINUTE).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    }
    counters.add(limiter.key("ann"), i64::MAX, limiter.rule()).await.unwrap();
    counters.add(limiter.key("ann"), i64::MAX, limiter.rule()).await.unwrap();
    counters.add(limiter.key("ann"), i64::MIN, limiter.rule()).await.unwrap();
}

#[tokio::test]
async fn who_is_kept_out_is_listed_but_not_who_was() {
    let server = PostgresServer::start();
    let clock = Clock::manual();
    let counters = migrated(&server).await.clock(clock.clone());
    let limiter = Limiter::new("log%n_", 10, MINUTE);
    limiter.block(&counters, "gone", MINUTE).await.unwrap();
    clock.advance(MINUTE);
    limiter.block(&counters, "ever", Duration::ZERO).await.unwrap();
    limiter.block(&counters, "a:b%", MINUTE).await.unwrap();
    limiter.penalty(&counters, "bob", 10).await.unwrap();
    Limiter::new("login", 10, MINUTE).block(&counters, "eve", MINUTE).await.unwrap();
    let mut over = limiter.over(&counters).await.unwrap();
    over.sort_by(|one, other| one.0.cmp(&other.0));
    let over: Vec<_> = over.iter().map(|(name, standing)| (name.as_str(), standing.left())).collect();
    assert_eq!(over, [("a:b%", Some(MINUTE)), ("ever", None)]);
    assert!(!limiter.delete(&counters, "gone").await.unwrap());

    server.psql("insert into rlflx select 'log%n_:' || n, 11 from generate_series(1, 1100) n");
    assert_eq!(limiter.over(&counters).await.unwrap().len(), MOST_LISTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_once_nobody_gets_more_than_the_points() {
    let server = PostgresServer::start();
    migrated(&server).await;
    let limiter = Limiter::new("login", 100, MINUTE).block_time(10 * MINUTE);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        // Each a machine of its own.
        let (counters, limiter) =
            (Postgres::connect(&server.url()).unwrap().timeout(PATIENCE), limiter.clone());
        tasks.spawn(async move {
            let mut admitted = 0;
            for _ in 0..50 {
                admitted += u32::from(!limiter.consume(&counters, "ann", 1).await.unwrap().is_refused());
            }
            admitted
        });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<u32>(), 100);
    assert_eq!(server.psql("select key, points from rlflx"), "login:ann|200");
}

#[tokio::test]
async fn a_server_that_died_is_told_in_time_and_found_again() {
    let mut server = PostgresServer::start();
    let counters = migrated(&server).await;
    let limiter = Limiter::new("login", 10, MINUTE);
    assert_eq!(limiter.penalty(&counters, "ann", 1).await.unwrap().consumed(), 1);
    server.kill();
    let error = limiter.consume(&counters, "ann", 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Down(_)), "{error:?}");
    server.restart();
    let back = Instant::now();
    while limiter.consume(&counters, "ann", 1).await.is_err() {
        assert!(back.elapsed() < PATIENCE);
    }
    assert_eq!(server.psql("select points from rlflx"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expired_an_hour_ago_goes_by_itself() {
    let server = PostgresServer::start();
    let clock = Clock::manual();
    let counters = migrated(&server).await.clock(clock.clone());
    let limiter = Limiter::new("login", 10, MINUTE);
    for name in ["old", "blocked"] {
        limiter.penalty(&counters, name, 1).await.unwrap();
    }
    limiter.block(&counters, "ever", Duration::ZERO).await.unwrap();
    clock.advance(30 * MINUTE);
    limiter.block(&counters, "blocked", 60 * MINUTE).await.unwrap();
    clock.advance(30 * MINUTE + Duration::from_millis(1));
    limiter.penalty(&counters, "new", 1).await.unwrap();
    clock.advance(8 * MINUTE);
    limiter.penalty(&counters, "new", 1).await.unwrap();
    let keys = "select string_agg(key, ' ' order by key) from rlflx";
    until("the old row is gone", || server.psql(keys) == "login:blocked login:ever login:new");
}
