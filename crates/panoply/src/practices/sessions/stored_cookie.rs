//! The `cookie` that a stored session carries: what express-session keeps of its attributes, and how long the
//! session lives by it.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::attributes::{CrossSite, Secure};
use super::{Attributes, SessionError, json};
use crate::practices::cookies::SameSite;

/// In the order in which express-session writes it. Each may be anything: other programs wrote it, and Node's
/// own values are of several types (`false`, `"auto"`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StoredCookie {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    original_max_age: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    partitioned: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    priority: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    expires: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    secure: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    http_only: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    domain: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    path: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    same_site: Option<Value>,
    /// Its JSON, where that is known.
    #[serde(skip)]
    text: Option<Arc<str>>,
}

impl StoredCookie {
    /// That of a new session.
    pub(super) fn new(attributes: &Attributes, over_https: bool, now: Duration) -> Self {
        let secure = match attributes.secure {
            Secure::OnHttps => Some(over_https.into()),
            Secure::Always => Some(true.into()),
            Secure::Unsaid => None,
        };
        let same_site = match attributes.same_site {
            CrossSite::Is(same_site) => Some(same_site.as_str().to_ascii_lowercase().into()),
            CrossSite::Auto if over_https => Some("none".into()),
            CrossSite::Auto => Some("lax".into()),
            CrossSite::Unsaid => None,
        };
        let mut cookie = Self {
            original_max_age: Some(attributes.max_age.map_or(Value::Null, milliseconds)),
            partitioned: attributes.partitioned.then_some(true.into()),
            priority: attributes.priority.map(|priority| priority.as_str().to_ascii_lowercase().into()),
            expires: None,
            secure,
            http_only: Some(attributes.http_only.into()),
            domain: attributes.domain.clone().map(Value::String),
            path: Some(attributes.path.clone().into()),
            same_site,
            text: None,
        };
        cookie.expires = cookie.expiry(now);
        cookie
    }

    /// With its JSON beside it, for a cookie that many sessions have.
    pub(super) fn printed(mut self) -> Self {
        self.text = json::stringify(&self).ok().map(Arc::from);
        self
    }

    /// Reads the JSON of a store; where it is `usual`'s, that is all there is to do.
    pub(super) fn read(text: &str, usual: &Arc<Self>) -> Result<Arc<Self>, serde_json::Error> {
        if usual.text.as_deref() == Some(text) {
            return Ok(Arc::clone(usual));
        }
        Ok(Arc::new(serde_json::from_str::<Self>(text)?.loaded()))
    }

    /// As express-session writes it.
    pub(super) fn print(&self) -> Result<Arc<str>, SessionError> {
        match &self.text {
            Some(text) => Ok(Arc::clone(text)),
            None => Ok(json::stringify(self)?.into()),
        }
    }

    /// As express-session completes what it loads.
    fn loaded(mut self) -> Self {
        self.path.get_or_insert("/".into());
        self.http_only.get_or_insert(true.into());
        self
    }

    /// Lets the session live as long again as at first.
    pub(super) fn touch(cookie: &mut Arc<Self>, now: Duration) {
        let expires = cookie.expiry(now);
        if cookie.expires != expires {
            let cookie = Arc::make_mut(cookie);
            (cookie.expires, cookie.text) = (expires, None);
        }
    }

    fn expiry(&self, now: Duration) -> Option<Value> {
        match (&self.original_max_age, self.lifetime()) {
            (_, Some(lifetime)) => {
                Some(date(now.saturating_add(lifetime)).map_or(Value::Null, |date| iso(date).into()))
            }
            (Some(Value::Bool(false)), None) => Some(false.into()),
            (None, None) => None,
            (_, None) => Some(Value::Null),
        }
    }

    /// How long from its last touch it lives; `None`: as long as the browser is open.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        let milliseconds = self.original_max_age.as_ref()?.as_f64()?;
        Duration::try_from_secs_f64(milliseconds.max(0.0) / 1000.0).ok()
    }

    /// Whether the browser keeps it when it is closed. Anything but `null` is a date to express-session.
    pub(super) fn has_expiry(&self) -> bool {
        self.expires.as_ref().is_some_and(|expires| !expires.is_null())
    }

    pub(super) fn is_secure(&self) -> bool {
        is_truthy(self.secure.as_ref())
    }

    /// The line of `Set-Cookie`, as express-session writes it for `value`, which is encoded already. What
    /// browsers would not take is left out.
    pub(super) fn line(&self, name: &str, value: &str, now: Duration) -> String {
        let mut line = format!("{name}={value}");
        if let Some(domain) = text(self.domain.as_ref()) {
            let _ = write!(line, "; Domain={domain}");
        }
        if let Some(path) = text(self.path.as_ref()) {
            let _ = write!(line, "; Path={path}");
        }
        if let Some(date) = self.lifetime().and_then(|lifetime| date(now.saturating_add(lifetime))) {
            let _ = write!(line, "; Expires={}", http_date(date));
        }
        self.push_flags(&mut line);
        line
    }

    /// The line that makes a browser forget the cookie.
    pub(super) fn deletion(&self, name: &str) -> String {
        let mut line = format!("{name}=");
        if let Some(domain) = text(self.domain.as_ref()) {
            let _ = write!(line, "; Domain={domain}");
        }
        if let Some(path) = text(self.path.as_ref()) {
            let _ = write!(line, "; Path={path}");
        }
        let _ = write!(line, "; Expires={}", http_date(OffsetDateTime::UNIX_EPOCH));
        self.push_flags(&mut line);
        line
    }

    fn push_flags(&self, line: &mut String) {
        for (flag, value) in
            [("HttpOnly", &self.http_only), ("Secure", &self.secure), ("Partitioned", &self.partitioned)]
        {
            if is_truthy(value.as_ref()) {
                let _ = write!(line, "; {flag}");
            }
        }
        let known = |value: &Option<Value>, words: &[&'static str]| {
            let said = value.as_ref().and_then(Value::as_str)?;
            words.iter().find(|word| word.eq_ignore_ascii_case(said)).copied()
        };
        if let Some(priority) = known(&self.priority, &["Low", "Medium", "High"]) {
            let _ = write!(line, "; Priority={priority}");
        }
        let same_site = match self.same_site {
            Some(Value::Bool(true)) => Some(SameSite::Strict.as_str()),
            _ => known(&self.same_site, &["Lax", "Strict", "None"]),
        };
        if let Some(same_site) = same_site {
            let _ = write!(line, "; SameSite={same_site}");
        }
    }
}

/// A field that is there, `null` too.
fn said<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// As JavaScript takes a value for a condition.
fn is_truthy(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(_) => true,
    }
}

/// A text that can stand in a line of `Set-Cookie` without ending its attribute.
fn text(value: Option<&Value>) -> Option<&str> {
    let text = value?.as_str().filter(|text| !text.is_empty())?;
    text.bytes().all(|byte| matches!(byte, b' '..=b':' | b'<'..=b'~')).then_some(text)
}

fn milliseconds(time: Duration) -> Value {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}

/// Up to the year 9999: neither form has a place for more.
pub(super) fn date(since_1970: Duration) -> Option<OffsetDateTime> {
    OffsetDateTime::UNIX_EPOCH.checked_add(since_1970.try_into().ok()?)
}

/// RFC 9110 §5.6.7, cut to the second, as `Date.toUTCString` has it.
pub(super) fn http_date(date: OffsetDateTime) -> String {
    date.format(HTTP_DATE).unwrap_or_default()
}

/// As `Date.toISOString` has it.
fn iso(date: OffsetDateTime) -> String {
    date.format(ISO).unwrap_or_default()
}

const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
const ISO: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(1_798_675_200_123);

    fn cookie(text: &str) -> StoredCookie {
        serde_json::from_str::<StoredCookie>(text).unwrap().loaded()
    }

    fn print(cookie: &StoredCookie) -> String {
        serde_json::to_string(cookie).unwrap()
    }

    #[test]
    fn a_new_cookie_is_stored_as_express_session_stores_it() {
        let express = Attributes::express();
        for (attributes, over_https, stored) in [
            (express.clone(), true, r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#),
            (
                express.clone().max_age(Duration::from_millis(60_000)).domain("a.example").unwrap(),
                false,
                r#"{"originalMaxAge":60000,"expires":"2026-12-31T00:01:00.123Z","httpOnly":true,"domain":"a.example","path":"/"}"#,
            ),
            (
                express.clone().secure(Secure::OnHttps).same_site(CrossSite::Auto).partitioned(),
                true,
                r#"{"originalMaxAge":null,"partitioned":true,"expires":null,"secure":true,"httpOnly":true,"path":"/","sameSite":"none"}"#,
            ),
            (
                express.secure(Secure::OnHttps).same_site(CrossSite::Auto).danger_readable_by_scripts(),
                false,
                r#"{"originalMaxAge":null,"expires":null,"secure":false,"httpOnly":false,"path":"/","sameSite":"lax"}"#,
            ),
        ] {
            assert_eq!(print(&StoredCookie::new(&attributes, over_https, NOW)), stored);
        }
    }

    #[test]
    fn what_was_stored_is_what_is_sent() {
        for (stored, line) in [
            (
                r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#,
                "id=v; Path=/; HttpOnly",
            ),
            (r#"{}"#, "id=v; Path=/; HttpOnly"),
            (
                r#"{"originalMaxAge":1000,"expires":"2001-01-01T00:00:00.000Z","secure":true,"domain":"a.example","path":"/x","sameSite":true}"#,
                "id=v; Domain=a.example; Path=/x; Expires=Thu, 31 Dec 2026 00:00:01 GMT; HttpOnly; Secure; SameSite=Strict",
            ),
            (
                r#"{"partitioned":true,"priority":"HIGH","secure":"auto","httpOnly":false,"sameSite":"none"}"#,
                "id=v; Path=/; Secure; Partitioned; Priority=High; SameSite=None",
            ),
            (r#"{"path":"/;x","domain":7,"priority":"now","sameSite":"yes","secure":0}"#, "id=v; HttpOnly"),
            (r#"{"originalMaxAge":false,"expires":false}"#, "id=v; Path=/; HttpOnly"),
            (r#"{"originalMaxAge":1e300}"#, "id=v; Path=/; HttpOnly"),
        ] {
            assert_eq!(cookie(stored).line("id", "v", NOW), line, "{stored}");
        }
        assert_eq!(
            cookie(r#"{"domain":"a.example","secure":true}"#).deletion("id"),
            "id=; Domain=a.example; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure"
        );
    }

    #[test]
    fn a_touch_moves_the_date_and_nothing_else() {
        for (stored, touched) in [
            (
                r#"{"originalMaxAge":1000,"expires":"2001-01-01T00:00:00.000Z"}"#,
                r#"{"originalMaxAge":1000,"expires":"2026-12-31T00:00:01.123Z","httpOnly":true,"path":"/"}"#,
            ),
            (
                r#"{"originalMaxAge":null,"expires":"2001-01-01T00:00:00.000Z"}"#,
                r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#,
            ),
            (
                r#"{"originalMaxAge":false,"expires":false}"#,
                r#"{"originalMaxAge":false,"expires":false,"httpOnly":true,"path":"/"}"#,
            ),
            (r#"{"expires":null}"#, r#"{"httpOnly":true,"path":"/"}"#),
        ] {
            let mut cookie = Arc::new(cookie(stored));
            StoredCookie::touch(&mut cookie, NOW);
            assert_eq!(print(&cookie), touched, "{stored}");
        }
    }
}
