//! Three places of one app, and visitors of whom each request is remembered.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::Full;

use crate::client::Client;
use crate::gateway::PATIENCE;
use crate::node::Node;
use crate::scratch::Scratch;

pub(super) const NAMES: [&str; 3] = ["red", "green", "blue"];

/// More than so many requests are a load, however long they take.
const LOAD: usize = 200;

/// Three places of one app, and what came to them.
pub(super) struct Places {
    pub(super) nodes: Vec<Node>,
    pub(super) ledger: PathBuf,
    _folder: Scratch,
}

impl Places {
    pub(super) fn start() -> Self {
        let folder = Scratch::new();
        let ledger = folder.path().join("ledger");
        fs::write(&ledger, "").unwrap();
        let start =
            |name| Node::start_with("place.js", &[("NAME", name), ("LEDGER", ledger.to_str().unwrap())]);
        Self { nodes: NAMES.map(start).into(), ledger, _folder: folder }
    }

    pub(super) fn start_again(&mut self, index: usize) {
        let environment = [("NAME", NAMES[index]), ("LEDGER", self.ledger.to_str().unwrap())];
        self.nodes[index].start_again("place.js", &environment);
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// `GET /path name`, a line a request.
    pub(super) fn came(&self) -> Vec<String> {
        fs::read_to_string(&self.ledger).unwrap().lines().map(str::to_owned).collect()
    }
}

/// Visitors who read and write, one after the other on connections that they keep.
pub(crate) struct Load {
    ended: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    visitors: Vec<tokio::task::JoinHandle<Vec<Asking>>>,
}

impl Load {
    pub(crate) fn begin(client: &Client) -> Self {
        Self::of(8, client)
    }

    pub(crate) fn of(visitors: usize, client: &Client) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (numbers, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let visitor = |number: usize| {
            let (client, ended, numbers) = (client.clone(), Arc::clone(&ended), Arc::clone(&numbers));
            let answered = Arc::clone(&answered);
            tokio::spawn(async move {
                let mut kept = client.keep(number.is_multiple_of(2)).await;
                let mut asked = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    let path = format!("/{}", numbers.fetch_add(1, Ordering::Relaxed));
                    let method = if asked.len() % 4 == 3 { "POST" } else { "GET" };
                    let request =
                        Request::builder().method(method).uri(&*path).body(Full::default()).unwrap();
                    let begun = Instant::now();
                    let status = client.ask_on(&mut kept, request).await.status.as_u16();
                    let (request, took) = (format!("{method} {path}"), begun.elapsed());
                    asked.push(Asking { request, status, begun, took });
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                asked
            })
        };
        Self { visitors: (0..visitors).map(visitor).collect(), ended, answered }
    }

    pub(crate) async fn end(self) -> Asked {
        let deadline = Instant::now() + PATIENCE;
        while self.answered.load(Ordering::Relaxed) <= LOAD && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.ended.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for visitor in self.visitors {
            all.extend(visitor.await.unwrap());
        }
        Asked(all)
    }
}

/// A request, and what became of it.
pub(crate) struct Asking {
    request: String,
    status: u16,
    pub(crate) begun: Instant,
    pub(crate) took: Duration,
}

pub(crate) struct Asked(pub(crate) Vec<Asking>);

impl Asked {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// What half of them took at the most, and what the slowest took.
    pub(crate) fn times(&self) -> (Duration, Duration) {
        let mut times: Vec<_> = self.0.iter().map(|asking| asking.took).collect();
        times.sort();
        (times[times.len() / 2], *times.last().unwrap())
    }

    /// Every read was answered, every write came once at the most, and exactly once if it was answered; the others got
    /// one of `lost`.
    pub(crate) fn check(&self, all: &[String], lost: &[u16]) {
        let mut came: HashMap<String, usize> = HashMap::new();
        for line in all {
            *came.entry(line.rsplit_once(' ').unwrap().0.to_owned()).or_default() += 1;
        }
        assert!(self.0.len() > LOAD, "{} requests are no load", self.0.len());
        for Asking { request, status, .. } in &self.0 {
            let times = came.get(request).copied().unwrap_or(0);
            if request.starts_with("GET") {
                assert_eq!(*status, 200, "{request}, which came {times} times");
                assert!(times <= 2, "{request} came {times} times");
            } else {
                assert!(times <= 1, "{request} came {times} times");
                assert!(
                    lost.contains(status) || (*status == 200 && times == 1),
                    "{request}: {status}, {times}"
                );
            }
        }
    }
}
