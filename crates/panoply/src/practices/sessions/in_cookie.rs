mod form;
mod line;
mod reader;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use self::form::Form;
use self::line::Line;
use super::data::Data;
use super::state::{BORN, Place, State};
use super::{Attributes, Secure, Session, SessionError, Visited, cookie_name, prefixed};
use crate::keys::{Context, Encoding, Hash, Keygrip};
use crate::{Keys, SettingError, cookie_header};

/// Sessions that are kept in the visitor's cookie and nowhere else: no store, 4,093 bytes, and no way to end a
/// session but in its own browser.
///
/// Sealed: the visitor can neither read nor alter it. [`readable`](Self::readable) signs only.
///
/// ```
/// use panoply::{CookieSession, Keys, Shield};
///
/// let keys = Keys::new([Keys::generate()])?;
/// let own = Shield::bare().sessions(CookieSession::new(&keys));
/// let shared_with_express = Shield::bare().sessions(CookieSession::express("session", &keys)?);
/// assert!(own.has(panoply::Practice::Sessions) && shared_with_express.has(panoply::Practice::Sessions));
/// # Ok::<(), panoply::SettingError>(())
/// ```
#[derive(Clone)]
pub struct CookieSession {
    name: String,
    form: Form,
    site: String,
    attributes: Attributes,
    idle: Duration,
    longest: Option<Duration>,
    user_key: String,
}

impl CookieSession {
    /// Sealed with the first of `keys`, in the cookie `__Host-session` over https and `session` in the clear.
    #[must_use]
    pub fn new(keys: &Keys) -> Self {
        Self {
            name: "session".to_owned(),
            form: Form::Sealed(keys.seal(PURPOSE)),
            site: String::new(),
            attributes: Attributes::default(),
            idle: super::IDLE,
            longest: Some(super::LONGEST),
            user_key: "user".to_owned(),
        }
    }

    /// cookie-session's own form: whoever has the cookie reads it, and a copy is good until the keys change. `name`
    /// is `session` unless the Express app chose another; `keys` holds its secrets in its order.
    ///
    /// # Errors
    /// When `name` is no name for a cookie.
    pub fn express(name: &str, keys: &Keys) -> Result<Self, SettingError> {
        Ok(Self {
            name: cookie_name(name)?,
            form: Form::Express(keys.keygrip(Hash::Sha1, Encoding::Base64)),
            attributes: Attributes::express(),
            longest: None,
            ..Self::new(keys)
        })
    }

    /// Signed and not sealed: the visitor, and scripts of the page where they may, can read it.
    #[must_use]
    pub fn readable(mut self, keys: &Keys) -> Self {
        self.form = Form::Signed(keys.signature(PURPOSE));
        self
    }

    /// With the hash and the encoding of a Keygrip that the Express app makes itself.
    ///
    /// # Errors
    /// When the session is not [`express`](Self::express)'s.
    pub fn keygrip(mut self, keygrip: Keygrip) -> Result<Self, SettingError> {
        let Form::Express(_) = self.form else {
            return Err(SettingError::new(
                "a keygrip is for cookies that Express shares",
                "begin with CookieSession::express",
            ));
        };
        self.form = Form::Express(keygrip);
        Ok(self)
    }

    /// What the cookie is called; over https it gets `__Host-` before it, or `__Secure-` where it has a domain or
    /// a path of its own. With [`express`](Self::express) it is the name as it stands.
    ///
    /// # Errors
    /// When `name` is no name for a cookie.
    pub fn name(mut self, name: &str) -> Result<Self, SettingError> {
        self.name = cookie_name(name)?;
        Ok(self)
    }

    /// The site that a sealed cookie belongs to: where two sites have the same keys, neither takes the other's.
    #[must_use]
    pub fn site(mut self, site: impl Into<String>) -> Self {
        self.site = site.into();
        self
    }

    /// The attributes of the cookie.
    #[must_use]
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// How long a session lives that nobody uses. A day. What cookie-session writes bears no time, so that with
    /// [`express`](Self::express) only the cookie's `max_age` ends a session.
    #[must_use]
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// How long a session lives in any case. 30 days; with [`express`](Self::express) without end, as there.
    #[must_use]
    pub const fn longest(mut self, longest: Duration) -> Self {
        self.longest = Some(longest);
        self
    }

    /// Where a session holds who has logged in. `user`; a dot leads into an object.
    #[must_use]
    pub fn user_key(mut self, key: impl Into<String>) -> Self {
        self.user_key = key.into();
        self
    }

    pub(super) fn user(&self) -> &str {
        &self.user_key
    }

    /// What the values may take, in bytes of JSON, so that the cookie has its place.
    pub(super) fn size(&self) -> usize {
        let pair = LONGEST_PAIR.saturating_sub(self.name.len() + "__Secure-=".len());
        self.form.room(pair).saturating_sub(BESIDE)
    }

    /// The cookie's name to this visitor.
    pub(super) fn name_for(&self, is_over_https: bool) -> Cow<'_, str> {
        match self.form {
            Form::Express(_) => Cow::Borrowed(&self.name),
            Form::Sealed(_) | Form::Signed(_) => prefixed(&self.name, &self.attributes, is_over_https),
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.attributes.path
    }

    /// What the visitor presents: the cookie, and the one that signs it.
    pub(super) fn presented(
        &self,
        headers: &HeaderMap,
        is_over_https: bool,
    ) -> (Option<String>, Option<String>) {
        let name = self.name_for(is_over_https);
        if self.is_express() {
            (reader::find(headers, &name), reader::find(headers, &format!("{name}.sig")))
        } else {
            (cookie_header::find(headers, &name).map(Cow::into_owned), None)
        }
    }

    fn is_express(&self) -> bool {
        matches!(self.form, Form::Express(_))
    }

    pub(super) fn load(&self, visited: &Visited) -> State {
        let new = || State::new(Arc::default());
        let Some(value) = &visited.presented else { return new() };
        let name = self.name_for(visited.is_over_https);
        let signature = visited.signature.as_deref();
        let Some(opened) = self.form.open(&self.context(&name), value, signature) else {
            let has_bad_signature = self.form.has_bad_signature(&name, value, signature);
            return State { has_bad_signature, ..new() };
        };
        let Ok(mut data) = serde_json::from_str::<Data>(&opened.json) else {
            tracing::warn!("a session in a cookie cannot be read, and is taken for none");
            return new();
        };
        let now = visited.now();
        let born = self.longest.and_then(|_| data.remove(BORN)?.parse().ok()).map(Duration::from_secs);
        let is_over = |since: Option<Duration>, time: Option<Duration>| {
            since.zip(time).is_some_and(|(since, time)| since.saturating_add(time) <= now)
        };
        if is_over(opened.issued, Some(self.idle)) || is_over(born, self.longest) {
            return new();
        }
        // Renewed at half time: who uses the site has the rest before them, and not each answer sets a cookie.
        let is_to_renew = is_over(opened.issued, Some(self.idle / 2)) || !opened.is_of_first_key;
        let place = Place::InCookie { value: value.clone(), is_to_renew };
        State { born, ..State::loaded(place, Arc::default(), data) }
    }

    /// What the browser is told: the lines, and the names of the cookies that they are for.
    pub(super) fn leave(&self, session: &Session) -> Result<Vec<HeaderValue>, SessionError> {
        let visited = session.visited();
        let name = self.name_for(visited.is_over_https);
        let mut state = session.state();
        state.has_left = true;
        let now = visited.now();
        let is_secure =
            visited.is_over_https && (self.is_express() || self.attributes.secure != Secure::Unsaid);
        let line = Line { name: &name, attributes: &self.attributes, is_secure, now };
        let without_signature = || {
            let bad = state.has_bad_signature.then(|| line.bad_signature());
            Ok(bad.into_iter().flat_map(HeaderValue::try_from).collect())
        };
        if !visited.is_over_https && self.attributes.secure == Secure::Always {
            return without_signature(); // browsers would not take the rest
        }
        if state.is_unset || state.is_destroyed {
            return Ok(self.lines(&line, None));
        }
        let (was, is_to_renew) = match &state.place {
            Place::InCookie { value, is_to_renew } => (Some(value.clone()), *is_to_renew),
            Place::New | Place::Stored { .. } => (None, false),
        };
        if was.is_none() && state.data.is_empty() {
            return without_signature();
        }
        if self.longest.is_some() {
            state.born.get_or_insert(Duration::from_secs(now.as_secs()));
        }
        let is_changed = was.is_none() || state.is_modified();
        match was {
            Some(was) if !is_changed && is_to_renew && self.is_express() => {
                let signature = self.form.signature(&name, &was).map(|value| line.signature(&value));
                Ok(signature.into_iter().flat_map(HeaderValue::try_from).collect())
            }
            _ if is_changed || is_to_renew => {
                let value = self.form.write(&self.context(&name), &state.print_values(), now);
                let size = name.len() + "=".len() + value.len();
                if size > LONGEST_PAIR {
                    return Err(SessionError::TooLarge { size, limit: LONGEST_PAIR });
                }
                Ok(self.lines(&line, Some(&value)))
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The cookie and, where it is in one of its own, its signature; without a value, their deletion.
    fn lines(&self, line: &Line<'_>, value: Option<&str>) -> Vec<HeaderValue> {
        let lines = if self.is_express() {
            let value = value.unwrap_or_default();
            let signature = self.form.signature(line.name, value).unwrap_or_default();
            vec![line.express(line.name, value), line.signature_of(value, &signature)]
        } else {
            vec![line.own(value)]
        };
        lines.into_iter().flat_map(HeaderValue::try_from).collect()
    }

    fn context<'c>(&'c self, name: &'c str) -> Context<'c> {
        Context { site: &self.site, name }
    }
}

/// Shows no key.
impl fmt::Debug for CookieSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieSession")
            .field("name", &self.name)
            .field("attributes", &self.attributes)
            .field("idle", &self.idle)
            .field("longest", &self.longest)
            .finish_non_exhaustive()
    }
}

/// What a session in a cookie is sealed and signed for.
const PURPOSE: &str = "panoply session";

/// Browsers keep 4,096 bytes of name and value (RFC 6265bis §5.6), and some count three more.
const LONGEST_PAIR: usize = 4093;

/// What stands beside the values: braces, and when the session began.
const BESIDE: usize = r#"{"born":10000000000,}"#.len();
