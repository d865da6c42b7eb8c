//! How the stores do: when one died, and when it came back.

use std::time::{Duration, Instant};

use super::{Page, two_sites};
use crate::process::Redis;

#[tokio::test]
async fn values_that_machines_share_have_a_gauge_of_their_own() {
    let redis = Redis::start();
    redis.signal("STOP");
    let (gateway, _folder, _app) = two_sites(&format!(
        "store.url = '{}'\nkeys = ['the key of a test, which protects nobody at all']",
        redis.url()
    ));
    let values = |figure: &str| format!("panoply_store_{figure}{{kind=\"redis\",of=\"values\"}}");
    let becomes = async |state: u64| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let page = Page::of(&gateway);
            assert!(page.has(&values("up")));
            if page.figure(&values("asked_total")) >= 1.0 && page.figure(&values("up")) as u64 == state {
                return page;
            }
            assert!(Instant::now() < deadline, "it does not become {state}:\n{}", gateway.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let down = becomes(0).await;
    assert!(down.figure(&values("failed_total")) >= 1.0 && down.has(&values("failed_seconds")));
    assert_eq!(gateway.client().get("/").await.status, 200, "it serves without");
    redis.signal("CONT");
    gateway.signal("HUP"); // else it asks once a minute
    becomes(1).await;
    for said in ["the store of shared values fails", "the store of shared values answers again"] {
        gateway.logged(said);
        assert_eq!(gateway.log().matches(said).count(), 1, "{said}:\n{}", gateway.log());
    }
}

#[tokio::test]
async fn metrics_and_log_tell_when_the_store_died_and_when_it_came_back() {
    let redis = Redis::start();
    let (gateway, _folder, _app) = two_sites(&format!(
        "store.url = '{}'\n[shield.rate_limit]\nlimits.api = {{ rate = '100000/min', path = '/', shared = true }}",
        redis.url()
    ));
    let client = gateway.client();
    let up = |page: &Page, of: &str| {
        page.figure(&format!("panoply_store_up{{kind=\"redis\",of=\"{of}\"}}")) as u64
    };
    let failed = |page: &Page, of: &str| {
        page.figure(&format!("panoply_store_failed_total{{kind=\"redis\",of=\"{of}\"}}")) as u64
    };
    let becomes = async |state: u64| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let page = Page::of(&gateway);
            if ["counts", "bans"].iter().all(|of| up(&page, of) == state) {
                return page;
            }
            assert!(Instant::now() < deadline, "it does not become {state}:\n{}", gateway.log());
            assert_eq!(client.get("/").await.status, 200, "no visitor notices");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(client.get("/").await.status, 200);
    let page = becomes(1).await;
    assert_eq!(failed(&page, "counts") + failed(&page, "bans"), 0);
    assert!(page.figure("panoply_store_asked_total{kind=\"redis\",of=\"counts\"}") >= 1.0);
    assert!(!page.has("panoply_store_failed_seconds{kind=\"redis\",of=\"counts\"}"), "it never failed");

    redis.signal("STOP");
    let down = becomes(0).await;
    for of in ["counts", "bans"] {
        assert!(failed(&down, of) >= 1, "{of}");
        let at = down.figure(&format!("panoply_store_failed_seconds{{kind=\"redis\",of=\"{of}\"}}"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - 60.0..=now).contains(&at), "{of}: {at}, and now is {now}");
    }
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 200);
    }
    assert!(Page::of(&gateway).figure("panoply_store_owed") >= 1.0, "the store is to be told of one key");
    // Each has asked in vain several times, and said so once.
    let deadline = Instant::now() + Duration::from_secs(60);
    while ["counts", "bans"].iter().any(|of| failed(&Page::of(&gateway), of) < 3) {
        assert!(Instant::now() < deadline, "nobody looks whether it is back");
        assert_eq!(client.get("/").await.status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    redis.signal("CONT");
    becomes(1).await;
    for (said, times) in [
        ("the store of counts fails", 1),
        ("the store of counts answers again", 1),
        ("the store of bans fails", 1),
        ("the store of bans answers again", 1),
    ] {
        gateway.logged(said);
        assert_eq!(gateway.log().matches(said).count(), times, "{said}:\n{}", gateway.log());
    }
}
