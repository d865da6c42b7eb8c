use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use panoply::Clock;
use panoply::store::{Answer, Memory, Replaced, Store};
use serde_json::{Value, json};

/// A store that remembers what it was asked, by the names that Express's stores have for it.
#[derive(Debug)]
pub(super) struct Recorder {
    inner: Memory,
    calls: Mutex<Vec<Value>>,
    ids: Mutex<Vec<String>>,
}

impl Recorder {
    pub(super) fn new(clock: Clock) -> Self {
        Self { inner: Memory::with_clock(clock), calls: Mutex::default(), ids: Mutex::default() }
    }

    /// What it was asked since it was last asked this.
    pub(super) fn calls(&self) -> Vec<Value> {
        std::mem::take(&mut *lock(&self.calls))
    }

    /// Forgets what it was asked last, if it was this.
    pub(super) fn forget(&self, call: &str) {
        lock(&self.calls).pop_if(|last| last[0] == call);
    }

    /// What it holds, in the order in which it came.
    pub(super) async fn list(&self) -> Vec<(String, String)> {
        let ids = lock(&self.ids).clone();
        let mut texts = Vec::new();
        for id in ids {
            if let Some(text) = self.inner.load(&id).await.unwrap() {
                texts.push((id, text));
            }
        }
        texts
    }

    fn note(&self, call: Value) {
        lock(&self.calls).push(call);
    }

    fn know(&self, id: &str) {
        let mut ids = lock(&self.ids);
        if !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    }
}

impl Store for Recorder {
    fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>> {
        self.note(json!(["get", id]));
        self.inner.load(id)
    }

    fn create<'a>(&'a self, id: &'a str, text: &'a str, time: Duration) -> Answer<'a, ()> {
        self.note(json!(["set", id, seconds(time)]));
        self.know(id);
        self.inner.create(id, text, time)
    }

    fn replace<'a>(
        &'a self,
        id: &'a str,
        was: &'a str,
        text: &'a str,
        time: Duration,
    ) -> Answer<'a, Replaced> {
        self.note(json!(["set", id, seconds(time)]));
        self.inner.replace(id, was, text, time)
    }

    fn touch<'a>(&'a self, id: &'a str, time: Duration) -> Answer<'a, bool> {
        self.note(json!(["touch", id, seconds(time)]));
        self.inner.touch(id, time)
    }

    fn destroy<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            if self.inner.load(id).await?.is_some() {
                self.note(json!(["destroy", id]));
            }
            self.inner.destroy(id).await
        })
    }

    fn bind<'a>(&'a self, user: &'a str, id: &'a str, time: Duration) -> Answer<'a, ()> {
        self.inner.bind(user, id, time)
    }

    fn destroy_all<'a>(&'a self, user: &'a str, except: Option<&'a str>) -> Answer<'a, usize> {
        self.inner.destroy_all(user, except)
    }
}

/// As connect-redis counts.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
