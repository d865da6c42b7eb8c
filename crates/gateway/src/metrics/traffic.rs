//! What the requests of each site came to, and how long they took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;

use super::histogram::{Histogram, Spread};
use crate::clock;
use crate::config::Config;
use crate::parts::Parts;

/// The requests of every site of the configuration. A visitor's words never become a label.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    /// By the site's place.
    sites: Vec<(String, Arc<Measured>)>,
    /// Of those who ask for a name that no site has.
    nobodys: Arc<Measured>,
}

impl Traffic {
    /// For the sites of `config`; what `before` counted for sites of the same names goes on.
    pub(crate) fn after(before: Option<&Self>, config: &Config) -> Self {
        let known = |name: &String| before?.sites.iter().find(|(known, _)| known == name);
        let site = |index| {
            let name = config.site_name(index).to_owned();
            let measured = known(&name).map(|(_, measured)| Arc::clone(measured)).unwrap_or_default();
            (name, measured)
        };
        let nobodys = before.map(|before| Arc::clone(&before.nobodys)).unwrap_or_default();
        Self { sites: (0..config.sites.len().max(1)).map(site).collect(), nobodys }
    }

    pub(crate) fn of(&self, site: usize) -> &Measured {
        self.sites.get(site).map_or(&self.nobodys, |(_, measured)| measured)
    }

    /// Begins to measure a request. It is counted whatever becomes of it.
    pub(crate) fn begin(&self, site: usize) -> Asked<'_> {
        Asked { traffic: self, site: Some(site), began: clock::nanos(), outcome: Outcome::Gone }
    }

    pub(crate) fn figures(&self) -> Vec<(&str, Figure)> {
        let sites = self.sites.iter().map(|(name, measured)| (&**name, measured.figure()));
        sites.chain([(NOBODYS, self.nobodys.figure())]).collect()
    }
}

/// A request on its way through the gateway.
#[derive(Debug)]
pub(crate) struct Asked<'t> {
    traffic: &'t Traffic,
    /// `None`: no site has the name.
    site: Option<usize>,
    began: u64,
    outcome: Outcome,
}

impl Asked<'_> {
    pub(crate) const fn of_no_site(&mut self) {
        self.site = None;
    }

    /// The head of the answer is there.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.outcome = Outcome::of(status);
    }
}

/// Who gave up has waited, too: without him a stalled app would look well.
impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let took = Duration::from_nanos(clock::nanos().saturating_sub(self.began));
        let part = self.site.map_or(&*self.traffic.nobodys, |site| self.traffic.of(site)).0.mine();
        part.whole.add(took);
        if let Some(count) = part.outcomes.get(self.outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Counts of one site.
#[derive(Debug, Default)]
pub(crate) struct Measured(Parts<Part>);

impl Measured {
    /// Begins to wait for the app. `whole`: when the body of the request had its end ([`clock::nanos`]; 0: not yet),
    /// where it has a body.
    pub(crate) fn wait<'m>(&'m self, whole: Option<&'m AtomicU64>) -> Waiting<'m> {
        Waiting { measured: self, began: clock::nanos(), whole }
    }

    fn figure(&self) -> Figure {
        self.0.all().fold(Figure::default(), |mut figure, part| {
            figure.whole = figure.whole.and(part.whole.spread());
            figure.app = figure.app.and(part.app.spread());
            for (count, counted) in figure.outcomes.iter_mut().zip(&part.outcomes) {
                *count += counted.load(Ordering::Relaxed);
            }
            figure
        })
    }
}

/// The time in which the app has the request and we have no answer; it ends when this is dropped. While the visitor
/// still sends, it is he who is waited for; what the app answers before it had all of a request is not measured.
#[derive(Debug)]
pub(crate) struct Waiting<'m> {
    measured: &'m Measured,
    began: u64,
    whole: Option<&'m AtomicU64>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let began = match self.whole.map(|whole| whole.load(Ordering::Relaxed)) {
            None => self.began,
            Some(0) => return,
            Some(whole) => whole.max(self.began),
        };
        let took = Duration::from_nanos(clock::nanos().saturating_sub(began));
        self.measured.0.mine().app.add(took);
    }
}

/// One thread's counts, and on no cache line of another's.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part {
    whole: Histogram,
    app: Histogram,
    outcomes: [AtomicU64; Outcome::ALL.len()],
}

/// What a site's requests came to until now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figure {
    /// From the head of a request to the head of its answer.
    pub(super) whole: Spread,
    /// The app's part of it.
    pub(super) app: Spread,
    outcomes: [u64; Outcome::ALL.len()],
}

impl Figure {
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Outcome::ALL.into_iter().map(Outcome::name).zip(self.outcomes)
    }
}

/// How a request ended, by the class of its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Also a change of the protocol.
    Informational,
    Success,
    Redirection,
    VisitorsFault,
    ServersFault,
    /// The visitor was gone before there was an answer.
    Gone,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Informational,
        Self::Success,
        Self::Redirection,
        Self::VisitorsFault,
        Self::ServersFault,
        Self::Gone,
    ];

    fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            ..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::VisitorsFault,
            _ => Self::ServersFault,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::VisitorsFault => "4xx",
            Self::ServersFault => "5xx",
            Self::Gone => "gone",
        }
    }
}

/// No host has a space in its name.
const NOBODYS: &str = "no site";

#[cfg(test)]
mod tests {
    use super::*;

    fn config(hosts: &[&str]) -> Config {
        let sites = hosts.iter().map(|host| format!("[[site]]\nhosts = ['{host}']\nupstream = 'http://a'\n"));
        Config::parse(&sites.collect::<String>()).unwrap()
    }

    fn count(traffic: &Traffic, site: &str, outcome: &str) -> u64 {
        let figures = traffic.figures();
        let (_, figure) = figures.iter().find(|(name, _)| *name == site).expect(site);
        assert_eq!(figure.whole.count(), figure.outcomes.iter().sum::<u64>(), "{site}");
        figure.outcomes().find(|(name, _)| *name == outcome).expect(outcome).1
    }

    #[test]
    fn each_request_is_counted_once_for_its_site_also_one_that_was_given_up_on() {
        let traffic = Traffic::after(None, &config(&["shop.example", "blog.example"]));
        std::thread::scope(|scope| {
            for _ in 0..80 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        traffic.begin(0).answered(StatusCode::OK);
                        traffic.begin(1).answered(StatusCode::NOT_FOUND);
                        drop(traffic.begin(1));
                        traffic.begin(0).of_no_site();
                    }
                });
            }
        });
        for (site, outcome, number) in [
            ("shop.example", "2xx", 8_000),
            ("shop.example", "4xx", 0),
            ("blog.example", "4xx", 8_000),
            ("blog.example", "gone", 8_000),
            (NOBODYS, "gone", 8_000),
        ] {
            assert_eq!(count(&traffic, site, outcome), number, "{site} {outcome}");
        }
    }

    #[test]
    fn what_was_counted_goes_on_after_a_reload_and_ends_with_its_site() {
        let before = Traffic::after(None, &config(&["shop.example", "blog.example"]));
        before.begin(1).answered(StatusCode::OK);
        let after = Traffic::after(Some(&before), &config(&["blog.example", "new.example"]));
        before.begin(1).answered(StatusCode::OK); // on a connection of before
        assert_eq!(count(&after, "blog.example", "2xx"), 2);
        assert_eq!(count(&after, "new.example", "2xx"), 0);
        assert!(!after.figures().iter().any(|(name, _)| *name == "shop.example"));
    }

    #[test]
    fn the_app_is_not_blamed_for_a_visitor_who_sends_slowly() {
        let measured = Measured::default();
        let long_ago = || clock::nanos().saturating_sub(5_000_000_000).max(1);
        let (sending, sent) = (AtomicU64::new(0), AtomicU64::new(clock::nanos()));
        for (whole, count) in [(Some(&sending), 0), (Some(&sent), 1), (None, 2)] {
            let mut waiting = measured.wait(whole);
            waiting.began = long_ago();
            drop(waiting);
            assert_eq!(measured.figure().app.count(), count, "{whole:?}");
        }
        let sum = measured.figure().app.sum();
        assert!(sum < Duration::from_secs(9), "what was sent slowly counts from its end: {sum:?}");
    }
}
