//! A program guesses passwords at an app that counts nothing by itself, behind the gateway without configuration.

mod spelled;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;

use crate::client::{Answer, Client, Kept, form};
use crate::gateway::Gateway;
use crate::node::Node;
use crate::process::Redis;
use crate::scratch::Scratch;

/// Each says in its own way that a password was wrong.
const DOORS: [(&str, u16); 4] =
    [("unauthorized", 401), ("bad-request", 400), ("passport", 302), ("same-page", 200)];

fn guess(door: &str, user: &str, password: &str) -> Request<Full<Bytes>> {
    let fields = format!("username={user}&password={}", password.replace(' ', "+"));
    Request::post(format!("/{door}/login"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(fields))
        .unwrap()
}

fn right(door: &str, user: &str) -> Request<Full<Bytes>> {
    guess(door, user, &format!("right for {user}"))
}

/// How many passwords the app has looked at since it was last asked.
async fn checked(client: &Client) -> u32 {
    client.get("/checked").await.text().parse().unwrap()
}

/// Guesses until `times` are done, on connections of both protocols at once.
async fn attack(
    client: &Client,
    door: &'static str,
    user: &str,
    times: usize,
    connections: usize,
) -> Vec<Answer> {
    let attackers = (0..connections).map(|n| {
        let (client, user) = (client.clone(), user.to_owned());
        tokio::spawn(async move {
            let mut kept: Kept = client.keep(n % 2 == 0).await;
            let mut answers = Vec::new();
            for _ in 0..times / connections {
                answers.push(client.ask_on(&mut kept, guess(door, &user, "guess")).await);
            }
            answers
        })
    });
    let mut answers = Vec::new();
    for attacker in attackers.collect::<Vec<_>>() {
        answers.extend(attacker.await.unwrap());
    }
    answers
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status.as_u16() == status).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_guessing_program_gets_eleven_tries_and_the_owner_gets_in() {
    let gateway = Gateway::run(&[], &["node", "doors.js"]);
    let client = gateway.client();
    for (n, (door, failure)) in DOORS.into_iter().enumerate() {
        let user = format!("user{n}");
        let attacker = client.from([127, 1, 0, u8::try_from(n).unwrap() + 1]);
        let owner = client.from([127, 2, 0, u8::try_from(n).unwrap() + 1]);

        let answers = attack(&attacker, door, &user, 400, 8).await;
        assert_eq!(checked(&client).await, 11, "{door}");
        assert_eq!(count(&answers, failure), 10, "{door}: the eleventh is told that it was too many");
        assert_eq!(count(&answers, 429), 390, "{door}");
        for answer in answers.iter().filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS) {
            let wait: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=3_600).contains(&wait), "{door}: {wait}");
            assert!(answer.headers.contains_key("x-content-type-options"), "the shield's headers");
            assert!(!answer.text().contains(&user), "nothing of the account");
        }

        let refused = attacker.ask(right(door, &user)).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{door}: a lucky guess comes too late");
        let welcome = owner.ask(right(door, &user)).await;
        assert_eq!((welcome.status.as_u16(), welcome.header("location")), (302, "/account"), "{door}");
        assert_eq!(checked(&client).await, 1, "{door}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_names_from_one_address_are_a_hundred_and_one_tries() {
    let gateway = Gateway::run(&[], &["node", "doors.js"]);
    let client = gateway.client();
    for (n, (door, _)) in DOORS.into_iter().enumerate() {
        let attacker = client.from([127, 3, 0, u8::try_from(n).unwrap() + 1]);
        let attackers = (0..4).map(|part| {
            let attacker = attacker.clone();
            tokio::spawn(async move {
                let mut kept = attacker.keep(part % 2 == 0).await;
                for name in 0..100 {
                    let user = format!("somebody{part}x{name}");
                    attacker.ask_on(&mut kept, guess(door, &user, "guess")).await;
                }
            })
        });
        for attacker in attackers.collect::<Vec<_>>() {
            attacker.await.unwrap();
        }
        assert_eq!(checked(&client).await, 101, "{door}");
    }
}

#[tokio::test]
async fn who_logs_in_in_between_begins_anew_and_what_is_no_login_is_not_counted() {
    let gateway = Gateway::run(&[], &["node", "doors.js"]);
    let client = gateway.client();
    for (n, (door, failure)) in DOORS.into_iter().enumerate() {
        let user = format!("user{n}");
        for round in 0..3 {
            for _ in 0..8 {
                let answer = client.ask(guess(door, &user, "slip")).await;
                assert_eq!(answer.status.as_u16(), failure, "{door} {round}");
            }
            let welcome = client.ask(right(door, &user)).await;
            assert_eq!(welcome.header("location"), "/account", "{door} {round}");
        }
    }

    let office = client.from([127, 4, 0, 1]);
    for n in 0..120 {
        let sign_up = form("/sign-up", "username=new&password=one&password_again=one");
        assert_eq!(office.ask(sign_up).await.status.as_u16(), 422, "{n}");
        assert_eq!(office.ask(form("/comments", "text=hello")).await.status.as_u16(), 400, "{n}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_no_way_around() {
    let gateway = Gateway::run(&[], &["node", "doors.js"]);
    let client = gateway.client();
    let door = "/unauthorized/login";
    assert_eq!(client.ask(guess("unauthorized", "user1", "slip")).await.status.as_u16(), 401);

    let huge = format!("username=user1&password=guess&ballast={}", "x".repeat(70_000));
    let long_name = format!("username={}&password=guess", "x".repeat(60_000));
    let hostile: [(&str, String); 5] = [
        ("application/x-www-form-urlencoded", huge),
        ("application/x-www-form-urlencoded", long_name),
        ("application/x-www-form-urlencoded", "username=nobody&username=user1&password=guess".into()),
        ("application/x-www-form-urlencoded", "username=user1&password=guess&password2=guess".into()),
        ("application/json", "{\"username\":\"user1\",\"password\":\"guess\"".into()),
    ];
    let attacker = client.from([127, 5, 0, 1]);
    let mut refused = 0;
    for round in 0..40 {
        for (kind, body) in &hostile {
            let request =
                Request::post(door).header("content-type", *kind).body(Full::from(body.clone())).unwrap();
            let mut kept = attacker.keep(false).await;
            // Who is refused before all of his body has come may find the connection closed.
            let status =
                attacker.try_on(&mut kept, request).await.map_or(429, |answer| answer.status.as_u16());
            assert!(matches!(status, 400 | 401 | 413 | 429), "{round} {kind}: {status}");
            refused += u32::from(status == 429);
        }
    }
    // Every one that the app answered counts by address, and the two that name the user by user as well.
    assert!(refused >= 200 - 101, "{refused}");
    assert!(checked(&client).await <= 102);
}

/// A gateway in front of the same app, with the same store and the same keys.
fn one_of_two(app: &Node, redis: &Redis, config: &Scratch) -> Gateway {
    let file = config.path().join("panoply.toml");
    std::fs::write(&file, "keys = [\"k9Q2vX7pLr4TzB1nWc8sYd6uHj3mEa5G0fKiRoN2xPq=\"]\n").unwrap();
    Gateway::serve(app.address(), &["--store", &redis.url(), "--config", file.to_str().unwrap()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_gateways_on_one_redis_count_as_one() {
    let (redis, config) = (Redis::start(), Scratch::new());
    let app = Node::start("doors.js");
    let [one, other] = [(); 2].map(|()| one_of_two(&app, &redis, &config));
    let (one, other) = (one.client(), other.client());
    for n in 0..20 {
        let gateway = if n % 2 == 0 { &one } else { &other };
        let answer = gateway.ask(guess("unauthorized", "user1", "guess")).await;
        assert_eq!(answer.status.as_u16(), if n < 10 { 401 } else { 429 }, "{n}");
    }
    assert_eq!(checked(&one).await, 11);
    for gateway in [&one, &other] {
        assert_eq!(gateway.ask(right("unauthorized", "user1")).await.status.as_u16(), 429);
        let elsewhere = gateway.from([127, 6, 0, 1]);
        assert_eq!(elsewhere.ask(right("unauthorized", "user1")).await.status.as_u16(), 302);
    }
}

#[tokio::test]
async fn who_is_kept_out_stays_so_over_a_restart() {
    let (app, folder) = (Node::start("doors.js"), Scratch::new());
    let state = folder.path().to_str().unwrap();
    let start = || Gateway::serve(app.address(), &["--state", state]);
    let client = |gateway: &Gateway| Client::trusting(&folder.path().join("self-made.crt"), gateway.https());

    let mut gateway = start();
    for _ in 0..11 {
        client(&gateway).ask(guess("unauthorized", "user1", "guess")).await;
    }
    gateway.signal("TERM");
    gateway.ended();
    let gateway = start();
    let refused = client(&gateway).ask(right("unauthorized", "user1")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let elsewhere = client(&gateway).from([127, 7, 0, 1]);
    assert_eq!(elsewhere.ask(right("unauthorized", "user1")).await.header("location"), "/account");
}
