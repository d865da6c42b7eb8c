//! Whatever Express takes for a login counts as one, however it is spelled and whoever waits for its answer.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;

use crate::client::Client;
use crate::gateway::Gateway;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

fn login(path: &str, user: &str, password: &str) -> Request<Full<Bytes>> {
    spelled(Method::POST, path, FORM, format!("username={user}&password={}", password.replace(' ', "+")))
}

fn spelled(method: Method, path: &str, kind: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let body: Bytes = body.into();
    let mut request = Request::builder().method(method).uri(path);
    if !kind.is_empty() {
        request = request.header("content-type", kind);
    }
    request.body(Full::from(body)).unwrap()
}

fn coded(coding: &str, body: &str) -> Request<Full<Bytes>> {
    let bytes = (0..body.len()).step_by(2).map(|at| u8::from_str_radix(&body[at..at + 2], 16).unwrap());
    let mut request = spelled(Method::POST, "/login", JSON, bytes.collect::<Vec<_>>());
    request.headers_mut().insert("content-encoding", coding.parse().unwrap());
    request
}

/// Whose passwords the app has looked at since it was last asked, and how often.
async fn checked(client: &Client) -> HashMap<String, u32> {
    serde_json::from_str(client.get("/checked").await.text()).unwrap()
}

#[tokio::test]
async fn no_spelling_of_a_login_gets_more_guesses_than_another() {
    let gateway = Gateway::run(&[], &["node", "spelled.js"]);
    let client = gateway.client();
    // Somebody logs in there now and then.
    assert_eq!(client.ask(login("/login", "somebody", "slip")).await.status.as_u16(), 401);
    checked(&client).await;

    let fields = |user: &str| format!("username={user}&password=guess");
    let json = |user: &str| format!(r#"{{"username":"{user}","password":"guess"}}"#);
    let parts = "--b\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\nparts\r\n\
                 --b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nguess\r\n--b--\r\n";
    let utf_16: Vec<u8> = json("wide").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let post = |kind: &str, body: &str| spelled(Method::POST, "/login", kind, body.to_owned());
    let mut rows: Vec<(&str, Request<Full<Bytes>>)> = vec![
        ("put", spelled(Method::PUT, "/login", JSON, json("put"))),
        ("patch", spelled(Method::PATCH, "/login", FORM, fields("patch"))),
        ("delete", spelled(Method::DELETE, "/login", FORM, fields("delete"))),
        ("get", spelled(Method::GET, "/login?username=get&password=guess", "", "")),
        ("getbody", spelled(Method::GET, "/login", FORM, fields("getbody"))),
        ("query", spelled(Method::POST, "/login?username=query&password=guess", "", "")),
        ("half", spelled(Method::POST, "/login?username=half", FORM, "password=guess")),
        ("upper", spelled(Method::POST, "/LOGIN/", FORM, fields("upper"))),
        ("keys", post(FORM, "user%6eame=keys&%70assword=guess")),
        ("below", post(FORM, "user[username]=below&user[password]=guess")),
        ("list", post(FORM, "username[]=list&password=guess")),
        ("bom", post(JSON, &format!("\u{feff}{}", json("bom")))),
        ("twice", post(JSON, r#"{"username":"decoy","password":"guess","username":"twice"}"#)),
        ("unicode", post(JSON, r#"{"us\u0065rname":"\u0075nicode","p\u0061ssword":"guess"}"#)),
        ("vendor", post("application/vnd.api+json", &json("vendor"))),
        ("loud", post("Application/JSON;Charset=\"UTF-8\"", &json("loud"))),
        ("parts", post("multipart/form-data; boundary=b", parts)),
        ("plain", post("text/plain", &json("plain"))),
        ("wide", spelled(Method::POST, "/login", "application/json; charset=utf-16", utf_16)),
        ("padded", post(FORM, &format!("{}&x={}", fields("padded"), "x".repeat(90_000)))),
        (
            "gzip",
            coded(
                "gzip",
                "1f8b0800000000000003ab562a2d4e2dca4bcc4d55b2524aafca2c50d2512a482c2e2ecf2f4a018994a616172bd502\
                 00f5ae535926000000",
            ),
        ),
        (
            "deflate",
            coded(
                "deflate",
                "789cab562a2d4e2dca4bcc4d55b2524a494dcb492c4955d2512a482c2e2ecf2f4a51b2524a2f4d2d2e56aa050031720e78",
            ),
        ),
        (
            "br",
            coded("br", "8b11807b22757365726e616d65223a226272222c2270617373776f7264223a226775657373227d03"),
        ),
    ];
    for name in ["Wide%20Name%20", "%EF%BD%97ide+name", "WIDE+NAME", "+wide+name", "wide+n%C3%A1me"] {
        rows.push(("wide name", post(FORM, &format!("username={name}&password=guess"))));
    }
    for mail in ["t.im@gmail.com", "tim%2B1@gmail.com", "tim%2B2@Gmail.com", "ti.m%2B3@gmail.com"] {
        rows.push(("tim@gmail.com", post(FORM, &fields(mail))));
    }
    // Not one at a time, but for what is one user to the app.
    for (at, (user, request)) in rows.iter().enumerate() {
        // A plain text is nobody's disguise where an app says that it takes it: it counts by address.
        let most = if *user == "plain" { 101 } else { 11 };
        let group = if user.contains(['@', ' ']) { 200 } else { u8::try_from(at).unwrap() };
        let attacker = client.from([127, 8, 0, group + 1]);
        let mut kept = attacker.keep(at % 2 == 0).await;
        let (mut reached, mut last) = (0, 0);
        for _ in 0..most + 9 {
            // Who is refused before all of his body has come may find the connection closed.
            match attacker.try_on(&mut kept, request.clone()).await {
                Ok(answer) => last = answer.status.as_u16(),
                Err(_) => (last, kept) = (429, attacker.keep(at % 2 == 0).await),
            }
            reached += u32::from(last == 401);
        }
        let checked = checked(&client).await;
        let count: u32 = checked.iter().filter(|(name, _)| name.contains(user)).map(|(_, count)| count).sum();
        let is_first = group != 200 || !rows[..at].iter().any(|(before, _)| before == user);
        assert!(count <= most && count >= reached, "{user} {at}: {count}, {reached}, {checked:?}");
        assert!(count > 0 || !is_first, "{user}: Express does not take it");
        assert_eq!(last, 429, "{user} {at}: {count} {checked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_does_not_wait_for_the_answer_has_guessed() {
    let gateway = Gateway::run(&[], &["node", "spelled.js"]);
    let client = gateway.client();
    let attacker = client.from([127, 9, 0, 1]);
    for _ in 0..5 {
        let guesses = (0..8).map(|n| {
            let attacker = attacker.clone();
            tokio::spawn(async move {
                let guess = login("/slow/login", "tim", "guess");
                let mut kept = attacker.keep(n % 2 == 0).await;
                let answer = attacker.ask_on(&mut kept, guess);
                let _ = tokio::time::timeout(Duration::from_millis(500), answer).await;
            })
        });
        for guess in guesses.collect::<Vec<_>>() {
            guess.await.unwrap();
        }
        // The app is not done with them yet.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
    }
    let looked_at = checked(&client).await["tim"];
    assert!(looked_at <= 11, "{looked_at}");
    assert_eq!(attacker.ask(login("/slow/login", "tim", "right for tim")).await.status.as_u16(), 429);
    let owner = client.from([127, 9, 0, 2]);
    assert_eq!(owner.ask(login("/slow/login", "tim", "right for tim")).await.header("location"), "/account");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_guesses_at_once_are_as_many_as_in_turn() {
    let gateway = Gateway::run(&[], &["node", "spelled.js"]);
    let client = gateway.client();
    let attacker = client.from([127, 9, 1, 1]);
    let guesses = (0..50).map(|_| {
        let attacker = attacker.clone();
        tokio::spawn(async move { attacker.ask_http_2(login("/slow/login", "ann", "guess")).await })
    });
    let mut refused = 0;
    for guess in guesses.collect::<Vec<_>>() {
        refused += u32::from(guess.await.unwrap().status.as_u16() == 429);
    }
    assert_eq!(checked(&client).await["ann"], 11);
    assert_eq!(refused, 40, "the eleventh is told that it was too many");
}

#[tokio::test]
async fn an_app_that_dies_of_a_guess_has_looked_at_it() {
    let gateway = Gateway::run(&[], &["node", "spelled.js"]);
    let client = gateway.client();
    let attacker = client.from([127, 9, 2, 1]);
    let mut refused = 0;
    for n in 0..110 {
        let answer = attacker.ask(login("/brittle/login", &format!("user{n}"), "guess")).await;
        refused += u32::from(answer.status.as_u16() == 429);
    }
    assert_eq!(refused, 110 - 101, "each counts by its address");
}

#[tokio::test]
async fn a_sentence_that_it_was_wrong_is_a_failure_whatever_its_status() {
    let gateway = Gateway::run(&[], &["node", "spelled.js"]);
    let client = gateway.client();
    let attacker = client.from([127, 9, 3, 1]);
    for _ in 0..30 {
        attacker.ask(login("/wordy/login", "ann", "guess")).await;
    }
    assert_eq!(checked(&client).await["ann"], 11);
    let owner = client.from([127, 9, 3, 2]);
    assert_eq!(owner.ask(login("/wordy/login", "ann", "right for ann")).await.header("location"), "/account");
}
