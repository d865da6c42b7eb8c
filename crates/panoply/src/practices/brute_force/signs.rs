use http::StatusCode;
use serde::{Deserialize, Deserializer};

use crate::SettingError;

/// How an app's answer says that a login failed, where it does not say so as most do.
///
/// Each sign that an answer has is a failure. What the signs speak of they settle: with a redirect named, one that
/// leads elsewhere is a success, and with a text or a status of 200 named, so is a page that has neither. Of other
/// answers the usual rules speak (see [`outcome::of`](super::outcome::of)).
///
/// ```toml
/// failure = { status = [200], redirect = "/login*", body = "Invalid", no_session_cookie = true }
/// ```
///
/// ```
/// use panoply::practices::brute_force::Signs;
///
/// let signs = Signs::default().redirect("/welcome*")?.body("Wrong password")?;
/// # Ok::<(), panoply::SettingError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Signs {
    #[serde(deserialize_with = "statuses")]
    status: Vec<u16>,
    #[serde(deserialize_with = "pattern")]
    redirect: Option<String>,
    #[serde(deserialize_with = "text")]
    body: Option<String>,
    no_session_cookie: bool,
}

impl Signs {
    /// An answer of this status is a failure.
    ///
    /// # Errors
    /// When it is no status between 200 and 599.
    pub fn status(mut self, status: u16) -> Result<Self, SettingError> {
        self.status.push(checked_status(status)?);
        Ok(self)
    }

    /// A redirect that leads there is a failure: a path or an address, and whatever begins so where it ends in `*`.
    ///
    /// # Errors
    /// When it is neither, or has a `*` elsewhere.
    pub fn redirect(mut self, to: &str) -> Result<Self, SettingError> {
        self.redirect = Some(checked_pattern(to)?);
        Ok(self)
    }

    /// An answer whose first 64 KiB have this text in them, to the letter, is a failure.
    ///
    /// # Errors
    /// When it is empty or longer than 1,024 bytes.
    pub fn body(mut self, text: &str) -> Result<Self, SettingError> {
        self.body = Some(checked_text(text)?);
        Ok(self)
    }

    /// A page or a redirect that sets no new session cookie is a failure.
    ///
    /// Only for apps that give a session to nobody else (express-session with `saveUninitialized: false`).
    #[must_use]
    pub const fn no_session_cookie(mut self) -> Self {
        self.no_session_cookie = true;
        self
    }

    /// Whether an answer has one of the signs; `to` are the spellings of where it leads.
    pub(super) fn are_in(
        &self,
        status: StatusCode,
        to: &[String],
        page: Option<&[u8]>,
        sets_session: bool,
    ) -> bool {
        let leads =
            status.is_redirection() && self.redirect.as_ref().is_some_and(|pattern| leads(pattern, to));
        let says = || match (&self.body, page) {
            (Some(text), Some(page)) => String::from_utf8_lossy(page).contains(&**text),
            _ => false,
        };
        let is_let_in = status.is_success() || status.is_redirection();
        self.status.contains(&status.as_u16())
            || leads
            || (self.no_session_cookie && is_let_in && !sets_session)
            || says()
    }

    /// Whether a page or a redirect of this status that has no sign is no failure by that.
    pub(super) fn settle(&self, status: StatusCode) -> bool {
        let names_it = self.status.iter().any(|named| named / 100 == status.as_u16() / 100);
        self.no_session_cookie
            || names_it
            || (status.is_redirection() && self.redirect.is_some())
            || (status.is_success() && self.body.is_some())
    }

    /// Whether the page has to be seen to know.
    pub(super) const fn are_in_the_page(&self) -> bool {
        self.body.is_some()
    }
}

fn leads(pattern: &str, to: &[String]) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => to.iter().any(|to| to.starts_with(beginning)),
        None => to.iter().any(|to| to == pattern),
    }
}

fn checked_status(status: u16) -> Result<u16, SettingError> {
    match status {
        200..=599 => Ok(status),
        _ => Err(SettingError::new(
            format!("`{status}` is no status of an answer"),
            "write one from 200 to 599, such as `200`",
        )),
    }
}

fn checked_pattern(to: &str) -> Result<String, SettingError> {
    let is_address = to.starts_with('/') || to.starts_with("http://") || to.starts_with("https://");
    let stars = to.bytes().filter(|byte| *byte == b'*').count();
    if !is_address || stars > usize::from(to.ends_with('*')) || to.chars().any(char::is_control) {
        return Err(SettingError::new(
            format!("`{}` is no place that an answer leads to", to.escape_debug()),
            "write a path such as `/login`, or `/login*` for all that begin so",
        ));
    }
    Ok(to.to_owned())
}

fn checked_text(text: &str) -> Result<String, SettingError> {
    if text.trim().is_empty() || text.len() > LONGEST_TEXT {
        return Err(SettingError::new(
            "a text that says a login failed is neither empty nor longer than 1024 bytes",
            "write some words of the page, such as `Invalid password`",
        ));
    }
    Ok(text.to_owned())
}

fn statuses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    let all = Vec::<u16>::deserialize(deserializer)?;
    all.into_iter().map(|status| checked_status(status).map_err(SettingError::into_serde)).collect()
}

fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked_pattern(&String::deserialize(deserializer)?).map(Some).map_err(SettingError::into_serde)
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked_text(&String::deserialize(deserializer)?).map(Some).map_err(SettingError::into_serde)
}

/// In bytes.
const LONGEST_TEXT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Route {
        failure: Signs,
    }

    fn read(failure: &str) -> Result<Signs, String> {
        let route = toml::from_str::<Route>(&format!("failure = {failure}"));
        route.map(|route| route.failure).map_err(|error| error.to_string())
    }

    #[test]
    fn the_file_and_the_builder_say_the_same() {
        let built =
            Signs::default().status(200).unwrap().redirect("/login*").unwrap().body("Invalid").unwrap();
        let written =
            r#"{ status = [200], redirect = "/login*", body = "Invalid", no_session_cookie = true }"#;
        assert_eq!(read(written), Ok(built.no_session_cookie()));
        assert_eq!(read("{}"), Ok(Signs::default()));
    }

    #[test]
    fn what_cannot_be_says_what_to_write() {
        for (written, hint) in [
            ("{ status = [100] }", "hint: write one from 200"),
            ("{ redirect = \"login\" }", "hint: write a path such as `/login`"),
            ("{ redirect = \"/*/login\" }", "hint: write a path"),
            ("{ body = \" \" }", "hint: write some words"),
            ("{ text = \"x\" }", "unknown field `text`"),
        ] {
            let error = read(written).unwrap_err();
            assert!(error.contains(hint), "{written}: {error}");
        }
    }
}
