use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;

use super::door::{Door, Named};
use super::outcome::Outcome;
use super::tries::Try;
use crate::Rejection;

/// What a handler asks before it looks at a password.
///
/// A handler of axum's takes it (feature `axum`); elsewhere it is an extension of the request. It is there for
/// requests other than GET, HEAD and OPTIONS, behind a shield with [`BruteForce`](super::BruteForce) that was told no
/// place of user names.
#[derive(Clone)]
pub struct Attempt(Arc<Inner>);

struct Inner {
    door: Door,
    state: Mutex<State>,
}

/// What the handler leaves for the answer.
#[derive(Default)]
pub(super) struct State {
    /// A try whose end the handler did not tell: the answer does.
    pub(super) open: Option<Try>,
    pub(super) refused: Option<Rejection>,
    pub(super) welcome: Option<HeaderValue>,
}

impl Attempt {
    pub(super) fn at(door: Door) -> Self {
        Self(Arc::new(Inner { door, state: Mutex::default() }))
    }

    /// Asks whether the visitor may try to log in as `username`, which is compared as people read it: case, Unicode
    /// and white space do not matter.
    ///
    /// # Errors
    /// 429 when he has failed too often; 503 when the counters cannot be asked. Give it back as it is: whatever the
    /// handler answers, the visitor gets that.
    pub async fn by(&self, username: &str) -> Result<Guess, Rejection> {
        let open = match &self.0.door {
            door if door.exempt => None,
            door => {
                let usernames = &[username.to_owned()];
                match door.begin(Named::Users { usernames, is_all: true, hidden_at: None }, 1).await {
                    Ok(open) => Some(open),
                    Err(rejection) => self.refuse(rejection).map(|()| None)?,
                }
            }
        };
        Ok(Guess { open, username: username.to_owned(), attempt: self.clone() })
    }

    /// What is to be done with the answer.
    pub(super) fn left(&self) -> State {
        std::mem::take(&mut *self.state())
    }

    /// The shield finds it in whatever the handler answers; where it only watches, the handler learns nothing of it.
    fn refuse(&self, rejection: Rejection) -> Result<(), Rejection> {
        self.state().refused = Some(rejection.clone());
        if self.0.door.observed { Ok(()) } else { Err(rejection) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A password that may be looked at. Say how it ended; where nothing is said the answer's status does.
#[must_use = "say whether it succeeded or failed"]
pub struct Guess {
    open: Option<Try>,
    username: String,
    attempt: Attempt,
}

impl Guess {
    /// The password was right: what failed before is forgiven, and the browser trusted from now on.
    ///
    /// # Errors
    /// 503 when the counters cannot be asked.
    pub async fn succeeded(mut self) -> Result<(), Rejection> {
        let welcome = self.attempt.0.door.welcome(&self.username);
        self.attempt.state().welcome = welcome;
        self.end(Outcome::Success { sure: true }).await
    }

    /// The password was wrong, or there is no such user: say it in either case, or the two can be told apart.
    ///
    /// # Errors
    /// 429 when this failure is the one that is too many; 503 when the counters cannot be asked.
    pub async fn failed(mut self) -> Result<(), Rejection> {
        self.end(Outcome::Failure).await
    }

    async fn end(&mut self, outcome: Outcome) -> Result<(), Rejection> {
        match self.open.take() {
            Some(open) => open.end(outcome).await.or_else(|rejection| self.attempt.refuse(rejection)),
            None => Ok(()),
        }
    }
}

impl Drop for Guess {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.attempt.state().open = Some(open);
        }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}

impl fmt::Debug for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guess").finish_non_exhaustive()
    }
}
