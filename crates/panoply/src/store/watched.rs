use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Health, Replaced, Standing, Store};
use crate::Clock;

/// A store that is watched for operators: what came of asking it is counted, and the log has one line when it begins to
/// fail and one when it answers again, however many requests meet it.
///
/// ```
/// use std::sync::Arc;
/// use panoply::store::{Memory, Store, Watched};
/// use panoply::{Clock, Keys, Sessions};
///
/// let clock = Clock::system();
/// let store = Arc::new(Watched::new(Arc::new(Memory::with_clock(clock.clone())), &clock));
/// let sessions = Sessions::new(&Keys::new([Keys::generate()])?).store(Arc::clone(&store) as Arc<dyn Store>);
/// assert!(store.standing().is_up);
/// # drop(sessions);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Watched {
    store: Arc<dyn Store>,
    clock: Clock,
    health: Health,
}

impl Watched {
    /// Watches `store`; `clock` tells when it failed.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: &Clock) -> Self {
        Self {
            store,
            clock: clock.clone(),
            health: Health::new("sessions", "who has one is told so, or is taken for a stranger"),
        }
    }

    /// How it does.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.health.standing()
    }

    fn heard<'a, T: 'a>(&'a self, answer: Answer<'a, T>) -> Answer<'a, T> {
        Box::pin(async move {
            let answer = answer.await;
            self.health.heard(&answer, &self.store, self.clock.unix_time());
            answer
        })
    }
}

impl Store for Watched {
    fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>> {
        self.heard(self.store.load(id))
    }

    fn create<'a>(&'a self, id: &'a str, text: &'a str, time: Duration) -> Answer<'a, ()> {
        self.heard(self.store.create(id, text, time))
    }

    fn replace<'a>(
        &'a self,
        id: &'a str,
        was: &'a str,
        text: &'a str,
        time: Duration,
    ) -> Answer<'a, Replaced> {
        self.heard(self.store.replace(id, was, text, time))
    }

    fn touch<'a>(&'a self, id: &'a str, time: Duration) -> Answer<'a, bool> {
        self.heard(self.store.touch(id, time))
    }

    fn destroy<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        self.heard(self.store.destroy(id))
    }

    fn bind<'a>(&'a self, user: &'a str, id: &'a str, time: Duration) -> Answer<'a, ()> {
        self.heard(self.store.bind(user, id, time))
    }

    fn destroy_all<'a>(&'a self, user: &'a str, except: Option<&'a str>) -> Answer<'a, usize> {
        self.heard(self.store.destroy_all(user, except))
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.store).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Memory;

    #[tokio::test]
    async fn a_watched_store_is_the_store_and_each_question_is_counted() {
        let clock = Clock::manual();
        let watched = Watched::new(Arc::new(Memory::with_clock(clock.clone())), &clock);
        let hour = Duration::from_secs(3_600);
        watched.create("a", "{}", hour).await.unwrap();
        watched.bind("ann", "a", hour).await.unwrap();
        assert!(watched.touch("a", hour).await.unwrap());
        assert_eq!(watched.replace("a", "{}", "[]", hour).await.unwrap(), Replaced::Done);
        assert_eq!(watched.load("a").await.unwrap().as_deref(), Some("[]"));
        assert_eq!(watched.destroy_all("ann", None).await.unwrap(), 1);
        watched.destroy("a").await.unwrap();
        let standing = watched.standing();
        assert_eq!((standing.asked, standing.failed, standing.is_up), (7, 0, true));
    }

    #[cfg(feature = "redis")]
    #[tokio::test]
    async fn an_error_stays_what_it_is_and_is_counted() {
        let clock = Clock::manual();
        clock.advance(Duration::from_secs(60));
        let nowhere = crate::store::open("redis://127.0.0.1:1", &clock).unwrap();
        let watched = Watched::new(nowhere, &clock);
        assert!(watched.load("a").await.is_err());
        assert!(watched.touch("a", Duration::from_secs(1)).await.is_err());
        let standing = watched.standing();
        assert_eq!((standing.asked, standing.failed, standing.is_up), (2, 2, false));
        assert_eq!(standing.failed_at, Some(clock.unix_time()));
    }
}
