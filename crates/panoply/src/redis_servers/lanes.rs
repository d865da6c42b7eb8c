//! Many questions in one write: a server that answers one by one spends more on reading and writing than on counting.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike, ConnectionManager};
use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::sync::oneshot;

type Answered = Result<Value, RedisError>;

/// Two connections to one server. Who asks while both are busy waits, and goes together with all who wait. So nobody
/// waits for a clock, the server has one batch to answer while the next is made, and batches are as large as it is
/// slow.
#[derive(Clone)]
pub(super) struct Lanes(Arc<Shared>);

struct Shared {
    lanes: [ConnectionManager; LANES],
    /// How long a question may wait for its turn.
    patience: Duration,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Which lanes have a carrier.
    busy: [bool; LANES],
    /// How many batches are on their way.
    away: usize,
}

struct Waiting {
    command: Cmd,
    asker: oneshot::Sender<Answered>,
    since: Instant,
}

impl Lanes {
    pub(super) fn new(lanes: [ConnectionManager; LANES], patience: Duration) -> Self {
        Self(Arc::new(Shared { lanes, patience, queue: Mutex::default() }))
    }

    /// For a question that goes alone.
    pub(super) fn first(&self) -> &ConnectionManager {
        let [first, ..] = &self.0.lanes;
        first
    }

    /// What the server says, be it an error of its own. A question whose asker goes away is carried out; one that has
    /// waited too long is not, whoever asked: its asker counts elsewhere by then.
    pub(super) async fn ask(&self, command: Cmd) -> Answered {
        let (asker, answered) = oneshot::channel();
        let waiting = Waiting { command, asker, since: now() };
        let lane = {
            let mut queue = self.0.queue();
            if queue.waiting.len() >= MOST_WAITING {
                return Err(broken("too many questions wait for the server"));
            }
            queue.waiting.push_back(waiting);
            queue.begin()
        };
        if let Some(lane) = lane {
            tokio::spawn(Carrier { shared: Arc::clone(&self.0), lane, state: State::Idle }.run());
        }
        answered.await.unwrap_or_else(|_| Err(broken("the connection's task has ended")))
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// A lane that is free, busy from now on.
    fn begin(&mut self) -> Option<usize> {
        let (lane, busy) = self.busy.iter_mut().enumerate().find(|(_, busy)| !**busy)?;
        *busy = true;
        Some(lane)
    }

    /// All that wait; but where the other lane has nothing on its way, it is left half: so the two take turns.
    fn batch(&mut self) -> Vec<Waiting> {
        let waiting = self.waiting.len();
        let most = if self.away == 0 { waiting.div_ceil(2) } else { waiting };
        self.waiting.drain(..most.min(MOST_TOGETHER)).collect()
    }
}

/// Carries batches on one lane for as long as somebody waits.
struct Carrier {
    shared: Arc<Shared>,
    lane: usize,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Idle,
    Away,
    Done,
}

impl Carrier {
    async fn run(mut self) {
        loop {
            // Whoever is about to ask in this turn of the runtime goes with it.
            tokio::task::yield_now().await;
            let Some((batch, askers)) = self.load() else { return };
            let answers = self.carry(&batch).await;
            self.unload();
            match answers {
                Ok(answers) => {
                    for (asker, answer) in askers.into_iter().zip(answers) {
                        // Who went away meanwhile wants no answer.
                        let _ = asker.send(Ok(answer));
                    }
                }
                Err(error) => {
                    for asker in askers {
                        let _ = asker.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    async fn carry(&self, batch: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let lane = self.shared.lanes.get(self.lane).or(self.shared.lanes.first());
        let Some(mut lane) = lane.cloned() else { return Err(broken("there is no connection")) };
        lane.req_packed_commands(batch, 0, batch.len()).await
    }

    /// In one step with the end of the carrier, so that nobody waits for one that has ended.
    fn load(&mut self) -> Option<(Pipeline, Vec<oneshot::Sender<Answered>>)> {
        let (batch, late) = {
            let (mut queue, now) = (self.shared.queue(), now());
            let late = queue.late(now, self.shared.patience);
            let batch = queue.batch();
            if batch.is_empty() {
                self.state = State::Done;
                queue.free(self.lane);
            } else {
                self.state = State::Away;
                queue.away += 1;
            }
            (batch, late)
        };
        for waiting in late {
            let _ = waiting.asker.send(Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        }
        if self.state == State::Done {
            return None;
        }
        let (mut pipeline, mut askers) =
            (Pipeline::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for waiting in batch {
            pipeline.add_command(waiting.command);
            askers.push(waiting.asker);
        }
        Some((pipeline, askers))
    }

    fn unload(&mut self) {
        self.state = State::Idle;
        self.shared.queue().away -= 1;
    }
}

/// A runtime that ends drops its tasks where they are.
impl Drop for Carrier {
    fn drop(&mut self) {
        if self.state == State::Away {
            self.unload();
        }
        if self.state != State::Done {
            self.shared.queue().free(self.lane);
        }
    }
}

impl Queue {
    /// Those who have waited too long. They came first.
    fn late(&mut self, now: Instant, patience: Duration) -> Vec<Waiting> {
        let is_late = |waiting: &Waiting| now.saturating_duration_since(waiting.since) >= patience;
        let late = self.waiting.iter().take_while(|waiting| is_late(waiting)).count();
        self.waiting.drain(..late).collect()
    }

    fn free(&mut self, lane: usize) {
        if let Some(busy) = self.busy.get_mut(lane) {
            *busy = false;
        }
    }
}

/// Like a connection that broke: it may be asked again.
fn broken(what: &'static str) -> RedisError {
    io::Error::new(io::ErrorKind::BrokenPipe, what).into()
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a server lets its askers wait is no decision of a shield"
)]
fn now() -> Instant {
    Instant::now()
}

pub(super) const LANES: usize = 2;

/// A server reads a batch whole before it answers the next.
const MOST_TOGETHER: usize = 1_024;

/// Each takes some 300 bytes. Behind so many nobody would be answered in time.
const MOST_WAITING: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_waited_too_long_is_not_asked_for_and_batches_take_turns() {
        let (start, second) = (now(), Duration::from_secs(1));
        let mut queue = Queue::default();
        for wait in [0, 1, 2, 3, 4, 5] {
            let (asker, _) = oneshot::channel();
            queue.waiting.push_back(Waiting { command: Cmd::new(), asker, since: start + wait * second });
        }
        assert_eq!(queue.late(start + 2 * second, 3 * second).len(), 0);
        assert_eq!(queue.late(start + 4 * second, 3 * second).len(), 2);
        assert_eq!(queue.batch().len(), 2, "half of four");
        queue.away = 1;
        assert_eq!(queue.batch().len(), 2, "all that are left");
        assert_eq!(queue.batch().len(), 0);
    }
}
