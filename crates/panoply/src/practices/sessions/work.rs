use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::data::Data;
use super::{Conflict, SessionError, state};
use crate::store::{Replaced, Store, StoreError};

/// What is to be done in the store for one session, apart from the request that wants it.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) store: Arc<dyn Store>,
    /// The sessions that are over.
    pub(super) ended: Vec<String>,
    pub(super) write: Option<Write>,
    /// Whose session it is, and for how long that is to be known.
    pub(super) owner: Option<(String, Duration)>,
    pub(super) conflict: Conflict,
}

/// One session in the store, by its key there.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) key: String,
    pub(super) time: Duration,
    pub(super) how: How,
}

#[derive(Debug)]
pub(super) enum How {
    Create { text: String },
    Replace { was: String, text: String },
    Touch,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// This stands in the store now.
    Text(String),
    /// Somebody else had ended the session, and so it stays.
    Gone,
    /// There was nothing to write.
    Nothing,
}

impl Work {
    /// Does it all, also when the request is given up meanwhile: who logs out and closes the window is logged
    /// out.
    pub(super) async fn finish(self) -> Result<Written, SessionError> {
        let mut work = Box::pin(self.run());
        let first = std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        match (first, tokio::runtime::Handle::try_current()) {
            (Poll::Ready(written), _) => written,
            (Poll::Pending, Err(_)) => work.await,
            (Poll::Pending, Ok(runtime)) => runtime
                .spawn(work)
                .await
                .unwrap_or_else(|error| Err(SessionError::Store(StoreError::Down(error.into())))),
        }
    }

    async fn run(self) -> Result<Written, SessionError> {
        let Self { store, ended, write, owner, conflict } = self;
        let end = async {
            for key in &ended {
                store.destroy(key).await?;
            }
            Ok(())
        };
        let bind = async {
            match (&owner, &write) {
                (Some((user, time)), Some(write)) => store.bind(user, &write.key, *time).await,
                _ => Ok(()),
            }
        };
        let written = async {
            match &write {
                Some(write) => write.run(&*store, conflict).await,
                None => Ok(Written::Nothing),
            }
        };
        // At once, so that it costs one way to the store and back, and all to the end, whichever fails. But only
        // what stands in the store can be somebody's.
        let is_new = matches!(&write, Some(Write { how: How::Create { .. }, .. }));
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
    async fn run(&self, store: &dyn Store, conflict: Conflict) -> Result<Written, SessionError> {
        let Self { key, time, how } = self;
        match how {
            _ if time.is_zero() => {
                store.destroy(key).await?;
                Ok(Written::Gone)
            }
            How::Create { text } => {
                store.create(key, text, *time).await?;
                Ok(Written::Text(text.clone()))
            }
            How::Replace { was, text } => replace(store, self, was, text, conflict).await,
            How::Touch => match store.touch(key, *time).await? {
                true => Ok(Written::Nothing),
                false => Ok(Written::Gone),
            },
        }
    }
}

/// Replaces `was` by `text`, and by both where another request was faster.
async fn replace(
    store: &dyn Store,
    Write { key, time, .. }: &Write,
    was: &str,
    text: &str,
    conflict: Conflict,
) -> Result<Written, SessionError> {
    let (mut base, mut was, mut text) = (was.to_owned(), was.to_owned(), text.to_owned());
    for _ in 0..MOST_RIVALS {
        let (found, now) = match store.replace(key, &was, &text, *time).await? {
            Replaced::Done => return Ok(Written::Text(text)),
            Replaced::Gone => return Ok(Written::Gone),
            Replaced::Conflict { found, now } => (found, now),
        };
        let (merged, disputed) = merge(&base, &text, &found);
        if !disputed.is_empty() {
            tracing::warn!(values = ?disputed, "two requests changed the same values of a session at once");
            if conflict == Conflict::Refuse {
                if now != found {
                    store.replace(key, &now, &found, *time).await?; // it was swapped already: back with it
                }
                return Err(SessionError::Conflict);
            }
        }
        if merged == now {
            return Ok(Written::Text(merged));
        }
        // Where the store compares, `found` is what all that comes later was made from. Where it swaps, the next
        // one may have been made from what stood there at first.
        if now == found {
            base = found;
        }
        (was, text) = (now, merged);
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
        merged.set(state::COOKIE, cookie.to_owned());
    }
    (merged.print(), disputed)
}

/// How many others may come first before a request gives up. Each of them has been saved, so that this many at
/// once means a session that is written by a loop.
const MOST_RIVALS: usize = 16;
