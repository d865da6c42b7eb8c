//! OSV's events made into spans.
//!
//! Events come in any order. What they mean is defined by walking them sorted (OSV schema, "evaluation"): from each
//! `introduced` on versions are affected, from `fixed` on not any more, nor after `last_affected`.

use std::collections::BTreeMap;

use super::advisory::{End, Span};
use super::version::Version;

/// One event; the schema has no other kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Fixed(String),
    Introduced(String),
    LastAffected(String),
    Limit(String),
}

impl Event {
    /// An event has one field.
    pub(super) fn of(fields: &BTreeMap<String, String>) -> Option<Self> {
        let mut fields = fields.iter();
        let (kind, version) = fields.next()?;
        let event = match kind.as_str() {
            "introduced" => Self::Introduced,
            "fixed" => Self::Fixed,
            "last_affected" => Self::LastAffected,
            "limit" => Self::Limit,
            _ => return None,
        };
        fields.next().is_none().then(|| event(version.clone()))
    }

    fn version(&self) -> &str {
        match self {
            Self::Fixed(version)
            | Self::Introduced(version)
            | Self::LastAffected(version)
            | Self::Limit(version) => version,
        }
    }

    /// Where it stands; `None` inside is before every version, as the schema has it of an `introduced` of `0` alone. A
    /// `last_affected` of `0` is the version 0.0.0.
    fn place(&self) -> Option<Option<Version>> {
        match self {
            Self::Introduced(version) => beginning(version),
            _ => Version::parse_bound(self.version()).map(Some),
        }
    }

    /// At one version a hole is fixed before another is introduced, and one is introduced before it is the last affected.
    fn rank(&self) -> u8 {
        match self {
            Self::Fixed(_) => 0,
            Self::Introduced(_) => 1,
            Self::LastAffected(_) => 2,
            Self::Limit(_) => 3,
        }
    }
}

/// The spans of one range.
pub(super) fn spans(events: Vec<Event>) -> Vec<Span> {
    let (limits, events): (Vec<Event>, Vec<Event>) =
        events.into_iter().partition(|event| matches!(event, Event::Limit(_)));
    let mut sorted = Vec::with_capacity(events.len());
    for event in events {
        let Some(place) = event.place() else { return vec![unreadable(event.version())] };
        sorted.push((place, event));
    }
    sorted.sort_by(|(one, first), (other, second)| (one, first.rank()).cmp(&(other, second.rank())));
    let mut spans = Vec::new();
    let mut introduced: Option<String> = None;
    for (_, event) in sorted {
        let end = match event {
            Event::Introduced(version) => {
                introduced.get_or_insert(version);
                continue;
            }
            Event::Fixed(version) => End::Fixed(version),
            Event::LastAffected(version) => End::LastAffected(version),
            Event::Limit(_) => continue,
        };
        spans.extend(introduced.take().map(|introduced| Span { introduced, end }));
    }
    spans.extend(introduced.map(|introduced| Span { introduced, end: End::Open }));
    limited(spans, &limits)
}

/// A span whose bounds are no versions: whatever is asked of it, it cannot tell.
pub(super) fn unreadable(what: &str) -> Span {
    Span { introduced: format!("unreadable {what}"), end: End::Open }
}

/// By where they begin; those that cannot be read first.
pub(super) fn in_order(spans: &mut [Span]) {
    spans.sort_by_cached_key(|span| beginning(&span.introduced));
}

/// Before the largest limit only; `*` is no limit.
fn limited(spans: Vec<Span>, limits: &[Event]) -> Vec<Span> {
    if limits.is_empty() || limits.iter().any(|limit| limit.version() == "*") {
        return spans;
    }
    let read: Option<Vec<_>> =
        limits.iter().map(|limit| Some((Version::parse_bound(limit.version())?, limit.version()))).collect();
    let Some((limit, written)) = read.and_then(|read| read.into_iter().max()) else {
        return vec![unreadable("limit")];
    };
    let before = |span: &Span| Version::parse_bound(&span.introduced).is_some_and(|version| version < limit);
    let cut = |span: Span| {
        let ends = match &span.end {
            End::Fixed(end) => Version::parse_bound(end).is_some_and(|end| end <= limit),
            End::LastAffected(end) => Version::parse_bound(end).is_some_and(|end| end < limit),
            End::Open => false,
        };
        if ends { span } else { Span { end: End::Fixed(written.to_owned()), ..span } }
    };
    spans.into_iter().filter(before).map(cut).collect()
}

/// Where a span begins: `0` is before every version.
fn beginning(bound: &str) -> Option<Option<Version>> {
    if bound == "0" { Some(None) } else { Version::parse_bound(bound).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        let (kind, version) = text.split_once(' ').unwrap();
        Event::of(&BTreeMap::from([(kind.to_owned(), version.to_owned())])).unwrap()
    }

    fn shown(spans: &[Span]) -> String {
        let shown = spans.iter().map(|span| match &span.end {
            End::Fixed(end) => format!("[{}, {end})", span.introduced),
            End::LastAffected(end) => format!("[{}, {end}]", span.introduced),
            End::Open => format!("[{}, …)", span.introduced),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn events_in_any_order_are_spans() {
        for (written, expected) in [
            (&["introduced 0"][..], "[0, …)"),
            (&["introduced 0", "fixed 1.2.0"], "[0, 1.2.0)"),
            (
                &["fixed 4.0.0", "introduced 3.0.0", "fixed 1.0.0", "introduced 0"],
                "[0, 1.0.0) [3.0.0, 4.0.0)",
            ),
            (&["introduced 1.10.0", "introduced 1.9.0", "fixed 1.11.0"], "[1.9.0, 1.11.0)"),
            (&["introduced 1.0.0", "last_affected 1.5.1"], "[1.0.0, 1.5.1]"),
            (&["introduced 1.0.0", "last_affected 1.0.0"], "[1.0.0, 1.0.0]"),
            (&["introduced 1.0.0", "fixed 2.0.0", "introduced 2.0.0"], "[1.0.0, 2.0.0) [2.0.0, …)"),
            (&["last_affected 0", "introduced 0"], "[0, 0]"),
            (&["fixed 1.0.0"], ""),
            (&["introduced 1.0.0", "fixed 2.0.0", "fixed 3.0.0"], "[1.0.0, 2.0.0)"),
            (&["introduced 0", "limit 2.0.0"], "[0, 2.0.0)"),
            (&["introduced 0", "fixed 3.0.0", "limit 2.0.0", "limit 2.5.0"], "[0, 2.5.0)"),
            (&["introduced 3.0.0", "limit 2.0.0"], ""),
            (&["introduced 0", "limit *"], "[0, …)"),
            (&["introduced soon", "fixed 1.0.0"], "[unreadable soon, …)"),
        ] {
            let events = written.iter().map(|text| event(text)).collect();
            assert_eq!(shown(&spans(events)), expected, "{written:?}");
        }
    }
}
