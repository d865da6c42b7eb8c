use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use panoply::keys::{Encoding, Hash};
use panoply::practices::cookies::SameSite;
use panoply::practices::sessions::{Attributes, CrossSite, Priority, Secure};
use panoply::{CookieSession, Keys};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{node, table};
use super::contents::{content, members, sets};
use super::presented::{header, signature};
use super::visits::{LOOKS_AT, Row, Shared, Visit, both};
use super::{in_store, keys};

#[tokio::test]
async fn cookies_are_those_of_cookie_session() {
    let rows = table(ROWS, (options(), header(), prop::collection::vec(visit(), 1..5)));
    let rows: Vec<Row> = rows
        .into_iter()
        .map(|(options, header, mut visits)| {
            let first = &mut visits[0];
            first.cookies = Some(header.fields);
            if header.is_rewritten_by_readers {
                first.operations = Some(vec![json!(["set", "cart", "changed"])]);
            }
            let options = if header.is_of_old_key { Options::default() } else { options };
            options.row(visits)
        })
        .collect();
    let (mut lines, mut found) = (0, 0);
    for ((ours, theirs), row) in both(&rows).await.into_iter().zip(&rows) {
        for (n, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            lines += theirs["lines"].as_array().unwrap().len();
            assert_eq!(ours, theirs, "visit {n} of {}", row.told());
        }
        found += usize::from(
            theirs[0]["saw"]["before"].as_array().is_some_and(|saw| saw.iter().any(|v| !v.is_null())),
        );
    }
    assert!(lines > rows.len() && found > rows.len() / 5, "{lines} cookies, {found} found");
}

/// Both write the same cookie, to the byte, so it does not matter which of the two does; and neither writes one
/// that only reads.
#[tokio::test]
async fn who_only_reads_sets_no_cookie_whichever_of_the_two_wrote() {
    let small = content().prop_filter("it has its place in a cookie", |text| text.len() < 1_500);
    let asked =
        table(CONTENTS, small).into_iter().map(|text| alone(Visit::of([json!(["fill", text])])).told());
    let mut jars: Vec<String> =
        node::told("visits.js", asked).iter().map(|outcomes| jar(&outcomes[0])).collect();
    for members in table(CONTENTS, members()) {
        let [outcome] = alone(Visit { operations: Some(sets(&members)), ..Visit::of([]) })
            .ours()
            .await
            .try_into()
            .unwrap();
        if !outcome["lines"].as_array().unwrap().is_empty() {
            jars.push(jar(&outcome));
        }
    }
    let rows: Vec<Row> = jars
        .iter()
        .map(|jar| {
            let with_jar = |operations| Visit {
                cookies: Some(vec![jar.clone()]),
                operations: Some(operations),
                ..Visit::of([])
            };
            let visits = vec![
                with_jar(vec![]),
                with_jar(vec![json!(["set", "a", [1.5, {}]]), json!(["set", "7", "€"])]),
                Visit::of([]),
                Visit::of([json!(["delete", "b"]), json!(["delete", "7"])]),
                Visit::of([]),
            ];
            Row { visits, ..alone(Visit::of([])) }
        })
        .collect();
    assert!(rows.len() > 350, "{}", rows.len());
    for ((ours, theirs), row) in both(&rows).await.into_iter().zip(&rows) {
        assert_eq!(ours, theirs, "{}", row.told());
        let lines: Vec<usize> = ours.iter().map(|visit| visit["lines"].as_array().unwrap().len()).collect();
        assert_eq!(lines, [0, 2, 0, 2, 0], "{}", row.told());
    }
}

#[tokio::test]
async fn cookies_of_the_app_come_first_and_its_own_of_these_names_go() {
    let of_the_app = ["a=1", "session=rival; Path=/", "sessions=1", "session.sig=rival", "connect.sid=rival"];
    let operations = |last: &[Value]| {
        of_the_app.iter().map(|line| json!(["cookie", line])).chain(last.to_vec()).collect::<Vec<Value>>()
    };
    for shared in [plain_row(vec![]).shared, in_store::Options::default().row(vec![]).shared] {
        let visits = [&[json!(["set", "a", 1])][..], &[], &[json!(["set", "b", 1])], &[json!(["unset"])]]
            .map(|last| Visit { operations: Some(operations(last)), ..Visit::of([]) });
        let row = Row { shared, ..plain_row(visits.to_vec()) };
        let [(ours, theirs)] = both(&[row]).await.try_into().unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(ours[1]["lines"], json!(of_the_app), "who changes nothing takes nothing away");
    }
}

#[tokio::test]
async fn where_this_differs_from_cookie_session_is_known() {
    let asked = async |options: &Options, visit: Visit| {
        let [(ours, theirs)] = both(&[options.row(vec![visit])]).await.try_into().unwrap();
        (ours[0]["lines"].clone(), theirs[0]["lines"].clone())
    };
    let plain = Options::default();
    let presented = |json: &str, key| {
        let value = STANDARD.encode(json);
        Visit::with_cookies(vec![format!("session={value}; session.sig={}", signature(&value, key))])
    };

    // A signature that is replaced keeps the attributes of what it signs: else it would be a second cookie.
    let dated = Options { max_age: Some(60_000), domain: Some("us.example"), ..plain.clone() };
    let (ours, theirs) = asked(&dated, presented(r#"{"a":1}"#, 1)).await;
    let new = signature("eyJhIjoxfQ==", 0);
    let expires = "expires=Thu, 31 Dec 2026 00:01:01 GMT; domain=us.example";
    assert_eq!(ours, json!([format!("session.sig={new}; path=/; {expires}; secure; httponly")]));
    assert_eq!(theirs, json!([format!("session.sig={new}; path=/; secure; httponly")]));

    // One that signs what cannot be read is not replaced.
    let (ours, theirs) = asked(&plain, presented("{", 1)).await;
    assert_eq!((ours, theirs.as_array().unwrap().len()), (json!([]), 1));

    // What other programs have written their own way stays so until something changes. There it is rewritten as
    // soon as it is read, once; so the two do not set the cookie in turns.
    for (json, rewritten) in [
        (r#"{ "a": 1 }"#, r#"{"a":1}"#),
        (r#"{"a":1.0}"#, r#"{"a":1}"#),
        (r#"{"a":"\u00e9"}"#, r#"{"a":"é"}"#),
    ] {
        let (ours, theirs) = asked(&plain, presented(json, 0)).await;
        let value = STANDARD.encode(rewritten);
        assert_eq!(
            (ours, theirs[0].as_str().unwrap().split(';').next()),
            (json!([]), Some(&*format!("session={value}")))
        );
    }

    // JSON that is no object is no session; there it becomes one, with numbers for names.
    for (json, rewritten) in
        [("[7]", r#"{"0":7}"#), (r#""ab""#, r#"{"0":"a","1":"b"}"#), ("7", "{}"), ("null", "{}")]
    {
        let (ours, theirs) = asked(&plain, presented(json, 0)).await;
        let value = STANDARD.encode(rewritten);
        assert_eq!(
            (ours, theirs[0].as_str().unwrap().split(';').next()),
            (json!([]), Some(&*format!("session={value}")))
        );
    }

    // What no browser would keep is an error, and not a cookie.
    let [(ours, theirs)] = both(&[plain.row(vec![Visit::of([json!(["set", "a", "x".repeat(4_000)])])])])
        .await
        .try_into()
        .unwrap();
    assert_eq!((&ours[0]["lines"], &ours[0]["saw"]["failed"]), (&json!([]), &json!(["set"])));
    assert!(theirs[0]["lines"][0].as_str().unwrap().len() > 5_000);

    // Names that the package drops as it reads are refused; those of express-session are free here.
    for (name, failed) in
        [("isNew", json!(["set"])), ("constructor", json!(["set"])), ("id", json!([])), ("save", json!([]))]
    {
        let row =
            plain.row(vec![Visit::of([json!(["set", name, 1]), json!(["set", "a", 1])]), Visit::of([])]);
        let [(ours, theirs)] = both(&[row]).await.try_into().unwrap();
        assert_eq!(ours[0]["saw"]["failed"], failed, "{name}");
        if failed == json!([]) {
            assert_eq!(ours, theirs, "{name}");
        }
    }
}

#[tokio::test]
async fn signatures_of_record_are_made_and_taken() {
    for (keys, keygrip, signature) in [
        (["k1", "k2"], (Hash::Sha1, Encoding::Base64), "cbPPs1DVYRkr75Pc-SeMnVMCV68"),
        (["k2", "k1"], (Hash::Sha1, Encoding::Base64), "-rJjmn2QAgqAqh1pRhPD3DF0xrI"),
        (
            ["k1", "k2"],
            (Hash::Sha256, Encoding::Hex),
            "a8b0498ad9e2b4422c0970795673b216b11adbcc11f3ecc96323d213e83ef387",
        ),
    ] {
        let keys = Keys::danger_short(keys).unwrap();
        let ours = CookieSession::express("session", &keys)
            .unwrap()
            .keygrip(keys.keygrip(keygrip.0, keygrip.1))
            .unwrap();
        let row = |visits| Row {
            shared: Shared::InCookie { ours: ours.clone(), theirs: json!({}) },
            ..plain_row(visits)
        };
        let [written] = row(vec![Visit::of([json!(["set", "v", 1])])]).ours().await.try_into().unwrap();
        assert_eq!(jar(&written), format!("session=eyJ2IjoxfQ==; session.sig={signature}"));
        let [read] = row(vec![Visit::with_cookies(vec![jar(&written)])]).ours().await.try_into().unwrap();
        assert_eq!(read["lines"], json!([]));
    }
    // The signature of a session that is taken away.
    let [(ours, theirs)] = both(&[plain_row(vec![Visit::of([json!(["unset"])])])]).await.try_into().unwrap();
    assert_eq!(ours, theirs);
}

/// cookie-session's options.
#[derive(Clone, Debug, Default)]
struct Options {
    max_age: Option<u64>,
    domain: Option<&'static str>,
    path: Option<&'static str>,
    is_readable: bool,
    same_site: Option<(SameSite, &'static str)>,
    priority: Option<(Priority, &'static str)>,
    is_partitioned: bool,
    is_secure: bool,
}

impl Options {
    fn row(&self, visits: Vec<Visit>) -> Row {
        let (mut theirs, mut attributes) = (json!({}), Attributes::express());
        if let Some(max_age) = self.max_age {
            theirs["maxAge"] = max_age.into();
            attributes = attributes.max_age(Duration::from_millis(max_age));
        }
        if let Some(domain) = self.domain {
            theirs["domain"] = domain.into();
            attributes = attributes.domain(domain).unwrap();
        }
        if let Some(path) = self.path {
            theirs["path"] = path.into();
            attributes = attributes.path(path).unwrap();
        }
        if self.is_readable {
            theirs["httpOnly"] = false.into();
            attributes = attributes.danger_readable_by_scripts();
        }
        if let Some((same_site, word)) = self.same_site {
            theirs["sameSite"] = word.into();
            attributes = attributes.same_site(CrossSite::Is(same_site));
        }
        if let Some((priority, word)) = self.priority {
            theirs["priority"] = word.into();
            attributes = attributes.priority(priority);
        }
        if self.is_partitioned {
            theirs["partitioned"] = true.into();
            attributes = attributes.partitioned();
        }
        if self.is_secure {
            theirs["secure"] = true.into();
            attributes = attributes.secure(Secure::Always);
        }
        let ours = CookieSession::express("session", &keys()).unwrap().attributes(attributes);
        let shared = Shared::InCookie { ours, theirs };
        Row { shared, stored: Vec::new(), visits, is_told_by_cookies: false, looks_at: LOOKS_AT }
    }
}

fn options() -> impl Strategy<Value = Options> {
    let same_site = prop::sample::select(vec![
        (SameSite::Lax, "lax"),
        (SameSite::Strict, "strict"),
        (SameSite::Strict, "Strict"),
        (SameSite::None, "none"),
    ]);
    let priority = prop::sample::select(vec![
        (Priority::Low, "low"),
        (Priority::Medium, "Medium"),
        (Priority::High, "high"),
    ]);
    let max_age = prop::option::of(prop::sample::select(vec![999, 60_000, 31_536_000_000]));
    let domain = prop::option::of(prop::sample::select(vec!["us.example", ".us.example"]));
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    let path = prop::option::weighted(0.2, Just("/shop"));
    (max_age, domain, path, prop::option::of(same_site), prop::option::of(priority), flags).prop_map(
        |(max_age, domain, path, same_site, priority, (is_readable, is_partitioned, is_secure))| Options {
            max_age,
            domain,
            path,
            is_readable,
            same_site,
            priority,
            is_partitioned,
            is_secure,
        },
    )
}

fn visit() -> impl Strategy<Value = Visit> {
    let key = prop::sample::select(vec!["a", "b", "10", "cart"]);
    let value =
        prop::sample::select(vec![json!(1), json!("é\u{2028}"), json!({ "2": 1, "1": [null] }), json!(-0.0)]);
    let operation = prop_oneof![
        4 => (key.clone(), value).prop_map(|(key, value)| json!(["set", key, value])),
        2 => key.prop_map(|key| json!(["delete", key])),
        1 => Just(json!(["clear"])),
    ];
    let operations = (prop::collection::vec(operation, 0..3), prop::bool::weighted(0.15)).prop_map(
        |(mut operations, unset)| {
            operations.extend(unset.then(|| json!(["unset"])));
            operations
        },
    );
    let advance = prop::sample::select(vec![0, 1, 20_000]);
    (prop::option::weighted(0.9, operations), advance, any::<bool>()).prop_map(
        |(operations, advance, https)| Visit { advance, https, path: "/shop/x", cookies: None, operations },
    )
}

/// What a browser would send of what it was given.
fn jar(outcome: &Value) -> String {
    let lines = outcome["lines"].as_array().unwrap().iter();
    let pairs: Vec<&str> = lines.map(|line| line.as_str().unwrap().split(';').next().unwrap()).collect();
    assert_eq!(pairs.len(), 2, "{outcome}");
    pairs.join("; ")
}

fn plain_row(visits: Vec<Visit>) -> Row {
    Options::default().row(visits)
}

/// Of which no value is looked at: half a character is no text in Rust.
fn alone(visit: Visit) -> Row {
    Row { looks_at: &[], ..plain_row(vec![visit]) }
}

const ROWS: u32 = 500;
const CONTENTS: u32 = 200;
