//! Whether each thread still answers: one that is stuck holds its visitors for ever, and nobody sees it from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// One thread's.
#[derive(Debug)]
pub(crate) struct Heart {
    name: String,
    asked: Notify,
    has_answered: AtomicBool,
}

impl Heart {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), asked: Notify::new(), has_answered: AtomicBool::new(true) }
    }

    /// Ready when somebody wants to know.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    pub(crate) fn beat(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }
}

/// Those of all threads that serve.
#[derive(Debug)]
pub struct Heartbeats(Vec<Arc<Heart>>);

impl Heartbeats {
    pub(crate) fn of(hearts: impl IntoIterator<Item = Arc<Heart>>) -> Self {
        Self(hearts.into_iter().collect())
    }

    /// Which threads have not answered since they were asked.
    pub(crate) fn silent(&self) -> Vec<&str> {
        let silent = self.0.iter().filter(|heart| !heart.has_answered.load(Ordering::Relaxed));
        silent.map(|heart| heart.name.as_str()).collect()
    }

    /// Asks all of them.
    pub(crate) fn ask(&self) {
        for heart in &self.0 {
            heart.has_answered.store(false, Ordering::Relaxed);
            heart.asked.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_not_answered_since_he_was_asked_is_silent() {
        let (one, other) = (Arc::new(Heart::new("one")), Arc::new(Heart::new("other")));
        let heartbeats = Heartbeats::of([Arc::clone(&one), Arc::clone(&other)]);
        assert!(heartbeats.silent().is_empty(), "nobody was asked");
        for (answering, silent) in [
            (&[][..], &["one", "other"][..]),
            (&[&one], &["other"]),
            (&[&other], &["one"]),
            (&[&one, &other], &[]),
            (&[], &["one", "other"]), // an answer is one to one question
        ] {
            heartbeats.ask();
            for heart in answering {
                heart.beat();
            }
            assert_eq!(heartbeats.silent(), silent);
        }
    }
}
