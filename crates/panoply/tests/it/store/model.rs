//! Any sequence of questions gets the answers of a plain map.

use std::collections::HashMap;
use std::time::Duration;

use panoply::Clock;
use panoply::store::{File, Memory, Replaced, Store};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::server::Scratch;

#[test]
fn memory_answers_as_a_map_does() {
    check(256, |clock| (Memory::with_clock(clock), ()));
}

#[test]
fn a_file_answers_as_a_map_does() {
    check(16, |clock| {
        let scratch = Scratch::new();
        (File::with_clock(scratch.path().join("sessions"), clock).unwrap(), scratch)
    });
}

#[derive(Clone, Debug)]
enum Question {
    Load(usize),
    Create(usize, u8, u64),
    Replace(usize, u8, u8, u64),
    Touch(usize, u64),
    Destroy(usize),
    Bind(usize, usize),
    DestroyAll(usize, Option<usize>),
    Pass(u64),
}

fn questions() -> impl Strategy<Value = Question> {
    let (id, text, seconds) = (0..4_usize, 0..3_u8, 0..8_u64);
    prop_oneof![
        id.clone().prop_map(Question::Load),
        (id.clone(), text.clone(), seconds.clone())
            .prop_map(|(id, text, time)| Question::Create(id, text, time)),
        (id.clone(), text.clone(), text, seconds.clone())
            .prop_map(|(id, was, text, time)| Question::Replace(id, was, text, time)),
        (id.clone(), seconds.clone()).prop_map(|(id, time)| Question::Touch(id, time)),
        id.clone().prop_map(Question::Destroy),
        (0..2_usize, id.clone()).prop_map(|(user, id)| Question::Bind(user, id)),
        (0..2_usize, prop::option::of(id)).prop_map(|(user, except)| Question::DestroyAll(user, except)),
        seconds.prop_map(Question::Pass),
    ]
}

fn check<S: Store, G>(cases: u32, store: impl Fn(Clock) -> (S, G)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let ran = runner.run(&vec(questions(), 1..60), |questions| {
        let clock = Clock::manual();
        let (store, _guard) = store(clock.clone());
        let mut model = Model { clock, sessions: HashMap::new() };
        for question in questions {
            let (theirs, ours) =
                runtime.block_on(async { (ask(&store, &question).await, model.ask(&question)) });
            prop_assert_eq!(theirs, ours, "{:?}", question);
        }
        Ok(())
    });
    ran.unwrap();
}

/// The answer, as text.
async fn ask(store: &dyn Store, question: &Question) -> String {
    match *question {
        Question::Load(id) => format!("{:?}", store.load(IDS[id]).await.unwrap()),
        Question::Create(id, text, time) => {
            format!("{:?}", store.create(IDS[id], &text.to_string(), seconds(time)).await.unwrap())
        }
        Question::Replace(id, was, text, time) => {
            let replaced = store.replace(IDS[id], &was.to_string(), &text.to_string(), seconds(time)).await;
            format!("{:?}", replaced.unwrap())
        }
        Question::Touch(id, time) => format!("{:?}", store.touch(IDS[id], seconds(time)).await.unwrap()),
        Question::Destroy(id) => format!("{:?}", store.destroy(IDS[id]).await.unwrap()),
        Question::Bind(user, id) => {
            format!("{:?}", store.bind(USERS[user], IDS[id], seconds(9)).await.unwrap())
        }
        Question::DestroyAll(user, except) => {
            format!("{:?}", store.destroy_all(USERS[user], except.map(|id| IDS[id])).await.unwrap())
        }
        Question::Pass(_) => "()".to_owned(),
    }
}

struct Model {
    clock: Clock,
    /// Text, end and user.
    sessions: HashMap<usize, (u8, Duration, Option<usize>)>,
}

impl Model {
    fn ask(&mut self, question: &Question) -> String {
        let now = self.clock.now();
        self.sessions.retain(|_, (_, until, _)| *until > now);
        match *question {
            Question::Load(id) => format!("{:?}", self.sessions.get(&id).map(|(text, ..)| text.to_string())),
            Question::Create(id, text, time) => {
                self.sessions.insert(id, (text, now + seconds(time), None));
                "()".to_owned()
            }
            Question::Replace(id, was, text, time) => {
                let replaced = match self.sessions.get_mut(&id) {
                    None => Replaced::Gone,
                    Some((found, until, _)) if *found == was => {
                        (*found, *until) = (text, now + seconds(time));
                        Replaced::Done
                    }
                    Some((found, ..)) => {
                        Replaced::Conflict { found: found.to_string(), now: found.to_string() }
                    }
                };
                format!("{replaced:?}")
            }
            Question::Touch(id, time) => {
                let session = self.sessions.get_mut(&id);
                format!("{:?}", session.map(|(_, until, _)| *until = now + seconds(time)).is_some())
            }
            Question::Destroy(id) => {
                self.sessions.remove(&id);
                "()".to_owned()
            }
            Question::Bind(user, id) => {
                if let Some((_, _, of)) = self.sessions.get_mut(&id) {
                    *of = Some(user);
                }
                "()".to_owned()
            }
            Question::DestroyAll(user, except) => {
                let before = self.sessions.len();
                self.sessions.retain(|id, (_, _, of)| *of != Some(user) || except == Some(*id));
                (before - self.sessions.len()).to_string()
            }
            Question::Pass(time) => {
                self.clock.advance(seconds(time));
                "()".to_owned()
            }
        }
    }
}

fn seconds(time: u64) -> Duration {
    Duration::from_secs(time)
}

const IDS: [&str; 4] = ["a", "ab", "b", "{}"];
const USERS: [&str; 2] = ["ann", "an"];
