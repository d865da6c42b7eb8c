//! A page of metrics, read as Prometheus would.

use std::collections::{BTreeMap, HashSet};

use crate::admin::ask;
use crate::gateway::Gateway;

/// A page of metrics: figures by name and labels, as they stand there.
pub(crate) struct Page(pub(super) BTreeMap<String, f64>);

impl Page {
    pub(crate) fn of(gateway: &Gateway) -> Self {
        let answer = ask(gateway.admin(), "GET /metrics", "", "");
        let (head, page) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
        read(page).unwrap_or_else(|fault| panic!("{fault}:\n{page}"))
    }

    /// 0 where there is none.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// Reads a page as strictly as `promtool check metrics`: each family once, with help, type and its samples together;
/// no sample twice; counters end in `_total`; buckets rise to the count.
fn read(page: &str) -> Result<Page, String> {
    let (mut families, mut samples) = (HashSet::new(), BTreeMap::new());
    let (mut family, mut kind) = (String::new(), String::new());
    if !page.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    for line in page.lines() {
        let fault = |why: &str| Err(format!("{why}: {line}"));
        if let Some(help) = line.strip_prefix("# HELP ") {
            let Some((name, text)) = help.split_once(' ') else { return fault("no help") };
            if !families.insert(name.to_owned()) || text.is_empty() {
                return fault("a family twice, or without help");
            }
            (family, kind) = (name.to_owned(), String::new());
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let Some((name, of)) = typed.split_once(' ') else { return fault("no type") };
            if name != family || !["counter", "gauge", "histogram"].contains(&of) {
                return fault("a type of another family, or none that there is");
            }
            if (of == "counter") != name.ends_with("_total") {
                return fault("a counter, and nothing else, is a total");
            }
            kind = of.to_owned();
        } else {
            let Some((sample, figure)) = line.rsplit_once(' ') else { return fault("no figure") };
            let name = sample.split('{').next().unwrap_or_default();
            let suffix = name.strip_prefix(&*family);
            match (&*kind, suffix) {
                ("counter" | "gauge", Some("")) | ("histogram", Some("_bucket" | "_sum" | "_count")) => {}
                _ => return fault("a sample outside its family"),
            }
            if let Some(labels) = sample.strip_prefix(name).filter(|labels| !labels.is_empty())
                && !are_labels(labels)
            {
                return fault("no labels");
            }
            let Ok(figure) = figure.parse::<f64>() else { return fault("no number") };
            if figure < 0.0 || samples.insert(sample.to_owned(), figure).is_some() {
                return fault("below nought, or twice");
            }
        }
    }
    for (sample, count) in samples.iter().filter(|(sample, _)| sample.contains("_count{")) {
        let buckets: Vec<_> = BOUNDS
            .iter()
            .map(|bound| sample.replace("_count{", "_bucket{").replace('}', &format!(",le=\"{bound}\"}}")))
            .map(|bucket| samples.get(&bucket).copied())
            .collect();
        if !buckets.is_sorted() || buckets.contains(&None) || buckets.last() != Some(&Some(*count)) {
            return Err(format!("buckets do not rise to {count}: {sample} {buckets:?}"));
        }
    }
    Ok(Page(samples))
}

/// `{name="value",…}`, a quotation mark and a backslash in a value escaped.
fn are_labels(text: &str) -> bool {
    let Some(mut rest) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else { return false };
    loop {
        let Some((name, value)) = rest.split_once("=\"") else { return false };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            return false;
        }
        let mut escaped = false;
        let end = value.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let Some(end) = end else { return false };
        match value[end + 1..].strip_prefix(',') {
            Some(more) => rest = more,
            None => return value.len() == end + 1,
        }
    }
}

#[test]
fn the_reader_of_this_test_refuses_what_prometheus_refuses() {
    let good = "# HELP a_total Help.\n# TYPE a_total counter\na_total{b=\"c\\\"d,\",e=\"f\"} 1\n";
    assert!(read(good).is_ok());
    for (what, with) in [
        ("a_total{", "b_total{"),
        ("# TYPE a_total counter\n", ""),
        ("counter", "summary"),
        ("counter", "gauge"),
        ("} 1\n", "} one\n"),
        ("} 1\n", "} 1"),
        ("} 1\n", "} -1\n"),
        ("\\\"", "\""),
        ("e=\"f\"", "e=f"),
        ("e=\"f\"}", "e=\"f\",}"),
        ("b=", "B="),
    ] {
        assert!(read(&good.replace(what, with)).is_err(), "{what:?} replaced with {with:?}");
    }
    assert!(read(&good.repeat(2)).is_err());
    let histogram = "# HELP h Help.\n# TYPE h histogram\nh_bucket{s=\"x\",le=\"+Inf\"} 1\nh_sum{s=\"x\"} 1.5\nh_count{s=\"x\"} 1\n";
    assert!(read(histogram).is_err(), "it lacks buckets");
}

const BOUNDS: [&str; 16] = [
    "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30",
    "60", "+Inf",
];
