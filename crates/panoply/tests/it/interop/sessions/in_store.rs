use std::time::Duration;

use panoply::practices::cookies::SameSite;
use panoply::practices::sessions::{Attributes, CrossSite, NotSaved, Priority, Secure, Unset};
use panoply::{Sessions, cookie_header};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::table;
use super::keys;
use super::visits::{LOOKS_AT, Row, Shared, Visit, both};

#[tokio::test]
async fn cookies_stored_texts_and_calls_are_those_of_express_session() {
    let rows = table(ROWS, (options(), 0..STORED.len(), prop::collection::vec(visit(), 1..7)));
    let rows: Vec<(Options, Row)> = rows
        .into_iter()
        .map(|(options, stored, mut visits)| {
            visits.iter_mut().for_each(|visit| saves_are_touched(visit, &options));
            let stored = vec![("known".to_owned(), STORED[stored].to_owned())];
            let shared = Shared::InStore { ours: options.ours(), theirs: options.theirs() };
            // What is stored in the clear there, where no cookie leads to it, is not stored here.
            let is_told_by_cookies = options.secure == Some(Secure::Always);
            (options, Row { shared, stored, visits, is_told_by_cookies, looks_at: LOOKS_AT })
        })
        .collect();
    let (options, rows): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let (mut lines, mut writes) = (0, 0);
    for ((ours, theirs), (row, options)) in both(&rows).await.into_iter().zip(rows.iter().zip(&options)) {
        for (n, (ours, theirs)) in ours.into_iter().zip(theirs).enumerate() {
            lines += theirs["lines"].as_array().unwrap().len();
            writes += theirs["calls"].as_array().unwrap().len();
            assert_eq!(ours, theirs, "visit {n} of {options:?}\n{}", row.told());
        }
    }
    assert!(lines > rows.len() && writes > 2 * rows.len(), "{lines} cookies, {writes} calls");
}

#[tokio::test]
async fn where_this_differs_from_express_session_is_known() {
    let plain = Options::default();
    let login = || Visit::of([json!(["set", "user", "tim"])]);
    let both_of = async |ours: Sessions, options: &Options, visits: Vec<Visit>| {
        let shared = Shared::InStore { ours, theirs: options.theirs() };
        let [(ours, theirs)] = both(&[Row {
            shared,
            stored: Vec::new(),
            visits,
            is_told_by_cookies: false,
            looks_at: LOOKS_AT,
        }])
        .await
        .try_into()
        .unwrap();
        [ours, theirs].map(|mut visits| visits.pop().unwrap())
    };
    let same = || plain.ours();

    // The cookie of an ended session goes.
    let ours = Sessions::express("connect.sid", &keys()).unwrap();
    let [ours, theirs] = both_of(ours, &plain, vec![login(), Visit::of([json!(["destroy"])])]).await;
    let forget = "connect.sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly";
    assert_eq!((&ours["lines"], &theirs["lines"]), (&json!([forget]), &json!([])));
    assert_eq!((&ours["texts"], &theirs["texts"]), (&json!([]), &json!([])));

    // To unset a session is to end it.
    let ours = Sessions::express("connect.sid", &keys()).unwrap();
    let [ours, theirs] = both_of(ours, &plain, vec![login(), Visit::of([json!(["unset"])])]).await;
    assert_eq!((&ours["texts"], theirs["texts"].as_array().unwrap().len()), (&json!([]), 1));

    // A Secure cookie that nobody would get leaves nothing in the store.
    let secure = Options { secure: Some(Secure::Always), ..plain.clone() };
    let clear = Visit { https: false, ..login() };
    let [ours, theirs] = both_of(secure.ours(), &secure, vec![clear]).await;
    assert_eq!((&ours["lines"], &theirs["lines"]), (&json!([]), &json!([])));
    assert_eq!((&ours["calls"], &theirs["calls"]), (&json!([]), &json!([["set", "id 0", 86_400]])));

    // A page that asks for no session costs nothing, and keeps none alive.
    let away = Visit { operations: None, ..Visit::of([]) };
    let [ours, theirs] = both_of(same(), &plain, vec![login(), away]).await;
    assert_eq!(ours["calls"], json!([]));
    assert_eq!(theirs["calls"], json!([["get", "id 0"], ["touch", "id 0", 86_400]]));

    // A session saved on the way has the time that it then has, not the one that it was loaded with.
    let dated = Options { max_age: Some(60_000), ..plain.clone() };
    let visits = vec![login(), Visit::of([json!(["set", "a", 1]), json!(["save"])])];
    let [ours, theirs] = both_of(dated.ours(), &dated, visits).await;
    assert_eq!(ours["calls"], json!([["get", "id 0"], ["set", "id 0", 60], ["touch", "id 0", 60]]));
    assert_eq!(theirs["calls"], json!([["get", "id 0"], ["set", "id 0", 59], ["touch", "id 0", 60]]));

    // A session that got a new id and was saved is not saved once more.
    let visits = vec![login(), Visit::of([json!(["regenerate"]), json!(["save"])])];
    let [ours, theirs] = both_of(same(), &plain, visits).await;
    let (once, twice) = ([["get"], ["destroy"], ["set"]], [["get"], ["destroy"], ["set"], ["set"]]);
    let names =
        |calls: &Value| calls.as_array().unwrap().iter().map(|call| json!([call[0]])).collect::<Value>();
    assert_eq!((names(&ours["calls"]), names(&theirs["calls"])), (json!(once), json!(twice)));

    // A value that nobody touched stays as it was written, by whatever program.
    let text = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"a":1.50,"b":"\u00e9"}"#;
    let visits = vec![Visit { cookies: Some(vec![known(0)]), ..Visit::of([json!(["set", "cart", 1])]) }];
    let shared = Shared::InStore { ours: same(), theirs: plain.theirs() };
    let stored = vec![("known".to_owned(), text.to_owned())];
    let [(ours, theirs)] =
        both(&[Row { shared, stored, visits, is_told_by_cookies: false, looks_at: LOOKS_AT }])
            .await
            .try_into()
            .unwrap();
    let ends = |outcome: &Value, end: &str| outcome["texts"][0][1].as_str().unwrap().ends_with(end);
    assert!(ends(&ours[0], r#","a":1.50,"b":"\u00e9","cart":1}"#), "{}", ours[0]);
    assert!(ends(&theirs[0], r#","a":1.5,"b":"é","cart":1}"#), "{}", theirs[0]);

    // What a program that is no Express app has stored is taken for no session, and its visitor goes on.
    for text in [r#"{"a":1}"#, r#"{"cookie":null}"#] {
        let shared = Shared::InStore { ours: same(), theirs: plain.theirs() };
        let stored = vec![("known".to_owned(), text.to_owned())];
        let visits = vec![Visit::with_cookies(vec![known(0)])];
        let [(ours, theirs)] =
            both(&[Row { shared, stored, visits, is_told_by_cookies: false, looks_at: LOOKS_AT }])
                .await
                .try_into()
                .unwrap();
        assert_eq!((&ours[0]["status"], &theirs[0]["status"]), (&json!(200), &json!(500)), "{text}");
    }
}

#[tokio::test]
async fn signatures_ids_and_stored_texts_of_record_are_made_and_taken() {
    let stored =
        vec![("abc".to_owned(), STORED[0].to_owned()), ("a b/c+d=é.x".to_owned(), STORED[0].to_owned())];
    let shared = Shared::InStore {
        ours: Options { rolling: true, ..Options::default() }.ours(),
        theirs: Options { rolling: true, ..Options::default() }.theirs(),
    };
    let line = "connect.sid=s%3Aabc.BpxCrWRpvZMh%2Fwk%2Fdjl34N%2Bm%2BVQEU7K%2F5WenLwJCgFU; Path=/; HttpOnly";
    let odd =
        cookie_header::encode_component(&format!("s:{}", keys().sign_cookie("a b/c+d=é.x"))).into_owned();
    let (abc, _) = line.split_once(';').unwrap();
    let visits = vec![
        Visit::with_cookies(vec![abc.to_owned()]),
        Visit::with_cookies(vec![format!("connect.sid={odd}")]),
    ];
    let row = Row { shared, stored, visits, is_told_by_cookies: false, looks_at: LOOKS_AT };
    let ours = row.ours().await;
    let [theirs] = super::super::node::told("visits.js", std::iter::once(row.told())).try_into().unwrap();
    assert_eq!(json!(ours), theirs);
    assert_eq!(ours[0]["lines"], json!([line]));
    assert_eq!(ours[1]["lines"], json!([format!("connect.sid={odd}; Path=/; HttpOnly")]));
    assert_eq!(
        (&ours[0]["saw"]["before"][0], &ours[1]["saw"]["before"][0]),
        (&json!("stored"), &json!("stored"))
    );
}

/// express-session's options.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    rolling: bool,
    resave: bool,
    save_uninitialized: bool,
    unset_destroys: bool,
    max_age: Option<u64>,
    secure: Option<Secure>,
    same_site: Option<(CrossSite, &'static str)>,
    is_readable: bool,
    domain: Option<&'static str>,
    path: Option<&'static str>,
    is_partitioned: bool,
    priority: Option<(Priority, &'static str)>,
}

impl Options {
    pub(super) fn row(&self, visits: Vec<Visit>) -> Row {
        let shared = Shared::InStore { ours: self.ours(), theirs: self.theirs() };
        Row { shared, stored: Vec::new(), visits, is_told_by_cookies: false, looks_at: LOOKS_AT }
    }

    pub(super) fn theirs(&self) -> Value {
        let mut cookie = json!({});
        let mut say = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                cookie[name] = value;
            }
        };
        say("maxAge", self.max_age.map(Value::from));
        say(
            "secure",
            self.secure.map(|secure| match secure {
                Secure::OnHttps => json!("auto"),
                Secure::Always => json!(true),
                Secure::Unsaid => json!(false),
            }),
        );
        say("sameSite", self.same_site.map(|(_, word)| word.into()));
        say("httpOnly", self.is_readable.then(|| false.into()));
        say("domain", self.domain.map(Value::from));
        say("path", self.path.map(Value::from));
        say("partitioned", self.is_partitioned.then(|| true.into()));
        say("priority", self.priority.map(|(_, word)| word.into()));
        json!({ "rolling": self.rolling, "resave": self.resave, "saveUninitialized": self.save_uninitialized,
            "unset": if self.unset_destroys { "destroy" } else { "keep" }, "cookie": cookie })
    }

    pub(super) fn ours(&self) -> Sessions {
        let mut attributes = Attributes::express();
        if let Some(max_age) = self.max_age {
            attributes = attributes.max_age(Duration::from_millis(max_age));
        }
        attributes = attributes.secure(self.secure.unwrap_or(Secure::Unsaid));
        attributes = attributes.same_site(self.same_site.map_or(CrossSite::Unsaid, |(said, _)| said));
        if self.is_readable {
            attributes = attributes.danger_readable_by_scripts();
        }
        if let Some(domain) = self.domain {
            attributes = attributes.domain(domain).unwrap();
        }
        if let Some(path) = self.path {
            attributes = attributes.path(path).unwrap();
        }
        if self.is_partitioned {
            attributes = attributes.partitioned();
        }
        if let Some((priority, _)) = self.priority {
            attributes = attributes.priority(priority);
        }
        let unset = if self.unset_destroys { Unset::Destroy } else { Unset::Keep };
        let sessions = Sessions::express("connect.sid", &keys())
            .unwrap()
            .attributes(attributes)
            .unset(unset)
            .when_not_saved(NotSaved::Log)
            .leave_dead_cookies();
        [
            (self.rolling, Sessions::rolling as fn(Sessions) -> Sessions),
            (self.resave, Sessions::resave),
            (self.save_uninitialized, Sessions::save_uninitialized),
        ]
        .into_iter()
        .fold(sessions, |sessions, (is_set, set)| if is_set { set(sessions) } else { sessions })
    }
}

fn options() -> impl Strategy<Value = Options> {
    let secure = prop::sample::select(vec![None, Some(Secure::Always), Some(Secure::OnHttps)]);
    let same_site = prop::option::of(prop::sample::select(vec![
        (CrossSite::Is(SameSite::Lax), "lax"),
        (CrossSite::Is(SameSite::Strict), "strict"),
        (CrossSite::Is(SameSite::None), "none"),
        (CrossSite::Auto, "auto"),
    ]));
    let priority = prop::option::of(prop::sample::select(vec![
        (Priority::Low, "low"),
        (Priority::Medium, "medium"),
        (Priority::High, "high"),
    ]));
    let max_age = prop::option::of(prop::sample::select(vec![1_500, 60_000, 2_592_000_000]));
    let domain = prop::option::weighted(0.3, prop::sample::select(vec!["us.example", ".us.example"]));
    let path = prop::option::weighted(0.2, Just("/shop"));
    let wishes = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (wishes, max_age, secure, same_site, domain, path, priority).prop_map(
        |(wishes, max_age, secure, same_site, domain, path, priority)| {
            let (rolling, resave, save_uninitialized, unset_destroys, is_readable, is_partitioned) = wishes;
            // As `secure: false` is said there, it is unsaid here; and it is not in the store where nobody says it.
            Options {
                rolling,
                resave,
                save_uninitialized,
                unset_destroys,
                max_age,
                secure,
                same_site,
                is_readable,
                domain,
                path,
                is_partitioned,
                priority,
            }
        },
    )
}

fn visit() -> impl Strategy<Value = Visit> {
    let key = prop::sample::select(vec!["a", "b", "10", "9", "cart"]);
    let value = prop::sample::select(vec![
        json!(1),
        json!(-0.5),
        json!(1e21),
        json!(null),
        json!(true),
        json!(""),
        json!("é\u{2028}\"\\\u{1}💩"),
        json!([1, [], {}]),
        json!({ "id": 7, "2": 1, "cookie": { "x": [null] } }),
    ]);
    let operation = prop_oneof![
        6 => (key.clone(), value).prop_map(|(key, value)| json!(["set", key, value])),
        2 => key.prop_map(|key| json!(["delete", key])),
        1 => Just(json!(["set", "user", "tim"])),
        1 => Just(json!(["touch"])),
        1 => Just(json!(["save"])),
        1 => Just(json!(["reload"])),
        1 => Just(json!(["regenerate"])),
        1 => Just(json!(["clear"])),
    ];
    let last = prop::option::weighted(0.2, prop::sample::select(vec![json!(["destroy"]), json!(["unset"])]));
    let operations = (prop::collection::vec(operation, 0..4), last);
    let cookies = prop_oneof![
        12 => Just(None),
        1 => Just(Some(vec![])),
        1 => Just(Some(vec!["{jar}x".to_owned()])),
        1 => Just(Some(vec!["{jar}; connect.sid=s%3Aabc.x".to_owned()])),
        1 => Just(Some(vec!["connect.sid=abc; {jar}".to_owned()])),
        1 => Just(Some(vec![unknown()])),
        3 => (0..2usize).prop_map(|key| Some(vec![known(key)])),
    ];
    let path = prop::sample::select(vec!["/", "/shop", "/shop/cart?x=/", "/shopping", "/?/shop"]);
    let advance = prop::sample::select(vec![0, 1, 700, 20_000, 90_000]);
    (operations, cookies, path, advance, any::<bool>()).prop_map(
        |((mut operations, last), cookies, path, advance, https)| {
            // Saved twice there: see what differs.
            if operations.iter().any(|operation| operation[0] == "regenerate") {
                operations.retain(|operation| operation[0] != "save");
            }
            operations.extend(last);
            Visit { advance, https, path, cookies, operations: Some(operations) }
        },
    )
}

/// A session saved on the way keeps an old date there: see what differs.
fn saves_are_touched(visit: &mut Visit, _: &Options) {
    let operations = visit.operations.take().unwrap_or_default();
    let touched = operations.into_iter().flat_map(|operation| match operation[0] == "save" {
        true => vec![json!(["touch"]), operation],
        false => vec![operation],
    });
    visit.operations = Some(touched.collect());
}

/// A cookie for the session that stands in both stores.
pub(super) fn known(key: usize) -> String {
    let keys = panoply::Keys::danger_short([super::SECRETS[key]]).unwrap();
    format!("connect.sid={}", cookie_header::encode_component(&format!("s:{}", keys.sign_cookie("known"))))
}

/// A cookie that is ours, of a session that is not there.
fn unknown() -> String {
    format!("connect.sid=s:{}", keys().sign_cookie("gone.for.good"))
}

/// What Express apps of all ages have stored.
const STORED: [&str; 7] = [
    r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"a":"stored"}"#,
    r#"{"cookie":{"originalMaxAge":30000,"expires":"2026-12-31T00:00:20.123Z","secure":true,"httpOnly":false,"domain":"old.example","path":"/shop","sameSite":"lax"},"cart":{"z":1,"a":2}}"#,
    r#"{"cookie":{"originalMaxAge":30000,"expires":"2001-01-01T00:00:00.000Z","httpOnly":true,"path":"/"},"a":"the date is old"}"#,
    r#"{"cookie":{}}"#,
    r#"{"cookie":{"originalMaxAge":false,"expires":false,"httpOnly":false,"path":"/","sameSite":true},"a":1}"#,
    r#"{"9":1,"10":2,"cookie":{"originalMaxAge":5000,"expires":"2026-12-31T00:00:05.000Z","secure":"auto","httpOnly":true,"path":"/","sameSite":false},"b":1}"#,
    r#"{"cookie":{"originalMaxAge":1000,"partitioned":true,"priority":"High","expires":"2026-12-31T00:00:20.123Z","httpOnly":true,"path":"/","more":1},"a":1.5,"b":"é"}"#,
];

const ROWS: u32 = 400;
