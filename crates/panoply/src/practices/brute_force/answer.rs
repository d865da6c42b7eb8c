//! What the body of an answer says of a login.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::fields::{Descent, folded};
use super::json;

/// Whether a page asks for a password: it has an `<input type=password>`.
///
/// Read as browsers read tags (HTML §13.2.5), in one pass. What stands in comments and scripts counts too.
pub(super) fn has_password_field(page: &[u8]) -> bool {
    let mut rest = page;
    while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
        rest = rest.get(at + 1..).unwrap_or_default();
        let Some((name, behind)) = rest.split_at_checked(INPUT.len()) else { return false };
        let ends = behind.first().is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'/');
        if name.eq_ignore_ascii_case(INPUT) && ends {
            let mut tag = Tag { rest: behind };
            while let Some((name, value)) = tag.attribute() {
                if name.eq_ignore_ascii_case(b"type") && value.trim_ascii().eq_ignore_ascii_case(b"password")
                {
                    return true;
                }
            }
            rest = tag.rest;
        }
    }
    false
}

struct Tag<'p> {
    rest: &'p [u8],
}

impl<'p> Tag<'p> {
    /// The next attribute and its value; `None` where the tag is over.
    fn attribute(&mut self) -> Option<(&'p [u8], &'p [u8])> {
        self.until(|byte| !byte.is_ascii_whitespace() && byte != b'/');
        if matches!(self.rest.first(), None | Some(b'>')) {
            return None;
        }
        // A `=` in the first place belongs to the name.
        let begin = self.rest;
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.until(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>' | b'='));
        let name = begin.get(..begin.len() - self.rest.len()).unwrap_or_default();
        self.until(|byte| !byte.is_ascii_whitespace());
        if self.rest.first() != Some(&b'=') {
            return Some((name, b""));
        }
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.until(|byte| !byte.is_ascii_whitespace());
        let value = match self.rest.first() {
            Some(quote @ (b'"' | b'\'')) => {
                self.rest = self.rest.get(1..).unwrap_or_default();
                let value = self.until(|byte| byte == *quote);
                self.rest = self.rest.get(1..).unwrap_or_default();
                value
            }
            _ => self.until(|byte| byte.is_ascii_whitespace() || byte == b'>'),
        };
        Some((name, value))
    }

    fn until(&mut self, end: impl Fn(u8) -> bool) -> &'p [u8] {
        let at = self.rest.iter().position(|byte| end(*byte)).unwrap_or(self.rest.len());
        let (before, behind) = self.rest.split_at_checked(at).unwrap_or_default();
        self.rest = behind;
        before
    }
}

const INPUT: &[u8] = b"input";

/// Whether a few words are that a login failed: `Incorrect username or password`, with a status of 200, as many a
/// tutorial has it. What is longer is a page, and may say so of something else.
pub(super) fn says_wrong(words: &[u8]) -> bool {
    words.len() <= FEW_WORDS && has_wrong(words)
}

/// Whether a page of an error, which may be long, says so.
pub(super) fn has_wrong(page: &[u8]) -> bool {
    WRONG.is_match(page)
}

static WRONG: LazyLock<AhoCorasick> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the words are below")]
    AhoCorasick::builder().ascii_case_insensitive(true).build(WRONG_WORDS).expect("a few words fit")
});

/// In ASCII, whose case alone is folded; with what stands before them in most languages' word for it.
const WRONG_WORDS: [&str; 44] = [
    "invalid password",
    "invalid username",
    "invalid user",
    "invalid email",
    "invalid e-mail",
    "invalid login",
    "invalid credential",
    "invalid name",
    "incorrect password",
    "incorrect username",
    "incorrect user",
    "incorrect email",
    "incorrect e-mail",
    "incorrect login",
    "incorrect credential",
    "incorrect name",
    "wrong password",
    "wrong username",
    "wrong user",
    "wrong email",
    "wrong e-mail",
    "wrong login",
    "wrong credential",
    "wrong name",
    "bad credential",
    "bad password",
    "bad username",
    "password incorrect",
    "password is incorrect",
    "password is wrong",
    "password is invalid",
    "password does not match",
    "password doesn't match",
    "password mismatch",
    "login failed",
    "login failure",
    "authentication failed",
    "user not found",
    "no such user",
    "unknown user",
    "falsches passwort",
    "passwort falsch",
    "mot de passe incorrect",
    "senha incorreta",
];

/// In bytes.
const FEW_WORDS: usize = 1024;

/// What JSON answers of themselves: those that fail with 200, and those that let somebody in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// `{"success": false}`, `{"error": "…"}`, GraphQL's `{"errors": […]}`, JSend's `{"status": "fail"}`, and without a
    /// token `{"message": "Invalid password"}`.
    pub(super) failed: bool,
    /// Something to show next time.
    pub(super) has_token: bool,
}

/// Reads the beginning of a JSON answer; of what was cut off nothing is said.
pub(super) fn said_in_json(page: &[u8]) -> Said {
    let (mut said, mut is_told) = (Said::default(), false);
    let _ = json::walk(&String::from_utf8_lossy(page), &Meaning::Top, &mut |meaning, values| {
        for value in values {
            match meaning {
                Meaning::Error => said.failed |= !matches!(&**value, "" | "0" | "false"),
                Meaning::Success => said.failed |= matches!(&*folded(value), "false" | "0" | "no"),
                Meaning::Status => said.failed |= FAILURES.contains(&&*folded(value)),
                Meaning::Token => said.has_token |= value.len() >= SHORTEST_TOKEN,
                Meaning::Top | Meaning::Words => is_told |= says_wrong(value.as_bytes()),
                Meaning::Deep => {}
            }
        }
    });
    said.failed |= is_told && !said.has_token;
    said
}

/// What a value in a JSON answer means.
#[derive(Clone, Copy)]
enum Meaning {
    Top,
    Error,
    Success,
    Status,
    Token,
    Words,
    Deep,
}

impl Descent for Meaning {
    fn enter(&self, part: &str) -> Self {
        let name = folded(part);
        match self {
            Self::Error => Self::Error,
            _ if TOKENS.contains(&&*name) => Self::Token,
            Self::Top => match &*name {
                "error" | "errors" | "err" => Self::Error,
                "success" | "ok" | "authenticated" | "loggedin" | "valid" => Self::Success,
                "status" | "statuscode" | "code" | "result" => Self::Status,
                "message" | "msg" | "detail" | "info" | "reason" | "description" => Self::Words,
                _ => Self::Deep,
            },
            _ => Self::Deep,
        }
    }
}

const TOKENS: [&str; 8] =
    ["token", "accesstoken", "authtoken", "idtoken", "jwt", "bearertoken", "sessionid", "sessiontoken"];

const FAILURES: [&str; 10] =
    ["error", "fail", "failed", "failure", "unauthorized", "denied", "400", "401", "403", "422"];

/// In bytes: less than this is a number or a flag.
const SHORTEST_TOKEN: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_that_asks_for_a_password_is_told() {
        for (page, expected) in [
            ("<input type=password>", true),
            ("<form><INPUT\n class='a > b' TYPE = \"PassWord\" name=p></form>", true),
            ("<input name=\"p\" type='password'/>", true),
            ("<input/type=password>", true),
            ("<input required type=password", true), // cut off
            ("<input type=text><input type=password>", true),
            ("<input =x type=password>", true),
            ("<input value=\"<input\" type=password>", true),
            ("<!-- <input type=password> -->", true),
            ("<input type=text name=password>", false),
            ("<input type=\"text\" value=\"type=password\">", false),
            ("<inputs type=password>", false),
            ("<p>input type=password</p>", false),
            ("&lt;input type=password&gt;", false),
            ("<input>type=password", false),
            ("<input type=password-hint>", false),
            ("<", false),
            ("<input", false),
            ("", false),
        ] {
            assert_eq!(has_password_field(page.as_bytes()), expected, "{page}");
        }
    }

    #[test]
    fn json_says_whether_it_failed() {
        for (json, failed, has_token) in [
            (r#"{"token":"eyJhbGciOi"}"#, false, true),
            (r#"{"data":{"access_token":"eyJhbGciOi"}}"#, false, true),
            (r#"{"accessToken":"eyJhbGciOi","user":{"na"#, false, true),
            (r#"{"token":null,"success":false}"#, true, false),
            (r#"{"success":false,"csrfToken":"eyJhbGciOi"}"#, true, false),
            (r#"{"error":"bad password"}"#, true, false),
            (r#"{"errors":[{"message":"bad password"}],"data":null}"#, true, false),
            (r#"{"status":"fail","data":{}}"#, true, false),
            (r#"{"code":401}"#, true, false),
            (r#"{"message":"Invalid password"}"#, true, false),
            (r#"{"msg":"Incorrect username or password!"}"#, true, false),
            (r#""Wrong password""#, true, false),
            (r#"{"message":"Welcome back"}"#, false, false),
            (r#"{"message":"Invalid password twice, then","token":"eyJhbGciOi"}"#, false, true),
            (r#"{"user":{"message":"invalid user"}}"#, false, false),
            (
                r#"{"ok":true,"error":null,"errors":[],"err":false,"status":"success","code":200}"#,
                false,
                false,
            ),
            (r#"{"data":{"errors":["old"],"success":false}}"#, false, false),
            ("[]", false, false),
            ("no JSON", false, false),
        ] {
            assert_eq!(said_in_json(json.as_bytes()), Said { failed, has_token }, "{json}");
        }
    }

    #[test]
    fn a_few_words_say_that_it_was_wrong() {
        for (words, expected) in [
            ("Incorrect Username and/or Password!", true),
            ("<p>INVALID CREDENTIALS</p>", true),
            ("Passwort falsch", true),
            ("Welcome, tim", false),
            ("Your password was changed", false),
            (&format!("{}wrong password", " ".repeat(2_000)), false),
            ("", false),
        ] {
            assert_eq!(says_wrong(words.as_bytes()), expected, "{words}");
        }
    }

    proptest! {
        #[test]
        fn a_field_is_found_wherever_it_stands(before in "[a-z<> =/\n]{0,30}", quote in "[\"']?") {
            prop_assume!(!before.contains("<input"));
            let page = format!("{before}<br><input name=a type={quote}password{quote}>");
            prop_assert!(has_password_field(page.as_bytes()), "{}", page);
        }
    }
}
