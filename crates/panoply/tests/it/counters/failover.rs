//! Real servers fail under counters that are insured: killed, paused, emptied, read-only, started anew.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use panoply::Clock;
use panoply::counters::{Counters, Insured, Limiter, Postgres, Redis};

use super::MINUTE;
use crate::store::postgres_server::PostgresServer;
use crate::store::server::{PATIENCE, RedisCluster, RedisServer};

/// Twelve points, and a block of an hour.
fn limiter() -> Limiter {
    Limiter::new("login", 12, 30 * MINUTE).block_time(60 * MINUTE)
}

/// One that is there is waited for: a busy machine is no outage.
fn redis(server: &RedisServer) -> Arc<dyn Counters> {
    Arc::new(Redis::connect(&server.url()).unwrap().timeout(PATIENCE))
}

async fn consume(counters: &Insured, name: &str, times: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..times {
        admitted += u32::from(!limiter().consume(counters, name, 1).await.unwrap().is_refused());
    }
    admitted
}

/// Lets the clock go on until the store is asked again.
async fn answers_again(counters: &Insured, clock: &Clock) {
    let deadline = Instant::now() + PATIENCE;
    while counters.state().down_for.is_some() || counters.state().owed > 0 {
        assert!(Instant::now() < deadline, "{:?}", counters.state());
        clock.advance(Duration::from_millis(100));
        limiter().get(counters, "nobody").await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// While the store fails no request waits for it: each of thousands is answered as soon as it is asked.
async fn nobody_waits(counters: &Insured) {
    assert!(counters.state().down_for.is_some());
    for n in 0..5_000 {
        let name = n.to_string();
        let mut asked = pin!(consume(counters, &name, 1));
        assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready(), "{n} waits");
        // What is asked beside the requests has its turn.
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn redis_killed_and_started_anew() {
    let (mut server, clock) = (RedisServer::start(), Clock::manual());
    let counters = Insured::new(redis(&server), &clock);
    assert_eq!(consume(&counters, "ann", 3).await, 3);
    assert_eq!(consume(&counters, "eve", 20).await, 12);
    server.kill();
    assert_eq!(consume(&counters, "ann", 5).await, 5);
    assert_eq!(consume(&counters, "bob", 20).await, 12);
    assert_eq!(consume(&counters, "eve", 1).await, 0, "who was refused is");
    nobody_waits(&counters).await;

    server.restart(); // with nothing in it
    answers_again(&counters, &clock).await;
    assert_eq!(server.answers("GET login:ann"), "5", "what was counted meanwhile");
    assert_eq!(server.answers("GET login:bob"), "20");
    assert!(server.answers("TTL login:bob").parse::<u64>().unwrap() > 3_500, "its block");
    assert_eq!(consume(&counters, "eve", 1).await, 0, "and still is");
    assert!(server.answers("GET login:eve").parse::<u64>().unwrap() > 12);
    assert_eq!(counters.state().outages, 1);
    assert_eq!(consume(&counters, "ann", 20).await, 7);
}

#[tokio::test]
async fn redis_paused() {
    let (server, clock) = (RedisServer::start(), Clock::manual());
    let store = Redis::connect(&server.url()).unwrap().timeout(Duration::from_secs(2));
    let counters = Insured::new(Arc::new(store), &clock);
    assert_eq!(consume(&counters, "ann", 3).await, 3);
    server.signal("STOP");
    let start = Instant::now();
    assert_eq!(consume(&counters, "ann", 3).await, 3);
    assert!(start.elapsed() < PATIENCE, "three have waited: {:?}", start.elapsed());
    nobody_waits(&counters).await;
    // What is asked beside the requests, none waits for.
    clock.advance(Duration::from_secs(5));
    nobody_waits(&counters).await;
    assert_eq!(consume(&counters, "ann", 20).await, 6);

    server.signal("CONT");
    answers_again(&counters, &clock).await;
    let points: u32 = server.answers("GET login:ann").parse().unwrap();
    assert!((26..=30).contains(&points), "those that waited may be counted twice: {points}");
    assert_eq!(consume(&counters, "ann", 1).await, 0);
}

#[tokio::test]
async fn redis_that_only_reads() {
    let (server, clock) = (RedisServer::start(), Clock::manual());
    let counters = Insured::new(redis(&server), &clock);
    assert_eq!(consume(&counters, "ann", 3).await, 3);
    for (makes, mends) in [
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    ] {
        server.answers(makes);
        assert_eq!(consume(&counters, "ann", 3).await, 3, "{makes}");
        nobody_waits(&counters).await;
        clock.advance(Duration::from_secs(5));
        limiter().get(&counters, "ann").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(counters.state().down_for.is_some(), "it answers, but does not count: {makes}");
        server.answers(mends);
        answers_again(&counters, &clock).await;
    }
    assert_eq!(server.answers("GET login:ann"), "12");
    assert_eq!(consume(&counters, "ann", 1).await, 0);
}

#[tokio::test]
async fn redis_emptied() {
    let (server, clock) = (RedisServer::start(), Clock::manual());
    let counters = Insured::new(redis(&server), &clock);
    assert_eq!(consume(&counters, "ann", 20).await, 12);
    server.answers("FLUSHALL");
    server.answers("SCRIPT FLUSH");
    assert_eq!(consume(&counters, "ann", 20).await, 0, "two seconds are not over");
    clock.advance(Duration::from_secs(2));
    // What was refused here meanwhile is told, so that she is as refused as before.
    assert_eq!(consume(&counters, "ann", 20).await, 0);
    assert_eq!(consume(&counters, "bob", 20).await, 12);
    assert_eq!(counters.state().outages, 0);
}

#[tokio::test]
async fn a_key_over_the_line_costs_redis_nothing() {
    let (server, clock) = (RedisServer::start(), Clock::manual());
    let counters = Insured::new(redis(&server), &clock);
    assert_eq!(consume(&counters, "ann", 13).await, 12);
    server.answers("CONFIG RESETSTAT");
    assert_eq!(consume(&counters, "ann", 5_000).await, 0);
    let stats = server.answers("INFO commandstats");
    assert!(!stats.contains("cmdstat_evalsha"), "{stats}");
    clock.advance(Duration::from_secs(2));
    assert_eq!(consume(&counters, "ann", 5_000).await, 0);
    let stats = server.answers("INFO commandstats");
    assert!(stats.contains("cmdstat_evalsha:calls=1,"), "{stats}");
    assert_eq!(server.answers("GET login:ann"), "5014", "it is told the hits of those two seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_that_lose_redis_give_out_no_more_than_their_shares() {
    let (mut server, clock) = (RedisServer::start(), Clock::manual());
    let machines: Vec<_> =
        (0..3).map(|_| Arc::new(Insured::new(redis(&server), &clock).machines(3))).collect();
    assert_eq!(consume(&machines[0], "ann", 3).await, 3);
    for machine in &machines[1..] {
        assert_eq!(consume(machine, "bob", 1).await, 1);
    }
    server.kill();
    let mut tasks = tokio::task::JoinSet::new();
    for machine in &machines {
        let machine = Arc::clone(machine);
        tasks.spawn(async move { (consume(&machine, "ann", 20).await, consume(&machine, "eve", 20).await) });
    }
    let admitted = tasks.join_all().await;
    let (ann, eve) = admitted.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    // A third of nine, and of those two who had not heard of her a third of twelve; and a third of twelve each.
    assert_eq!((ann, eve), (3 + 2 * 4, 12), "{admitted:?}");
    server.restart();
    for machine in &machines {
        answers_again(machine, &clock).await;
    }
    assert_eq!(server.answers("GET login:eve"), "60", "all that was tried");
    assert_eq!(consume(&machines[1], "ann", 1).await, 0);
}

#[tokio::test]
async fn a_cluster_that_lost_a_master_does_not_answer_and_fail_in_turns() {
    let (mut cluster, clock) = (RedisCluster::start(), Clock::manual());
    let urls = cluster.urls();
    let store = Redis::cluster(urls.iter().map(String::as_str)).unwrap().timeout(Duration::from_millis(200));
    let counters = Insured::new(Arc::new(store), &clock);
    let names: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    for name in &names {
        assert_eq!(consume(&counters, name, 1).await, 1);
    }
    cluster.nodes()[0].kill();
    for name in &names {
        assert_eq!(consume(&counters, name, 1).await, 1, "{name}");
    }
    for _ in 0..5 {
        clock.advance(Duration::from_secs(5));
        limiter().get(&counters, "nobody").await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(counters.state().outages, 1, "{:?}", counters.state());
    for name in &names {
        assert_eq!(consume(&counters, name, 20).await, 10, "{name}");
    }
}

#[tokio::test]
async fn postgres_killed_and_started_anew() {
    let (mut server, clock) = (PostgresServer::start(), Clock::manual());
    let store = Postgres::connect(&server.url()).unwrap().timeout(PATIENCE).clock(clock.clone());
    store.migrate().await.unwrap();
    let counters = Insured::new(Arc::new(store), &clock);
    assert_eq!(consume(&counters, "ann", 3).await, 3);
    server.kill();
    assert_eq!(consume(&counters, "ann", 5).await, 5);
    assert_eq!(consume(&counters, "bob", 20).await, 12);
    nobody_waits(&counters).await;
    server.restart();
    answers_again(&counters, &clock).await;
    let points = |name: &str| server.psql(&format!("select points from rlflx where key = 'login:{name}'"));
    assert_eq!((points("ann").as_str(), points("bob").as_str()), ("8", "20"));
    assert_eq!(consume(&counters, "ann", 20).await, 4);

    // A table that is not there is a store that does not count.
    server.psql("drop table rlflx");
    assert_eq!(consume(&counters, "carol", 20).await, 12);
    assert!(counters.state().down_for.is_some());
}
