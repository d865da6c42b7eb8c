use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{node, table};
use super::in_store::{Options, known};
use super::visits::{Row, Shared, Visit, both};

#[tokio::test]
async fn what_node_has_written_is_read_and_changed_as_node_does_it() {
    let written: Vec<String> = node::told("visits.js", table(ROWS, content()).into_iter().map(filled))
        .into_iter()
        .map(|outcomes| outcomes[0]["texts"][0][1].as_str().expect("it was stored").to_owned())
        .collect();
    let rows: Vec<Row> = written.iter().map(|text| visited(text)).collect();
    for ((ours, theirs), row) in both(&rows).await.into_iter().zip(&rows) {
        assert_eq!(ours.last().unwrap()["calls"][1][0], "set", "it was found, and changed");
        assert_eq!(ours, theirs, "{}", row.told());
    }
}

#[tokio::test]
async fn what_is_written_here_is_what_node_would_have_written() {
    let mut written = Vec::new();
    for members in table(ROWS, members()) {
        let visit = Visit { operations: Some(sets(&members)), ..Visit::of([]) };
        let row = Row { stored: Vec::new(), visits: vec![visit], ..visited("") };
        let [outcome] = row.ours().await.try_into().unwrap();
        assert_eq!(outcome["saw"]["failed"], json!([]), "{members:?}");
        if let Some(text) = outcome["texts"][0][1].as_str() {
            written.push((members, text.to_owned()));
        }
    }
    assert!(written.len() > 200, "{}", written.len());

    let asked = written.iter().map(|(members, text)| json!({ "text": text, "members": members }));
    for (row, same) in node::table(SAME, asked) {
        assert_eq!(same, json!([true, true]), "{row}");
    }
    let rows: Vec<Row> = written.iter().map(|(_, text)| visited(text)).collect();
    for ((ours, theirs), row) in both(&rows).await.into_iter().zip(&rows) {
        assert_eq!(ours, theirs, "{}", row.told());
    }
}

/// An app that puts all of `text` into a new session.
fn filled(text: String) -> Value {
    let visit = Visit::of([json!(["fill", text])]);
    Row { stored: Vec::new(), visits: vec![visit], ..visited("") }.told()
}

/// A session that is there already is read, changed in the middle, and made smaller.
fn visited(text: &str) -> Row {
    let plain = Options::default();
    let visit = |operations: &[Value]| Visit {
        cookies: Some(vec![known(0)]),
        operations: Some(operations.to_vec()),
        ..Visit::of([])
    };
    let visits = vec![
        visit(&[]),
        visit(&[json!(["set", "a", "changed"]), json!(["set", "10", [0.1, 1e21]])]),
        visit(&[json!(["delete", "b"]), json!(["delete", "cart"]), json!(["set", "user", "tim"])]),
    ];
    let stored = vec![("known".to_owned(), text.to_owned())];
    let shared = Shared::InStore { ours: plain.ours(), theirs: plain.theirs() };
    // Half a character is no text in Rust, so no value is looked at.
    Row { shared, stored, visits, is_told_by_cookies: false, looks_at: &[] }
}

/// The text of an object, with everything in it that JSON has a form for.
pub(super) fn content() -> impl Strategy<Value = String> {
    prop::collection::vec((name_text(true), text()), 1..7).prop_map(|members| {
        let members: Vec<_> = members.into_iter().map(|(name, text)| format!("{name}:{text}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// A value, as any program may write it.
fn text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        any::<f64>()
            .prop_filter("JSON has none", |number| number.is_finite())
            .prop_map(|number| format!("{number:?}")),
        prop::sample::select(vec!["-0", "1e21", "9007199254740993", "5e-324", "1.0", "1.50", "1e400"])
            .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        3 => number,
        4 => string(),
        1 => prop::sample::select(vec!["null", "true", "false", "[]", "{}", "[null]"]).prop_map(str::to_owned),
        1 => (-8_640_000_000_000_000i64..=8_640_000_000_000_000).prop_map(|time| format!("{{\"$date\":{time}}}")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec((name_text(false), inner), 0..4).prop_map(|members| {
                let members: Vec<_> =
                    members.into_iter().map(|(name, text)| format!("{name} : {text}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn string() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "\\PC{1,4}".prop_map(|text| { let text = json!(text).to_string(); text[1..text.len() - 1].to_owned() }),
        2 => prop::sample::select(vec![
            "\\ud83d", "\\udc00", "\\ud83d\\ude00", "\\u0000", "\\u001f", "\\u2028", "\u{2028}", "\\/", "\\\"", "\\\\",
            "\\b\\f\\n\\r\\t", "\\u00E9", "\u{7f}", "\u{feff}",
        ]).prop_map(str::to_owned),
    ];
    prop_oneof![
        20 => prop::collection::vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat())),
        1 => (200..600usize).prop_map(|length| format!("\"{}\"", "long ".repeat(length / 5))),
    ]
}

/// With its quotes. At the top, not what express-session keeps for itself.
fn name_text(is_top: bool) -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![
        "a",
        "b",
        "cart",
        "user",
        "",
        "0",
        "9",
        "10",
        "4294967294",
        "4294967295",
        "01",
        "-1",
        "1.5",
        "é",
        "a b",
    ]);
    prop_oneof![3 => plain.prop_map(|name| format!("\"{name}\"")), 1 => string()]
        .prop_filter("it is cookie-session's", move |name| !is_top || name != "\"__proto__\"")
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c0-9]{1,3}", "\\PC{0,5}", "(0|1|42949672(94|95)|01|-1)"]
}

/// What a Rust app puts into a session.
pub(super) fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
    prop::collection::vec((name(), value()), 0..6)
}

pub(super) fn sets(members: &[(String, Value)]) -> Vec<Value> {
    members.iter().map(|(name, value)| json!(["set", name, value])).collect()
}

/// What serde makes of a Rust value.
pub(super) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<f64>().prop_map(Value::from),
        any::<f32>().prop_map(|number| Value::from(f64::from(number))),
        (-9_007_199_254_740_991i64..=9_007_199_254_740_991).prop_map(Value::from),
        (-1_000i32..1_000).prop_map(|number| Value::from(f64::from(number) / 10.0)),
        "\\PC{0,8}".prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

const ROWS: u32 = 300;

/// Whether Node would print what it reads as it stands; and whether it reads what was meant.
const SAME: &str = r#"
    const { isDeepStrictEqual } = require("node:util");
    answer = ({ text, members }) => {
        const { cookie, ...read } = JSON.parse(text);
        const meant = {};
        for (const [name, value] of members) meant[name] = JSON.parse(JSON.stringify(value));
        return [JSON.stringify(JSON.parse(text)) === text, isDeepStrictEqual(read, meant)];
    };
"#;
