//! A small certificate authority of the tests' own: RFC 8555 over real HTTPS, RFC 9773, profiles, addresses
//! (RFC 8738) and the limits of Let's Encrypt, by a clock that the test moves. Pebble knows no renewal
//! information and no profiles, and lives by the machine's clock.
//!
//! It believes nothing: signatures, nonces and requests are verified, and a name is looked up by connecting to it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test, that is how it fails"
)]

mod asker;
mod books;
mod clock;
mod issuer;
mod jws;
mod lego;
mod limits;
mod mood;
mod order;
mod place;
mod problem;
mod refusals;
mod rules;
mod server;
mod shown;
mod validation;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use self::books::{Books, Reply};
use self::issuer::Issuer;
use self::problem::Problem;
use self::validation::Validation;

pub(crate) use self::books::Seen;
pub(crate) use self::clock::{Clock, DAY, HOUR};
pub(crate) use self::mood::{Asked, Mood};
pub(crate) use self::place::Place;
pub(crate) use self::rules::{Rules, Verdict};

/// Ends when it is dropped.
pub(crate) struct Ca {
    inner: Arc<Inner>,
    root: String,
    task: AbortHandle,
}

impl Ca {
    pub(crate) async fn start(clock: Clock) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let issuer = Issuer::new();
        let (root, tls) = (issuer.root(), server::tls(&issuer));
        let inner = Arc::new(Inner {
            books: Mutex::new(Books::new(base, issuer)),
            mood: Mutex::new(Box::new(|_| Mood::Well)),
            clock,
        });
        let task = tokio::spawn(server::serve(listener, tls, inner.clone())).abort_handle();
        Self { inner, root, task }
    }

    pub(crate) fn directory(&self) -> String {
        format!("{}/directory", self.inner.books().base)
    }

    /// In PEM: of the CA's own server and of all that it issues.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    pub(crate) fn rules(&self, set: impl FnOnce(&mut Rules)) {
        set(&mut self.inner.books().rules);
    }

    /// Every certificate of now is to be renewed at once, as before a mass revocation.
    pub(crate) fn renew_now(&self) {
        let (mut books, now) = (self.inner.books(), self.inner.clock.now());
        let all: Vec<_> = books.seen.certificates.iter().map(|issued| issued.identifier.clone()).collect();
        books.rules.windows.extend(all.into_iter().map(|issued| (issued, (now - DAY, now - HOUR))));
    }

    /// How it takes each request from now on.
    pub(crate) fn mood(&self, mood: impl FnMut(&Asked) -> Mood + Send + 'static) {
        *self.inner.mood.lock().unwrap() = Box::new(mood);
    }

    pub(crate) fn seen(&self) -> Seen {
        self.inner.books().seen.clone()
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Inner {
    books: Mutex<Books>,
    mood: Mutex<Choice>,
    clock: Clock,
}

/// Chooses the mood for each request.
type Choice = Box<dyn FnMut(&Asked) -> Mood + Send>;

impl Inner {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    fn ask(&self, place: Place) -> Asked {
        let requests = &mut self.books().seen.requests;
        let asked = Asked { number: requests.len(), at: self.clock.now(), place };
        requests.push(asked.clone());
        asked
    }

    fn mood(&self, asked: &Asked) -> Mood {
        (self.mood.lock().unwrap())(asked)
    }

    fn answer(&self, place: &Place, method: &str, body: &[u8]) -> Reply {
        self.books().answer(place, method, body, self.clock.now())
    }

    fn refuse(&self, problem: Problem) -> Reply {
        self.books().turn_away(problem, self.clock.now())
    }

    fn verdict(&self) -> Verdict {
        self.books().rules.verdict
    }

    fn settle(&self, validation: &Validation, found: Result<(), Problem>) {
        let now: SystemTime = self.clock.now();
        self.books().settle(validation, found, now);
    }
}
