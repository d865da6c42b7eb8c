//! What was refused lately, by the name of its request.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::trace::TraceId;
use crate::{Evidence, Practice, Rejection, RequestId, SettingError, Visit};

/// The last refusals, so that an operator can ask what became of the request that a visitor complains of.
///
/// It takes [`MOST`] of them at most, in 2.5 MiB. A flood does not push out what is of interest: of one client and
/// practice there are the last [`OF_ONE`], and where there is no room, what there is most of goes first. Who
/// refuses waits for nobody: where another thread writes, the next part is taken, and where all are taken the
/// refusal is in the log alone.
pub struct Refusals {
    parts: [Mutex<Part>; PARTS],
}

/// One refusal, or what would have been one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The name of the request, as the visitor's page and the log have it.
    pub id: RequestId,
    /// Of which trace it said to be a part.
    pub trace: Option<TraceId>,
    /// When, since the beginning of 1970 UTC.
    pub at: Duration,
    /// Who asked.
    pub client: IpAddr,
    /// How.
    pub method: String,
    /// The host name that was asked for; empty where none was. What is long is cut, here and below, and ends in `…`.
    pub host: String,
    /// The path without its query, which may hold what is nobody's to read.
    pub path: String,
    /// What the visitor got, or would have got.
    pub status: u16,
    /// Who refused; `None`: no practice, but there was no answer of the app's.
    pub practice: Option<Practice>,
    /// `refused`, or `would refuse` and the like where the practice only observes.
    pub what: &'static str,
    /// Why.
    pub reason: String,
    /// What it rests on, where the practice counts.
    pub evidence: Option<Evidence>,
}

impl Refusals {
    /// The refusal of a request, unless it is too long ago.
    #[must_use]
    pub fn find(&self, id: RequestId) -> Option<Refusal> {
        self.parts.iter().find_map(|part| {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.records.iter().find(|record| record.id == id).map(Record::told)
        })
    }

    pub(crate) fn keep(&self, visit: &Visit, rejection: &Rejection, what: &'static str, at: Duration) {
        let client = visit.client.key();
        let practice = rejection.practice.map_or(Practice::ALL.len(), |practice| practice as usize);
        let mut kind = (client as u64) ^ ((client >> 64) as u64);
        kind = (kind ^ (practice as u64) << 56).wrapping_mul(ODD);
        let home = (kind >> 32) as usize % PARTS;
        let parts = self.parts.iter().cycle().skip(home).take(PARTS);
        if let Some(mut part) = parts.filter_map(|part| part.try_lock().ok()).next() {
            part.keep(Head { kind, practice, number: 0 }, || Record::of(visit, rejection, what, at));
        }
    }
}

impl Default for Refusals {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusals").finish_non_exhaustive()
    }
}

impl FromStr for RequestId {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u128::from_str_radix(text, 16).ok().filter(|_| is_id);
        id.map(Self).ok_or_else(|| {
            SettingError::new(
                "this is no request's id",
                "write the 32 hexadecimal digits that the page or the log shows",
            )
        })
    }
}

/// The heads are apart, so that looking for who goes reads six kilobytes and not all that is kept.
#[derive(Default)]
struct Part {
    heads: Vec<Head>,
    records: Vec<Record>,
    last: u64,
}

#[derive(Clone, Copy)]
struct Head {
    /// Client and practice, hashed.
    kind: u64,
    practice: usize,
    /// The larger, the later.
    number: u64,
}

impl Part {
    fn keep(&mut self, head: Head, record: impl FnOnce() -> Record) {
        self.last += 1;
        let head = Head { number: self.last, ..head };
        let place = self.place(head);
        match (self.heads.get_mut(place), self.records.get_mut(place)) {
            (Some(old), Some(text)) => (*old, *text) = (head, record()),
            _ => {
                self.heads.push(head);
                self.records.push(record());
            }
        }
    }

    /// That of the oldest of its kind where there are enough of them, else a new one, else that of the oldest of the
    /// practice which has the most.
    fn place(&self, head: Head) -> usize {
        if self.heads.iter().filter(|kept| kept.kind == head.kind).count() >= OF_ONE {
            return self.oldest(|kept| kept.kind == head.kind);
        }
        if self.heads.len() < MOST / PARTS {
            return self.heads.len();
        }
        let mut of_practice = [0_u16; Practice::ALL.len() + 1];
        for kept in &self.heads {
            if let Some(count) = of_practice.get_mut(kept.practice) {
                *count += 1;
            }
        }
        let most = of_practice.iter().enumerate().max_by_key(|(_, count)| **count).map_or(0, |(at, _)| at);
        self.oldest(|kept| kept.practice == most)
    }

    fn oldest(&self, of: impl Fn(&Head) -> bool) -> usize {
        let heads = self.heads.iter().enumerate().filter(|(_, head)| of(head));
        heads.min_by_key(|(_, head)| head.number).map_or(0, |(place, _)| place)
    }
}

struct Record {
    id: RequestId,
    trace: Option<TraceId>,
    at: Duration,
    client: IpAddr,
    practice: Option<Practice>,
    what: &'static str,
    status: u16,
    points: u32,
    count: i64,
    has_evidence: bool,
    method: Short<16>,
    host: Short<64>,
    path: Short<176>,
    reason: Short<128>,
    rule: Short<48>,
    key: Short<64>,
}

impl Record {
    fn of(visit: &Visit, rejection: &Rejection, what: &'static str, at: Duration) -> Self {
        let evidence = rejection.rests_on();
        Self {
            id: visit.id,
            trace: visit.trace,
            at,
            client: visit.client.ip(),
            practice: rejection.practice,
            what,
            status: rejection.status.as_u16(),
            points: evidence.map_or(0, |evidence| evidence.points),
            count: evidence.map_or(0, |evidence| evidence.count),
            has_evidence: evidence.is_some(),
            method: Short::of(visit.method.as_str()),
            host: Short::of(visit.host().unwrap_or_default()),
            path: Short::of(visit.uri.path()),
            reason: Short::of(rejection.reason()),
            rule: Short::of(evidence.map_or("", |evidence| &evidence.rule)),
            key: Short::of(evidence.map_or("", |evidence| &evidence.key)),
        }
    }

    fn told(&self) -> Refusal {
        let evidence = Evidence {
            rule: self.rule.text().into(),
            key: self.key.text(),
            count: self.count,
            points: self.points,
        };
        Refusal {
            id: self.id,
            trace: self.trace,
            at: self.at,
            client: self.client,
            method: self.method.text(),
            host: self.host.text(),
            path: self.path.text(),
            status: self.status,
            practice: self.practice,
            what: self.what,
            reason: self.reason.text(),
            evidence: self.has_evidence.then_some(evidence),
        }
    }
}

/// A text of at most so many bytes, in place: a refusal allocates nothing that a flood could multiply.
#[derive(Clone, Copy)]
struct Short<const BYTES: usize> {
    bytes: [u8; BYTES],
    length: u8,
    is_cut: bool,
}

impl<const BYTES: usize> Short<BYTES> {
    fn of(text: &str) -> Self {
        let mut end = text.len().min(BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut bytes = [0; BYTES];
        for (place, byte) in bytes.iter_mut().zip(text.bytes().take(end)) {
            *place = byte;
        }
        Self { bytes, length: u8::try_from(end).unwrap_or(0), is_cut: end < text.len() }
    }

    fn text(&self) -> String {
        let bytes = self.bytes.get(..self.length.into()).unwrap_or_default();
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        if self.is_cut {
            text.push('…');
        }
        text
    }
}

/// How many refusals are kept.
pub const MOST: usize = 4_096;

/// How many of them are of one client and practice: one page load that fails shows in several.
pub const OF_ONE: usize = 8;

const PARTS: usize = 16;

/// 2^64 divided by the golden ratio.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};

    use super::*;
    use crate::{Connection, Scheme, TrustedProxies};

    fn visit(number: u32, path: &str) -> Visit {
        let (request, ()) =
            Request::get(format!("https://shop.example{path}")).body(()).unwrap().into_parts();
        let connection = Connection::tls((std::net::Ipv4Addr::from(number), 443).into());
        let (client, _) = TrustedProxies::default().client(&connection, &request.headers);
        Visit::new(&request, connection, client, Scheme::Https, RequestId(rand::random()))
    }

    fn refuse(refusals: &Refusals, visit: &Visit, practice: Practice) -> RequestId {
        let rejection = Rejection::by(practice, StatusCode::FORBIDDEN, "no");
        refusals.keep(visit, &rejection, "refused", Duration::from_secs(1));
        visit.id
    }

    #[test]
    fn a_refusal_is_told_as_it_was_and_without_its_query() {
        let refusals = Refusals::default();
        let visit = visit(0xc000_0201, &format!("/reset/{}?token=hunter2", "ü".repeat(100)));
        let evidence = Evidence { rule: "login".into(), key: "192.0.2.1".into(), count: 7, points: 5 };
        let rejection = Rejection::by(Practice::RateLimit, StatusCode::TOO_MANY_REQUESTS, "over `login`");
        refusals.keep(&visit, &rejection.evidence(evidence.clone()), "refused", Duration::from_secs(9));
        let told = refusals.find(visit.id.to_string().parse().unwrap()).unwrap();
        assert_eq!((told.id, told.at, told.status), (visit.id, Duration::from_secs(9), 429));
        assert_eq!((told.client.to_string(), &*told.method), ("192.0.2.1".to_owned(), "GET"));
        assert_eq!((&*told.host, &*told.reason), ("shop.example", "over `login`"));
        assert!(told.path.starts_with("/reset/") && told.path.ends_with('…'), "{}", told.path);
        assert_eq!(told.evidence, Some(evidence));
        assert!(!format!("{told:?}").contains("hunter2"));
        assert_eq!(refusals.find(RequestId(7)), None);
    }

    #[test]
    fn no_flood_pushes_out_the_refusals_of_others() {
        let refusals = Refusals::default();
        let mine = refuse(&refusals, &visit(1, "/"), Practice::Csrf);
        let flooder = visit(2, "/");
        for _ in 0..10_000 {
            refuse(&refusals, &flooder, Practice::RateLimit);
        }
        let kept: usize = refusals.parts.iter().map(|part| part.lock().unwrap().records.len()).sum();
        assert_eq!(kept, 1 + OF_ONE, "one client takes no more than a few");
        for number in 0..100_000 {
            refuse(&refusals, &visit(number, "/"), Practice::RateLimit);
        }
        assert!(refusals.find(mine).is_some(), "neither do many with one practice");
        let kept: usize = refusals.parts.iter().map(|part| part.lock().unwrap().records.len()).sum();
        assert!(kept <= MOST && kept > MOST / 2, "{kept}");
        let last = refuse(&refusals, &visit(7, "/"), Practice::RateLimit);
        assert!(refusals.find(last).is_some(), "the last is there");
    }

    #[test]
    fn all_of_them_stay_within_the_memory_that_is_promised() {
        assert!((size_of::<Record>() + size_of::<Head>()) * MOST <= 2_621_440, "{}", size_of::<Record>());
    }

    #[test]
    fn an_id_is_32_digits() {
        for (text, is_id) in [
            ("0123456789abcdef0123456789abcdef", true),
            ("0123456789ABCDEF0123456789ABCDEF", true),
            ("+123456789abcdef0123456789abcdef", false),
            ("123", false),
            ("", false),
            ("csrf", false),
        ] {
            assert_eq!(text.parse::<RequestId>().is_ok(), is_id, "{text}");
        }
    }
}
