//! Figures for Prometheus, in its text format 0.0.4.
//!
//! Written by hand: the format is a line a figure, while a crate would bring registries and counters of its own, and
//! those of the shield are what has to be shown.

mod histogram;
mod traffic;

use std::collections::BTreeMap;
use std::fmt::Write;

use panoply::counters::State;
use panoply::metrics::Tally;
use panoply::{Metrics, Practice, store};

use crate::acme::Tally as Orders;
use crate::cuts::{Cut, Unmet};
use crate::dependencies::Standing;
use crate::reload::Tally as Reloads;
use crate::upstream::Figure;
use histogram::Spread;
pub(crate) use traffic::{Measured, Traffic};

/// What there is to show.
pub(crate) struct Figures<'f> {
    pub(crate) metrics: &'f Metrics,
    /// By site.
    pub(crate) traffic: Vec<(&'f str, traffic::Figure)>,
    pub(crate) connections: usize,
    /// Why connections were closed, and how many.
    pub(crate) cuts: [(&'static str, u64); Cut::ALL.len()],
    /// Why handshakes came to nothing, and how many.
    pub(crate) unmet: [(&'static str, u64); Unmet::ALL.len()],
    pub(crate) bans: usize,
    /// Where certificates are ordered.
    pub(crate) orders: Option<&'f Orders>,
    pub(crate) store: &'f str,
    /// By what is kept there.
    pub(crate) stores: Vec<(&'static str, store::Standing)>,
    /// Where there is an access log.
    pub(crate) lines_dropped: Option<u64>,
    /// Where there is a store that may fail.
    pub(crate) insured: Option<State>,
    /// Where somebody has audited the app.
    pub(crate) dependencies: Option<Standing>,
    pub(crate) reloads: Reloads,
    /// The state of each place of an app, by its site and its address.
    pub(crate) upstreams: BTreeMap<(String, String), Figure>,
    /// When the certificate of each name ends, in seconds since 1970.
    pub(crate) certificates: Vec<(String, u64)>,
}

/// The page that Prometheus reads.
pub(crate) fn page(figures: &Figures<'_>) -> String {
    let mut page = String::new();
    let metrics = figures.metrics;
    let practices = Practice::ALL.into_iter().map(Some).chain([None]);
    let said = practices.flat_map(|practice| {
        let name = practice.map_or("app", Practice::name);
        verdicts(metrics.of(practice))
            .map(|(verdict, count)| (format!("practice=\"{name}\",verdict=\"{verdict}\""), count))
    });
    family(&mut page, "panoply_verdicts_total", "counter", "What each practice said of requests.", said);
    let rules = metrics.rules().into_iter().flat_map(|rule| {
        let labels = format!("practice=\"{}\",rule=\"{}\"", rule.practice, escaped(&rule.rule));
        verdicts(rule.tally)
            .into_iter()
            .skip(1) // a rule is not asked what it admits
            .map(|(verdict, count)| (format!("{labels},verdict=\"{verdict}\""), count))
            .collect::<Vec<_>>()
    });
    family(&mut page, "panoply_rule_verdicts_total", "counter", "What each rule refused.", rules);
    let guesses = metrics.guesses();
    let guesses = [("right", guesses.right), ("wrong", guesses.wrong), ("unclear", guesses.unclear)]
        .map(|(outcome, count)| (format!("outcome=\"{outcome}\""), count));
    family(&mut page, "panoply_guesses_total", "counter", "How tries to log in ended.", guesses);
    traffic(&mut page, &figures.traffic);
    let gauge = |count: usize| [(String::new(), count as u64)];
    let connections = gauge(figures.connections);
    family(&mut page, "panoply_connections", "gauge", "Visitors' connections that are open.", connections);
    let cuts = figures.cuts.iter().map(|(reason, count)| (format!("reason=\"{reason}\""), *count));
    let help = "Connections that the gateway closed, by what was too much.";
    family(&mut page, "panoply_connections_cut_total", "counter", help, cuts);
    let unmet = figures.unmet.iter().map(|(reason, count)| (format!("reason=\"{reason}\""), *count));
    let help = "Handshakes that came to nothing, but for those that took too long: these are cut.";
    family(&mut page, "panoply_handshakes_failed_total", "counter", help, unmet);
    family(&mut page, "panoply_bans", "gauge", "Networks that operators keep out.", gauge(figures.bans));
    let ends = figures.certificates.iter().map(|(name, end)| (format!("name=\"{}\"", escaped(name)), *end));
    let help = "When the certificate for a name ends, in seconds since 1970.";
    family(&mut page, "panoply_certificate_not_after_seconds", "gauge", help, ends);
    upstreams(&mut page, &figures.upstreams);
    stores(&mut page, figures.store, &figures.stores);
    let Reloads { taken, refused, failing, success } = figures.reloads;
    let ended =
        [("taken", taken), ("refused", refused)].map(|(by, count)| (format!("result=\"{by}\""), count));
    let help = "Configurations that were taken into use while running, or refused.";
    family(&mut page, "panoply_reloads_total", "counter", help, ended);
    let help = "Whether the last configuration that was found was refused.";
    family(&mut page, "panoply_reload_failed", "gauge", help, [(String::new(), failing)]);
    let help = "When what is served was taken into use, in seconds since 1970.";
    family(&mut page, "panoply_reload_success_seconds", "gauge", help, [(String::new(), success)]);
    if let Some(dropped) = figures.lines_dropped {
        let name = "panoply_access_log_dropped_total";
        let help = "Lines of the access log that were never written.";
        family(&mut page, name, "counter", help, [(String::new(), dropped)]);
    }
    if let Some(orders) = figures.orders {
        let ended = orders.orders().map(|(result, count)| (format!("result=\"{result}\""), count));
        family(&mut page, "panoply_acme_orders_total", "counter", "How orders of certificates ended.", ended);
        let name = "panoply_acme_next_seconds";
        let next = [(String::new(), orders.next())];
        family(
            &mut page,
            name,
            "gauge",
            "When there is something to order or to ask again, since 1970.",
            next,
        );
    }
    if let Some(State { outages, owed, insured, spared, .. }) = figures.insured {
        family(
            &mut page,
            "panoply_store_outages_total",
            "counter",
            "How often the store began to fail.",
            [(String::new(), outages)],
        );
        let name = "panoply_store_owed";
        family(
            &mut page,
            name,
            "gauge",
            "Keys that the store is to be told of when it answers.",
            gauge(owed),
        );
        let answers =
            [("insurance", insured), ("memory", spared)].map(|(by, count)| (format!("by=\"{by}\""), count));
        let name = "panoply_store_spared_total";
        let help = "Answers given without the store: for it failed, or for the key was known to be blocked.";
        family(&mut page, name, "counter", help, answers);
    }
    if let Some(standing) = figures.dependencies {
        let counts = standing.counts().map(|(name, count)| (format!("severity=\"{name}\""), count as u64));
        let name = "panoply_dependency_holes";
        family(&mut page, name, "gauge", "Known holes of the packages that the app installs.", counts);
        let help = "Reasons for which the app's packages may have other holes.";
        family(&mut page, "panoply_dependency_doubts", "gauge", help, gauge(standing.doubts));
    }
    page
}

/// What each site's requests came to, and how long they took.
fn traffic(page: &mut String, sites: &[(&str, traffic::Figure)]) {
    let outcomes = sites.iter().flat_map(|(site, figure)| {
        figure
            .outcomes()
            .map(move |(outcome, count)| (format!("site=\"{}\",status=\"{outcome}\"", escaped(site)), count))
    });
    let help = "Requests by the class of their answer; gone: the visitor was, before there was one.";
    family(page, "panoply_requests_total", "counter", help, outcomes);
    let help = "From the head of a request to the head of its answer.";
    histogram(
        page,
        "panoply_request_seconds",
        help,
        sites.iter().map(|(site, figure)| (*site, figure.whole)),
    );
    let help = "From when the app could be asked, or a body was whole, to the head of the app's answer.";
    histogram(page, "panoply_app_seconds", help, sites.iter().map(|(site, figure)| (*site, figure.app)));
}

fn histogram<'s>(page: &mut String, name: &str, help: &str, sites: impl Iterator<Item = (&'s str, Spread)>) {
    family(page, name, "histogram", help, []);
    for (site, spread) in sites {
        let site = escaped(site);
        for (bound, count) in spread.buckets() {
            let _ = writeln!(page, "{name}_bucket{{site=\"{site}\",le=\"{bound}\"}} {count}");
        }
        let (sum, count) = (spread.sum(), spread.count());
        let (seconds, nanos) = (sum.as_secs(), sum.subsec_nanos());
        let _ = writeln!(page, "{name}_sum{{site=\"{site}\"}} {seconds}.{nanos:09}");
        let _ = writeln!(page, "{name}_count{{site=\"{site}\"}} {count}");
    }
}

fn verdicts(tally: Tally) -> [(&'static str, u64); 3] {
    [("admitted", tally.admitted), ("refused", tally.refused), ("observed", tally.observed)]
}

fn family(
    page: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: impl IntoIterator<Item = (String, u64)>,
) {
    // A String takes whatever is written.
    let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    for (labels, value) in samples {
        let _ = match labels.as_str() {
            "" => writeln!(page, "{name} {value}"),
            labels => writeln!(page, "{name}{{{labels}}} {value}"),
        };
    }
}

/// The store, once for each that asks it: each finds out for itself.
fn stores(page: &mut String, kind: &str, stores: &[(&str, store::Standing)]) {
    let each = |value: fn(&store::Standing) -> Option<u64>| {
        stores.iter().filter_map(move |(of, standing)| {
            Some((format!("kind=\"{}\",of=\"{of}\"", escaped(kind)), value(standing)?))
        })
    };
    let help = "Whether the store is asked; 0: it failed, and each machine goes on by itself.";
    family(page, "panoply_store_up", "gauge", help, each(|standing| Some(u64::from(standing.is_up))));
    let help = "Questions to the store.";
    family(page, "panoply_store_asked_total", "counter", help, each(|standing| Some(standing.asked)));
    let help = "Questions that the store gave no answer to.";
    family(page, "panoply_store_failed_total", "counter", help, each(|standing| Some(standing.failed)));
    let help = "When the store last gave no answer, in seconds since 1970.";
    let failed_at = |standing: &store::Standing| standing.failed_at.map(|at| at.as_secs());
    family(page, "panoply_store_failed_seconds", "gauge", help, each(failed_at));
}

/// The places of apps.
fn upstreams(page: &mut String, upstreams: &BTreeMap<(String, String), Figure>) {
    let each = |value: fn(&Figure) -> u64| {
        upstreams.iter().map(move |((site, upstream), figure)| (place(site, upstream), value(figure)))
    };
    let help = "Whether an upstream is asked; 0: it is left out.";
    family(page, "panoply_upstream_up", "gauge", help, each(|figure| u64::from(!figure.left_out)));
    let help = "Requests that wait for the head of an upstream's answer.";
    family(page, "panoply_upstream_waiting", "gauge", help, each(|figure| figure.waiting));
    let failures = upstreams.iter().flat_map(|((site, upstream), figure)| {
        let kinds = ["refused", "broken", "slow"].into_iter().zip(figure.failures);
        kinds.map(|(kind, count)| (format!("{},failure=\"{kind}\"", place(site, upstream)), count))
    });
    let help = "Requests that an upstream gave no answer to.";
    family(page, "panoply_upstream_failures_total", "counter", help, failures);
    let help = "Requests that came to an upstream after another had failed.";
    family(page, "panoply_upstream_sent_again_total", "counter", help, each(|figure| figure.sent_again));
    let help = "Requests that an upstream did not get, since as many waited as may.";
    family(page, "panoply_upstream_turned_away_total", "counter", help, each(|figure| figure.turned_away));
}

fn place(site: &str, upstream: &str) -> String {
    format!("site=\"{}\",upstream=\"{}\"", escaped(site), escaped(upstream))
}

/// As a label's value is written.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use panoply::store::Health;

    use super::*;
    use crate::cuts::Cuts;

    #[test]
    fn the_page_is_a_line_a_figure() {
        let metrics = Metrics::default();
        metrics.count_guess(panoply::metrics::Guessed::Wrong);
        let health = Health::new("counts", "");
        health.answered();
        health.failed(std::time::Duration::from_millis(1_700_000_001_900));
        let down = health.standing();
        let page = page(&Figures {
            metrics: &metrics,
            traffic: Traffic::after(None, &crate::Config::default()).figures(),
            connections: 3,
            cuts: Cuts::default().all(),
            unmet: Cuts::default().unmet.all(),
            bans: 1,
            orders: Some(&Orders::default()),
            store: "redis",
            stores: vec![("counts", down)],
            lines_dropped: Some(2),
            insured: None,
            reloads: Reloads { taken: 4, refused: 1, failing: 0, success: 1_700_000_000 },
            dependencies: Some(Standing { critical: 2, ..Standing::default() }),
            upstreams: BTreeMap::from([(
                ("shop.example".to_owned(), "http://127.0.0.1:3000".to_owned()),
                Figure { waiting: 7, failures: [1, 2, 3], ..Figure::default() },
            )]),
            certificates: vec![("*.shop.example".to_owned(), 1_800_000_000)],
        });
        for line in [
            "# TYPE panoply_verdicts_total counter",
            "panoply_verdicts_total{practice=\"csrf\",verdict=\"refused\"} 0",
            "panoply_verdicts_total{practice=\"app\",verdict=\"refused\"} 0",
            "panoply_guesses_total{outcome=\"wrong\"} 1",
            "panoply_requests_total{site=\"any host\",status=\"2xx\"} 0",
            "panoply_request_seconds_bucket{site=\"any host\",le=\"+Inf\"} 0",
            "panoply_app_seconds_sum{site=\"no site\"} 0.000000000",
            "panoply_handshakes_failed_total{reason=\"terms\"} 0",
            "panoply_connections 3",
            "panoply_reloads_total{result=\"taken\"} 4",
            "panoply_reload_failed 0",
            "panoply_reload_success_seconds 1700000000",
            "panoply_connections_cut_total{reason=\"client\"} 0",
            "panoply_access_log_dropped_total 2",
            "panoply_acme_orders_total{result=\"issued\"} 0",
            "panoply_certificate_not_after_seconds{name=\"*.shop.example\"} 1800000000",
            "panoply_upstream_up{site=\"shop.example\",upstream=\"http://127.0.0.1:3000\"} 1",
            "panoply_upstream_waiting{site=\"shop.example\",upstream=\"http://127.0.0.1:3000\"} 7",
            "panoply_upstream_failures_total{site=\"shop.example\",upstream=\"http://127.0.0.1:3000\",failure=\"slow\"} 3",
            "panoply_store_up{kind=\"redis\",of=\"counts\"} 0",
            "panoply_store_asked_total{kind=\"redis\",of=\"counts\"} 2",
            "panoply_store_failed_total{kind=\"redis\",of=\"counts\"} 1",
            "panoply_store_failed_seconds{kind=\"redis\",of=\"counts\"} 1700000001",
            "panoply_dependency_holes{severity=\"critical\"} 2",
            "panoply_dependency_doubts 0",
        ] {
            assert!(page.lines().any(|written| written == line), "{line}:\n{page}");
        }
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
