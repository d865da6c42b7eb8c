use std::collections::BTreeMap;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use panoply::cookie_header::{encode_component, find, pairs};
use proptest::prelude::*;
use serde_json::json;

use super::{node, table};

#[test]
fn the_header_is_read_as_npms_cookie_reads_it() {
    let rows = prop::collection::vec(field(), 1..4);
    // Of a single byte npm's cookie reads nothing, not even the name of no letters in `=`.
    let rows = table(ROWS, rows.prop_filter("it is too short", |fields| fields.join(&b"; "[..]).len() > 1));
    let asked = rows.iter().map(|fields| json!({ "fields": fields }));
    let mut read = 0;
    for ((_, theirs), fields) in node::table(COOKIE_PACKAGE, asked).into_iter().zip(&rows) {
        let shown: Vec<_> = fields.iter().map(|field| field.escape_ascii().to_string()).collect();
        let headers: HeaderMap =
            fields.iter().map(|field| (COOKIE, HeaderValue::from_bytes(field).unwrap())).collect();
        let mut ours = BTreeMap::new();
        for pair in pairs(&headers) {
            let name: String = pair.name().iter().copied().map(char::from).collect();
            ours.entry(name).or_insert_with(|| pair.text());
        }
        for (name, value) in &ours {
            if name.is_ascii() {
                assert_eq!(find(&headers, name).as_ref(), Some(value), "{name} in {shown:?}");
            }
        }
        read += ours.len();
        assert_eq!(json!(ours), theirs, "{shown:?}");
    }
    assert!(read > rows.len(), "most rows hold cookies");
}

#[test]
fn components_are_encoded_as_in_javascript() {
    let rows = table(ROWS, prop_oneof!["[ -~]{0,24}", "\\PC{0,24}", ".{0,24}"]);
    let asked = rows.iter().map(|text| json!({ "text": text }));
    for (row, theirs) in node::table("answer = ({ text }) => encodeURIComponent(text);", asked) {
        assert_eq!(theirs, *encode_component(row["text"].as_str().unwrap()), "{row}");
    }
}

/// Mostly cookies, with everything that readers disagree about.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        "[ab]",
        "[ab]=",
        "[ab]=[0-9]{1,2}",
        Just("; ".to_owned()),
        "[=;\" \t,]",
        "%[0-9a-fA-F]{2}",
        "%(C3|c3)%(A9|80|41)",
        "%[0-9a-gé%]",
        Just("%F0%9F%92%A9".to_owned()),
        Just("%ED%A0%80".to_owned()),
        "\\PC",
    ];
    let bytes =
        prop_oneof![8 => part.prop_map(String::into_bytes), 1 => (0x80..=0xffu8).prop_map(|byte| vec![byte])];
    prop::collection::vec(bytes, 0..14).prop_map(|parts| {
        let is_sent = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        parts.concat().into_iter().filter(is_sent).collect()
    })
}

const ROWS: u32 = 800;

/// Node takes header bytes as Latin-1 and joins the fields before any package sees them.
const COOKIE_PACKAGE: &str = r#"
    const cookie = require("cookie");
    answer = ({ fields }) => cookie.parse(fields.map((field) => Buffer.from(field).toString("latin1")).join("; "));
"#;
