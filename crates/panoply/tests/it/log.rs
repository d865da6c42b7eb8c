//! What is written into the log while a test looks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::subscriber::{DefaultGuard, set_default, set_global_default};
use tracing::{Event, Metadata, Subscriber, span};

/// Keeps every event's fields.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<BTreeMap<&'static str, String>>>>);

impl Log {
    /// What this thread writes from now on, until the guard goes.
    ///
    /// `tracing` asks once for each place in the code whether anybody wants to hear of it. As long as there is one
    /// listener, it asks that of the thread that comes by first, which may be another test's: so there is always one
    /// more, for all threads.
    pub(crate) fn listening() -> (Self, DefaultGuard) {
        static ALWAYS: Once = Once::new();
        ALWAYS.call_once(|| set_global_default(Self::default()).unwrap());
        let log = Self::default();
        let guard = set_default(log.clone());
        (log, guard)
    }

    pub(crate) fn events(&self) -> Vec<BTreeMap<&'static str, String>> {
        self.0.lock().unwrap().clone()
    }

    /// How many messages have this text in them.
    pub(crate) fn with(&self, text: &str) -> usize {
        self.events()
            .iter()
            .filter(|event| event.get("message").is_some_and(|line| line.contains(text)))
            .count()
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
