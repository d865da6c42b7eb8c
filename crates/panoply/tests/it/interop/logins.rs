//! Whatever Express takes for the user name of a login is among the names that we read, and how its apps answer tells
//! how the login ended.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, Request};
use panoply::practices::brute_force::credentials::{self, Reading};
use panoply::practices::brute_force::outcome::{self, Asked, Outcome};
use panoply::practices::brute_force::{Place, Signs};
use proptest::prelude::*;
use serde_json::Value;

use super::node::{self, App};
use super::table;

#[test]
fn no_user_name_that_express_sees_is_missed() {
    let rows = table(
        ROWS,
        prop_oneof![
            (forms(), query(), form()),
            (json_types(), query(), json().prop_map(String::into_bytes)),
            (json_types(), query(), spoilt(json())),
        ],
    );
    let (logins, unreadable) = misses_none(&rows);
    assert!(logins > rows.len() / 8 && logins > 10 * unreadable, "{logins} logins, {unreadable} unreadable");
}

#[test]
fn no_user_name_that_multer_sees_is_missed() {
    let kinds = prop_oneof![
        8 => Just("multipart/form-data; boundary=B"),
        1 => Just("Multipart/Form-Data; Boundary=\"B\""),
        1 => Just("multipart/form-data; boundary=B; charset=utf-8"),
        1 => Just("multipart/form-data; boundary=C; boundary=B"),
    ];
    let rows = table(ROWS, (kinds, query(), multipart()));
    let (logins, unreadable) = misses_none(&rows);
    assert!(logins > rows.len() / 8, "{logins} logins, {unreadable} unreadable of {}", rows.len());
}

/// Of so many logins every user name that Express sees is read, and so many are unreadable.
fn misses_none(rows: &[(&str, String, Vec<u8>)]) -> (usize, usize) {
    let asked = rows
        .iter()
        .map(|(kind, query, body)| serde_json::json!({ "type": kind, "query": query, "body": body }));
    let (mut logins, mut unreadable) = (0, 0);
    for (seen, (kind, query, body)) in node::told("bodies.js", asked).iter().zip(rows) {
        let shown = format!("{kind} ?{query} {}", body.escape_ascii());
        let seen: Vec<(Vec<&str>, &str)> = leaves(seen);
        if !seen.iter().any(|(names, _)| names.contains(&"password")) {
            continue;
        }
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
        let query = Some(&**query).filter(|query| !query.is_empty());
        let login = match credentials::of(query, &headers, body) {
            Reading::Login(login) if !login.is_partial() => login,
            Reading::Login(_) | Reading::Unreadable(_) | Reading::Disguised(_) => {
                unreadable += 1;
                continue;
            }
            reading => panic!("{reading:?}, but Express sees a password: {shown}"),
        };
        logins += 1;
        let named = |names: &[&str], wanted: &str| {
            let last = names.iter().rfind(|name| !name.bytes().all(|byte| byte.is_ascii_digit()));
            last == Some(&wanted)
        };
        for (names, text) in seen.iter().filter(|(_, text)| !text.trim().is_empty()) {
            if named(names, "username") || named(names, "email") {
                let is_among = login.usernames.iter().any(|name| name == text);
                assert!(is_among, "{text:?} is not among {:?}: {shown}", login.usernames);
            }
            let whole: Vec<_> =
                names.iter().filter(|name| !name.bytes().all(|byte| byte.is_ascii_digit())).collect();
            if whole == [&"user", &"id"] {
                let place: Place = "form:user[id]".parse().unwrap();
                match place.read(query, &headers, body) {
                    Reading::Login(login) => {
                        let is_among = login.usernames.iter().any(|name| name == text);
                        assert!(is_among, "{text:?} is not in its place: {shown}");
                    }
                    Reading::Unreadable(_) | Reading::Disguised(_) => {}
                    reading => panic!("{reading:?}: {shown}"),
                }
            }
        }
    }
    (logins, unreadable)
}

#[test]
fn what_express_apps_answer_tells_how_a_login_ended() {
    for fails in ["401", "400", "redirect", "again"] {
        let app = App::start("guessed.js", &[("FAILS", fails)]);
        for (form, expected) in [
            ("username=tim&password=guess", Outcome::Failure),
            ("username=tim&password=correct+horse", Outcome::Success { sure: true }),
            ("username=nobody&password=correct+horse", Outcome::Failure),
        ] {
            let answer = app.ask("POST", "/login", form);
            assert_eq!(told(form, &answer), expected, "{fails}: {form}");
        }
        let checked = String::from_utf8(app.ask("GET", "/checked", "")).unwrap();
        assert!(checked.contains(r#"{"total":3,"names":{"tim":2,"nobody":1}}"#), "{fails}: {checked}");
    }
}

/// What the bytes of an answer say of the login that `form` was.
fn told(form: &str, answer: &[u8]) -> Outcome {
    let request = Request::post("/login").header("host", "localhost").body(()).unwrap();
    let asked = Asked::of(&request.into_parts().0, form.as_bytes());
    let answer = str::from_utf8(answer).unwrap();
    let (head, page) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status").parse().unwrap();
    let headers: HeaderMap = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (HeaderName::try_from(name).unwrap(), value.parse().unwrap()))
        .collect();
    let signs = Signs::default();
    let page = outcome::wants_page(&signs, status, &headers).map(|_| page.as_bytes());
    outcome::of(&asked, &signs, status, &headers, page)
}

fn leaves(seen: &Value) -> Vec<(Vec<&str>, &str)> {
    let seen = seen.as_array().expect("a list").iter();
    seen.map(|leaf| {
        let names = leaf[0].as_array().expect("names").iter();
        (names.map(|name| name.as_str().expect("a name")).collect(), leaf[1].as_str().expect("a text"))
    })
    .collect()
}

fn forms() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        6 => Just("application/x-www-form-urlencoded"),
        1 => Just("Application/x-www-form-urlencoded ; Charset=UTF-8"),
        1 => Just("application/x-www-form-urlencoded; charset=\"iso-8859-1\""),
    ]
}

fn json_types() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        6 => Just("application/json"),
        1 => Just("application/JSON;charset=utf-8"),
        1 => Just("application/vnd.api+json"),
    ]
}

fn query() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        1 => "(username|email|password|user\\[id\\]|x)=[ab]{0,2}(&username%5B%5D=c)?",
    ]
}

/// Mostly logins, with everything that readers of forms disagree about.
fn form() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        4 => "username|email|password|user\\[id\\]|user%5Bid%5D|user\\[password\\]|x",
        2 => "(username|user\\[email\\]|password)(\\[\\]|\\[0\\]|%5b7%5d|\\[\\]\\[\\]|\\[a\\]|\\[\\$ne\\]|\\[|\\]|\\]\\])",
        1 => "\\[(username|password|user\\]\\[id)\\]|user\\[\\[email\\]|a\\[b\\]\\[username\\]|__proto__\\[username\\]",
        1 => "(u|%75)sern%61me|pass(w|%77)ord|user%2ename|\u{feff}username|%EF%BB%BFemail|constructor|toString",
    ];
    let value = prop_oneof![
        4 => "[a-c]{0,2}",
        1 => "[a-c+ ]{1,3}|%20[ab]|a%2Bb|%zz|a%|%4|%C3%A9|%c3|%E9a|%ED%A0%80|%F0%9F%92%A9|a=b|\\]=c|a;username=b|%00",
        1 => "\\PC{1,2}",
    ];
    let field = (name, prop_oneof![8 => Just("="), 1 => Just(""), 1 => Just("]=")], value)
        .prop_map(|(name, equals, value)| format!("{name}{equals}{value}"));
    let byte = prop_oneof![4 => Just(None), 1 => any::<u8>().prop_map(Some)];
    (prop::collection::vec(field, 1..6), byte, any::<prop::sample::Index>()).prop_map(|(fields, byte, at)| {
        let mut form = fields.join("&").into_bytes();
        if let Some(byte) = byte {
            form.insert(at.index(form.len() + 1), byte);
        }
        form
    })
}

/// Mostly logins, with everything that readers of parts disagree about.
fn multipart() -> impl Strategy<Value = Vec<u8>> {
    let head = prop_oneof![
        8 => "Content-Disposition: form-data; name=\"(username|email|password|user\\[id\\]|user\\[password\\]|x)\"",
        1 => "content-disposition:form-data;name=(username|password)( ; filename=a)?",
        1 => "Content-Disposition: form-data; name=\"(username|password)\"; (filename|name|name\\*|x)=\"?(utf-8''email|email|a;b)\"?",
        1 => "Content-Disposition: form-data; filename=\"\\\\\"; name=\"password\"",
        1 => "Content-Disposition: (attachment|form-data|FORM-DATA) ?;\r?\n? name=\"username\"",
    ];
    let more = prop_oneof![
        8 => "",
        1 => "\r\nContent-Type: text/plain(; charset=(utf-8|utf-16le|latin1))?",
        1 => "\r\nContent-Transfer-Encoding: (base64|7bit)",
        1 => "\r\nContent-Disposition: form-data; name=\"email\"",
    ];
    let value = prop_oneof![6 => "[a-c]{0,2}", 1 => "(é|--B|\r\n--|\n--B|\r\n|%41|dGlt){1,2}"];
    let part =
        (head, more, value).prop_map(|(head, more, value)| format!("--B\r\n{head}{more}\r\n\r\n{value}\r\n"));
    let end = prop_oneof![6 => "--B--(\r\n)?", 1 => "(--B|--B--x|--B--\r\n--B|)"];
    let text = (prop::collection::vec(part, 1..5), end).prop_map(|(parts, end)| {
        let password = "--B\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nx\r\n";
        format!("{}{password}{end}", parts.concat())
    });
    prop_oneof![3 => text.clone().prop_map(String::into_bytes), 1 => spoilt(text)]
}

/// Mostly logins, with everything that readers of JSON disagree about. As text, so that a name can come twice.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => "\"[a-c]{0,2}\"",
        2 => "\"(\\\\u0061|\\\\n|\\\\\"|\\\\ud83d|\\\\ud83d\\\\ude00|\\\\udE00x|é|\\\\/)\"",
        2 => "-?(0|[1-9][0-9]{0,2})(\\.[0-9]{1,2})?([eE][+-]?[0-9]{1,3})?|12345678901234567890",
        1 => "true|false|null|\\{\\}|\\[\\]",
    ];
    let name = "\"(username|email|password|user|id|x|us\\\\u0065rname|\\$eq|__proto__|0|)\"";
    leaf.prop_recursive(3, 16, 4, move |inner| {
        let member = (name, inner.clone()).prop_map(|(name, value)| format!("{name}:{value}"));
        prop_oneof![
            3 => prop::collection::vec(member, 1..5).prop_map(|members| format!("{{{}}}", members.join(", "))),
            1 => prop::collection::vec(inner, 1..3).prop_map(|values| format!("[{}]", values.join(","))),
        ]
    })
    .prop_map(|rest| format!("{{\"username\":\"a\",\"rest\":{rest},\"password\":\"x\"}}"))
}

/// With a byte too much, anywhere.
fn spoilt(text: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    (text, any::<u8>(), any::<prop::sample::Index>()).prop_map(|(text, byte, at)| {
        let mut bytes = text.into_bytes();
        bytes.insert(at.index(bytes.len() + 1), byte);
        bytes
    })
}

const ROWS: u32 = 2_000;
