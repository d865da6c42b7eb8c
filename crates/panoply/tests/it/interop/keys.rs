use panoply::Keys;
use panoply::keys::{Encoding, Hash};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{node, table};

#[test]
fn cookies_are_signed_and_unsigned_as_cookie_signature_does() {
    let rows = table(ROWS, (secrets(), "\\PC{0,24}", change()));
    let asked = rows.iter().map(|(secrets, value, change)| {
        let signed = Keys::danger_short(secrets).unwrap().sign_cookie(value);
        let changed = change.of(&signed);
        json!({ "secrets": secrets, "value": value, "sent": [signed, changed] })
    });
    let mut believed = 0;
    for (row, theirs) in node::table(COOKIE_SIGNATURE, asked) {
        let keys = Keys::danger_short(strings(&row["secrets"])).unwrap();
        let back = keys_from_the_back(&row["secrets"]);
        let ours: Vec<Value> = strings(&row["sent"])
            .map(|sent| {
                let ours = keys.unsign_cookie(sent).map(|(value, key)| json!([value, key.get()]));
                let rotated = back.unsign_cookie(sent).map(|(value, key)| json!([value, key.get()]));
                believed += u32::from(ours.is_some());
                json!([ours, rotated])
            })
            .collect();
        let signed = keys.sign_cookie(row["value"].as_str().unwrap());
        assert_eq!(json!({ "signed": [signed, signed], "unsigned": [ours, ours] }), theirs, "{row}");
    }
    assert!(
        (ROWS..2 * ROWS).contains(&believed),
        "of {ROWS} signed and {ROWS} changed ones, {believed} passed"
    );
}

#[test]
fn cookies_are_signed_and_verified_as_keygrip_does() {
    let rows = table(ROWS, (secrets(), "\\PC{0,24}", change(), 0..6usize));
    let asked = rows.iter().map(|(secrets, data, change, kind)| {
        let (hash, encoding, algorithm, form) = KEYGRIPS[*kind];
        let signature = Keys::danger_short(secrets).unwrap().keygrip(hash, encoding).sign(data);
        let changed = change.of(&signature);
        json!({ "secrets": secrets, "data": data, "kind": kind, "algorithm": algorithm, "encoding": form,
            "sent": [signature, changed] })
    });
    for (row, theirs) in node::table(KEYGRIP, asked) {
        let (hash, encoding, ..) = KEYGRIPS[usize::try_from(row["kind"].as_u64().unwrap()).unwrap()];
        let keygrip = Keys::danger_short(strings(&row["secrets"])).unwrap().keygrip(hash, encoding);
        let back = keys_from_the_back(&row["secrets"]).keygrip(hash, encoding);
        let data = row["data"].as_str().unwrap();
        let ours: Vec<Value> = strings(&row["sent"])
            .map(|sent| {
                let index = |key: Option<panoply::keys::KeyIndex>| {
                    key.map_or(-1, |key| i64::try_from(key.get()).unwrap())
                };
                json!([index(keygrip.verify(data, sent)), index(back.verify(data, sent))])
            })
            .collect();
        assert_eq!(json!({ "signed": keygrip.sign(data), "index": ours }), theirs, "{row}");
    }
}

/// What a proxy, a program or a forger may have done to a signed text.
#[derive(Clone, Debug)]
struct Change {
    at: prop::sample::Index,
    gone: usize,
    new: String,
}

impl Change {
    fn of(&self, text: &str) -> String {
        let mut characters: Vec<char> = text.chars().collect();
        let at = self.at.index(characters.len() + 1);
        let end = (at + self.gone).min(characters.len());
        characters.splice(at..end, self.new.chars());
        characters.into_iter().collect()
    }
}

fn change() -> impl Strategy<Value = Change> {
    (any::<prop::sample::Index>(), 0..3usize, "[.=A_/+é-]{0,2}").prop_map(|(at, gone, new)| Change {
        at,
        gone,
        new,
    })
}

/// Short and long, and of one to four different ones.
fn secrets() -> impl Strategy<Value = Vec<String>> {
    let secret = prop_oneof!["\\PC{1,12}", "[ -~]{60,150}"];
    prop::collection::hash_set(secret, 1..5).prop_map(|secrets| secrets.into_iter().collect())
}

/// The ring in which the key that signed is the last one.
fn keys_from_the_back(secrets: &Value) -> Keys {
    let mut secrets: Vec<&str> = strings(secrets).collect();
    secrets.reverse();
    Keys::danger_short(secrets).unwrap()
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap())
}

const ROWS: u32 = 400;

const KEYGRIPS: [(Hash, Encoding, &str, &str); 6] = [
    (Hash::Sha1, Encoding::Base64, "sha1", "base64"),
    (Hash::Sha256, Encoding::Base64, "sha256", "base64"),
    (Hash::Sha512, Encoding::Base64, "sha512", "base64"),
    (Hash::Sha1, Encoding::Hex, "sha1", "hex"),
    (Hash::Sha256, Encoding::Hex, "sha256", "hex"),
    (Hash::Sha512, Encoding::Hex, "sha512", "hex"),
];

/// Express has one version of the package and express-session another.
const COOKIE_SIGNATURE: &str = r#"
    const versions = [require("cookie-signature"), require("./node_modules/express-session/node_modules/cookie-signature")];
    const unsign = (signature, sent, secrets) => {
        const values = secrets.map((secret) => signature.unsign(sent, secret));
        const index = values.findIndex((value) => value !== false);
        return index === -1 ? null : [values[index], index];
    };
    answer = ({ secrets, value, sent }) => ({
        signed: versions.map((signature) => signature.sign(value, secrets[0])),
        unsigned: versions.map((signature) => sent.map((sent) =>
            [unsign(signature, sent, secrets), unsign(signature, sent, [...secrets].reverse())])),
    });
"#;

const KEYGRIP: &str = r#"
    const Keygrip = require("keygrip");
    answer = ({ secrets, data, algorithm, encoding, sent }) => {
        const there = new Keygrip(secrets, algorithm, encoding);
        const back = new Keygrip([...secrets].reverse(), algorithm, encoding);
        return { signed: there.sign(data), index: sent.map((sent) => [there.index(data, sent), back.index(data, sent)]) };
    };
"#;
