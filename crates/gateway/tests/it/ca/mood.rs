//! How the CA takes one request: everything a real one was ever seen to do, and worse.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tokio::time::timeout;

use super::asker::{Asker, Key};
use super::place::Place;
use super::{Ca, Clock};

#[derive(Clone, Debug)]
pub(crate) enum Mood {
    /// As RFC 8555 says.
    Well,
    /// As RFC 8555 says, this much later.
    Slow(Duration),
    /// The connection is closed without a word, and nothing is done.
    Down,
    /// Nothing is done, and nothing is ever said.
    Silent,
    /// What was asked is done, and nothing is ever said.
    Mute,
    /// This answer instead, and nothing is done.
    Says(u16, &'static str),
    /// 503 with this `Retry-After`, as a server under maintenance has it.
    Busy(Duration),
    /// 429 with this `Retry-After`, as Let's Encrypt has it.
    RateLimited(Duration),
    /// The nonce is called used up.
    NonceUsedUp,
    /// An answer that never ends.
    Endless,
}

/// One request, as moods are chosen by.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Counted from 0.
    pub(crate) number: usize,
    pub(crate) at: SystemTime,
    pub(crate) place: Place,
}

#[tokio::test]
async fn each_mood_is_what_it_says() {
    let ca = Ca::start(Clock::new()).await;
    let mut asker = Asker::new(&ca, Key::p256());
    asker.register().await;
    for (mood, told, done) in [
        (Mood::Well, "201", true),
        (Mood::Slow(Duration::from_millis(10)), "201", true),
        (Mood::Down, "ended", false),
        (Mood::Silent, "nothing", false),
        (Mood::Mute, "nothing", true),
        (Mood::Says(200, "{\"no\": \"order\"}"), "200", false),
        (Mood::Busy(Duration::from_secs(9)), "503 9", false),
        (Mood::RateLimited(Duration::from_secs(9)), "429 9 rateLimited", false),
        (Mood::NonceUsedUp, "400 badNonce", false),
        (Mood::Endless, "too long", false),
    ] {
        let (orders, chosen) = (ca.seen().orders.len(), mood.clone());
        ca.mood(move |asked| if asked.place == Place::NewOrder { chosen.clone() } else { Mood::Well });
        let name = json!({ "type": "dns", "value": format!("shop-{}.example", ca.seen().requests.len()) });
        let order = json!({ "identifiers": [name] }).to_string();
        let signed = asker.sign(&asker.nonce().await, &format!("{}/new-order", asker.base()), &order);
        let request = Request::post("/new-order").header("content-type", "application/jose+json");
        let request = request.body(Full::<Bytes>::from(signed.to_string())).unwrap();
        let found = match timeout(Duration::from_secs(3), asker.try_to_ask(request)).await {
            Err(_) => "nothing".into(),
            Ok(Err(error)) if error.to_string().contains("length limit") => "too long".into(),
            Ok(Err(_)) => "ended".into(),
            Ok(Ok(answer)) => {
                let wait =
                    answer.headers.get("retry-after").map(|value| format!(" {}", value.to_str().unwrap()));
                format!("{}{} {}", answer.status, wait.unwrap_or_default(), answer.problem())
                    .trim()
                    .to_owned()
            }
        };
        assert_eq!(found.replace(" serverInternal", ""), told, "{mood:?}");
        assert_eq!(ca.seen().orders.len() > orders, done, "{mood:?}");
    }
}
