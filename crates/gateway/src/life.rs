//! How long a connection lives: what it is asked, whether its answers are read, and when it has to end.
//!
//! hyper ends a connection of HTTP/1.1 whose head does not come, and no other: one of HTTP/2 that never asks, or never
//! reads, it would hold for ever.

mod handed;
mod watched;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use handed::Handed;
pub(crate) use watched::Watched;

use crate::clock;
use crate::config::Connections;
use crate::cuts::Cut;
use crate::pace::Pace;

/// One connection's life.
#[derive(Debug)]
pub(crate) struct Life {
    terms: Terms,
    state: Mutex<State>,
    worn: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Terms {
    head: Duration,
    idle: Duration,
    unread: Duration,
    requests: u32,
}

#[derive(Debug)]
struct State {
    /// How many requests there were.
    begun: u32,
    /// How many of them are not answered to the end.
    open: usize,
    /// Since when nothing moved, where none is open.
    rested: Instant,
    /// How many bytes were written since then.
    written: usize,
    /// How fast the socket takes what is written.
    socket: Pace,
    /// The answers of more than one piece.
    answers: Vec<Weak<dyn Unread>>,
}

/// An answer that is handed out piece by piece.
trait Unread: fmt::Debug + Send + Sync {
    /// Lets go of it, and of the app's connection with it, if the visitor left it unread for too long.
    fn give_up(&self, now: Instant) -> bool;
}

impl Terms {
    /// While something is under way, what comes next is noticed this late.
    fn step(&self) -> Duration {
        self.unread.min(self.idle).min(self.head) / 4
    }
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing; look again then.
    Wait(Instant),
    /// End it in good order: this was its last request.
    Close(Cut),
    /// End it at once.
    Drop(Cut),
}

impl Life {
    pub(crate) fn new(terms: &Connections, now: Instant) -> Arc<Self> {
        let unread = terms.unread.duration();
        let terms = Terms {
            head: terms.head.duration(),
            idle: terms.idle.duration(),
            unread,
            requests: terms.requests.get(),
        };
        let socket = Pace::of_socket(unread);
        let state = State { begun: 0, open: 0, rested: now, written: 0, socket, answers: Vec::new() };
        Arc::new(Self { terms, state: Mutex::new(state), worn: Notify::new() })
    }

    /// The handshake is done.
    pub(crate) fn started(&self, now: Instant) {
        self.state().rested = now;
    }

    /// A request came. It is open until what is returned goes.
    pub(crate) fn begin(self: &Arc<Self>) -> Asked {
        let mut state = self.state();
        state.begun = state.begun.saturating_add(1);
        state.open += 1;
        if state.begun == self.terms.requests {
            self.worn.notify_one();
        }
        Asked(Arc::clone(self))
    }

    /// Whether it has brought a request yet.
    pub(crate) fn has_begun(&self) -> bool {
        self.state().begun > 0
    }

    /// Ready when it has brought as many requests as it may.
    pub(crate) async fn worn(&self) {
        self.worn.notified().await;
    }

    /// What is to be done at `now`.
    pub(crate) fn check(&self, now: Instant) -> Verdict {
        let mut state = self.state();
        if state.socket.is_over(now) {
            return Verdict::Drop(Cut::Unread);
        }
        let answers = std::mem::take(&mut state.answers);
        // What is given up takes its request out of the state.
        drop(state);
        let mut kept: Vec<_> = answers.into_iter().filter(|answer| answer.strong_count() > 0).collect();
        let before = kept.len();
        kept.retain(|answer| !answer.upgrade().is_some_and(|answer| answer.give_up(now)));
        let gave_up = kept.len() < before;

        let mut state = self.state();
        state.answers.append(&mut kept);
        if state.open > 0 {
            return Verdict::Wait(now + self.terms.step());
        }
        if gave_up {
            return Verdict::Drop(Cut::Unread);
        }
        let (patience, verdict) = match state.begun {
            0 => (self.terms.head, Verdict::Drop(Cut::Head)),
            _ => (self.terms.idle, Verdict::Close(Cut::Idle)),
        };
        if now < state.rested + patience { Verdict::Wait(state.rested + patience) } else { verdict }
    }

    /// Ready when the visitor has left unread for too long what another protocol sends.
    pub(crate) async fn unread(&self) {
        loop {
            tokio::time::sleep(self.terms.step()).await;
            if self.state().socket.is_over(clock::now()) {
                return;
            }
        }
    }

    /// The socket takes no more.
    fn blocked(&self, now: Instant) {
        self.state().socket.wait(now);
    }

    /// The socket took so many bytes.
    fn wrote(&self, bytes: usize, clock: impl FnOnce() -> Instant) {
        let mut state = self.state();
        state.written = state.written.saturating_add(bytes);
        // Most writes are small and wait for nobody: they need not know the time.
        if !state.socket.is_waiting() && state.written < STEP {
            return;
        }
        let now = clock();
        state.socket.took(bytes, now);
        // The end of an answer may be on its way long after its request is done with; an answer to a ping is no reason
        // to stay.
        if state.written >= STEP {
            state.written = 0;
            state.rested = now;
        }
    }

    fn watch(&self, answer: Weak<dyn Unread>) {
        let mut state = self.state();
        state.answers.retain(|answer| answer.strong_count() > 0);
        state.answers.push(answer);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is open.
#[derive(Debug)]
pub(crate) struct Asked(Arc<Life>);

impl Drop for Asked {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        state.written = 0;
        state.rested = clock::now();
    }
}

const STEP: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn life(now: Instant) -> Arc<Life> {
        Life::new(&Connections::default(), now)
    }

    fn after(seconds: u64, now: Instant) -> Instant {
        now + Duration::from_secs(seconds)
    }

    #[test]
    fn who_asks_nothing_is_closed() {
        let now = clock::now();
        let life = life(now);
        assert_eq!(life.check(now), Verdict::Wait(after(30, now)));
        assert_eq!(life.check(after(30, now)), Verdict::Drop(Cut::Head));
        let asked = life.begin();
        assert!(matches!(life.check(after(100_000, now)), Verdict::Wait(_)), "the app may take its time");
        drop(asked);
        assert!(matches!(life.check(after(70, now)), Verdict::Wait(_)));
        assert_eq!(life.check(after(80, now)), Verdict::Close(Cut::Idle));
    }

    #[test]
    fn the_end_of_an_answer_may_take_its_time() {
        let now = clock::now();
        let life = life(now);
        drop(life.begin());
        for step in 1..100 {
            let then = after(60 * step, now);
            assert!(matches!(life.check(then), Verdict::Wait(_)), "step {step}");
            life.blocked(then);
            life.wrote(STEP, || then);
        }
        let end = after(60 * 100, now);
        life.wrote(17, || end);
        assert_eq!(life.check(after(76, end)), Verdict::Close(Cut::Idle), "a ping is no end of an answer");
    }

    #[test]
    fn a_socket_that_takes_nothing_is_dropped() {
        let now = clock::now();
        let life = life(now);
        let _asked = life.begin();
        life.blocked(now);
        assert!(matches!(life.check(after(59, now)), Verdict::Wait(_)));
        assert_eq!(life.check(after(61, now)), Verdict::Drop(Cut::Unread));
    }
}
