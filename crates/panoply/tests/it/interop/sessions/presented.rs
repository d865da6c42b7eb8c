use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use panoply::Keys;
use panoply::keys::{Encoding, Hash};
use proptest::prelude::*;
use serde_json::Value;

use super::SECRETS;

/// What a visitor presents at first.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) fields: Vec<String>,
    /// cookie-session writes it anew though nobody changed it.
    pub(super) is_rewritten_by_readers: bool,
    pub(super) is_of_old_key: bool,
}

pub(super) fn header() -> impl Strategy<Value = Header> {
    let written = prop::sample::select(vec![
        ("{\"a\":1,\"b\":\"é\u{2028}\"}", false),
        (r#"{"a":1}"#, false),
        (r#"{"10":"x","a":{"b":1e+21}}"#, false),
        ("{}", false),
        (r#"{ "a" : 1 , "b":2}"#, true),
        (r#"{"a":1,"b":2,"a":3}"#, true),
        (r#"{"b":1,"10":2,"9":3}"#, true),
        (r#"{"a":"#, false),
        ("", false),
        ("\u{feff}{}", false),
    ]);
    let base64 = prop::sample::select(vec![
        "plain",
        "plain",
        "no padding",
        "url-safe",
        "more behind",
        "odd bytes",
        "not UTF-8",
    ]);
    let signed =
        prop::sample::select(vec!["first", "first", "first", "second", "bad", "none", "empty", "quoted"]);
    let layout = prop::sample::select(vec![
        "{s}; {g}",
        "{g}; {s}",
        "a=1; {s}; b=2; {g}",
        "  {s} ;{g}",
        "{s}\n{g}",
        "{s}; {g}; session=other; session.sig=other",
        "session=other; {s}; {g}",
        "session =other; {s}; {g}",
        "{s}; session.sig=other; {g}",
        "\"{s}\"; {g}",
        "x{s}; {s}; {g}",
        "{s}; {g}x",
        "{s};\t{g}",
        "{s};{g}; {s}x",
    ]);
    (written, base64, signed, layout).prop_map(|((json, is_odd), base64, signed, layout)| {
        let plain = STANDARD.encode(json);
        let value = match base64 {
            "no padding" => plain.trim_end_matches('=').to_owned(),
            "url-safe" => URL_SAFE.encode(json),
            "more behind" => format!("{plain}==abc"),
            "odd bytes" => plain.replacen('a', "%61*", 1).replacen("%61", "a~", 1),
            "not UTF-8" => STANDARD.encode([&b"{\"a\":\"\xff\xe9x\xf0\x9f\"}"[..]].concat()),
            _ => plain.clone(),
        };
        let is_readable = serde_json::from_str::<Value>(json).is_ok();
        let signed = if signed == "second" && !is_readable { "first" } else { signed };
        let signature = match signed {
            "second" => signature(&value, 1),
            "bad" => signature(&value, 0).to_lowercase(),
            "empty" => String::new(),
            "quoted" => format!("\"{}\"", signature(&value, 0)),
            _ => signature(&value, 0),
        };
        let signature = if signed == "none" { "c=3".to_owned() } else { format!("session.sig={signature}") };
        let said = layout.replace("{s}", &format!("session={value}")).replace("{g}", &signature);
        let fields = said.split('\n').map(|field| field.trim().to_owned()).collect();
        Header {
            fields,
            is_rewritten_by_readers: is_odd || value != plain,
            is_of_old_key: signed == "second",
        }
    })
}

/// By one of the keys.
pub(super) fn signature(value: &str, key: usize) -> String {
    let keys = Keys::danger_short([SECRETS[key]]).unwrap();
    keys.keygrip(Hash::Sha1, Encoding::Base64).sign(&format!("session={value}"))
}
