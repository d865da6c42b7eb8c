use std::net::IpAddr;
use std::time::Duration;

use panoply::metrics::Said;
use panoply::{Passage, Practice};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Asked;
use super::crowd::{Crowd, Household, Leaders};
use super::line::{Host, Somebody};
use super::order::Place;
use super::report::{Client, Complaint, Count, NotJudged, Report, Rule, Site};
use crate::config::{Config, HostName};

/// What was said so far.
#[derive(Debug)]
pub(super) struct Tally {
    /// All that is counted already; the rest is made of what follows.
    report: Report,
    span: Option<Span>,
    crowd: Crowd,
    rows: Vec<Row>,
    names_hosts: bool,
    /// Of each kind, how many are shown.
    shown: [usize; 2],
}

/// What one rule of a practice said.
#[derive(Debug)]
struct Row {
    practice: &'static str,
    rule: Option<String>,
    refused: u64,
    observed: u64,
    answered: u64,
    crowd: Crowd,
    leaders: Leaders,
    span: Span,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    first: Duration,
    last: Duration,
}

impl Tally {
    pub(super) fn new(config: &Config, not_judged: Vec<NotJudged>) -> Self {
        let name = |hosts: &[HostName]| hosts.first().map_or("any host", HostName::as_str).to_owned();
        let site = |name| Site { site: name, ..Site::default() };
        let mut sites: Vec<_> = config.sites.iter().map(|of| site(name(&of.hosts))).collect();
        if sites.is_empty() {
            sites.push(site(name(&[])));
        }
        Self {
            report: Report { sites, not_judged, ..Report::default() },
            span: None,
            crowd: Crowd::default(),
            rows: Vec::new(),
            names_hosts: false,
            shown: [0; 2],
        }
    }

    /// Another log begins; which it is.
    pub(super) fn begin(&mut self, name: &str) -> usize {
        self.report.logs.push(name.to_owned());
        self.report.logs.len() - 1
    }

    pub(super) fn line(&mut self) {
        self.report.lines += 1;
    }

    pub(super) const fn lines(&self) -> u64 {
        self.report.lines
    }

    /// What the server then has answered all the same, the gateway would not.
    pub(super) fn no_request(&mut self, who: &Somebody) {
        if !was_answered(who.status) {
            self.report.no_request += 1;
            return;
        }
        let household = self.came(who.at, who.client);
        self.report.refused += 1;
        self.row(HTTP, None, who.at).hit(Said::Refused, household, true, who.at);
    }

    pub(super) fn unreadable(&mut self, place: Place, why: &str) {
        self.report.unreadable += 1;
        self.complain(0, place, why);
    }

    pub(super) fn late(&mut self, place: Place) {
        self.report.late += 1;
        self.complain(1, place, "it is of an earlier time than the lines before it");
    }

    pub(super) fn judged(&mut self, at: Duration, site: usize, asked: &Asked, passage: &Passage) {
        let household = self.came(at, asked.client);
        self.names_hosts |= matches!(asked.host, Host::Named(_)) || asked.uri.authority().is_some();

        let is_refused = passage.refused().is_some();
        let is_observed = !is_refused && !passage.verdicts.is_empty();
        self.report.refused += u64::from(is_refused);
        self.report.observed += u64::from(is_observed);
        if let Some(site) = self.report.sites.get_mut(site) {
            site.judged += 1;
            site.refused += u64::from(is_refused);
            site.observed += u64::from(is_observed);
        }
        for verdict in &passage.verdicts {
            let practice = verdict.practice.map_or(APP, Practice::name);
            let row = self.row(practice, verdict.rule.as_deref(), at);
            row.hit(verdict.said, household, was_answered(asked.status), at);
        }
    }

    pub(super) fn report(mut self) -> Report {
        self.rows.sort_by_key(|row| std::cmp::Reverse((row.refused, row.observed)));
        let mut report = self.report;
        report.rules = self.rows.iter().map(Row::told).collect();
        report.first = self.span.map(|span| rfc_3339(span.first));
        report.last = self.span.map(|span| rfc_3339(span.last));
        let (count, exact) = self.crowd.count();
        report.clients = Count { count, exact };
        if !self.names_hosts && report.judged > 0 {
            report.not_judged.push(NotJudged::new("hosts", "no line says which host was asked for"));
        }
        if count == 1 && report.judged >= A_CROWD {
            report.notes.push(
                "all requests come from one address: if that is a proxy's, limits by address are judged as if \
                 all were one client"
                    .to_owned(),
            );
        }
        if report.late > 0 {
            report.notes.push(
                "lines are out of order, and were not judged: name the older log before the newer".to_owned(),
            );
        }
        report
    }

    fn came(&mut self, at: Duration, client: IpAddr) -> Household {
        let household = Household::of(client);
        self.report.judged += 1;
        self.span = Some(self.span.map_or(Span { first: at, last: at }, |span| span.with(at)));
        self.crowd.add(household);
        household
    }

    /// Only operators name rules, so that there are no more of these than the configuration has.
    fn row(&mut self, practice: &'static str, rule: Option<&str>, at: Duration) -> &mut Row {
        let known = self.rows.iter().position(|row| row.practice == practice && row.rule.as_deref() == rule);
        let place = known.unwrap_or(self.rows.len());
        if place == self.rows.len() {
            self.rows.push(Row::new(practice, rule, at));
        }
        #[expect(clippy::indexing_slicing, reason = "it was found there, or just put there")]
        &mut self.rows[place]
    }

    fn complain(&mut self, kind: usize, place: Place, why: &str) {
        let Some(shown) = self.shown.get_mut(kind).filter(|shown| **shown < SHOWN) else { return };
        *shown += 1;
        let log = self.report.logs.get(place.log).cloned().unwrap_or_default();
        self.report.complaints.push(Complaint { log, line: place.line, why: why.to_owned() });
    }
}

impl Row {
    fn new(practice: &'static str, rule: Option<&str>, at: Duration) -> Self {
        Self {
            practice,
            rule: rule.map(str::to_owned),
            refused: 0,
            observed: 0,
            answered: 0,
            crowd: Crowd::default(),
            leaders: Leaders::default(),
            span: Span { first: at, last: at },
        }
    }

    fn hit(&mut self, said: Said, household: Household, was_answered: bool, at: Duration) {
        match said {
            Said::Refused => self.refused += 1,
            Said::Observed => self.observed += 1,
            Said::Admitted => return,
        }
        self.answered += u64::from(was_answered);
        self.crowd.add(household);
        self.leaders.add(household, was_answered);
        self.span = self.span.with(at);
    }

    fn told(&self) -> Rule {
        let all = self.refused + self.observed;
        #[expect(clippy::cast_precision_loss, reason = "it is a share")]
        let share = |hit: u64| hit as f64 / all.max(1) as f64;
        let most = self.leaders.first(LEADERS).into_iter().map(|(household, lead)| Client {
            client: household.shown(),
            hit: lead.certain,
            answered: lead.answered,
            share: share(lead.certain),
        });
        let (count, exact) = self.crowd.count();
        Rule {
            practice: self.practice,
            rule: self.rule.clone(),
            refused: self.refused,
            observed: self.observed,
            answered: self.answered,
            clients: Count { count, exact },
            first: rfc_3339(self.span.first),
            last: rfc_3339(self.span.last),
            most: most.collect(),
        }
    }
}

impl Span {
    fn with(self, at: Duration) -> Self {
        Self { first: self.first.min(at), last: self.last.max(at) }
    }
}

/// Whether somebody got what he wanted.
fn was_answered(status: Option<u16>) -> bool {
    status.is_some_and(|status| (200..400).contains(&status))
}

/// In whole seconds.
fn rfc_3339(since_1970: Duration) -> String {
    let seconds = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok();
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

/// What stands for the practice where none has refused: the gateway, which has no answer of the app's; and its HTTP.
const APP: &str = "app";
const HTTP: &str = "http";

/// Complaints of one kind that a report has.
const SHOWN: usize = 10;
/// Clients that a report names for each rule.
const LEADERS: usize = 5;
/// Requests from which on it is strange that they have one client.
const A_CROWD: u64 = 100;
