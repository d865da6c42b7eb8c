//! Whoever holds a visitor's session is that visitor: it must not be guessed, planted, stolen or lost.
//!
//! **Stops** guessed ids (192 random bits), made-up ids (signed), planted ids (an id that the store does not know is
//! never adopted, and [`Session::sign_in`] gives a new one), the theft of a store (its keys are hashes of the ids),
//! sessions without end, and a log-out that a slow request takes back. [`CookieSession`] keeps the values in the
//! cookie itself, sealed.
//!
//! **Leaves** a cookie that is stolen from the browser, which lives as long as its session does. Two requests of one
//! session that change different values both hold, whichever comes first; where they change the same value, the
//! later one counts and the log says so, or it gets 409 ([`Conflict`]). A session in a cookie can be put back by
//! whoever kept an old copy of it, until its time is over.
//!
//! **Defaults.** Ids and nothing else in the cookie: `__Host-id` over https and `id` in the clear, which name no
//! software; `HttpOnly`, `SameSite=Lax`, `Secure` on https; it goes with the browser. Idle for a day it is over, as
//! with express-session's stores, and after 30 days in any case. A session holds 64 KiB. One that nothing was put
//! into is not saved and sends no cookie. Where the store fails, a page that needs the session is 503, and a page
//! whose session cannot be saved is 500: never a 200 whose session was lost. Pages that need none go on.
//!
//! ```
//! use axum::{Router, body::Body, extract::Request, routing::post};
//! use panoply::{Keys, Session, SessionError, Sessions, Shield};
//! use tower::ServiceExt;
//!
//! async fn log_in(session: Session) -> Result<&'static str, SessionError> {
//!     session.sign_in("tim")?; // once the password was right
//!     Ok("welcome")
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = Keys::new([Keys::generate()])?; // in earnest: Keys::from_env("SESSION_KEYS")?
//! let app: Router =
//!     Router::new().route("/login", post(log_in)).layer(Shield::bare().sessions(Sessions::new(&keys)));
//!
//! let answer = app.oneshot(Request::post("/login").body(Body::empty())?).await?;
//! let cookie = answer.headers()["set-cookie"].to_str()?;
//! assert!(cookie.starts_with("id=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"));
//! # Ok(())
//! # }
//! ```
//!
//! # Shared with Express
//! [`Sessions::express`] is express-session 1.19 on the wire and in the store, and [`CookieSession::express`] is
//! cookie-session 2.1: an Express app and a Rust app with the same secret and the same store share their logins.
//! Keep three of express-session's defaults in mind that are weak, and other here unless you ask for them:
//!
//! | express-session | here | the same as there |
//! |---|---|---|
//! | every visitor gets a session, saved or not | one that is empty leaves no trace | [`save_uninitialized`](Sessions::save_uninitialized) |
//! | every request writes its session again | only what changed is written | [`resave`](Sessions::resave) |
//! | the cookie of an ended session stays | the browser is told to forget it | [`leave_dead_cookies`](Sessions::leave_dead_cookies) |
//! | `req.session = null` keeps the session | it ends the session | [`unset`](Sessions::unset) |
//! | a failed save is a complete 200 | 500 | [`when_not_saved`](Sessions::when_not_saved) |
//! | the last writer wins, unseen | both hold, as above | |
//! | a slow request brings an ended session back | it stays ended | |
//! | `secure: true` in the clear stores a session that no cookie leads to, with each request | nothing is stored | |
//! | every request reads its session and gives it its time again | only where a page asks for it | [`resave`](Sessions::resave), [`rolling`](Sessions::rolling) |
//! | a stored session that is none is a 500 until it is over | its visitor gets a new one | |
//!
//! What is said here of requests at once holds for what this writes. express-session puts back the whole session
//! as its request had found it, whenever that request changed anything: what a request here has changed meanwhile is
//! lost then, and a session that was ended here meanwhile is there again. Where its request only reads, neither is.
//!
//! Values that nobody changes stay as they were written; cookie-session, where another program has written `1.0` or
//! a space, sets its cookie anew as it reads, once. A value may hold half a character, as JavaScript's texts can: it
//! is kept, but is no `String` to [`Session::get`].

mod attributes;
mod data;
mod error;
mod in_cookie;
mod json;
mod kept;
mod plan;
mod session;
mod state;
mod stored;
mod stored_cookie;
mod visited;
mod work;

#[cfg(feature = "axum")]
mod extract;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use self::attributes::{Attributes, CrossSite, Priority, Secure};
pub use self::error::SessionError;
pub use self::in_cookie::CookieSession;
pub use self::kept::Kept;
use self::plan::Wishes;
pub use self::session::{Session, Ticket};
use self::stored_cookie::StoredCookie;
use self::visited::Visited;
use crate::keys::Signature;
use crate::store::{Memory, Store};
use crate::{Keys, SettingError, Size};

/// Sessions that are kept in a store; the visitor's cookie holds an id.
#[derive(Clone)]
pub struct Sessions {
    name: String,
    form: Form,
    attributes: Attributes,
    /// What new sessions store of them, in the clear and over https.
    usual: [OnceLock<Arc<StoredCookie>>; 2],
    store: Arc<dyn Store>,
    wishes: Wishes,
    idle: Duration,
    longest: Option<Duration>,
    size: Size,
    user_key: String,
    conflict: Conflict,
    outage: Outage,
    not_saved: NotSaved,
    unset: Unset,
    leaves_dead_cookies: Option<LeaveDeadCookies>,
}

/// How the id is written.
#[derive(Clone)]
enum Form {
    /// `id.signature`, under a key that is derived for this; the store knows the hash of the id.
    Own(Signature),
    /// As express-session does it, with the secrets themselves.
    Express(Keys),
}

#[derive(Clone, Copy, Debug)]
struct LeaveDeadCookies;

/// What happens where two requests change the same value of a session at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflict {
    /// The later one counts, and the log names the value.
    #[default]
    LastWins,
    /// The later one is 409.
    Refuse,
}

/// What happens to a page that needs its session while the store is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outage {
    /// It is 503.
    #[default]
    Refuse,
    /// It sees a visitor without a session; what it would keep is refused.
    Anonymous,
}

/// What happens to a page whose session cannot be saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotSaved {
    /// It becomes a 500.
    #[default]
    Fail,
    /// It goes out as it is, and the log says what was lost.
    Log,
}

/// What [`Session::unset`] does to the session in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unset {
    /// It ends it.
    #[default]
    Destroy,
    /// It leaves it as it was.
    Keep,
}

impl Sessions {
    /// Sessions in this process's memory, with ids signed by `keys`. [`store`](Self::store) keeps them elsewhere.
    #[must_use]
    pub fn new(keys: &Keys) -> Self {
        Self {
            name: "id".to_owned(),
            form: Form::Own(keys.signature("panoply session id")),
            attributes: Attributes::default(),
            usual: Default::default(),
            store: Arc::new(Memory::new()),
            wishes: Wishes::default(),
            idle: IDLE,
            longest: Some(LONGEST),
            size: Size::kib(64),
            user_key: "user".to_owned(),
            conflict: Conflict::default(),
            outage: Outage::default(),
            not_saved: NotSaved::default(),
            unset: Unset::default(),
            leaves_dead_cookies: None,
        }
    }

    /// Sessions that Express apps share: express-session's cookie, signature, id and stored form. `name` is
    /// `connect.sid` unless the Express app chose better; `keys` holds its secrets in its order
    /// ([`Keys::danger_short`] takes those that are too short).
    ///
    /// # Errors
    /// When `name` is no name for a cookie.
    pub fn express(name: &str, keys: &Keys) -> Result<Self, SettingError> {
        Ok(Self {
            name: cookie_name(name)?,
            form: Form::Express(keys.clone()),
            attributes: Attributes::express(),
            longest: None,
            ..Self::new(keys)
        })
    }

    /// Where sessions are kept.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = store;
        self
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

    /// The attributes of the cookie. With [`express`](Self::express), those of a session that is there already are
    /// in the store, and win.
    #[must_use]
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self.usual = Default::default();
        self
    }

    /// How long a session lives that nobody uses, where its cookie has no `max_age`. A day.
    #[must_use]
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// How long a session lives in any case, from its beginning or its last new id. 30 days; with
    /// [`express`](Self::express) without end, as there. A session that Express began is counted from when it was
    /// first seen here.
    #[must_use]
    pub const fn longest(mut self, longest: Duration) -> Self {
        self.longest = Some(longest);
        self
    }

    /// How large a session may become. 64 KiB.
    #[must_use]
    pub const fn size(mut self, size: Size) -> Self {
        self.size = size;
        self
    }

    /// Where a session holds who has logged in. `user`; in Express apps often `userId`, with Passport
    /// `passport.user`: a dot leads into an object.
    #[must_use]
    pub fn user_key(mut self, key: impl Into<String>) -> Self {
        self.user_key = key.into();
        self
    }

    /// Renews the cookie with every answer to a visitor who has a session; it matters where it has a `max_age`.
    #[must_use]
    pub const fn rolling(mut self) -> Self {
        self.wishes.rolling = true;
        self
    }

    /// Saves a session with every request that a visitor who has one makes.
    #[must_use]
    pub const fn resave(mut self) -> Self {
        self.wishes.resave = true;
        self
    }

    /// Gives every visitor a session.
    #[must_use]
    pub const fn save_uninitialized(mut self) -> Self {
        self.wishes.save_uninitialized = true;
        self
    }

    /// What happens where two requests change the same value at once.
    #[must_use]
    pub const fn conflict(mut self, conflict: Conflict) -> Self {
        self.conflict = conflict;
        self
    }

    /// What happens to a page that needs its session while the store is down.
    #[must_use]
    pub const fn when_store_is_down(mut self, outage: Outage) -> Self {
        self.outage = outage;
        self
    }

    /// What happens to a page whose session cannot be saved.
    #[must_use]
    pub const fn when_not_saved(mut self, not_saved: NotSaved) -> Self {
        self.not_saved = not_saved;
        self
    }

    /// What [`Session::unset`] does to the session in the store.
    #[must_use]
    pub const fn unset(mut self, unset: Unset) -> Self {
        self.unset = unset;
        self
    }

    /// Lets browsers keep the cookie of a session that was ended.
    #[must_use]
    pub const fn leave_dead_cookies(mut self) -> Self {
        self.leaves_dead_cookies = Some(LeaveDeadCookies);
        self
    }

    /// Ends every session of `user`: for an administrator, or a password that was reset by mail. How many there
    /// were. Known are the sessions that went through [`Session::sign_in`], and those of Express that a Rust app
    /// has seen.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sign_out(&self, user: &str) -> Result<usize, SessionError> {
        Ok(self.store.destroy_all(user, None).await?)
    }
}

/// Shows no key.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("name", &self.name)
            .field("attributes", &self.attributes)
            .field("store", &self.store)
            .field("idle", &self.idle)
            .field("longest", &self.longest)
            .finish_non_exhaustive()
    }
}

/// A name that every browser takes (RFC 6265bis §4.1.1, a token).
fn cookie_name(name: &str) -> Result<String, SettingError> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=128).contains(&name.len()) || !name.bytes().all(is_token) {
        return Err(SettingError::new(
            format!("`{}` is no name for a cookie", name.escape_debug()),
            "write at most 128 letters, digits and !#$%&'*+-.^_`|~",
        ));
    }
    Ok(name.to_owned())
}

/// The name with the prefix that holds browsers to it (RFC 6265bis §4.1.3), where they would take it so.
fn prefixed<'n>(name: &'n str, attributes: &Attributes, is_over_https: bool) -> Cow<'n, str> {
    let is_secure = is_over_https && attributes.secure != Secure::Unsaid;
    match (is_secure, attributes.path.as_str(), &attributes.domain) {
        (false, ..) => Cow::Borrowed(name),
        (true, "/", None) => Cow::Owned(format!("__Host-{name}")),
        (true, ..) => Cow::Owned(format!("__Secure-{name}")),
    }
}

/// A day, as in connect-redis and connect-pg-simple.
const IDLE: Duration = Duration::from_secs(86_400);

/// 30 days: who uses a site daily signs in once a month.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
