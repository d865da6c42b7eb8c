#![expect(clippy::panic, reason = "a suite fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Replaced, Store, StoreError};

/// Checks every promise of [`Store`]; it takes about four seconds of the store's time.
///
/// `pass` lets that time go by: by sleeping, or by moving the store's clock. Run it in a runtime with several
/// threads, so that what is to happen at once does. What else the store holds is left alone.
///
/// ```
/// use std::sync::Arc;
/// use panoply::Clock;
/// use panoply::store::{self, Memory};
///
/// # #[tokio::main]
/// # async fn main() {
/// let clock = Clock::manual();
/// let memory = Arc::new(Memory::with_clock(clock.clone()));
/// store::conformance(memory, async |time| clock.advance(time)).await;
/// # }
/// ```
///
/// # Panics
/// Where the store does not keep a promise.
pub async fn conformance(store: Arc<dyn Store>, pass: impl AsyncFn(Duration)) {
    let suite = Suite { store, run: format!("{:032x}", rand::random::<u128>()) };
    suite.keeps_texts_to_the_byte().await;
    suite.replaces_what_it_was_told_and_nothing_else().await;
    suite.brings_nothing_back().await;
    suite.knows_whose_sessions_are_whose().await;
    suite.loses_no_mark().await;
    suite.destroys_for_good_while_others_write().await;
    suite.ends_each_session_in_its_time(pass).await;
}

struct Suite {
    store: Arc<dyn Store>,
    /// Keeps ids of this run apart from all others.
    run: String,
}

impl Suite {
    async fn keeps_texts_to_the_byte(&self) {
        for odd in [PRINTABLE, "..", "{}", "a%00b", "sess:x"] {
            let id = self.id(odd);
            self.create(&id, r#"{"odd":true}"#, LONG).await;
            assert_eq!(self.load(&id).await.as_deref(), Some(r#"{"odd":true}"#), "id {id}");
            self.destroy(&id).await;
        }
        let long = self.id("n".repeat(200));
        let unicode: String = (' '..=char::MAX).filter(|c| !matches!(c, '"' | '\\')).step_by(7).collect();
        for text in [
            "{}".to_owned(),
            r#"{ "z":1,  "a":1.0, "a":1e400, "nul":"\u0000", "half":"\ud800", "line":"  " }"#.to_owned(),
            format!(r#"{{"long":"{}"}}"#, "x".repeat(64 << 10)),
            format!(r#"{{"all":"{unicode}"}}"#),
        ] {
            self.create(&long, &text, LONG).await;
            let found = self.load(&long).await;
            assert!(found.as_deref() == Some(&text), "{} bytes beginning {text:.40}", text.len());
        }
        self.create(&long, r#"{"again":1}"#, Duration::MAX).await;
        assert_eq!(
            self.load(&long).await.as_deref(),
            Some(r#"{"again":1}"#),
            "created over another, for ever"
        );
        self.create(&long, "{}", Duration::ZERO).await;
        assert_eq!(self.load(&long).await, None, "created for no time");
        self.destroy(&long).await;
    }

    async fn replaces_what_it_was_told_and_nothing_else(&self) {
        let id = &self.id("replace");
        assert_eq!(self.replace(id, "{}", "1").await, Replaced::Gone, "nothing stood there");
        assert_eq!(self.load(id).await, None, "and nothing does now");
        self.create(id, "1", LONG).await;
        assert_eq!(self.replace(id, "1", "2").await, Replaced::Done);
        assert_eq!(self.load(id).await.as_deref(), Some("2"));
        let Replaced::Conflict { found, now } = self.replace(id, "1", "3").await else {
            panic!("2 was written by somebody else, and nobody said so");
        };
        assert_eq!(found, "2");
        assert_eq!(self.load(id).await, Some(now.clone()), "what is said to stand there does");
        assert_eq!(self.replace(id, &now, "4").await, Replaced::Done, "the second try");
        assert_eq!(self.load(id).await.as_deref(), Some("4"));
        assert_eq!(self.replace(id, "4", "4").await, Replaced::Done, "the same again");
        self.destroy(id).await;
    }

    async fn brings_nothing_back(&self) {
        let id = &self.id("destroyed");
        self.create(id, "1", LONG).await;
        assert!(self.touch(id, LONG).await);
        self.destroy(id).await;
        self.destroy(id).await;
        assert!(!self.touch(id, LONG).await, "a destroyed session was touched");
        assert_eq!(self.replace(id, "1", "2").await, Replaced::Gone);
        self.bind("nobody", id).await;
        assert_eq!(self.load(id).await, None);
        self.create(id, "1", LONG).await;
        assert!(self.touch(id, Duration::ZERO).await, "it was there");
        assert_eq!(self.load(id).await, None, "touched for no time");
        assert_eq!(self.replace(id, "1", "2").await, Replaced::Gone);
        self.destroy(id).await;
    }

    async fn knows_whose_sessions_are_whose(&self) {
        let [ann, bob] = ["änn O'Neill:{x}\u{1F980}", "bob"].map(|name| format!("{name} {}", self.run));
        assert_eq!(self.destroy_all(&ann, None).await, 0, "an unknown user");
        let ids: Vec<String> = (0..5).map(|n| self.id(n)).collect();
        let [laptop, phone, old, shared, bobs] = ids.as_slice() else { panic!("five ids") };
        for id in &ids {
            self.create(id, "{}", LONG).await;
        }
        for id in [laptop, phone, old, shared] {
            self.bind(&ann, id).await;
        }
        self.bind(&ann, laptop).await;
        self.bind(&bob, bobs).await;
        self.bind(&bob, shared).await;
        self.destroy(old).await;
        assert_eq!(self.replace(phone, "{}", r#"{"n":1}"#).await, Replaced::Done);
        self.touch(phone, LONG).await;
        assert_eq!(self.destroy_all(&bob, None).await, 2, "bob's, with the one that was ann's before");
        assert_eq!(self.destroy_all(&ann, Some(laptop)).await, 1, "ann's phone, while the laptop stays");
        assert_eq!(self.load(phone).await, None);
        assert_eq!(self.load(bobs).await, None);
        assert_eq!(self.load(laptop).await.as_deref(), Some("{}"));
        assert_eq!(self.destroy_all(&ann, None).await, 1, "the laptop is ann's still");
        assert_eq!(self.load(laptop).await, None);
        assert_eq!(self.destroy_all(&ann, None).await, 0);
    }

    /// Sixteen at once, each of which merges what it finds, as requests of one session do.
    async fn loses_no_mark(&self) {
        let id = &self.id("marks");
        self.create(id, "[]", LONG).await;
        let mut tasks = JoinSet::new();
        for task in 0..16 {
            let (store, id) = (Arc::clone(&self.store), id.clone());
            tasks.spawn(async move {
                for mark in 0..4 {
                    let was = must(store.load(&id).await, "load").unwrap_or_default();
                    let mut marks = read(&was);
                    marks.insert(task * 4 + mark);
                    add(&*store, &id, was, marks).await;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            assert!(ended.is_ok(), "a task failed: {ended:?}");
        }
        let marks = read(&self.load(id).await.unwrap_or_default());
        assert_eq!(marks, (0..64).collect(), "what 16 tasks wrote at once");
        self.destroy(id).await;
    }

    async fn destroys_for_good_while_others_write(&self) {
        let id = &self.id("slow");
        self.create(id, "[]", LONG).await;
        let mut tasks = JoinSet::new();
        for task in 0..16 {
            let (store, id) = (Arc::clone(&self.store), id.clone());
            tasks.spawn(async move {
                let (mut was, mut n) = ("[]".to_owned(), 0);
                loop {
                    n += 1;
                    let text = format!("[{task},{n}]");
                    match must(store.replace(&id, &was, &text, LONG).await, "replace") {
                        Replaced::Gone => break,
                        Replaced::Done => was = text,
                        Replaced::Conflict { now, .. } => was = now,
                    }
                    // A store that never waits would keep the thread, and the one that destroys from its turn.
                    tokio::task::yield_now().await;
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.destroy(id).await;
        while let Some(ended) = tasks.join_next().await {
            assert!(ended.is_ok(), "a task failed: {ended:?}");
        }
        assert_eq!(self.load(id).await, None, "a slow request brought a destroyed session back");
    }

    async fn ends_each_session_in_its_time(&self, pass: impl AsyncFn(Duration)) {
        let user = &format!("late {}", self.run);
        let ids: Vec<String> = (10..18).map(|n| self.id(n)).collect();
        let [short, long, touched, shortened, replaced, ended, again, bound] = ids.as_slice() else {
            panic!("eight ids")
        };
        self.create(long, "{}", Duration::from_secs(20)).await;
        self.create(shortened, "{}", LONG).await;
        self.create(ended, "{}", LONG).await;
        self.create(again, "{}", LONG).await;
        for id in [short, touched, replaced, again, bound] {
            self.create(id, "{}", SHORT).await;
        }
        self.bind(user, bound).await;
        assert!(self.touch(touched, LONG).await);
        assert!(self.touch(shortened, SHORT).await);
        assert_eq!(self.replace(replaced, "{}", "1").await, Replaced::Done);
        let brief = self.store.replace(ended, "{}", "1", SHORT).await;
        assert_eq!(must(brief, "replace"), Replaced::Done);
        assert_eq!(self.load(short).await.as_deref(), Some("{}"), "its time is not over yet");

        // A second more than the time, for stores that round up.
        pass(SHORT + Duration::from_millis(1_200)).await;
        for (id, what) in [
            (short, "created for two seconds"),
            (shortened, "touched for two seconds"),
            (ended, "replaced for two seconds"),
            (again, "created again, for two seconds"),
        ] {
            assert_eq!(self.load(id).await, None, "{what}");
        }
        for (id, text, what) in [
            (long, "{}", "created for longer"),
            (touched, "{}", "touched for longer"),
            (replaced, "1", "replaced for longer"),
        ] {
            assert_eq!(self.load(id).await.as_deref(), Some(text), "{what}");
        }
        assert!(!self.touch(short, LONG).await, "an expired session was touched");
        assert_eq!(
            self.replace(shortened, "{}", "1").await,
            Replaced::Gone,
            "an expired session was replaced"
        );
        assert_eq!(self.load(shortened).await, None);
        assert_eq!(self.destroy_all(user, None).await, 0, "an expired session counts for nothing");
        self.create(short, r#"{"new":1}"#, LONG).await;
        assert_eq!(self.load(short).await.as_deref(), Some(r#"{"new":1}"#), "created where one had expired");
        for id in &ids {
            self.destroy(id).await;
        }
    }

    fn id(&self, name: impl std::fmt::Display) -> String {
        format!("{name}-{}", self.run)
    }

    async fn load(&self, id: &str) -> Option<String> {
        must(self.store.load(id).await, "load")
    }

    async fn create(&self, id: &str, text: &str, time: Duration) {
        must(self.store.create(id, text, time).await, "create");
    }

    async fn replace(&self, id: &str, was: &str, text: &str) -> Replaced {
        must(self.store.replace(id, was, text, LONG).await, "replace")
    }

    async fn touch(&self, id: &str, time: Duration) -> bool {
        must(self.store.touch(id, time).await, "touch")
    }

    async fn destroy(&self, id: &str) {
        must(self.store.destroy(id).await, "destroy");
    }

    async fn bind(&self, user: &str, id: &str) {
        must(self.store.bind(user, id, LONG).await, "bind");
    }

    async fn destroy_all(&self, user: &str, except: Option<&str>) -> usize {
        must(self.store.destroy_all(user, except).await, "destroy_all")
    }
}

/// Puts `marks` in the place of `was`, together with all that others wrote meanwhile.
async fn add(store: &dyn Store, id: &str, mut was: String, mut marks: BTreeSet<u32>) {
    loop {
        let text = format!("{:?}", Vec::from_iter(&marks));
        match must(store.replace(id, &was, &text, LONG).await, "replace") {
            Replaced::Done => break,
            Replaced::Gone => panic!("nobody destroyed it"),
            Replaced::Conflict { found, now } => {
                marks.extend(read(&found));
                was = now;
            }
        }
    }
}

/// The numbers of `[1, 2]`.
fn read(text: &str) -> BTreeSet<u32> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|mark| mark.parse().ok()).collect()
}

fn must<T>(answer: Result<T, StoreError>, verb: &str) -> T {
    answer.unwrap_or_else(|error| panic!("{verb} failed: {error:?}"))
}

const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(60);

/// All that an id may be of.
const PRINTABLE: &str =
    "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
