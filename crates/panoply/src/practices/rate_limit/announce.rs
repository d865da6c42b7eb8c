//! What a client is told of its limits: `RateLimit` and `RateLimit-Policy`
//! (draft-ietf-httpapi-ratelimit-headers-11).

use std::fmt::{self, Write};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::{Rate, Rejection};

/// Which answers say how a client stands with its limits. `Retry-After` is on every refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Announce {
    /// Those that refuse, so that a client which can pace itself does.
    #[default]
    Refusals,
    /// All: for an API whose clients are to pace themselves before they are refused. It says how far a client is from
    /// a refusal, also to those who would like to stay just below.
    Always,
    /// None.
    Never,
}

/// One limit, as a client is told of it: in requests, also where each costs more than one.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    name: String,
    quota: u64,
    /// In seconds.
    window: u64,
    standing: Option<Remaining>,
}

/// How many more requests, and in how many seconds there is one more; none where waiting never helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Remaining {
    requests: u64,
    more_in: Option<u64>,
}

impl Notice {
    pub(super) fn of(name: &str, rate: Rate, cost: u32) -> Self {
        let quota = u64::from(rate.burst()) / u64::from(cost.max(1));
        Self { name: name.to_owned(), quota, window: rate.window().as_secs(), standing: None }
    }

    pub(super) fn standing(self, requests: u64, more_in: Option<Duration>) -> Self {
        Self { standing: Some(Remaining { requests, more_in: more_in.map(seconds) }), ..self }
    }
}

/// Adds the limits that refuse, and the policies of all.
pub(super) fn refuse(rejection: Rejection, policies: &[Notice], refusing: &[Notice]) -> Rejection {
    let Some((policies, limits)) = fields(policies.iter(), refusing.iter()) else { return rejection };
    rejection.header(RATELIMIT_POLICY, policies).header(RATELIMIT, limits)
}

/// Adds the limit that is nearest to its end, and the policies of all. What the app says of limits of its own stays.
pub(super) fn admit(headers: &mut HeaderMap, notices: &[Notice]) {
    if headers.contains_key(&RATELIMIT) || headers.contains_key(&RATELIMIT_POLICY) {
        return;
    }
    let tightest = notices.iter().filter(|notice| notice.standing.is_some()).min_by_key(|notice| {
        notice.standing.map(|left| (left.requests, std::cmp::Reverse(left.more_in.unwrap_or(u64::MAX))))
    });
    if let Some((policies, limits)) = fields(notices.iter(), tightest.into_iter()) {
        headers.insert(RATELIMIT_POLICY, policies);
        headers.insert(RATELIMIT, limits);
    }
}

/// Two lists of strings with parameters (RFC 9651 §3.1). None where there is nothing to say: no list is empty.
fn fields<'n>(
    policies: impl Iterator<Item = &'n Notice>,
    limits: impl Iterator<Item = &'n Notice>,
) -> Option<(HeaderValue, HeaderValue)> {
    let policies = list(policies, |value, Notice { name, quota, window, .. }| {
        write!(value, "\"{name}\";q={quota};w={window}")
    });
    let limits = list(limits.filter(|notice| notice.standing.is_some()), |value, notice| {
        let Notice { name, standing: Some(Remaining { requests, more_in }), .. } = notice else {
            return Ok(());
        };
        write!(value, "\"{name}\";r={requests}")?;
        more_in.map_or(Ok(()), |seconds| write!(value, ";t={seconds}"))
    });
    policies.zip(limits)
}

fn list<'n>(
    notices: impl Iterator<Item = &'n Notice>,
    member: impl Fn(&mut String, &Notice) -> fmt::Result,
) -> Option<HeaderValue> {
    let mut value = String::with_capacity(48);
    for notice in notices {
        if !value.is_empty() {
            value.push_str(", ");
        }
        member(&mut value, notice).ok()?;
    }
    if value.is_empty() { None } else { HeaderValue::try_from(value).ok() }
}

/// Rounded up: who comes back then is not told to wait once more.
pub(super) fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(name: &str, rate: &str, cost: u32, standing: Option<(u64, Option<u64>)>) -> Notice {
        let notice = Notice::of(name, rate.parse().unwrap(), cost);
        match standing {
            Some((requests, more_in)) => notice.standing(requests, more_in.map(Duration::from_millis)),
            None => notice,
        }
    }

    #[test]
    fn the_tightest_limit_is_told_and_all_policies() {
        let day = notice("day", "1000/day", 10, Some((7, Some(30_001))));
        let burst = notice("default", "100/s, burst 2000", 1, Some((1999, Some(10))));
        let unknown = notice("other", "5/min", 1, None);
        let never = notice("never", "5/min", 1, Some((7, None)));
        for (notices, policies, limits) in [
            (&[][..], None, None),
            (std::slice::from_ref(&unknown), None, None),
            (
                &[burst.clone(), day.clone(), unknown.clone()],
                Some("\"default\";q=2000;w=20, \"day\";q=100;w=86400, \"other\";q=5;w=60"),
                Some("\"day\";r=7;t=31"),
            ),
            (&[day.clone(), never], Some("\"day\";q=100;w=86400, \"never\";q=5;w=60"), Some("\"never\";r=7")),
        ] {
            let mut headers = HeaderMap::new();
            admit(&mut headers, notices);
            let header = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap());
            assert_eq!((header(RATELIMIT_POLICY), header(RATELIMIT)), (policies, limits), "{notices:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(RATELIMIT, HeaderValue::from_static("limit=10, remaining=9, reset=1"));
        admit(&mut headers, &[day]);
        assert_eq!(headers.len(), 1, "the app's own, of whatever draft, is not mixed with ours");
    }
}
