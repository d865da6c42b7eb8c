use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use panoply::Clock;
use panoply::store::{Postgres, Replaced, Store, StoreError, conformance};

use super::postgres_server::{PostgresServer, postgres_program};
use super::server::{Certificate, PATIENCE, Scratch, mute};
use super::{LONG, sleep};

async fn migrated(server: &PostgresServer) -> Postgres {
    // Of a server that answers it is not asked here how fast.
    let store = Postgres::connect(&server.url()).unwrap().timeout(PATIENCE);
    store.migrate().await.unwrap();
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_every_promise_whatever_the_table_is_called() {
    let server = PostgresServer::start();
    let store = migrated(&server).await;
    conformance(Arc::new(store), sleep).await;

    let odd = Postgres::connect(&server.url()).unwrap();
    let odd = odd.schema("we\"b").unwrap().table("Üser.sessions; --").unwrap();
    let odd = odd.time_zone("Asia/Kathmandu").unwrap().connections(3).timeout(PATIENCE);
    odd.migrate().await.unwrap();
    conformance(Arc::new(odd), sleep).await;
    assert_eq!(server.psql("select count(*) from session"), "0");
}

#[tokio::test]
async fn migrating_twice_or_where_connect_pg_simple_was_changes_nothing() {
    let server = PostgresServer::start();
    server.psql(CONNECT_PG_SIMPLE);
    server.psql("insert into session values ('theirs', '{}', 'infinity')");
    let describe = "select column_name, data_type, datetime_precision, is_nullable from information_schema.columns \
                    where table_name = 'session' order by 1; \
                    select indexdef from pg_indexes where tablename = 'session' order by 1";
    let before = server.psql(describe);
    let store = migrated(&server).await;
    let (one, two) = tokio::join!(store.migrate(), store.migrate());
    one.and(two).unwrap();
    assert_eq!(server.psql(describe), before);
    assert_eq!(store.load("theirs").await.unwrap().as_deref(), Some("{}"));

    server.psql("drop table session_owner, session");
    server.psql(&store.migration());
    assert_eq!(server.psql(describe), before, "the tables we make are theirs");
}

#[tokio::test]
async fn what_it_writes_is_what_connect_pg_simple_writes() {
    let server = PostgresServer::start();
    server.psql("alter role postgres set timezone to 'America/New_York'");
    let store = migrated(&server).await;
    let text = r#"{ "cookie":{"originalMaxAge":null},  "naïve":"☃" }"#;
    store.create("id", text, LONG).await.unwrap();
    assert_eq!(server.psql("select sess from session where sid = 'id'"), text);
    // In the server's zone, as node-pg's connections are.
    let left = "select expire - now()::timestamp between '55 s' and '62 s' and expire = date_trunc('second', expire)";
    assert_eq!(server.psql(&format!("{left} from session")), "t");
    store.bind("ann", "id", LONG).await.unwrap();
    assert_eq!(server.psql("select sid, owner from session_owner"), "id|ann");
    server.psql("delete from session");
    assert_eq!(
        server.psql("select count(*) from session_owner"),
        "0",
        "Node destroys, and the index forgets"
    );

    let other = Postgres::connect(&server.url()).unwrap().time_zone("UTC").unwrap().timeout(PATIENCE);
    store.create("id", "{}", LONG).await.unwrap();
    other.create("utc", "{}", LONG).await.unwrap();
    let between = "select (select expire from session where sid = 'utc') - (select expire from session where sid = 'id')";
    let between = server.psql(between);
    assert!(between.starts_with("04:00:0") || between.starts_with("05:00:0"), "{between}");
}

#[tokio::test]
async fn a_server_killed_between_load_and_save_is_told_at_once_and_found_again() {
    let mut server = PostgresServer::start();
    let store = migrated(&server).await;
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
    assert_eq!(store.replace("id", "1", "2", LONG).await.unwrap(), Replaced::Done, "and nothing was lost");
    // What broke while nobody asked is not noticed by who asks next.
    server.kill();
    server.restart();
    assert_eq!(store.load("id").await.unwrap().as_deref(), Some("2"));
}

#[tokio::test]
async fn a_slow_server_is_waited_for_so_long_and_no_longer() {
    let server = PostgresServer::start();
    migrated(&server).await.create("id", "1", LONG).await.unwrap();
    let store = Postgres::connect(&server.url()).unwrap().timeout(Duration::from_millis(200)).connections(2);
    let mut lock = Command::new(postgres_program("psql"))
        .args(["-X", "-d", &server.url(), "-c", "begin; lock table session; select pg_sleep(12)"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while server.psql("select count(*) from pg_locks where mode = 'AccessExclusiveLock'") == "0" {}
    // More than there are connections: one that waits is given up, not passed on.
    for _ in 0..4 {
        let start = Instant::now();
        let error = store.load("id").await.unwrap_err();
        assert!(matches!(error, StoreError::Slow(_)), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
    lock.kill().unwrap();
    lock.wait().unwrap();
    let back = Instant::now();
    while store.load("id").await.ok().flatten().as_deref() != Some("1") {
        assert!(back.elapsed() < PATIENCE, "it answers nobody any more");
    }

    let (_listener, port) = mute();
    let store = Postgres::connect(&format!("postgres://ann@127.0.0.1:{port}/shop")).unwrap();
    let start = Instant::now();
    let error = store.load("id").await.unwrap_err();
    assert!(matches!(error, StoreError::Slow(_) | StoreError::Down(_)), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_that_may_not_write_refuses_and_is_still_read() {
    let server = PostgresServer::start();
    migrated(&server).await.create("id", "1", LONG).await.unwrap();
    server.psql("alter role postgres set default_transaction_read_only to on");
    let store = Postgres::connect(&server.url()).unwrap();
    let error = store.replace("id", "1", "2", LONG).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    assert_eq!(store.load("id").await.unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_table_emptied_between_load_and_save_brings_nothing_back_and_one_that_is_not_there_refuses() {
    let server = PostgresServer::start();
    let store = migrated(&server).await;
    store.create("id", "1", LONG).await.unwrap();
    server.psql("delete from session");
    assert_eq!(store.replace("id", "1", "2", LONG).await.unwrap(), Replaced::Gone);
    assert_eq!(store.load("id").await.unwrap(), None);
    let error = store.create("id", "no JSON", LONG).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    server.psql("drop table session cascade");
    let error = store.load("id").await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn a_certificate_is_trusted_when_its_authority_is() {
    let (scratch, certificate) = (Scratch::new(), Certificate::new());
    let server = PostgresServer::start_with_tls(&certificate);
    let (right, _) = certificate.write(scratch.path());
    let url = |mode, roots: &str| format!("{}?sslmode={mode}&sslrootcert={roots}", server.url());
    for mode in ["require", "verify-full"] {
        let store = Postgres::connect(&url(mode, &right)).unwrap();
        store.migrate().await.unwrap();
        store.create("id", "1", LONG).await.unwrap();
        assert_eq!(store.load("id").await.unwrap().as_deref(), Some("1"));
        let ours = "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) \
                    where pid <> pg_backend_pid() and backend_type = 'client backend'";
        assert_eq!(server.psql(ours), "t", "{mode}");
    }
    for (host, roots) in [("127.0.0.1", "system"), ("localhost", right.as_str())] {
        let store = Postgres::connect(&url("require", roots).replace("127.0.0.1", host)).unwrap();
        let error = store.load("id").await.unwrap_err();
        assert!(matches!(error, StoreError::Down(_)), "{host} by {roots}: {error:?}");
    }
}

#[tokio::test]
async fn expired_rows_go_by_themselves_and_no_others() {
    let server = PostgresServer::start();
    let clock = Clock::manual();
    let store = migrated(&server).await.clock(clock.clone());
    store.create("short", "{}", LONG).await.unwrap();
    store.create("long", "{}", 100 * LONG).await.unwrap();
    clock.advance(23 * LONG);
    assert_eq!(server.psql("select count(*) from session"), "2");
    let start = Instant::now();
    while server.psql("select string_agg(sid, ' ') from session") != "long" {
        assert!(start.elapsed() < PATIENCE, "the expired row is still there");
        store.load("long").await.unwrap();
    }
}

/// Its `table.sql`, to the letter.
const CONNECT_PG_SIMPLE: &str = r#"
CREATE TABLE "session" (
  "sid" varchar NOT NULL COLLATE "default",
	"sess" json NOT NULL,
	"expire" timestamp(6) NOT NULL
)
WITH (OIDS=FALSE);

ALTER TABLE "session" ADD CONSTRAINT "session_pkey" PRIMARY KEY ("sid") NOT DEFERRABLE INITIALLY IMMEDIATE;

CREATE INDEX "IDX_session_expire" ON "session" ("expire");
"#;
