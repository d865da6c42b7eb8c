use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::Practice;

/// A refusal: what the visitor gets (the status, and nothing more) and what the log says.
///
/// No CORS header goes with it: whose pages may read an answer is for the app to say, and a refused request never
/// came to it. A script of another origin sees a network error where ours would see 403 or 429.
#[derive(Clone, Debug)]
pub struct Rejection {
    pub(crate) status: StatusCode,
    pub(crate) practice: Option<Practice>,
    pub(crate) reason: Cow<'static, str>,
    /// Boxed: most have none, and every verdict carries the space.
    headers: Option<Box<HeaderMap>>,
    evidence: Option<Box<Evidence>>,
    pub(crate) only_observed: bool,
    /// The app had all of the request.
    pub(crate) may_have_acted: bool,
}

/// What an operator is told of a refusal, beside its reason; no visitor ever is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Which rule of the practice: a limit's name, a metric's.
    pub rule: Cow<'static, str>,
    /// Who or what was counted: an address, a network, a user name's hash; empty where nobody was.
    pub key: String,
    /// What was counted, and how much of it is allowed; zeros where nothing is counted.
    pub count: i64,
    /// The most that is allowed.
    pub points: u32,
}

impl Rejection {
    /// `practice` refuses, for `reason` (for the log: lower case, no full stop).
    pub fn by(practice: Practice, status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { practice: Some(practice), ..Self::new(status, reason) }
    }

    /// No practice refuses, but there is no answer of the app's either.
    pub fn new(status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            practice: None,
            reason: reason.into(),
            headers: None,
            evidence: None,
            only_observed: false,
            may_have_acted: false,
        }
    }

    /// Says when to come back; rounded up to whole seconds, at least one (RFC 9110 §10.2.3).
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.header(http::header::RETRY_AFTER, seconds.max(1).into())
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        self.headers.get_or_insert_default().insert(name, value);
        self
    }

    /// What it rests on.
    #[must_use]
    pub fn evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = Some(Box::new(evidence));
        self
    }

    /// What it rests on, where the practice counts.
    #[must_use]
    pub fn rests_on(&self) -> Option<&Evidence> {
        self.evidence.as_deref()
    }

    /// Logged, and let pass, even where the practice is on.
    #[must_use]
    pub fn only_observed(mut self) -> Self {
        self.only_observed = true;
        self
    }

    /// There is no answer, but the app had all of the request, and may have done what it asks.
    #[must_use]
    pub fn may_have_acted(mut self) -> Self {
        self.may_have_acted = true;
        self
    }

    /// Takes the rule's name away, when the log has been told.
    pub(crate) fn take_rule(&mut self) -> Option<Cow<'static, str>> {
        self.evidence.take().map(|evidence| evidence.rule)
    }

    pub(crate) fn into_headers(self) -> HeaderMap {
        self.headers.map(|headers| *headers).unwrap_or_default()
    }

    /// What the visitor gets.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Who refused.
    #[must_use]
    pub fn practice(&self) -> Option<Practice> {
        self.practice
    }

    /// Why, for the log.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}
