use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use panoply::counters::{Count, Counters, Limiter, MOST_LISTED, Redis, conformance};
use panoply::store::StoreError;

use super::{MINUTE, sleep};
use crate::store::server::{Certificate, PATIENCE, RedisCluster, RedisServer};

/// Of a server that answers it is not asked here how fast.
fn connect(server: &RedisServer) -> Redis {
    Redis::connect(&server.url()).unwrap().timeout(PATIENCE)
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_every_promise_alone_and_as_a_cluster() {
    let server = RedisServer::start();
    conformance(Arc::new(connect(&server)), sleep).await;
    assert_eq!(server.answers("DBSIZE"), "0");

    let cluster = RedisCluster::start();
    let urls = cluster.urls();
    let cluster_of = Redis::cluster(urls.iter().map(String::as_str)).unwrap().timeout(PATIENCE);
    conformance(Arc::new(cluster_of), sleep).await;
    assert_eq!(cluster.sizes(), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_keeps_every_promise() {
    let server = RedisServer::start_valkey();
    conformance(Arc::new(connect(&server)), sleep).await;
    assert_eq!(server.answers("DBSIZE"), "0");
}

#[tokio::test]
async fn hits_that_come_at_once_go_together_and_each_has_its_own_answer() {
    let server = RedisServer::start();
    let counters = Arc::new(connect(&server));
    let limiter = Arc::new(Limiter::new("login", 100, MINUTE));
    limiter.get(&*counters, "nobody").await.unwrap();
    server.answers("CONFIG RESETSTAT");
    let askers: Vec<_> = (0..200)
        .map(|n| {
            let (counters, limiter) = (Arc::clone(&counters), Arc::clone(&limiter));
            tokio::spawn(async move {
                let own = limiter.consume(&*counters, &format!("own {n}"), n + 1).await.unwrap();
                assert_eq!(
                    (own.standing().consumed(), own.is_refused()),
                    (i64::from(n) + 1, n >= 100),
                    "{n}"
                );
                limiter.consume(&*counters, "all", 1).await.unwrap()
            })
        })
        .collect();
    let mut all = Vec::new();
    for asker in askers {
        all.push(asker.await.unwrap().standing().consumed());
    }
    all.sort_unstable();
    assert_eq!(all, (1..=200).collect::<Vec<_>>(), "none is lost, and none is counted twice");
    let stats = server.answers("INFO stats");
    let reads = stats.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
    let reads: u32 = reads.unwrap().trim().parse().unwrap();
    assert!(reads < 100, "the server read {reads} times for 400 questions");
}

#[tokio::test]
async fn a_key_that_is_no_number_fails_alone_among_those_that_go_with_it() {
    let server = RedisServer::start();
    let (counters, limiter) = (connect(&server), Limiter::new("login", 10, MINUTE));
    limiter.penalty(&counters, "ann", 1).await.unwrap();
    server.answers("SET login:odd text");
    let hit = |name| limiter.consume(&counters, name, 1);
    let (ann, odd, bob) = tokio::join!(hit("ann"), hit("odd"), hit("bob"));
    assert_eq!((ann.unwrap().standing().consumed(), bob.unwrap().standing().consumed()), (2, 1));
    assert!(matches!(odd, Err(StoreError::Refused(_))), "{odd:?}");
}

#[tokio::test]
async fn a_hit_is_one_round_trip_and_survives_a_server_that_forgot_the_script() {
    let server = RedisServer::start();
    let (counters, limiter) = (connect(&server), Limiter::new("login", 10, MINUTE));
    limiter.penalty(&counters, "ann", 1).await.unwrap();
    server.answers("CONFIG RESETSTAT");
    for _ in 0..5 {
        limiter.penalty(&counters, "ann", 1).await.unwrap();
    }
    let stats = server.answers("INFO commandstats");
    assert!(stats.contains("cmdstat_evalsha:calls=5,"), "{stats}");
    assert!(!stats.contains("cmdstat_eval:"), "{stats}");
    server.answers("SCRIPT FLUSH");
    assert_eq!(limiter.penalty(&counters, "ann", 1).await.unwrap().consumed(), 7);
}

#[tokio::test]
async fn ends_are_whole_seconds_never_moved_and_never_missing() {
    let server = RedisServer::start();
    let counters = connect(&server);
    let half =
        Limiter::new("half", 10, Duration::from_millis(61_500)).block_time(Duration::from_millis(60_001));
    let begun = SystemTime::now();
    half.penalty(&counters, "ann", 1).await.unwrap();
    assert!(server.ends("half:ann", begun, 62), "rounded up");
    let begun = SystemTime::now();
    assert_eq!(half.penalty(&counters, "ann", 10).await.unwrap().left(), Some(Duration::from_secs(61)));
    assert!(server.ends("half:ann", begun, 61));

    let limiter = Limiter::new("login", 10, MINUTE);
    let begun = SystemTime::now();
    limiter.set(&counters, "ann", 3, MINUTE / 2).await.unwrap();
    let set = server.answers("PEXPIRETIME login:ann");
    assert!(server.ends("login:ann", begun, 30));
    assert!(limiter.penalty(&counters, "ann", 1).await.unwrap().left() <= Some(MINUTE / 2));
    assert_eq!(server.answers("PEXPIRETIME login:ann"), set, "not moved by a hit");
    server.answers("SET login:bob 3");
    assert_eq!(limiter.get(&counters, "bob").await.unwrap().unwrap().left(), None);
    let begun = SystemTime::now();
    assert_eq!(limiter.penalty(&counters, "bob", 1).await.unwrap().left(), Some(MINUTE));
    assert!(server.ends("login:bob", begun, 60), "healed");

    limiter.block(&counters, "eve", Duration::ZERO).await.unwrap();
    let verdict = limiter.consume(&counters, "eve", 1).await.unwrap();
    assert_eq!((verdict.is_refused(), verdict.standing().left()), (true, None));
    assert_eq!(
        (server.answers("GET login:eve"), server.answers("TTL login:eve")),
        ("12".into(), "-1".into())
    );

    let endless = Limiter::new("endless", 10, Duration::ZERO);
    assert_eq!(endless.penalty(&counters, "ann", 1).await.unwrap().left(), None);
    let longest = Limiter::new("longest", 10, Duration::MAX).block_time(Duration::MAX);
    assert!(longest.penalty(&counters, "ann", 1).await.unwrap().left() > Some(99 * 365 * 24 * 60 * MINUTE));
    assert!(longest.penalty(&counters, "ann", 10).await.unwrap().left() > Some(99 * 365 * 24 * 60 * MINUTE));
}

#[tokio::test]
async fn what_is_no_count_is_an_error_and_stays() {
    let server = RedisServer::start();
    let (counters, limiter) = (connect(&server), Limiter::new("login", 10, MINUTE));
    server.answers("SET login:ann text");
    for error in [
        limiter.consume(&counters, "ann", 1).await.unwrap_err(),
        limiter.get(&counters, "ann").await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    }
    assert_eq!(server.answers("GET login:ann"), "text");
    assert!(limiter.delete(&counters, "ann").await.unwrap());
    assert!(!limiter.delete(&counters, "ann").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_once_nobody_gets_more_than_the_points() {
    let server = RedisServer::start();
    let limiter = Limiter::new("login", 100, MINUTE).block_time(10 * MINUTE);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        // Each a machine of its own.
        let (counters, limiter) = (connect(&server), limiter.clone());
        tasks.spawn(async move {
            let mut admitted = 0;
            for _ in 0..50 {
                admitted += u32::from(!limiter.consume(&counters, "ann", 1).await.unwrap().is_refused());
            }
            admitted
        });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<u32>(), 100);
    assert_eq!((server.answers("GET login:ann").as_str(), server.answers("TTL login:ann").len()), ("200", 3));
}

#[tokio::test]
async fn a_server_that_died_or_hangs_is_told_in_time_and_found_again() {
    let mut server = RedisServer::start();
    let limiter = Limiter::new("login", 10, MINUTE);
    assert_eq!(limiter.penalty(&connect(&server), "ann", 1).await.unwrap().consumed(), 1);
    let counters = connect(&server).timeout(Duration::from_millis(200));
    server.signal("STOP");
    let start = Instant::now();
    let error = limiter.consume(&counters, "ann", 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Slow(_)), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    server.kill();
    let error = limiter.consume(&counters, "ann", 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Down(_)), "{error:?}");
    server.restart();
    let back = Instant::now();
    while limiter.consume(&counters, "ann", 1).await.is_err() {
        assert!(back.elapsed() < PATIENCE);
    }
}

#[tokio::test]
async fn tls_is_checked_and_a_cluster_shares_the_keys() {
    let certificate = Certificate::new();
    let server = RedisServer::start_with_tls(&certificate);
    let url = server.url().replace("redis:", "rediss:");
    let limiter = Limiter::new("login", 10, MINUTE);
    let trusting = Redis::connect(&url).unwrap().authority(certificate.pem().as_bytes()).unwrap();
    assert_eq!(limiter.penalty(&trusting, "ann", 1).await.unwrap().consumed(), 1);
    assert!(limiter.penalty(&Redis::connect(&url).unwrap(), "ann", 1).await.is_err());

    let cluster = RedisCluster::start();
    let urls = cluster.urls();
    let counters = Redis::cluster([urls[0].as_str()]).unwrap().timeout(PATIENCE);
    for n in 0..60 {
        let key = n.to_string();
        limiter.penalty(&counters, &key, 2).await.unwrap();
        let count = counters.peek(limiter.key(&key)).await.unwrap().unwrap();
        assert!(matches!(count, Count { points: 2, left: Some(_) }), "{count:?}");
        limiter.block(&counters, &key, MINUTE).await.unwrap();
        assert!(limiter.consume(&counters, &key, 1).await.unwrap().is_refused());
        assert!(limiter.delete(&counters, &key).await.unwrap());
        limiter.penalty(&counters, &key, 1).await.unwrap();
        if n % 2 == 0 {
            limiter.block(&counters, &key, MINUTE).await.unwrap();
        }
    }
    let over = limiter.over(&counters).await.unwrap();
    assert_eq!(over.len(), 30, "the masters have them all: {over:?}");
    assert!(cluster.sizes().iter().all(|size| *size > 5), "{:?}", cluster.sizes());
}

#[tokio::test]
async fn who_is_kept_out_is_found_among_all_other_keys() {
    let server = RedisServer::start();
    let counters = connect(&server);
    let limiter = Limiter::new("log[i]n*", 10, MINUTE);
    for (name, points, seconds) in [
        ("log[i]n*:ann_192.0.2.1", "11", Some("60")),
        ("log[i]n*:a:b*", "4000000000", None),
        ("log[i]n*:", "12", Some("60")),
        ("log[i]n*:bob", "10", Some("60")), // within the line
        ("log[i]n*:text", "1e9", None),
        ("login:eve", "11", None), // what the prefix would match as a pattern
        ("log[i]n*eve", "11", None),
    ] {
        server.answers_to(&["SET", name, points]);
        seconds.map(|seconds| server.answers_to(&["EXPIRE", name, seconds]));
    }
    server.answers_to(&["LPUSH", "log[i]n*:list", "11"]);
    server.answers("DEBUG POPULATE 30000 log[i]n*:crowd 1");
    let over = limiter.over(&counters).await.unwrap();
    let over: Vec<_> = over.iter().map(|(name, standing)| (name.as_str(), standing.consumed())).collect();
    assert_eq!(over, [("", 12), ("a:b*", 4_000_000_000), ("ann_192.0.2.1", 11)]);

    for n in 0..1_100 {
        limiter.block(&counters, &n.to_string(), MINUTE).await.unwrap();
    }
    assert_eq!(limiter.over(&counters).await.unwrap().len(), MOST_LISTED);
}
