//! Whether a request brings a password, and whose: read from its form or its JSON, as the app behind will.
//!
//! **Stops** a guess that is spelled so that it is not seen: what any usual parser takes for a user name is among the
//! names here, or the body is [`Unreadable`](Reading::Unreadable). A name is not one field but every one that may be
//! it, in the body and in the query (passport looks there too), with each of its values: a decoy beside the real one
//! changes nothing.
//!
//! **Leaves** apps whose user name stands under a name that nobody would think of, beside a decoy of a usual one:
//! there [`Place`](super::Place) says where. Passwords within a text, but for that of a GraphQL query.
//!
//! ```
//! use http::HeaderMap;
//! use panoply::practices::brute_force::credentials::{self, Reading};
//!
//! let mut headers = HeaderMap::new();
//! headers.insert("content-type", "application/x-www-form-urlencoded".parse()?);
//!
//! let Reading::Login(login) = credentials::of(None, &headers, b"user[email]=tim%40a.example&user[password]=x")
//!     else { panic!("it is one") };
//! assert_eq!(login.usernames, ["tim@a.example"]);
//! assert_eq!(login.passwords, 1);
//! assert_eq!(credentials::of(None, &headers, b"q=shoes"), Reading::NoPassword);
//! # Ok::<(), http::header::InvalidHeaderValue>(())
//! ```

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::coding::Coding;
use super::fields::{Descent, Nothing};
use super::form::{self, Charset};
use super::graphql::{self, Given};
use super::names::{Role, is_button};
use super::{json, multipart};

/// What a request says of who logs in.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reading {
    /// It brings a password.
    Login(Login),
    /// It brings none.
    NoPassword,
    /// It may bring one, which nobody here can tell; the reason, for the log.
    Unreadable(&'static str),
    /// The same, in a spelling that no browser and no client uses for a login and many apps read all the same: the
    /// reason, for the log.
    Disguised(&'static str),
}

/// A request that brings a password. [`Debug`](fmt::Debug) shows no name.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Login {
    /// Whose it may be, as written, each once; none where nothing says so. Every one of them is to be charged.
    pub usernames: Vec<String>,
    /// How many fields of different names hold a password. Two are a sign-up or a change, or an attacker who added
    /// one: a path that is known as a login is not known as another thing by this.
    pub passwords: usize,
    /// How many passwords it may try for one user: more than one where requests come as a batch.
    pub guesses: usize,
    /// Why the body was not read, where the query alone says all this.
    pub(super) unread: Option<Unread>,
}

impl Login {
    /// Whether the body may name others: it was not read, and it is the query that says all this.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.unread.is_some()
    }

    pub(super) fn of_one_guess(self) -> Self {
        Self { guesses: 1, ..self }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({} names, {} passwords)", self.usernames.len(), self.passwords)
    }
}

/// Reads the query of a request and its body, all of it, which is as large as the caller allows.
///
/// The time is proportional to the length of both. A form is urlencoded or multipart; what gzip or deflate have made
/// small is read up to 64 KiB, since Express inflates it unasked. Charsets are UTF-8 and, in forms, ISO-8859-1. A body
/// of another type, coding or charset, one that is not what it says, and one with more than 16 user names or 4,096
/// fields are unreadable or disguised.
#[must_use]
pub fn of(query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Reading {
    let mut seen = Seen::default();
    let read = read(query, headers, body, &Role::Other, &mut |role, values| seen.field(*role, values));
    seen.variables(query, headers, body);
    // Of a body that cannot be read, what the query says is still true.
    if seen.has_password() {
        seen.login().without(read.err())
    } else {
        read.map_or_else(Unread::into_reading, |()| Reading::NoPassword)
    }
}

/// Whether [`of`] reads bodies of this type at all.
#[must_use]
pub fn is_form_or_json(headers: &HeaderMap) -> bool {
    kind(headers).is_ok() && Coding::of(headers).is_ok()
}

impl Reading {
    pub(super) fn without(self, unread: Option<Unread>) -> Self {
        match self {
            Self::Login(login) => Self::Login(Login { unread, ..login }),
            reading => reading,
        }
    }
}

/// Why a body is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It says that it is something else, or is not what it says.
    Other(&'static str),
    /// It is what we read, in a spelling that only some readers undo.
    Disguised(&'static str),
}

impl Unread {
    pub(super) const fn into_reading(self) -> Reading {
        match self {
            Self::Other(why) => Reading::Unreadable(why),
            Self::Disguised(why) => Reading::Disguised(why),
        }
    }
}

/// Shows each field of the query and of the body. An error: the body cannot be read, why.
pub(super) fn read<D: Descent>(
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
    root: &D,
    seen: &mut impl FnMut(&D, &[Cow<'_, str>]),
) -> Result<(), Unread> {
    if let Some(query) = query {
        form::walk(query, Charset::Utf8, root, seen).ok_or(Unread::Other(TOO_MANY_FIELDS))?;
    }
    if body.is_empty() {
        return Ok(());
    }
    let kind = kind(headers)?;
    let body = Coding::of(headers)?.undo(body)?;
    match kind {
        Kind::Form(charset) => {
            form::walk(&charset.decode(&body), charset, root, seen).ok_or(Unread::Other(TOO_MANY_FIELDS))
        }
        Kind::Multipart(boundary) => {
            // Shown only when all of it is as browsers write it: half of it may have other names.
            multipart::walk(&body, boundary, &Nothing, &mut |_, _| {})
                .ok_or(Unread::Disguised("the body is not the multipart form that browsers write"))?;
            multipart::walk(&body, boundary, root, seen);
            Ok(())
        }
        Kind::Json => {
            let text = String::from_utf8_lossy(&body);
            // Shown only when all of it is JSON: else no parser takes it, or one that we do not know.
            json::walk(&text, &Nothing, &mut |_, _| {})
                .ok_or(Unread::Other("the body is not the JSON that it says it is"))?;
            json::walk(&text, root, seen);
            Ok(())
        }
    }
}

enum Kind<'h> {
    Form(Charset),
    /// With its boundary.
    Multipart(&'h str),
    Json,
}

/// What the body says it is. Where there are two answers to that, readers take different ones.
fn kind(headers: &HeaderMap) -> Result<Kind<'_>, Unread> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (declared, None) = (types.next(), types.next()) else {
        return Err(Unread::Disguised("the body has several types"));
    };
    let Some(written) = declared.and_then(|declared| str::from_utf8(declared.as_bytes()).ok()) else {
        return Err(Unread::Other("the body has no type"));
    };
    let declared = written.to_ascii_lowercase();
    let (media, parameters) = declared.split_once(';').unwrap_or((&declared, ""));
    let media = media.trim();
    let is_form = media == "application/x-www-form-urlencoded";
    let is_multipart = media == "multipart/form-data";
    let is_json = matches!(media, "application/json" | "text/json" | "application/x-json")
        || (media.starts_with("application/") && media.ends_with("+json"));
    if !(is_form || is_multipart || is_json) {
        return Err(Unread::Other("the body is neither a form nor JSON"));
    }
    match charset(parameters) {
        Some(charset) if is_form => Ok(Kind::Form(charset)),
        Some(Charset::Utf8) if is_json => Ok(Kind::Json),
        Some(Charset::Utf8) if is_multipart => multipart::boundary(written)
            .map(Kind::Multipart)
            .ok_or(Unread::Disguised("the body has no boundary, or several")),
        _ => Err(Unread::Disguised("the body is in a charset that is not read")),
    }
}

/// `parameters` in lower case.
fn charset(parameters: &str) -> Option<Charset> {
    let mut charset = None;
    for parameter in parameters.split(';') {
        if !parameter.contains("charset") {
            continue;
        }
        let value = parameter.split_once('=').map_or("", |(_, value)| value);
        let found = match value.trim().trim_matches('"') {
            "utf-8" | "utf8" | "us-ascii" => Charset::Utf8,
            "iso-8859-1" | "latin1" => Charset::Latin1,
            _ => return None,
        };
        if charset.is_some_and(|before| before != found) {
            return None;
        }
        charset = Some(found);
    }
    Some(charset.unwrap_or(Charset::Utf8))
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Seen {
    usernames: Vec<String>,
    perhaps: Vec<String>,
    passwords: Vec<u64>,
    /// The values of each, hashed: a batch brings the same field many times.
    guesses: BTreeSet<(u64, u64)>,
    /// Variables of GraphQL, and what they are given to.
    variables: Vec<(String, Role)>,
    /// The field before this one.
    before: Vec<String>,
    /// The field before the first password: where nothing else says who it is, it does.
    next_to_password: Vec<String>,
    has_too_many: bool,
}

impl Seen {
    /// A field, and what its value may be read as.
    pub(super) fn field(&mut self, role: Role, values: &[Cow<'_, str>]) {
        match role {
            Role::Username => self.usernames(values),
            Role::Perhaps => self.has_too_many |= !add(&mut self.perhaps, values),
            Role::Both(number) => {
                self.usernames(values);
                self.field(Role::Password(number), values);
            }
            Role::Password(number) => {
                if self.passwords.is_empty() {
                    self.next_to_password = std::mem::take(&mut self.before);
                }
                if self.passwords.len() < MOST_NAMES && !self.passwords.contains(&number) {
                    self.passwords.push(number);
                }
                let mut hasher = DefaultHasher::new();
                values.hash(&mut hasher);
                self.guesses.insert((number, hasher.finish()));
            }
            Role::Document => values.iter().for_each(|document| self.document(document)),
            Role::Other => self.before = values.iter().map(ToString::to_string).collect(),
            Role::Aside => {}
        }
    }

    /// What a GraphQL text gives to arguments that are called so.
    fn document(&mut self, document: &str) {
        graphql::walk(document, &mut |argument, given| match (Role::Other.enter(argument), given) {
            (Role::Other | Role::Document | Role::Aside, _) => {}
            (role, Given::Text(text)) => self.field(role, &[text]),
            (role, Given::Variable(name)) if self.variables.len() < MOST_NAMES => {
                self.variables.push((name.to_owned(), role));
            }
            (_, Given::Variable(_)) => self.has_too_many = true,
        });
    }

    /// The values of variables that the text gives to a user name or a password, however they are called.
    fn variables(&mut self, query: Option<&str>, headers: &HeaderMap, body: &[u8]) {
        let variables = std::mem::take(&mut self.variables);
        if !variables.is_empty() {
            let root = Renamed { variables: &variables, role: Role::Aside };
            let _ = read(query, headers, body, &root, &mut |renamed: &Renamed<'_>, values| {
                self.field(renamed.role, values);
            });
        }
    }

    /// Values that are user names whatever their field is called.
    pub(super) fn usernames(&mut self, values: &[Cow<'_, str>]) {
        self.has_too_many |= !add(&mut self.usernames, values);
    }

    pub(super) fn has_password(&self) -> bool {
        !self.passwords.is_empty()
    }

    /// Those that were named, and nobody else.
    pub(super) fn named(self) -> Reading {
        if self.has_too_many {
            return Reading::Unreadable("the body has too many user names");
        }
        let of_each = self.passwords.iter().map(|password| {
            let from = (*password, 0);
            self.guesses.range(from..).take_while(|(number, _)| number == password).count()
        });
        // With several users in one batch each has a password of its own.
        let others = self.usernames.len().saturating_sub(1);
        let guesses = of_each.max().unwrap_or_default().saturating_sub(others).max(1);
        Reading::Login(Login {
            passwords: self.passwords.len(),
            usernames: self.usernames,
            guesses,
            unread: None,
        })
    }

    fn login(mut self) -> Reading {
        let is_alone = self.usernames.is_empty();
        for value in std::mem::take(&mut self.perhaps) {
            if is_alone || !is_button(&value) {
                self.usernames(&[Cow::Owned(value)]);
            }
        }
        if self.usernames.is_empty() {
            let next_to_password: Vec<_> =
                std::mem::take(&mut self.next_to_password).into_iter().map(Cow::Owned).collect();
            self.usernames(&next_to_password);
        }
        self.named()
    }
}

/// Below a variable's name, what its value is given to; elsewhere aside.
#[derive(Clone)]
struct Renamed<'v> {
    variables: &'v [(String, Role)],
    role: Role,
}

impl Descent for Renamed<'_> {
    fn enter(&self, part: &str) -> Self {
        let named = self.variables.iter().find(|(name, _)| name == part);
        Self { role: named.map_or(self.role, |(_, role)| *role), ..self.clone() }
    }
}

/// Adds what is new and not blank. False: there is no room.
fn add(names: &mut Vec<String>, values: &[Cow<'_, str>]) -> bool {
    for value in values {
        if value.trim().is_empty() || names.iter().any(|name| name == value) {
            continue;
        }
        if names.len() == MOST_NAMES {
            return false;
        }
        names.push(value.to_string());
    }
    true
}

const TOO_MANY_FIELDS: &str = "it has more fields than any app reads";

/// No form that somebody fills in has more, and each is a counter.
const MOST_NAMES: usize = 16;

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json";

    fn headers(content_type: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        }
        headers
    }

    fn login(usernames: &[&str], passwords: usize) -> Reading {
        let usernames = usernames.iter().map(ToString::to_string).collect();
        Reading::Login(Login { usernames, passwords, guesses: 1, unread: None })
    }

    #[test]
    fn a_login_is_read_with_every_name_that_it_may_be_for() {
        for (kind, body, usernames, passwords) in [
            (FORM, "username=tim&password=x", &["tim"][..], 1),
            (FORM, "password=x&username=tim", &["tim"], 1),
            (
                FORM,
                "user%5Bemail%5D=tim%40a.example&user%5Bpassword%5D=x&user%5Bremember_me%5D=1",
                &["tim@a.example"],
                1,
            ),
            (FORM, "username=tim&username=ann&password=x", &["tim", "ann"], 1),
            (FORM, "username[]=tim&username[5]=ann&password[]=x", &["tim", "ann"], 1),
            (FORM, "username=decoy&email=tim&password=x", &["decoy", "tim"], 1),
            (FORM, "username=tim&password=x&login=Log+in", &["tim"], 1),
            (FORM, "username=decoy&login=tim&password=x", &["decoy", "tim"], 1),
            (FORM, "login=tim&password=x&commit=Sign+in", &["tim"], 1),
            (FORM, "login=login&password=x", &["login"], 1),
            (FORM, "_csrf=1&nr=tim&password=x&remember=on", &["tim"], 1),
            (FORM, "nr=tim&_csrf=1&password=x", &["tim"], 1),
            (FORM, "password=x&nr=tim", &[], 1),
            (FORM, "username=&password=x", &[], 1),
            (FORM, "username=tim&username=tim&password=", &["tim"], 1),
            (FORM, "email=tim&password=x&password_confirmation=x", &["tim"], 2),
            (FORM, "old_password=x&new_password=y&new_password_again=y", &[], 3),
            (FORM, "username=t%69m%&password=x", &["tim%", "t%69m%"], 1),
            (FORM, "username%00=tim&password=x", &["tim"], 1),
            (FORM, "username=tim&password=\u{fffd}", &["tim"], 1),
            ("Application/X-WWW-Form-URLEncoded ; Charset=\"UTF-8\"", "username=tim&password=x", &["tim"], 1),
            (JSON, r#"{"username":"tim","password":"x"}"#, &["tim"], 1),
            (JSON, r#"{"username":"decoy","username":"tim","password":"x"}"#, &["decoy", "tim"], 1),
            (JSON, r#"{"user":{"name":"tim","password":"x"}}"#, &["tim"], 1),
            (JSON, r#"{"username":{"$eq":"tim"},"password":{"$ne":""}}"#, &["tim"], 1),
            (JSON, r#"{"username":["tim"],"password":["x"]}"#, &["tim"], 1),
            (JSON, r#"{"userid":1e2,"password":"x"}"#, &["1e2", "100"], 1),
            (
                JSON,
                r#"[{"username":"tim","password":"x"},{"username":"ann","password":"x"}]"#,
                &["tim", "ann"],
                1,
            ),
            (JSON, r#"{"variables":{"email":"tim","password":"x"},"query":"mutation"}"#, &["tim"], 1),
            (
                JSON,
                r#"{"query":"mutation($p:String!){login(email:\"tim\",password:$p){id}}","variables":{"p":"x"}}"#,
                &["tim"],
                1,
            ),
            (
                JSON,
                r#"{"variables":{"u":"tim","p":"x"},"query":"{login(user:$u,pass:$p){id}}"}"#,
                &["tim"],
                1,
            ),
            (FORM, "query={login(user:%22tim%22,pass:%22x%22){id}}", &["tim"], 1),
            (JSON, r#"{"x":"\ud800","n":1e999,"username":"tim","password":"x"}"#, &["tim"], 1),
            (
                "multipart/form-data; boundary=----WebKitFormBoundaryA1",
                "------WebKitFormBoundaryA1\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\ntim\r\n\
                 ------WebKitFormBoundaryA1\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nx\r\n\
                 ------WebKitFormBoundaryA1--\r\n",
                &["tim"],
                1,
            ),
            ("application/vnd.api+json; charset=utf-8", r#"{"email":"tim","password":"x"}"#, &["tim"], 1),
        ] {
            assert_eq!(of(None, &headers(kind), body.as_bytes()), login(usernames, passwords), "{body}");
        }
    }

    #[test]
    fn the_query_is_read_too() {
        for (query, kind, body, expected) in [
            ("username=tim", FORM, "password=x", login(&["tim"], 1)), // as passport-local does
            ("username=tim&password=x", "", "", login(&["tim"], 1)),
            (
                "username=tim&password=x",
                "text/plain",
                "?",
                login(&["tim"], 1).without(Some(Unread::Other("the body is neither a form nor JSON"))),
            ),
            ("username=tim", JSON, r#"{"username":"ann","password":"x"}"#, login(&["tim", "ann"], 1)),
            ("next=/account", FORM, "username=tim&password=x", login(&["tim"], 1)),
            ("q=shoes", "", "", Reading::NoPassword),
        ] {
            assert_eq!(of(Some(query), &headers(kind), body.as_bytes()), expected, "{query} {body}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        let many: String = (0..17).map(|at| format!("username={at}&")).collect();
        for (kind, body, expected) in [
            (FORM, "q=shoes", "no password"),
            (JSON, r#"{"q":"shoes"}"#, "no password"),
            (JSON, "", "no password"),
            (JSON, "username=tim&password=x", "unreadable"),
            (JSON, r#"{"username":"tim","password":"x""#, "unreadable"),
            (JSON, r#"{"username":"tim","password":"x"}}"#, "unreadable"),
            (FORM, &format!("{many}password=x"), "unreadable"),
            (FORM, &format!("{}username=tim&password=x", "a=1&".repeat(4_095)), "unreadable"),
            ("", "username=tim&password=x", "unreadable"),
            ("text/plain", r#"{"username":"tim"}"#, "unreadable"),
            ("multipart/form-data; boundary=x", "--x", "disguised"),
            ("multipart/form-data", "--x", "disguised"),
            (
                "multipart/form-data; boundary=x",
                "--x\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nx\r\n--x\r\n?\r\n--x--",
                "disguised",
            ),
            ("application/json; charset=utf-16", "{}", "disguised"),
            ("application/x-www-form-urlencoded; charset=utf-7", "q=1", "disguised"),
            ("application/x-www-form-urlencoded; charset=utf-8; charset=iso-8859-1", "q=1", "disguised"),
        ] {
            let told = match of(None, &headers(kind), body.as_bytes()) {
                Reading::Login(_) => "login",
                Reading::NoPassword => "no password",
                Reading::Unreadable(_) => "unreadable",
                Reading::Disguised(_) => "disguised",
            };
            assert_eq!(told, expected, "{kind}: {body}");
        }
        let mut twice = headers(FORM);
        twice.append(CONTENT_TYPE, HeaderValue::from_static(JSON));
        assert!(matches!(of(None, &twice, b"x"), Reading::Disguised(_)));
    }

    #[test]
    fn each_password_of_a_batch_is_a_guess() {
        for (kind, body, guesses) in [
            (FORM, "username=tim&password=x", 1),
            (FORM, "username=tim&password=x&password=x", 1),
            (FORM, "username=tim&password[]=x&password[]=y&password[]=z", 3),
            (FORM, "username=tim&password=x&password2=y", 1),
            (JSON, r#"[{"user":"tim","password":"x"},{"user":"tim","password":"y"}]"#, 2),
            (JSON, r#"[{"user":"tim","password":"x"},{"user":"ann","password":"y"}]"#, 1),
            (
                JSON,
                r#"{"query":"{a:login(user:\"tim\",pass:\"1\"){id}b:login(user:\"tim\",pass:\"2\"){id}}"}"#,
                2,
            ),
        ] {
            match of(None, &headers(kind), body.as_bytes()) {
                Reading::Login(login) => assert_eq!(login.guesses, guesses, "{body}"),
                reading => panic!("{reading:?}: {body}"),
            }
        }
    }

    #[test]
    fn no_name_is_shown() {
        let reading = of(None, &headers(FORM), b"username=tim&password=x");
        assert_eq!(format!("{reading:?}"), "Login(Login(1 names, 1 passwords))");
    }

    proptest! {
        #[test]
        fn any_name_that_a_browser_sends_comes_out(name in "\\PC{1,20}", password in "\\PC{0,20}") {
            prop_assume!(!name.trim().is_empty());
            let form = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("username", &name)
                .append_pair("password", &password)
                .finish();
            prop_assert_eq!(of(None, &headers(FORM), form.as_bytes()), login(&[&name], 1));
            let json = serde_json::json!({ "username": name, "password": password }).to_string();
            prop_assert_eq!(of(None, &headers(JSON), json.as_bytes()), login(&[&name], 1));
        }
    }
}
