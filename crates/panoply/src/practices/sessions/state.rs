use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::data::Data;
use super::plan::{Facts, IsCurrent};
use super::stored_cookie::StoredCookie;
use super::{SessionError, json};
use crate::store::StoreError;

/// A session while its request is served.
pub(super) struct State {
    pub(super) data: Data,
    /// What `data` was at first, once anybody touched it; where not, nothing has to be compared.
    pub(super) original: Option<Data>,
    /// Its place among others.
    pub(super) place: Place,
    /// The ids of sessions that this one takes the place of.
    pub(super) ended: Vec<Id>,
    pub(super) cookie: Arc<StoredCookie>,
    pub(super) saved: Saved,
    /// When it began, where that matters.
    pub(super) born: Option<Duration>,
    pub(super) has_new_id: bool,
    pub(super) is_destroyed: bool,
    /// What this request changed is to be forgotten.
    pub(super) is_unset: bool,
    /// The head of the answer has left.
    pub(super) has_left: bool,
    /// Its cookie came with a signature that is not ours.
    pub(super) has_bad_signature: bool,
    /// Its cookie was signed by a key that is not the first any more.
    pub(super) is_to_sign: bool,
    /// The store is down: the visitor is taken for one without a session, and nothing can be kept.
    pub(super) is_adrift: bool,
}

/// Where a session is kept.
#[derive(PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere yet.
    New,
    /// In the store.
    Stored {
        id: Id,
        text: Arc<str>,
        /// Whether the visitor's cookie named it.
        is_presented: bool,
    },
    /// In the visitor's cookie, with the text that it had there.
    InCookie {
        value: String,
        /// It is old, or of a key that is not the first any more.
        is_to_renew: bool,
    },
}

/// A session's id, and the name under which the store knows it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) own: Arc<str>,
    pub(super) key: Arc<str>,
}

/// What values the store holds, as far as that is to be heeded.
pub(super) enum Saved {
    /// None: a new session, or one that is to be saved in any case.
    Nothing,
    /// Those that were loaded.
    AsLoaded,
    /// Those that were saved on the way.
    These(Data),
}

impl State {
    /// For a visitor without a session.
    pub(super) fn new(cookie: Arc<StoredCookie>) -> Self {
        Self {
            data: Data::default(),
            original: None,
            place: Place::New,
            ended: Vec::new(),
            cookie,
            saved: Saved::Nothing,
            born: None,
            has_new_id: false,
            is_destroyed: false,
            is_unset: false,
            has_left: false,
            has_bad_signature: false,
            is_to_sign: false,
            is_adrift: false,
        }
    }

    pub(super) fn loaded(place: Place, cookie: Arc<StoredCookie>, data: Data) -> Self {
        Self { place, data, saved: Saved::AsLoaded, ..Self::new(cookie) }
    }

    /// The text for a store.
    pub(super) fn print(&self) -> Result<String, SessionError> {
        let cookie = self.cookie.print()?;
        Ok(self.print_with(Some((COOKIE, &*cookie))))
    }

    /// The text for a cookie, which has its attributes itself.
    pub(super) fn print_values(&self) -> String {
        self.print_with(None)
    }

    fn print_with(&self, cookie: Option<(&str, &str)>) -> String {
        let born = self.born.map(|born| born.as_secs().to_string());
        let born = born.as_deref().map(|born| (BORN, born));
        self.data.print_with(cookie.into_iter().chain(born))
    }

    pub(super) fn is_modified(&self) -> bool {
        self.has_new_id || !self.is_as_loaded()
    }

    pub(super) fn facts(&self) -> Facts {
        let is_current = match &self.saved {
            Saved::Nothing => None,
            Saved::AsLoaded => Some(self.is_as_loaded()),
            Saved::These(saved) => Some(self.data == *saved),
        };
        let current = |is_current| if is_current { IsCurrent::Yes } else { IsCurrent::No };
        Facts {
            is_presented: matches!(self.place, Place::Stored { is_presented: true, .. }),
            is_modified: self.is_modified(),
            saved: is_current.map(|is_current| current(is_current && self.place != Place::New)),
            has_expiry: self.cookie.has_expiry(),
        }
    }

    fn is_as_loaded(&self) -> bool {
        self.original.as_ref().is_none_or(|original| *original == self.data)
    }

    pub(super) fn insert<T: Serialize + ?Sized>(
        &mut self,
        key: &str,
        value: &T,
        limit: usize,
    ) -> Result<(), SessionError> {
        self.put(key, json::stringify(value)?, limit)
    }

    /// Notes who has logged in, at a path.
    pub(super) fn insert_user<T: Serialize + ?Sized>(
        &mut self,
        path: &str,
        user: &T,
        limit: usize,
    ) -> Result<(), SessionError> {
        let (name, value) = self.data.with(path, json::stringify(user)?);
        self.put(name, value, limit)
    }

    fn put(&mut self, key: &str, value: Box<str>, limit: usize) -> Result<(), SessionError> {
        self.is_open()?;
        if self.is_unset {
            return Err(SessionError::Gone);
        }
        let size = self.data.size_with(key, &value);
        if size > limit {
            return Err(SessionError::TooLarge { size, limit });
        }
        self.is_destroyed = false;
        self.change(|data| data.set(key, value))
    }

    pub(super) fn change<R>(&mut self, change: impl FnOnce(&mut Data) -> R) -> Result<R, SessionError> {
        self.is_open()?;
        self.original.get_or_insert_with(|| self.data.clone());
        Ok(change(&mut self.data))
    }

    /// Leaves the old id behind.
    pub(super) fn renew(&mut self) -> Result<(), SessionError> {
        self.is_open()?;
        if let Place::Stored { id, .. } = std::mem::replace(&mut self.place, Place::New) {
            self.ended.push(id);
        }
        self.has_new_id = true;
        self.born = None;
        Ok(())
    }

    /// Takes the values that stand in the store now.
    pub(super) fn reload(
        &mut self,
        now: Arc<str>,
        cookie: Arc<StoredCookie>,
        data: Data,
        born: Option<Duration>,
    ) {
        if let Place::Stored { text, .. } = &mut self.place {
            *text = now;
        }
        // What is modified is told by the values that the request began with.
        self.original.get_or_insert_with(|| self.data.clone());
        if !matches!(self.saved, Saved::Nothing) {
            self.saved = Saved::These(data.clone());
        }
        (self.cookie, self.data, self.born) = (cookie, data, born);
    }

    /// Writes the cookie anew, though nothing in it changed.
    pub(super) fn renew_cookie(&mut self) {
        if let Place::InCookie { is_to_renew, .. } = &mut self.place {
            *is_to_renew = true;
        }
    }

    /// The id, once it has one.
    pub(super) fn id(&self) -> Option<&Id> {
        match &self.place {
            Place::Stored { id, .. } => Some(id),
            Place::New | Place::InCookie { .. } => None,
        }
    }

    /// Who has logged in: a text, or a number's digits.
    pub(super) fn user(&self, path: &str) -> Option<String> {
        let user = match serde_json::from_str(&self.data.at(path)?).ok()? {
            Value::String(user) => user,
            Value::Number(user) => user.to_string(),
            _ => return None,
        };
        // What a store takes for a name.
        (user.len() <= LONGEST_USER && !user.contains('\0')).then_some(user)
    }

    pub(super) fn is_open(&self) -> Result<(), SessionError> {
        if self.is_adrift {
            return Err(StoreError::Down("it could not be when the request came".into()).into());
        }
        if self.has_left { Err(SessionError::TooLate) } else { Ok(()) }
    }
}

/// In bytes.
const LONGEST_USER: usize = 1024;

/// Where express-session keeps the attributes.
pub(super) const COOKIE: &str = "cookie";

/// When a session with a longest life began, in seconds since 1970.
pub(super) const BORN: &str = "born";
