use serde::Serialize;

/// What a replay came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The logs, in the order in which they were read.
    pub logs: Vec<String>,
    /// How many lines they have.
    pub lines: u64,
    /// How many of them are requests that were judged.
    pub judged: u64,
    /// How many tell of somebody who sent no request in HTTP, and was told so.
    pub no_request: u64,
    /// How many nobody can read.
    pub unreadable: u64,
    /// How many are of an earlier time than lines before them, and were not judged.
    pub late: u64,
    /// The time of the first request that was judged (RFC 3339).
    pub first: Option<String>,
    /// The time of the last.
    pub last: Option<String>,
    /// How many clients there are.
    pub clients: Count,
    /// How many requests would be refused.
    pub refused: u64,
    /// How many would not, and would be if what only observes were in earnest.
    pub observed: u64,
    /// By practice and rule: those that hit most first.
    pub rules: Vec<Rule>,
    /// By site, in the order of the configuration.
    pub sites: Vec<Site>,
    /// What the configuration has and no line can tell.
    pub not_judged: Vec<NotJudged>,
    /// What makes the figures doubtful.
    pub notes: Vec<String>,
    /// The first lines that were not judged, and why.
    pub complaints: Vec<Complaint>,
}

/// A number of clients: IPv4 addresses and IPv6 /64s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How many.
    pub count: u64,
    /// Whether that is exact; else it is within some per cent.
    pub exact: bool,
}

/// Whom one rule of a practice hits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rule {
    /// The practice; `app`: none, but the path can be read in two ways; `http`: its address is none, and the gateway
    /// answers 400 where the server then did not.
    pub practice: &'static str,
    /// Its rule, where it has several.
    pub rule: Option<String>,
    /// How many requests it would refuse.
    pub refused: u64,
    /// How many it would, if it did not only observe.
    pub observed: u64,
    /// To how many of all these the answer was 2xx or 3xx: it may be wrong about them.
    pub answered: u64,
    /// How many clients they came from.
    pub clients: Count,
    /// The time of the first (RFC 3339).
    pub first: String,
    /// The time of the last.
    pub last: String,
    /// The clients that it hits most.
    pub most: Vec<Client>,
}

/// A client that a rule hits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Client {
    /// An IPv4 address or an IPv6 /64.
    pub client: String,
    /// How many of its requests are hit, at the least.
    pub hit: u64,
    /// To how many of these the answer was 2xx or 3xx.
    pub answered: u64,
    /// Which part of all that the rule hits, from 0 to 1.
    pub share: f64,
}

/// What becomes of a site's requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Site {
    /// Its first name; `any host` where it has none.
    pub site: String,
    /// How many requests are for it.
    pub judged: u64,
    /// How many of them would be refused.
    pub refused: u64,
    /// How many would not, and would be if what only observes were in earnest.
    pub observed: u64,
}

/// Something of the configuration that no line can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotJudged {
    /// A practice, or a rule of one.
    pub what: String,
    /// Why.
    pub why: String,
}

impl NotJudged {
    pub(super) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into() }
    }
}

/// A line that was not judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// The log.
    pub log: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}
