//! One limit beside the rate.

use std::collections::BTreeMap;
use std::fmt;

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::request::Parts;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::By;
use super::path::{Asked, LimitedPath};
use crate::{Rate, SettingError};

/// A limit beside the rate: for some requests or for all, counted by client or by something else.
///
/// ```
/// use panoply::RateLimit;
/// use panoply::practices::rate_limit::{By, Limit};
///
/// # fn main() -> Result<(), panoply::SettingError> {
/// let login = Limit::of("5/min".parse()?).path("/login".parse()?).method(http::Method::POST);
/// let key = http::HeaderName::from_static("x-api-key");
/// let search = Limit::of("1000/h".parse()?).by(By::Header(key)).path("/search/*".parse()?).cost(10);
/// let limits = RateLimit::default().limit("login", login)?.limit("search", search)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub(super) rate: Rate,
    #[serde(default)]
    pub(super) by: By,
    #[serde(default)]
    path: Option<LimitedPath>,
    #[serde(default, deserialize_with = "methods")]
    methods: Vec<Method>,
    #[serde(default = "one")]
    pub(super) cost: u32,
    #[serde(default)]
    pub(super) shared: bool,
    #[serde(default)]
    pub(super) prefix: Option<String>,
    #[serde(default)]
    pub(super) observe: bool,
}

impl Limit {
    /// This rate for each client, on all paths, each request counting as one.
    #[must_use]
    pub const fn of(rate: Rate) -> Self {
        Self {
            rate,
            by: By::Client,
            path: None,
            methods: Vec::new(),
            cost: 1,
            shared: false,
            prefix: None,
            observe: false,
        }
    }

    /// Who is counted together.
    #[must_use]
    pub fn by(mut self, by: By) -> Self {
        self.by = by;
        self
    }

    /// Holds for this path alone, or for all below it.
    #[must_use]
    pub fn path(mut self, path: LimitedPath) -> Self {
        self.path = Some(path);
        self
    }

    /// Holds for this method, and for others that are named so. Who names `GET` has `HEAD` too: apps answer it with
    /// the same work. It is the method on the wire: where an app takes another from a field or a form, name `POST`.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.methods.push(method);
        self
    }

    /// As how many a request counts. It may cost more on one route than on others: a limit of the same name, rate and
    /// `by` is one, wherever it stands.
    #[must_use]
    pub const fn cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }

    /// Counts in the [`World`](crate::World)'s counters, so that all machines count together: one question to them
    /// for each request that the limit holds for. The time of the rate is then a window with a fixed end, and a
    /// refused request counts too, as in rate-limiter-flexible.
    #[must_use]
    pub const fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Counts under the keys of a rate-limiter-flexible in Node with this `keyPrefix`: the prefix, a colon and the
    /// client's address in its shortest form, IPv6 whole (who counts by `2001:db8::1` in Node has to be met there;
    /// without a prefix a /64 is one client). An app that listens on `::` sees IPv4 as `::ffff:192.0.2.1`, and has to
    /// take that off.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Logs whom it would refuse, and refuses nobody.
    #[must_use]
    pub const fn observe(mut self) -> Self {
        self.observe = true;
        self
    }

    /// Whether a request counts. A preflight does where its method is named: else it is the browser's own.
    pub(super) fn holds_for(&self, request: &Parts, path: &Asked<'_>) -> bool {
        let method = &request.method;
        let is_named =
            self.methods.contains(method) || (method == Method::HEAD && self.methods.contains(&Method::GET));
        (is_named || (self.methods.is_empty() && !is_preflight(request)))
            && self.path.as_ref().is_none_or(|limited| limited.holds_for(path))
    }

    /// Refuses what does not go together.
    pub(super) fn check(&self) -> Result<(), SettingError> {
        let error = |message: String, hint: &str| Err(SettingError::new(message, hint));
        self.by.check()?;
        if self.cost == 0 {
            return error(
                "a request that costs nothing is never limited".to_owned(),
                "write a cost of at least 1",
            );
        }
        if self.cost > self.rate.burst() {
            let message =
                format!("a cost of {} is more than {} has, so nobody could come in", self.cost, self.rate);
            return error(message, "write a smaller cost, or a rate with a larger burst");
        }
        if self.shared && self.rate.burst() != self.rate.count() {
            let message =
                format!("a shared limit counts in windows, which have no burst, but {} has one", self.rate);
            return error(message, "write the rate alone, such as `300/min`");
        }
        match &self.prefix {
            Some(_) if !self.shared => error(
                "a prefix is where others count too, but this limit is not shared".to_owned(),
                "write `shared = true`",
            ),
            Some(prefix) if prefix.len() > 128 || !prefix.bytes().all(|byte| byte.is_ascii_graphic()) => {
                let message = format!("`{}` is no prefix for keys", prefix.escape_debug());
                error(message, "write at most 128 letters, digits and such as `-`, `_` and `:`")
            }
            _ => Ok(()),
        }
    }
}

/// For each client, on all paths.
impl From<Rate> for Limit {
    fn from(rate: Rate) -> Self {
        Self::of(rate)
    }
}

/// Limits by name, each a rate or a table.
pub(super) fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Limit>, D::Error> {
    let limits = BTreeMap::<String, Written>::deserialize(deserializer)?;
    limits
        .into_iter()
        .map(|(name, Written(limit))| Ok((check_name(&name).map(|()| name)?, limit)))
        .collect::<Result<_, SettingError>>()
        .map_err(SettingError::into_serde)
}

/// A name that can stand in a header between quotes.
pub(super) fn check_name(name: &str) -> Result<(), SettingError> {
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    if RESERVED.contains(&name) || name.is_empty() || name.len() > 64 || !is_plain {
        return Err(SettingError::new(
            format!("`{}` is no name for a limit", name.escape_debug()),
            "write lower-case letters, digits, `-` and `_`, at most 64, and neither `default`, `preflight` nor `deny`",
        ));
    }
    Ok(())
}

/// What a browser asks by itself before a cross-origin request (Fetch §4.8).
pub(super) fn is_preflight(request: &Parts) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

struct Written(Limit);

/// Written by hand, since an untagged enum loses the place of an error.
impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rate such as \"5/min\" or a table with a `rate`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Written, E> {
        text.parse().map(|rate| Written(Limit::of(rate))).map_err(SettingError::into_serde)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Written, A::Error> {
        let limit = Limit::deserialize(de::value::MapAccessDeserializer::new(table))?;
        limit.check().map_err(SettingError::into_serde)?;
        Ok(Written(limit))
    }
}

/// Methods are compared to the letter (RFC 9110 §9.1), so that `post` would hold for nothing.
fn methods<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Method>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let method = |name: String| match Method::from_bytes(name.as_bytes()) {
        Ok(method) if !name.bytes().any(|byte| byte.is_ascii_lowercase()) => Ok(method),
        _ => {
            let message = format!("`{}` is no method", name.escape_debug());
            Err(SettingError::new(message, "write methods in capital letters, such as \"POST\"").into_serde())
        }
    };
    names.into_iter().map(method).collect()
}

const fn one() -> u32 {
    1
}

/// The rate itself, as clients see its name.
pub(super) const DEFAULT: &str = "default";

/// The same rate, once more for preflights.
pub(super) const PREFLIGHT: &str = "preflight";

/// The black list, as the log names it.
pub(super) const DENY: &str = "deny";

const RESERVED: [&str; 3] = [DEFAULT, PREFLIGHT, DENY];
