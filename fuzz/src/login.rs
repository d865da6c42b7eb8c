use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use panoply::practices::brute_force::credentials::{self, Reading};
use panoply::practices::brute_force::outcome::{self, Asked, Outcome};
use panoply::practices::brute_force::username::normalised;
use panoply::practices::brute_force::{Place, Signs};
use serde_json::Value;
use url::form_urlencoded;

use crate::settings::prints_what_it_reads;
use crate::shield::Parts;
use crate::text;

/// Any form, and the same as a query: what another parser takes for the user name is among those that are read.
pub fn login_form(input: &[u8]) {
    let reading = credentials::of(None, &typed("application/x-www-form-urlencoded"), input);
    is_bounded(&reading);
    let said = |named: &[&str]| -> Vec<String> {
        let pairs = form_urlencoded::parse(input).filter(|(name, _)| named.contains(&&**name));
        pairs.map(|(_, value)| value.into_owned()).collect()
    };
    if !said(&["password", "user[password]"]).is_empty() {
        sees(&reading, &said(&["username", "email", "user[email]"]));
    }
    assert_eq!(credentials::of(Some(text(input)), &HeaderMap::new(), b""), {
        if std::str::from_utf8(input).is_ok() { reading } else { Reading::NoPassword }
    });
}

/// Any JSON, the same way.
pub fn login_json(input: &[u8]) {
    let reading = credentials::of(None, &typed("application/json"), input);
    is_bounded(&reading);
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
    for top in [&value, value.get("user").unwrap_or(&Value::Null)] {
        if top
            .get("password")
            .is_some_and(|password| !password.is_null() && !password.is_object() && !password.is_array())
        {
            let named = ["username", "email"].iter().filter_map(|name| top.get(name)?.as_str());
            sees(&reading, &named.map(ToOwned::to_owned).collect::<Vec<_>>());
        }
    }
    assert!(
        !matches!(reading, Reading::Unreadable("the body is not the JSON that it says it is")),
        "serde reads it"
    );
}

/// Any form in parts: what is read of it has every user name that a reader sees who only looks for delimiters.
pub fn login_multipart(input: &[u8]) {
    let reading = credentials::of(None, &typed("multipart/form-data; boundary=b"), input);
    is_bounded(&reading);
    let naive = format!("\r\n{}", String::from_utf8_lossy(input));
    let part_of = |name: &str| format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n");
    let said = |name: &str| -> Vec<String> {
        let parts = naive.split("\r\n--b\r\n").skip(1);
        let values = parts.filter_map(|part| part.strip_prefix(&*part_of(name)));
        values.map(|value| value.split("\r\n--b").next().unwrap_or_default().to_owned()).collect()
    };
    if !said("password").is_empty() {
        sees(&reading, &[said("username"), said("user[email]")].concat());
    }
}

/// A place prints as it was written; any `Authorization` header says who or nothing.
pub fn place(input: &[u8]) {
    prints_what_it_reads::<Place>(input);
    let basic = "basic".parse::<Place>();
    if let (Ok(basic), Ok(value)) = (basic, HeaderValue::from_bytes(input)) {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        is_bounded(&basic.read(None, &headers, b""));
    }
}

/// A name has one spelling, which is short and has nothing at its ends.
pub fn username(input: &[u8]) {
    let name = String::from_utf8_lossy(input);
    let once = normalised(&name);
    assert_eq!(normalised(&once), once, "{name:?}");
    assert!(once.chars().count() <= 512 && once.trim() == once, "{once:?}");
    assert_eq!(normalised(&format!(" {}\u{200d}\t", name.chars().take(20).collect::<String>())), {
        normalised(&name.chars().take(20).collect::<String>())
    });
}

/// Any answer to any login: no refusal is a success, with or without signs of the route's own.
///
/// The input is three parts with an empty line between them, lines ending in LF: a target and fields, the request's
/// body, status and fields of the answer; what follows a further empty line is its page.
pub fn outcome(input: &[u8]) {
    let mut parts = Parts(input);
    let (target, fields) = parts.head();
    let body = parts.next();
    let (status, answer) = parts.head();
    let page = parts.0;
    let Ok(request) = Request::post(target).body(()) else { return };
    let (mut request, ()) = request.into_parts();
    request.headers = fields;
    let asked = Asked::of(&request, body);
    let status = StatusCode::from_bytes(status).unwrap_or_default();
    let named =
        Signs::default().no_session_cookie().redirect("/login*").and_then(|signs| signs.body("Wrong"));
    for signs in [Signs::default(), named.unwrap_or_default()] {
        let wanted = outcome::wants_page(&signs, status, &answer);
        let page = wanted.map(|most| page.get(..most).unwrap_or(page));
        let told = outcome::of(&asked, &signs, status, &answer, page);
        let is_success = matches!(told, Outcome::Success { .. });
        assert!(!is_success || status.is_success() || status.is_redirection(), "{status} is {told:?}");
        assert!(status != StatusCode::UNAUTHORIZED || told == Outcome::Failure, "{told:?}");
    }
}

fn typed(kind: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))])
}

fn is_bounded(reading: &Reading) {
    if let Reading::Login(login) = reading {
        assert!(login.usernames.len() <= 16 && login.passwords >= 1, "{reading:?}");
        assert!(login.usernames.iter().all(|name| !name.trim().is_empty()), "a blank name");
    }
}

/// Every one of `names`, unless the body was not to be read.
fn sees(reading: &Reading, names: &[String]) {
    match reading {
        Reading::Login(login) => {
            for name in names.iter().filter(|name| !name.trim().is_empty()) {
                assert!(login.usernames.contains(name), "{name:?} is not among {:?}", login.usernames);
            }
        }
        Reading::Unreadable(_) | Reading::Disguised(_) => {}
        _ => assert_ne!(*reading, Reading::NoPassword, "it has a password"),
    }
}
