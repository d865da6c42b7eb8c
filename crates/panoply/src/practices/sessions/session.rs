use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::data::Data;
use super::state::{Id, State};
use super::{Kept, SessionError, Visited};

/// What a visitor presented, a request extension: [`load`](Self::load) makes a [`Session`] of it.
///
/// Nothing is read from the store before; a page that asks for no session costs none. With the `axum` feature a
/// handler takes a [`Session`] right away.
#[derive(Clone)]
pub struct Ticket(Arc<Presented>);

struct Presented {
    kept: Arc<Kept>,
    visited: Visited,
    session: OnceLock<Session>,
}

/// A visitor's session: what the app keeps of them from request to request.
///
/// It is one for the whole request, however often it is loaded and cloned; what is changed is saved before the
/// head of the answer leaves. Methods that need no store are plain functions.
///
/// ```
/// use axum::{Router, routing::get};
/// use panoply::{Keys, Session, SessionError, Sessions, Shield};
///
/// async fn count(session: Session) -> Result<String, SessionError> {
///     let visits = session.get::<u32>("visits")?.unwrap_or(0) + 1;
///     session.insert("visits", &visits)?;
///     Ok(format!("visit {visits}"))
/// }
///
/// # fn main() -> Result<(), panoply::SettingError> {
/// let keys = Keys::new([Keys::generate()])?;
/// let app: Router = Router::new()
///     .route("/", get(count))
///     .layer(Shield::bare().sessions(Sessions::new(&keys)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Session(Arc<Loaded>);

struct Loaded {
    kept: Arc<Kept>,
    visited: Visited,
    state: Mutex<State>,
}

impl Ticket {
    pub(super) fn new(kept: Arc<Kept>, visited: Visited) -> Self {
        Self(Arc::new(Presented { kept, visited, session: OnceLock::new() }))
    }

    /// The session of this ticket; for a visitor without one, an empty one that leaves no trace while it stays
    /// empty.
    ///
    /// # Errors
    /// When the store fails: a page that needs the session is a 503 then.
    pub async fn load(&self) -> Result<Session, SessionError> {
        if let Some(session) = self.loaded() {
            return Ok(session.clone());
        }
        let Presented { kept, visited, session } = &*self.0;
        let state = Mutex::new(kept.load(visited).await?);
        let loaded = Loaded { kept: Arc::clone(kept), visited: visited.clone(), state };
        // Of two that loaded at once, the first counts.
        Ok(session.get_or_init(|| Session(Arc::new(loaded))).clone())
    }

    pub(super) fn loaded(&self) -> Option<&Session> {
        self.0.session.get()
    }

    pub(super) fn kept(&self) -> &Arc<Kept> {
        &self.0.kept
    }
}

impl Session {
    /// The value under `key`.
    ///
    /// # Errors
    /// When it is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        self.state().data.read(key)
    }

    /// Keeps `value` under `key`.
    ///
    /// # Errors
    /// When it has no form in JSON, when the session would become too large, when `key` is one that the Node package
    /// uses itself, when the session was [`unset`](Self::unset), or when the head of the answer has left.
    pub fn insert<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), SessionError> {
        self.0.kept.check_name(key)?;
        let limit = self.0.kept.size();
        self.state().insert(key, value, limit)
    }

    /// Forgets the value under `key`, and says whether there was one.
    ///
    /// # Errors
    /// When the head of the answer has left.
    pub fn remove(&self, key: &str) -> Result<bool, SessionError> {
        self.state().change(|data| data.remove(key).is_some())
    }

    /// Forgets all values; the session stays.
    ///
    /// # Errors
    /// When the head of the answer has left.
    pub fn clear(&self) -> Result<(), SessionError> {
        self.state().change(|data| *data = Data::default())
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state().data.is_empty()
    }

    /// Gives the session a new id, and ends the one of old: to be called wherever a visitor becomes somebody else
    /// or may do more than before, so that an id that was planted or overheard is worth nothing. Values stay; for
    /// a fresh start [`clear`](Self::clear) them too, as Express's `regenerate` does.
    ///
    /// # Errors
    /// When the head of the answer has left.
    pub fn regenerate(&self) -> Result<(), SessionError> {
        self.state().renew()
    }

    /// Ends the session, in the store and in the browser. A value that is inserted afterwards begins a new one.
    ///
    /// # Errors
    /// When the head of the answer has left.
    pub fn destroy(&self) -> Result<(), SessionError> {
        let mut state = self.state();
        state.change(|data| *data = Data::default())?;
        state.renew()?;
        state.is_destroyed = true;
        Ok(())
    }

    /// Forgets what this request changes: Express's `req.session = null`. What that means for the session is
    /// [`Sessions::unset`](super::Sessions::unset)'s to say; this request sees no value of it any more, and can
    /// keep none.
    ///
    /// # Errors
    /// When the head of the answer has left.
    pub fn unset(&self) -> Result<(), SessionError> {
        let mut state = self.state();
        state.change(|data| *data = Data::default())?;
        state.is_unset = true;
        Ok(())
    }

    /// Notes who has logged in: under a new id, with `user` (a name or a number) as the value that
    /// [`Sessions::user_key`](super::Sessions::user_key) names, and in the list of this user's sessions.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn sign_in<T: Serialize + ?Sized>(&self, user: &T) -> Result<(), SessionError> {
        let (key, limit) = (self.0.kept.user_key(), self.0.kept.size());
        let (name, _) = key.split_once('.').unwrap_or((key, ""));
        self.0.kept.check_name(name)?;
        let mut state = self.state();
        state.insert_user(key, user, limit)?;
        state.renew()
    }

    /// Who has logged in.
    ///
    /// # Errors
    /// When it is not a `T`.
    pub fn user<T: DeserializeOwned>(&self) -> Result<Option<T>, SessionError> {
        let user = self.state().data.at(self.0.kept.user_key()).map(Cow::into_owned);
        Ok(user.as_deref().map(serde_json::from_str).transpose()?)
    }

    /// Ends every session of the user who has logged in, this one too: to be called when a password changes.
    /// How many there were.
    ///
    /// # Errors
    /// When the store fails, or the session is kept in a cookie.
    pub async fn sign_out_everywhere(&self) -> Result<usize, SessionError> {
        let ended = self.sign_out(None).await?;
        self.destroy()?;
        Ok(ended)
    }

    /// Ends every other session of the user who has logged in. How many there were.
    ///
    /// # Errors
    /// When the store fails, or the session is kept in a cookie.
    pub async fn sign_out_elsewhere(&self) -> Result<usize, SessionError> {
        let own = self.state().id().cloned();
        self.sign_out(own.as_ref()).await
    }

    /// Saves now, and not only when the answer leaves: for what another request must see before.
    ///
    /// # Errors
    /// When the store fails, when the session was ended elsewhere, or the head of the answer has left.
    pub async fn save(&self) -> Result<(), SessionError> {
        self.0.kept.save(self).await
    }

    /// Takes the values anew from the store, and forgets what this request changed.
    ///
    /// # Errors
    /// When the store fails, when the session was ended elsewhere, or the head of the answer has left.
    pub async fn reload(&self) -> Result<(), SessionError> {
        self.0.kept.reload(self).await
    }

    /// Lets the session, and its cookie where that has a date, live as long again as at first. It happens with
    /// every request that loads a session; to be called where a request lasts long.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn touch(&self) -> Result<(), SessionError> {
        self.0.kept.touch(self).await
    }

    async fn sign_out(&self, except: Option<&Id>) -> Result<usize, SessionError> {
        let user = self.state().user(self.0.kept.user_key());
        match user {
            Some(user) => self.0.kept.sign_out(&user, except).await,
            None => Ok(0),
        }
    }

    pub(super) fn visited(&self) -> &Visited {
        &self.0.visited
    }

    /// A panic elsewhere leaves no half-made change behind, so a poisoned lock is as good as any.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("session", &self.loaded()).finish_non_exhaustive()
    }
}

/// Shows the names of the values alone.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.state().data).finish()
    }
}
