//! Names whose certificate is ordered when the first visitor asks for it.
//!
//! Who asks is a stranger. He can name what the list allows and no more; only so many of his names are under way at
//! once, one that went wrong is not tried before its pause has ended, and half of what the authority allows is left to
//! the names that are there already. One that nobody comes back to is not renewed, and is forgotten.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::Name;

/// What visitors may ask for, and what they are waiting for. A clone is another handle on the same.
#[derive(Clone)]
pub struct Demand(Arc<Inner>);

struct Inner {
    allowed: Vec<Name>,
    state: Mutex<State>,
    /// Somebody asked.
    asked: Notify,
    /// Some name is under way no more.
    settled: watch::Sender<u64>,
}

/// Times are seconds since 1970.
#[derive(Default)]
struct State {
    under_way: BTreeSet<Name>,
    /// Until when a name is not tried again.
    pauses: HashMap<Name, u64>,
    /// Until when nothing is begun.
    closed_until: u64,
    /// When a visitor was last shown a certificate, of those who came since this was last taken.
    served: HashMap<Name, u64>,
}

impl Demand {
    pub(super) fn new(allowed: Vec<Name>) -> Self {
        let settled = watch::Sender::new(0);
        Self(Arc::new(Inner { allowed, state: Mutex::default(), asked: Notify::new(), settled }))
    }

    /// Whether the list has names at all.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.allowed.is_empty()
    }

    /// The name that a handshake or a `Host` gives, where the list allows it.
    #[must_use]
    pub fn allows(&self, text: &str) -> Option<Name> {
        if self.is_off() {
            return None;
        }
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let allowed = is_host(&text) && self.0.allowed.iter().any(|name| name.covers(&text));
        allowed.then_some(Name::Host(text))
    }

    /// Waits until the order for `name`, which is begun unless it is under way, has ended; not at all where none may
    /// begin at `now`, in seconds since 1970. How long is for the caller to bound: the order goes on without him.
    pub async fn order(&self, name: &Name, now: u64) {
        let mut settled = self.0.settled.subscribe();
        if !self.begin(name, now) {
            return;
        }
        while self.lock().under_way.contains(name) {
            if settled.changed().await.is_err() {
                return;
            }
        }
    }

    /// A visitor of the host that a handshake named was shown its certificate at `now`, in seconds since 1970.
    pub fn served(&self, text: &str, now: u64) {
        let Some(name) = self.allows(text) else { return };
        let mut state = self.lock();
        // More can be shown only under a wildcard's certificate, where none of them is ordered.
        if state.served.len() < MOST_KEPT || state.served.contains_key(&name) {
            state.served.insert(name, now);
        }
    }

    /// Who was shown since the last time, and when.
    pub(super) fn take_served(&self) -> HashMap<Name, u64> {
        std::mem::take(&mut self.lock().served)
    }

    /// Waits until somebody asks.
    pub async fn asked(&self) {
        self.0.asked.notified().await;
    }

    fn begin(&self, name: &Name, now: u64) -> bool {
        let mut state = self.lock();
        if state.under_way.contains(name) {
            return true;
        }
        if state.closed_until > now || state.under_way.len() >= MOST_UNDER_WAY {
            return false;
        }
        if state.pauses.len() >= MOST_KEPT {
            state.pauses.retain(|_, until| *until > now);
        }
        if state.pauses.len() >= MOST_KEPT || state.pauses.get(name).is_some_and(|until| *until > now) {
            return false;
        }
        state.under_way.insert(name.clone());
        drop(state);
        self.0.asked.notify_one();
        true
    }

    pub(super) fn under_way(&self) -> Vec<Name> {
        self.lock().under_way.iter().cloned().collect()
    }

    pub(super) fn is_under_way(&self, name: &Name) -> bool {
        self.lock().under_way.contains(name)
    }

    /// Nobody waits for `name` any more, and it is not tried again before `until`.
    pub(super) fn settle(&self, name: &Name, until: u64) {
        let mut state = self.lock();
        if state.under_way.remove(name) {
            state.pauses.insert(name.clone(), until);
        }
        drop(state);
        self.tell();
    }

    /// Nobody waits any more, and nothing is begun before `until`.
    pub(crate) fn close(&self, until: u64) {
        let mut state = self.lock();
        state.under_way.clear();
        state.closed_until = until;
        drop(state);
        self.tell();
    }

    fn tell(&self) {
        self.0.settled.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demand").field("allowed", &self.0.allowed).finish_non_exhaustive()
    }
}

/// A host's name as authorities take it: it becomes the name of a file, and is ordered for whoever asks.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let last_is_word = |last: &str| last.bytes().any(|byte| byte.is_ascii_lowercase());
    text.len() <= 253 && text.split('.').all(is_label) && text.rsplit('.').next().is_some_and(last_is_word)
}

/// An order takes some seconds, and they are driven one after the other.
const MOST_UNDER_WAY: usize = 16;

/// Names that are kept in order because somebody asked, and names that wait.
pub(super) const MOST_KEPT: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn demand() -> Demand {
        Demand::new(["*.customers.example", "shop.partner.example"].map(Name::parse).to_vec())
    }

    fn customer(number: usize) -> Name {
        Name::Host(format!("c{number}.customers.example"))
    }

    #[test]
    fn only_what_the_list_has_may_be_asked_for() {
        let long = format!("{}.customers.example", "a".repeat(64));
        for (text, allowed) in [
            ("a.customers.example", true),
            ("A.Customers.Example.", true),
            ("shop.partner.example", true),
            ("customers.example", false),
            ("a.b.customers.example", false),
            ("www.shop.partner.example", false),
            ("evil.example", false),
            ("*.customers.example", false),
            ("-a.customers.example", false),
            ("a_b.customers.example", false),
            ("../a.customers.example", false),
            (".customers.example", false),
            (&long, false),
            ("", false),
        ] {
            assert_eq!(demand().allows(text).is_some(), allowed, "{text}");
        }
        assert!(Demand::new(Vec::new()).allows("a.customers.example").is_none());
    }

    #[test]
    fn only_so_many_are_under_way_and_one_that_failed_waits() {
        let demand = demand();
        for number in 0..MOST_UNDER_WAY {
            assert!(demand.begin(&customer(number), 100), "{number}");
        }
        assert!(demand.begin(&customer(0), 100), "it is under way: there is one order for all who ask");
        assert!(!demand.begin(&customer(99), 100), "one too many");
        demand.settle(&customer(0), 160);
        for (now, begun) in [(100, false), (159, false), (160, true)] {
            assert_eq!(demand.begin(&customer(0), now), begun, "{now}");
        }
        demand.close(1_000);
        for (now, begun) in [(999, false), (1_000, true)] {
            assert_eq!(demand.begin(&customer(1), now), begun, "{now}");
        }
    }

    #[test]
    fn names_that_wait_are_bounded_and_make_room_when_they_have_waited() {
        let demand = demand();
        for number in 0..MOST_KEPT {
            assert!(demand.begin(&customer(number), 100), "{number}");
            demand.settle(&customer(number), 200);
        }
        assert!(!demand.begin(&customer(MOST_KEPT), 199));
        assert!(demand.begin(&customer(MOST_KEPT), 200));
        assert!(demand.lock().pauses.is_empty());
    }

    #[tokio::test]
    async fn who_asks_waits_until_it_is_settled_and_the_order_outlives_him() {
        let (demand, name) = (demand(), customer(1));
        let waits = tokio::time::timeout(Duration::from_millis(20), demand.order(&name, 100)).await;
        assert!(waits.is_err() && demand.is_under_way(&name));
        demand.asked().await;
        let (other, its) = (demand.clone(), name.clone());
        let waiting = tokio::spawn(async move { other.order(&its, 100).await });
        tokio::task::yield_now().await;
        demand.settle(&name, 160);
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
        tokio::time::timeout(Duration::from_secs(5), demand.order(&name, 159)).await.unwrap();
    }
}
