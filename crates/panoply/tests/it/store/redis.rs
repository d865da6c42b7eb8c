use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use panoply::store::{Redis, Replaced, Store, StoreError, conformance};

use super::server::{Certificate, PATIENCE, RedisCluster, RedisServer, mute};
use super::{LONG, sleep};

/// Of a server that answers it is not asked here how fast.
fn connect(server: &RedisServer) -> Redis {
    Redis::connect(&server.url()).unwrap().timeout(PATIENCE)
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_every_promise() {
    let server = RedisServer::start();
    conformance(Arc::new(connect(&server)), sleep).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_every_promise_and_shares_the_keys() {
    let cluster = RedisCluster::start();
    let urls = cluster.urls();
    let store = Arc::new(Redis::cluster([urls[0].as_str()]).unwrap().timeout(PATIENCE));
    conformance(Arc::clone(&store) as Arc<dyn Store>, sleep).await;
    for n in 0..300 {
        let id = format!("id-{n}");
        store.create(&id, "{}", LONG).await.unwrap();
        store.bind("ann", &id, LONG).await.unwrap();
    }
    for size in cluster.sizes() {
        assert!(size > 50, "{:?}", cluster.sizes());
    }
    assert_eq!(store.destroy_all("ann", Some("id-7")).await.unwrap(), 299);
    assert_eq!(store.load("id-7").await.unwrap().as_deref(), Some("{}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_lost_a_node_is_told_in_time_and_found_again() {
    let mut cluster = RedisCluster::start();
    let urls = cluster.urls();
    let store = Redis::cluster(urls.iter().map(String::as_str)).unwrap();
    let ids: Vec<String> = (0..12).map(|n| format!("id-{n}")).collect();
    for id in &ids {
        store.create(id, "1", LONG).await.unwrap();
    }
    cluster.nodes()[0].kill();
    let mut failed = 0;
    for id in &ids {
        let start = Instant::now();
        match store.load(id).await {
            Ok(found) => assert_eq!(found.as_deref(), Some("1")),
            Err(StoreError::Down(_) | StoreError::Slow(_)) => failed += 1,
            Err(error) => panic!("{error:?}"),
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
    assert!(failed > 0);
    cluster.nodes()[0].restart();
    let back = Instant::now();
    for id in &ids {
        while store.create(id, "2", LONG).await.is_err() {
            assert!(back.elapsed() < PATIENCE, "{id}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn what_it_writes_is_what_connect_redis_writes() {
    let server = RedisServer::start();
    let (store, other) = (connect(&server), connect(&server).prefix("shop:"));
    let text = r#"{"cookie":{"originalMaxAge":null},"naïve":"☃"}"#;
    let begun = SystemTime::now();
    store.create("a b", text, Duration::from_millis(61_500)).await.unwrap();
    assert!(server.ends("sess:a b", begun, 62), "rounded up");
    assert_eq!(server.answers_to(&["--raw", "GET", "sess:a b"]), text);
    other.create("id", "{}", LONG).await.unwrap();
    let begun = SystemTime::now();
    other.bind("ann", "id", LONG).await.unwrap();
    assert!(server.ends("user-shop:ann", begun, 60));
    assert_eq!(server.answers("KEYS shop:*"), "shop:id", "the index is outside what connect-redis lists");
    assert_eq!(server.answers("ZRANGE user-shop:ann 0 -1"), "id");
    other.bind("ann", "id", Duration::from_secs(10)).await.unwrap();
    assert!(server.ends("user-shop:ann", begun, 60), "a short session shortens no other's");
    let begun = SystemTime::now();
    other.touch("id", Duration::from_secs(600)).await.unwrap();
    assert!(server.ends("shop:id", begun, 600));
    assert_eq!(server.answers("GET shop:id"), "{}");
    let begun = SystemTime::now();
    other.replace("id", "{}", "1", Duration::from_secs(700)).await.unwrap();
    assert!(server.ends("shop:id", begun, 700));
    other.destroy("id").await.unwrap();
    assert_eq!(server.answers("EXISTS shop:id"), "0");
}

#[tokio::test]
async fn each_question_is_one_command() {
    let server = RedisServer::start();
    let store = connect(&server);
    store.create("id", "1", LONG).await.unwrap();
    server.answers("CONFIG RESETSTAT");
    store.load("id").await.unwrap();
    store.replace("id", "1", "2", LONG).await.unwrap();
    store.touch("id", LONG).await.unwrap();
    store.destroy("id").await.unwrap();
    let stats = server.answers("INFO commandstats");
    let commands: Vec<&str> = stats
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split(",usec").next())
        .filter(|command| !command.starts_with("config") && !command.starts_with("command"))
        .collect();
    let mut sorted = commands.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["del:calls=1", "expire:calls=1", "get:calls=1", "set:calls=1"]);
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_used_once_it_is() {
    let mut server = RedisServer::stopped();
    let store = connect(&server);
    let error = store.load("id").await.unwrap_err();
    assert!(matches!(error, StoreError::Down(_)), "{error:?}");
    server.restart();
    assert_eq!(store.load("id").await.unwrap(), None);
}

#[tokio::test]
async fn a_server_killed_between_load_and_save_is_told_at_once_and_found_again() {
    let mut server = RedisServer::start();
    let store = connect(&server);
    store.create("id", "1", LONG).await.unwrap();
    assert_eq!(store.load("id").await.unwrap().as_deref(), Some("1"));
    server.kill();
    for _ in 0..3 {
        let start = Instant::now();
        let error = store.replace("id", "1", "2", LONG).await.unwrap_err();
        assert!(matches!(error, StoreError::Down(_)), "{error:?}");
        assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    }
    server.restart();
    assert_eq!(store.replace("id", "1", "2", LONG).await.unwrap(), Replaced::Gone);
    store.create("id", "1", LONG).await.unwrap();
    // What broke while nobody asked is not noticed by who asks next.
    server.kill();
    server.restart();
    assert_eq!(store.load("id").await.unwrap(), None);
}

#[tokio::test]
async fn a_slow_server_is_waited_for_so_long_and_no_longer() {
    let server = RedisServer::start();
    connect(&server).create("id", "1", LONG).await.unwrap();
    let store = connect(&server).timeout(Duration::from_millis(200));
    server.signal("STOP");
    let start = Instant::now();
    let error = store.load("id").await.unwrap_err();
    assert!(matches!(error, StoreError::Slow(_)), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    server.signal("CONT");
    assert_eq!(connect(&server).load("id").await.unwrap().as_deref(), Some("1"));

    let (_listener, port) = mute();
    let store = Redis::connect(&format!("redis://127.0.0.1:{port}")).unwrap();
    let start = Instant::now();
    let error = store.load("id").await.unwrap_err();
    assert!(matches!(error, StoreError::Slow(_)), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_that_may_not_write_refuses_and_is_still_read() {
    let server = RedisServer::start();
    let store = connect(&server);
    store.create("id", "1", LONG).await.unwrap();
    server.answers("REPLICAOF 127.0.0.1 1");
    let error = store.replace("id", "1", "2", LONG).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    assert_eq!(store.load("id").await.unwrap().as_deref(), Some("1"));
    server.answers("REPLICAOF NO ONE");
    assert_eq!(store.replace("id", "1", "2", LONG).await.unwrap(), Replaced::Done);
}

#[tokio::test]
async fn a_server_flushed_between_load_and_save_brings_nothing_back() {
    let server = RedisServer::start();
    let store = connect(&server);
    store.create("id", "1", LONG).await.unwrap();
    server.answers("FLUSHALL");
    assert_eq!(store.replace("id", "1", "2", LONG).await.unwrap(), Replaced::Gone);
    assert_eq!(store.load("id").await.unwrap(), None);
}

#[tokio::test]
async fn a_certificate_is_trusted_when_its_authority_is() {
    let certificate = Certificate::new();
    let server = RedisServer::start_with_tls(&certificate);
    let url = server.url().replace("redis:", "rediss:");
    let store = Redis::connect(&url).unwrap().authority(certificate.pem().as_bytes()).unwrap();
    store.create("id", "1", LONG).await.unwrap();
    assert_eq!(store.load("id").await.unwrap().as_deref(), Some("1"));
    let other = Certificate::new().pem();
    for store in [Redis::connect(&url), Redis::connect(&url).unwrap().authority(other.as_bytes())] {
        let error = store.unwrap().load("id").await.unwrap_err();
        assert!(matches!(error, StoreError::Down(_)), "{error:?}");
    }
    assert!(Redis::connect(&url).unwrap().authority(b"no PEM").is_err());
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_an_error_and_no_panic() {
    let server = RedisServer::start();
    let store = Redis::connect(&server.url().replace("redis:", "rediss:")).unwrap();
    assert!(store.load("id").await.is_err());
}
