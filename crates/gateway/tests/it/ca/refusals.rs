//! What the CA refuses, and how: a CA that believes everything would prove nothing about its clients.

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::asker::{Answer, Asker, Key};
use super::{Ca, Clock, DAY, HOUR};

#[tokio::test]
async fn only_what_its_own_key_signed_for_this_address_and_once_is_heard() {
    for key in [Key::p256, Key::ed25519] {
        let ca = Ca::start(Clock::new()).await;
        let mut asker = Asker::new(&ca, key());
        asker.register().await;
        let url = format!("{}/new-order", asker.base());
        let order = json!({ "identifiers": [dns("shop.example")] }).to_string();

        let nonce = asker.nonce().await;
        let signed = asker.sign(&nonce, &url, &order);
        assert_eq!(asker.send("/new-order", signed.clone()).await.status, 201, "the right one");
        assert_eq!(asker.send("/new-order", signed).await.problem(), "badNonce", "the same again");

        let nonce = asker.nonce().await;
        let elsewhere = asker.sign(&nonce, &format!("{}/account/0", asker.base()), &order);
        assert_eq!(asker.send("/new-order", elsewhere).await.problem(), "unauthorized", "another address");

        let nonce = asker.nonce().await;
        let mut forged = asker.sign(&nonce, &url, &order);
        forged["payload"] = URL_SAFE_NO_PAD.encode(order.replace("shop", "bank")).into();
        assert_eq!(asker.send("/new-order", forged).await.problem(), "malformed", "another text");

        let mut stranger = Asker::new(&ca, key());
        stranger.register().await;
        assert_eq!(stranger.post("/order/0", "").await.status, 404, "another's order");
        assert_eq!(stranger.post("/authorization/0", "").await.status, 404, "another's authorization");
    }
}

#[tokio::test]
async fn a_request_is_for_the_names_of_its_order_and_signed_by_its_own_key() {
    let (ca, asker) = customer(Clock::new()).await;
    let order = asker.order(json!({}), &[dns("a.example"), dns("b.example")]).await;
    let both = request(&["a.example", "b.example"]);
    assert_eq!(finalize(&asker, &order, &both).await.problem(), "orderNotReady", "nothing was shown");
    show(&asker, &order).await;

    let mut broken = both.clone();
    *broken.last_mut().unwrap() ^= 1;
    for (what, request, problem) in [
        ("one name too few", request(&["a.example"]), "badCSR"),
        ("one name too many", request(&["a.example", "b.example", "c.example"]), "badCSR"),
        ("a signature that is wrong", broken, "badCSR"),
        ("what is none", b"no request".to_vec(), "badCSR"),
        ("the right one", both.clone(), ""),
        ("the right one again", both, "orderNotReady"),
    ] {
        assert_eq!(finalize(&asker, &order, &request).await.problem(), problem, "{what}");
    }
    assert_eq!(ca.seen().certificates.len(), 1);
}

#[tokio::test]
async fn a_certificate_is_replaced_once_and_its_window_is_what_the_test_says() {
    let clock = Clock::new();
    let (ca, asker) = customer(clock.clone()).await;
    buy(&asker, json!({}), &["a.example"]).await;
    let first = ca.seen().certificates[0].clone();

    let path = format!("/renewal-info/{}", first.identifier);
    let said = asker.get(&path).await;
    assert_eq!(said.header("retry-after"), "21600");
    assert_eq!(
        said.json()["suggestedWindow"]["start"],
        "2026-03-01T22:59:59.333333333Z",
        "two thirds of life"
    );
    ca.renew_now();
    assert_eq!(asker.get(&path).await.json()["suggestedWindow"]["start"], "2025-12-31T00:00:00Z");
    assert_eq!(asker.get("/renewal-info/AAAA.AAAA").await.status, 404);

    let replaces = |which: &str| json!({ "replaces": which });
    for (what, replaced, name, problem) in [
        ("what is none of ours", "AAAA.AAAA", "a.example", "malformed"),
        ("by none of its names", &first.identifier, "b.example", "malformed"),
        ("once", &first.identifier, "a.example", ""),
        ("twice", &first.identifier, "a.example", "alreadyReplaced"),
    ] {
        let answer = asker.order(replaces(replaced), &[dns(name)]).await;
        assert_eq!(answer.problem(), problem, "{what}: {answer:?}");
    }
    clock.advance(DAY * 8);
    let answer = asker.order(replaces(&first.identifier), &[dns("a.example")]).await;
    assert_eq!(answer.status, 201, "the order that replaced it has ended unfinished: {answer:?}");
}

#[tokio::test]
async fn addresses_are_of_one_profile_and_profiles_have_their_own_lifetime() {
    let (ca, asker) = customer(Clock::new()).await;
    let address = || json!({ "type": "ip", "value": "127.0.0.1" });
    for (what, more, name, problem) in [
        ("no profile", json!({}), address(), "rejectedIdentifier"),
        ("another profile", json!({ "profile": "classic" }), address(), "rejectedIdentifier"),
        ("one that is not there", json!({ "profile": "platinum" }), dns("a.example"), "invalidProfile"),
        (
            "another form",
            json!({ "profile": "shortlived" }),
            json!({ "type": "ip", "value": "::0:1" }),
            "rejectedIdentifier",
        ),
        ("a wildcard", json!({}), dns("*.a.example"), "rejectedIdentifier"),
        ("an address as a name", json!({}), dns("127.0.0.1"), "unsupportedIdentifier"),
    ] {
        assert_eq!(asker.order(more, &[name]).await.problem(), problem, "{what}");
    }
    buy(&asker, json!({ "profile": "shortlived" }), &["a.example"]).await;
    let issued = &ca.seen().certificates[0];
    assert_eq!(issued.not_after.duration_since(issued.not_before).unwrap().as_secs(), 6 * 86_400 - 1);
}

#[tokio::test]
async fn limits_are_lets_encrypts_and_say_when_to_come_again() {
    let clock = Clock::new();
    let (ca, asker) = customer(clock.clone()).await;
    for _ in 0..5 {
        buy(&asker, json!({}), &["a.example"]).await;
        clock.advance(HOUR);
    }
    let refused = asker.order(json!({}), &[dns("a.example")]).await;
    assert_eq!((refused.status, refused.problem().as_str()), (429, "rateLimited"));
    assert_eq!(refused.header("retry-after"), (163 * 3_600).to_string(), "a week after the first");
    buy(&asker, json!({}), &["a.example", "b.example"]).await;

    let newest = ca.seen().certificates[4].identifier.clone();
    let replaces = asker.order(json!({ "replaces": newest }), &[dns("a.example")]).await;
    assert_eq!(replaces.status, 201, "who replaces is not counted: {replaces:?}");

    ca.rules(|rules| rules.verdict = super::Verdict::Reject);
    for _ in 0..5 {
        let order = asker.order(json!({}), &[dns("c.example")]).await;
        show(&asker, &order).await;
    }
    let refused = asker.order(json!({}), &[dns("c.example")]).await;
    assert_eq!((refused.problem().as_str(), refused.header("retry-after")), ("rateLimited", "3600"));
}

/// A CA that takes everybody's word by http-01, and an account there.
async fn customer(clock: Clock) -> (Ca, Asker) {
    let ca = Ca::start(clock).await;
    let mut asker = Asker::new(&ca, Key::p256());
    asker.register().await;
    let answers = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = answers.local_addr().unwrap().port();
    let thumbprint = asker.thumbprint();
    ca.rules(|rules| rules.ports = (port, port));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = answers.accept().await {
            let mut head = [0; 1_024];
            let read = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let token = head.split([' ', '/']).nth(4).unwrap_or_default();
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{token}.{thumbprint}").as_bytes()).await;
        }
    });
    (ca, asker)
}

async fn buy(asker: &Asker, more: Value, names: &[&str]) {
    let identifiers: Vec<Value> = names.iter().map(|name| dns(name)).collect();
    let order = asker.order(more, &identifiers).await;
    assert_eq!(order.status, 201, "{order:?}");
    show(asker, &order).await;
    let answer = finalize(asker, &order, &request(names)).await;
    assert_eq!(answer.json()["status"], "valid", "{answer:?}");
}

/// Shows every name of an order by http-01, and waits until the CA has looked.
async fn show(asker: &Asker, order: &Answer) {
    for authorization in order.json()["authorizations"].as_array().unwrap() {
        let path = authorization.as_str().unwrap().trim_start_matches(asker.base()).to_owned();
        let challenge = asker.post(&path, "").await.json()["challenges"][0]["url"].clone();
        let challenge = challenge.as_str().unwrap().trim_start_matches(asker.base()).to_owned();
        asker.post(&challenge, "{}").await;
        while asker.post(&path, "").await.json()["status"] == "pending" {}
    }
}

async fn finalize(asker: &Asker, order: &Answer, request: &[u8]) -> Answer {
    let url = order.json()["finalize"].as_str().unwrap().trim_start_matches(asker.base()).to_owned();
    asker.post(&url, &json!({ "csr": URL_SAFE_NO_PAD.encode(request) }).to_string()).await
}

fn request(names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
    let key = KeyPair::generate().unwrap();
    CertificateParams::new(names).unwrap().serialize_request(&key).unwrap().der().to_vec()
}

fn dns(name: &str) -> Value {
    json!({ "type": "dns", "value": name })
}
