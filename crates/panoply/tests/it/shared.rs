//! What one machine writes all others read, and nobody else; one of them claims, and a claim ends.
#![allow(clippy::disallowed_methods, reason = "real servers live by the machine's clock")]

use std::sync::Arc;
use std::time::Duration;

use panoply::shared::{LONGEST_VALUE, Shared};
use panoply::{Clock, Keys};

use crate::store::postgres_server::PostgresServer;
use crate::store::server::{RedisCluster, RedisServer, mute};

#[tokio::test(flavor = "multi_thread")]
async fn redis_shares_alone_and_as_a_cluster() {
    let server = RedisServer::start();
    keeps_every_promise(&server.url()).await;
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(server.answers("DBSIZE"), "0", "nothing stays for ever");
    let cluster = RedisCluster::start();
    keeps_every_promise(&cluster.urls().join(",")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_shares() {
    let server = PostgresServer::start();
    keeps_every_promise(&server.url()).await;
    server.psql("UPDATE panoply_shared SET expire = 0");
    let shared = open(&server.url(), &[&Keys::generate()]);
    shared.write("last", b"x", SHORT).await.unwrap();
    assert_eq!(server.psql("SELECT name FROM panoply_shared"), "value:last", "what ended long ago is gone");
}

#[tokio::test]
async fn a_store_that_is_away_or_mute_is_told_in_time() {
    let (_listener, port) = mute();
    let gone = "redis://127.0.0.1:1".to_owned();
    for url in [gone, format!("redis://127.0.0.1:{port}"), format!("postgres://ann@127.0.0.1:{port}/shop")] {
        let shared = open(&url, &[&Keys::generate()]);
        let asked = tokio::time::timeout(Duration::from_secs(30), shared.read("x")).await;
        assert!(asked.expect("in time").is_err(), "{url}");
        assert!(shared.claim("x", "one", SHORT).await.is_err(), "{url}: no claim without a store");
    }
}

async fn keeps_every_promise(url: &str) {
    let (old, new) = (Keys::generate(), Keys::generate());
    let [one, two] = [open(url, &[&old]), open(url, &[&new, &old])];
    values(&one, &two).await;
    sealed(url, &one, &two, &new).await;
    followed(url, &old, &new).await;
    sealed_anew(url, &old, &new).await;
    claims(&one, &two).await;
    one_of_many(url, &old).await;
    first_of_many(url, &[&old, &new]).await;
    everything_ends(&one).await;
}

async fn values(one: &Shared, two: &Shared) {
    assert_eq!(one.read("name").await.unwrap(), None);
    for value in [&b""[..], b"\0\xff a value", &[7; LONGEST_VALUE]] {
        one.write("name", value, LONG).await.unwrap();
        assert_eq!(two.read("name").await.unwrap().unwrap(), value);
    }
    let error = one.write("name", &[7; LONGEST_VALUE + 1], LONG).await.unwrap_err();
    assert!(format!("{error:?}").contains("at most"), "{error:?}");
    for odd in ["", "a:b", "{a}", "ä ö'\"", "*.shop.example", "claim:name"] {
        assert_eq!(one.read(odd).await.unwrap(), None, "{odd}");
        one.write(odd, odd.as_bytes(), LONG).await.unwrap();
        assert_eq!(two.read(odd).await.unwrap().unwrap(), odd.as_bytes(), "{odd}");
        two.remove(odd).await.unwrap();
        two.remove(odd).await.unwrap();
        assert_eq!(one.read(odd).await.unwrap(), None, "{odd}");
    }
    one.remove("name").await.unwrap();
}

/// What other keys sealed is not there.
async fn sealed(url: &str, one: &Shared, two: &Shared, new: &str) {
    two.write("sealed", b"with the new key", LONG).await.unwrap();
    assert_eq!(one.read("sealed").await.unwrap(), None, "he has the old key alone");
    let only_new = open(url, &[new]);
    assert_eq!(only_new.read("sealed").await.unwrap().unwrap(), b"with the new key");
    two.remove("sealed").await.unwrap();
}

/// Who is given other keys while he runs has them at once.
async fn followed(url: &str, old: &str, new: &str) {
    let [one, two] = [open(url, &[old]), open(url, &[old])];
    one.write("before", b"old", LONG).await.unwrap();
    one.follow(&Keys::new([new, old]).unwrap());
    assert_eq!(one.read("before").await.unwrap().unwrap(), b"old", "by the key that is kept");
    one.write("after", b"new", LONG).await.unwrap();
    assert_eq!(two.read("after").await.unwrap(), None);
    two.follow(&Keys::new([new]).unwrap());
    assert_eq!(two.read("after").await.unwrap().unwrap(), b"new");
    assert_eq!(two.read("before").await.unwrap(), None, "by the key that is gone");
    for name in ["before", "after"] {
        one.remove(name).await.unwrap();
    }
}

/// An old key can go in the end, and what it sealed does not go with it.
async fn sealed_anew(url: &str, old: &str, new: &str) {
    let (one, only_new, clock) = (open(url, &[old]), open(url, &[new]), Clock::manual());
    let both = Shared::open(url, &Keys::new([new, old]).unwrap(), &clock).unwrap();
    one.write("account", b"a key", LONG).await.unwrap();
    for (hours, is_sealed_anew) in [(0, false), (23, false), (1, true)] {
        clock.advance(Duration::from_secs(hours * 3_600));
        assert_eq!(both.read("account").await.unwrap().unwrap(), b"a key");
        assert_eq!(only_new.read("account").await.unwrap().is_some(), is_sealed_anew, "{hours} h later");
        assert_eq!(one.read("account").await.unwrap().is_some(), !is_sealed_anew, "{hours} h later");
    }
    one.write("brief", b"x", SHORT).await.unwrap();
    both.read("brief").await.unwrap().unwrap();
    tokio::time::sleep(SHORT + Duration::from_millis(50)).await;
    assert_eq!(only_new.read("brief").await.unwrap(), None, "it ends as it would have");
    only_new.remove("account").await.unwrap();
}

async fn claims(one: &Shared, two: &Shared) {
    one.write("task", b"a value", LONG).await.unwrap();
    assert!(one.claim("task", "one", LONG).await.unwrap());
    assert!(one.claim("task", "one", LONG).await.unwrap(), "his already");
    assert!(!two.claim("task", "two", LONG).await.unwrap());
    two.release("task", "two").await.unwrap();
    assert!(!two.claim("task", "two", LONG).await.unwrap(), "nobody releases another's");
    assert!(two.claim("other task", "two", SHORT).await.unwrap());
    one.release("task", "one").await.unwrap();
    one.release("task", "one").await.unwrap();
    assert!(two.claim("task", "two", SHORT).await.unwrap());
    assert_eq!(two.read("task").await.unwrap().unwrap(), b"a value", "a claim is no value");
    tokio::time::sleep(SHORT + Duration::from_millis(50)).await;
    assert!(one.claim("task", "one", SHORT).await.unwrap(), "a claim ends");
    one.remove("task").await.unwrap();
}

async fn one_of_many(url: &str, key: &str) {
    let shared = Arc::new(open(url, &[key]));
    let mut tries = tokio::task::JoinSet::new();
    for number in 0..16 {
        let shared = Arc::clone(&shared);
        tries.spawn(async move { shared.claim("race", &number.to_string(), SHORT).await.unwrap() });
    }
    let held = tries.join_all().await.into_iter().filter(|held| *held).count();
    assert_eq!(held, 1);
}

/// Also where they have different keys: what stands there stays.
async fn first_of_many(url: &str, secrets: &[&str]) {
    let mut tries = tokio::task::JoinSet::new();
    for number in 0..16_u8 {
        let shared = open(url, &[secrets[usize::from(number) % secrets.len()]]);
        tries.spawn(async move {
            let wrote = shared.write_first("first", &[number], 3 * SHORT).await.unwrap();
            (wrote.then_some(number), shared.read("first").await.unwrap())
        });
    }
    let told = tries.join_all().await;
    let wrote: Vec<_> = told.iter().filter_map(|(wrote, _)| *wrote).collect();
    let [first] = wrote[..] else { panic!("one wrote, but {wrote:?} did") };
    let mut read = told.iter().filter_map(|(_, read)| read.as_deref());
    assert!(read.all(|value| value == [first]), "all who can read it read the same");
    tokio::time::sleep(3 * SHORT + Duration::from_millis(50)).await;
    let late = open(url, &[secrets[0]]);
    assert!(
        late.write_first("first", b"again", SHORT).await.unwrap(),
        "what has ended stands in nobody's way"
    );
    assert!(!late.write_first("first", b"and again", SHORT).await.unwrap());
    late.remove("first").await.unwrap();
}

async fn everything_ends(one: &Shared) {
    one.write("short", b"x", SHORT).await.unwrap();
    assert!(one.read("short").await.unwrap().is_some());
    tokio::time::sleep(SHORT + Duration::from_millis(50)).await;
    assert_eq!(one.read("short").await.unwrap(), None);
    one.write("long", b"x", Duration::MAX).await.unwrap();
    assert!(one.read("long").await.unwrap().is_some());
    one.remove("long").await.unwrap();
}

fn open(url: &str, secrets: &[&str]) -> Shared {
    Shared::open(url, &Keys::new(secrets).unwrap(), &Clock::system()).unwrap()
}

const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(600);
