use std::sync::Arc;
use std::time::Duration;

use super::data::Data;
use super::{Conflict, SessionError, state};
use crate::store::{Replaced, Store, StoreError};
use crate::to_the_end::to_the_end;

/// What is to be done in the store for one session, apart from the request that wants it.
pub(super) struct Work {
    pub(super) store: Arc<dyn Store>,
    /// The sessions that are over.
    pub(super) ended: Vec<Arc<str>>,
    pub(super) write: Option<Write>,
    /// Whose session it is, and for how long that is to be known.
    pub(super) owner: Option<(String, Duration)>,
    pub(super) conflict: Conflict,
}

/// One session in the store, by its key there.
pub(super) struct Write {
    pub(super) key: Arc<str>,
    pub(super) time: Duration,
    pub(super) how: How,
}

pub(super) enum How {
    Create { text: String },
    Replace { was: Arc<str>, text: String },
    Touch,
}

/// What became of it.
pub(super) enum Written {
    /// This stands in the store now.
    Text(String),
    /// This stands there, and what others wrote at the same time is in it.
    Merged(String),
    /// Somebody else had ended the session, and so it stays.
    Gone,
    /// There was nothing to write.
    Nothing,
}

impl Work {
    /// Does it all, also when the request is given up meanwhile: who logs out and closes the window is logged
    /// out.
    pub(super) async fn finish(self) -> Result<Written, SessionError> {
        let broke_off = |error: tokio::task::JoinError| StoreError::Down(error.into()).into();
        to_the_end(self.run()).await.unwrap_or_else(|error| Err(broke_off(error)))
    }

    async fn run(self) -> Result<Written, SessionError> {
        let Self { store, ended, write, owner, conflict } = self;
        let end = async {
            for key in &ended {
                store.destroy(key).await?;
            }
            Ok(())
        };
        let is_new = matches!(&write, Some(Write { how: How::Create { .. }, .. }));
        let owner = owner.zip(write.as_ref().map(|write| Arc::clone(&write.key)));
        let bind = async {
            match &owner {
                Some(((user, time), key)) => store.bind(user, key, *time).await,
                None => Ok(()),
            }
        };
        let written = async {
            match write {
                Some(write) => write.run(&*store, conflict).await,
                None => Ok(Written::Nothing),
            }
        };
        // At once, so that it costs one way to the store and back, and all to the end, whichever fails. But only
        // what stands in the store can be somebody's.
        if is_new {
            let (ended, written): (Result<(), StoreError>, _) = tokio::join!(end, written);
            ended?;
            bind.await?;
            return written;
        }
        let (ended, bound, written): (Result<(), StoreError>, _, _) = tokio::join!(end, bind, written);
        ended?;
        bound?;
        written
    }
}

impl Write {
    async fn run(self, store: &dyn Store, conflict: Conflict) -> Result<Written, SessionError> {
        let Self { key, time, how } = self;
        match how {
            _ if time.is_zero() => {
                store.destroy(&key).await?;
                Ok(Written::Gone)
            }
            How::Create { text } => {
                store.create(&key, &text, time).await?;
                Ok(Written::Text(text))
            }
            How::Replace { was, text } => match store.replace(&key, &was, &text, time).await? {
                Replaced::Done => Ok(Written::Text(text)),
                Replaced::Gone => Ok(Written::Gone),
                Replaced::Conflict { found, now } => {
                    let rival = Rival { found, now };
                    merge_in(store, (&key, time), was.to_string(), text, rival, conflict).await
                }
            },
            How::Touch => match store.touch(&key, time).await? {
                true => Ok(Written::Nothing),
                false => Ok(Written::Gone),
            },
        }
    }
}

/// What another request wrote meanwhile, and what stands there now.
struct Rival {
    found: String,
    now: String,
}

/// Replaces what stands there by what `text` and all rivals made of `base`.
async fn merge_in(
    store: &dyn Store,
    (key, time): (&str, Duration),
    mut base: String,
    mut text: String,
    mut rival: Rival,
    conflict: Conflict,
) -> Result<Written, SessionError> {
    for _ in 0..MOST_RIVALS {
        let Rival { found, now } = rival;
        let (merged, disputed) = merge(&base, &text, &found);
        if !disputed.is_empty() {
            tracing::warn!(values = ?disputed, "two requests changed the same values of a session at once");
            if conflict == Conflict::Refuse {
                if now != found {
                    store.replace(key, &now, &found, time).await?; // it was swapped already: back with it
                }
                return Err(SessionError::Conflict);
            }
        }
        if merged == now {
            return Ok(Written::Merged(merged));
        }
        // Where the store compares, `found` is what all that comes later was made from. Where it swaps, the next
        // one may have been made from what stood there at first.
        if now == found {
            base = found;
        }
        text = merged;
        rival = match store.replace(key, &now, &text, time).await? {
            Replaced::Done => return Ok(Written::Merged(text)),
            Replaced::Gone => return Ok(Written::Gone),
            Replaced::Conflict { found, now } => Rival { found, now },
        };
    }
    Err(SessionError::Conflict)
}

/// What `ours` made of `base`, made of `theirs` too; and the values that both had changed. What cannot be read is
/// overwritten.
fn merge(base: &str, ours: &str, theirs: &str) -> (String, Vec<String>) {
    let read = |text: &str| serde_json::from_str::<Data>(text);
    let (Ok(base), Ok(ours), Ok(theirs)) = (read(base), read(ours), read(theirs)) else {
        return (ours.to_owned(), Vec::new());
    };
    let (mut merged, mut disputed) = ours.merge(&base, &theirs);
    // The cookie holds the time of the last request, which two at once never agree on.
    disputed.retain(|name| name != state::COOKIE);
    if let Some(cookie) = ours.get(state::COOKIE) {
        merged.set(state::COOKIE, cookie.into());
    }
    (merged.print(), disputed)
}

/// How many others may come first before a request gives up. Each of them has been saved, so that this many at
/// once means a session that is written by a loop.
const MOST_RIVALS: usize = 16;
