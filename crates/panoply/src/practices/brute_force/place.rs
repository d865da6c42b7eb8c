use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
use serde::{Deserialize, Deserializer};

use super::credentials::{Reading, Seen, Unread, read};
use super::fields::{Descent, LONGEST_NAME, folded, parts};
use super::names::Role;
use crate::SettingError;

/// Where a login has its user name.
///
/// | written | is |
/// |---|---|
/// | `form:email`, `form:user[email]` | a field of the form, or of the query |
/// | `json:email`, `json:user.email` | a value in the JSON |
/// | `basic` | the user in `Authorization: Basic …` (RFC 7617) |
/// | `header:x-user` | the header |
///
/// A place in a form is looked for in JSON too, and the other way round, since many apps take both and the attacker
/// chooses; and whatever the case of its letters.
///
/// ```
/// use http::HeaderMap;
/// use panoply::practices::brute_force::{Place, credentials::Reading};
///
/// let place: Place = "form:user[kennnr]".parse()?;
/// let mut headers = HeaderMap::new();
/// headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
///
/// let Reading::Login(login) = place.read(None, &headers, b"user[kennnr]=4711&user[kennwort]=x&username=decoy")
///     else { panic!("it is one") };
/// assert_eq!(login.usernames, ["4711"]);
/// # Ok::<(), panoply::SettingError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Form(Box<str>),
    Json(Box<str>),
    Basic,
    Header(HeaderName),
}

impl Place {
    /// Who logs in by this request: whatever it is, a body that can be read is a [`Reading::Login`]; where a header
    /// should say it and is not there, [`Reading::NoPassword`].
    ///
    /// Query and body are as for [`credentials::of`](super::credentials::of).
    #[must_use]
    pub fn read(&self, query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Reading {
        let name = match &self.0 {
            Kind::Form(name) | Kind::Json(name) => name,
            Kind::Basic => return in_header(headers, &AUTHORIZATION, basic_users),
            Kind::Header(name) => return in_header(headers, name, texts),
        };
        let place: Vec<String> = parts(name).map(folded).collect();
        let mut seen = Seen::default();
        let root = (Role::Other, Below { place: &place, passed: Some(0) });
        let read = read(query, headers, body, &root, &mut |(role, below), values| {
            if below.passed == Some(place.len()) {
                seen.usernames(values);
            }
            if let Role::Password(number) | Role::Both(number) = role {
                seen.field(Role::Password(*number), values);
            }
        });
        read.map_or_else(Unread::into_reading, |()| seen.named())
    }

    /// Whether a request may have it: something is sent, or a header is there.
    pub(crate) fn may_be_in(&self, request: &Parts) -> bool {
        match &self.0 {
            Kind::Form(_) | Kind::Json(_) => match request.method {
                Method::OPTIONS => false,
                Method::GET | Method::HEAD => {
                    request.uri.query().is_some() || request.headers.contains_key(CONTENT_TYPE)
                }
                _ => true,
            },
            Kind::Basic => request.headers.contains_key(AUTHORIZATION),
            Kind::Header(name) => request.headers.contains_key(name),
        }
    }

    /// Whether the body has to be read to know.
    #[must_use]
    pub const fn is_in_body(&self) -> bool {
        matches!(self.0, Kind::Form(_) | Kind::Json(_))
    }
}

/// How far down a place one is; `None` beside it.
#[derive(Clone)]
struct Below<'p> {
    place: &'p [String],
    passed: Option<usize>,
}

impl Descent for Below<'_> {
    fn enter(&self, part: &str) -> Self {
        let is_next = |passed: &usize| self.place.get(*passed).is_some_and(|name| *name == folded(part));
        Self { place: self.place, passed: self.passed.filter(is_next).map(|passed| passed + 1) }
    }
}

/// Every value of the header: who reads the first and who reads the last are both right.
fn in_header(headers: &HeaderMap, name: &HeaderName, users: impl Fn(&[u8]) -> Vec<String>) -> Reading {
    let mut seen = Seen::default();
    for value in headers.get_all(name) {
        let users: Vec<_> = users(value.as_bytes()).into_iter().map(Cow::Owned).collect();
        if !users.is_empty() {
            seen.usernames(&users);
            seen.field(Role::Password(0), &[]);
        }
    }
    if seen.has_password() { seen.named() } else { Reading::NoPassword }
}

/// Bytes that are UTF-8 are text; others Node takes for Latin-1, and some drop.
fn texts(bytes: &[u8]) -> Vec<String> {
    match str::from_utf8(bytes) {
        Ok(text) => vec![text.to_owned()],
        Err(_) => {
            vec![bytes.iter().copied().map(char::from).collect(), String::from_utf8_lossy(bytes).into_owned()]
        }
    }
}

/// What stands before the first colon; nobody, where it is another scheme.
///
/// Decoded as Node does, which reads base64 in both alphabets, padded or not, and up to the first `=`; what is in
/// neither it skips.
fn basic_users(value: &[u8]) -> Vec<String> {
    let Some((scheme, rest)) = value.trim_ascii().split_at_checked("basic".len()) else { return Vec::new() };
    if !scheme.eq_ignore_ascii_case(b"basic") || !rest.first().is_some_and(|byte| b" \t".contains(byte)) {
        return Vec::new();
    }
    let sent = rest.split(|byte| *byte == b'=').next().unwrap_or_default();
    let mut base64: Vec<u8> = sent
        .iter()
        .filter_map(|byte| match byte {
            b'-' => Some(b'+'),
            b'_' => Some(b'/'),
            b'+' | b'/' => Some(*byte),
            _ => byte.is_ascii_alphanumeric().then_some(*byte),
        })
        .collect();
    // One character alone is not a byte.
    if base64.len() % 4 == 1 {
        base64.pop();
    }
    let pair = LENIENT.decode(base64).unwrap_or_default();
    let user = pair.split(|byte| *byte == b':').next().unwrap_or_default();
    texts(user)
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl FromStr for Place {
    type Err = SettingError;

    fn from_str(written: &str) -> Result<Self, SettingError> {
        const HINT: &str =
            "write `form:email`, `form:user[email]`, `json:user.email`, `basic` or `header:x-user`";
        let refused = |what: String| Err(SettingError::new(what, HINT));
        if written == "basic" {
            return Ok(Self(Kind::Basic));
        }
        let Some((kind, name)) = written.split_once(':') else {
            return refused(format!("`{}` is no place of a user name", written.escape_debug()));
        };
        let is_name = || {
            name.len() <= LONGEST_NAME
                && !name.contains(char::is_control)
                && parts(name).next().is_some()
                && parts(name).all(|part| !folded(part).is_empty())
        };
        match kind {
            "form" if is_name() => Ok(Self(Kind::Form(name.into()))),
            "json" if is_name() => Ok(Self(Kind::Json(name.into()))),
            "form" | "json" => refused(format!("`{}` is no name of a field", name.escape_debug())),
            "header" => match HeaderName::from_str(name) {
                Ok(header) if header == AUTHORIZATION || header == COOKIE => Err(SettingError::new(
                    format!("`{header}` holds more than a user name"),
                    "write `basic` for the user in `Authorization: Basic …`",
                )),
                Ok(header) => Ok(Self(Kind::Header(header))),
                Err(_) => refused(format!("`{}` is no name of a header", name.escape_debug())),
            },
            _ => refused(format!("`{}:` is no kind of place", kind.escape_debug())),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Form(name) => write!(f, "form:{name}"),
            Kind::Json(name) => write!(f, "json:{name}"),
            Kind::Basic => f.write_str("basic"),
            Kind::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(SettingError::into_serde)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn place(written: &str) -> Place {
        written.parse().unwrap()
    }

    fn users(reading: Reading) -> Option<Vec<String>> {
        match reading {
            Reading::Login(login) => Some(login.usernames),
            _ => None,
        }
    }

    #[test]
    fn a_place_prints_as_it_was_written() {
        for written in ["form:email", "form:user[email]", "json:user.name", "basic", "header:x-user"] {
            assert_eq!(place(written).to_string(), written);
        }
        assert_eq!(place("header:X-User"), place("header:x-user"));
    }

    #[test]
    fn what_is_no_place_says_what_to_write() {
        for (written, hint) in [
            ("", "form:email"),
            ("email", "form:email"),
            ("form:", "form:email"),
            ("form:[]", "form:email"),
            ("form:a[_]", "form:email"),
            ("json:a\nb", "form:email"),
            ("query:email", "form:email"),
            ("header:x user", "header:x-user"),
            ("header:Authorization", "`basic`"),
            ("Basic", "form:email"),
        ] {
            let error = written.parse::<Place>().unwrap_err();
            assert!(error.hint().contains(hint), "{written}: {error} {}", error.hint());
        }
    }

    #[test]
    fn the_user_is_found_in_either_kind_of_body() {
        const FORM: &str = "application/x-www-form-urlencoded";
        const JSON: &str = "application/json";
        for (written, kind, body, expected) in [
            ("form:email", FORM, "email=a&user=decoy&password=x", Some(&["a"][..])),
            ("form:email", FORM, "Email=a&password=x", Some(&["a"])),
            ("form:email", FORM, "email=a&email=b&email[]=c", Some(&["a", "b", "c"])),
            ("form:email", FORM, "user[email]=a", Some(&[])),
            ("form:user[email]", FORM, "user[email]=a&email=b", Some(&["a"])),
            ("form:user[email]", FORM, "user.email=a", Some(&["a"])),
            ("form:user[email]", FORM, "user[email][x]=a", Some(&[])),
            ("form:user[email]", JSON, r#"{"user":{"email":"a"}}"#, Some(&["a"])),
            ("json:user.name", JSON, r#"{"user":{"name":["a"]},"name":"b"}"#, Some(&["a"])),
            ("json:user.name", FORM, "user[name]=a", Some(&["a"])),
            ("json:name", JSON, r#"{"name":"#, None),
            ("form:email", "text/plain", "email=a", None),
            ("form:email", "", "", Some(&[])),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            let found = users(place(written).read(None, &headers, body.as_bytes()));
            let expected = expected.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(found, expected, "{written} {body}");
        }
        let in_query = place("form:email").read(Some("email=a"), &HeaderMap::new(), b"");
        assert_eq!(users(in_query), Some(vec!["a".to_owned()]));
    }

    #[test]
    fn a_header_says_who_it_is() {
        for (written, header, values, expected) in [
            ("basic", "authorization", &["Basic dGltOng6eQ=="][..], Some(&["tim"][..])), // tim:x:y
            ("basic", "authorization", &["bAsIc   dGltOng6eQ"], Some(&["tim"])),
            ("basic", "authorization", &["Basic dGlt"], Some(&["tim"])),
            ("basic", "authorization", &["Basic 6W46eA=="], Some(&["én", "\u{fffd}n"])), // Latin-1
            ("basic", "authorization", &["Basic dGltOng=", "Basic YW5uOng="], Some(&["tim", "ann"])),
            ("basic", "authorization", &["Bearer dGltOng="], None),
            ("basic", "authorization", &["Basic"], None),
            ("basic", "authorization", &[], None),
            ("header:x-user", "x-user", &["tim"], Some(&["tim"])),
            ("header:x-user", "x-user", &["tim", "ann"], Some(&["tim", "ann"])),
            ("header:x-user", "x-other", &["tim"], None),
        ] {
            let name = HeaderName::from_static(header);
            let headers: HeaderMap =
                values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect();
            let found = users(place(written).read(None, &headers, b""));
            let expected = expected.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(found, expected, "{written} {values:?}");
        }
    }
}
