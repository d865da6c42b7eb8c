//! A replay: what a configuration would have refused of the requests that an access log has.
//!
//! Each line goes through the shields of the configuration with the clock at the line's time, so that the practices
//! themselves decide and nothing is estimated. What a line cannot tell, the report names as not judged: a log has no
//! bodies, no cookies, and of all headers two. An `OPTIONS` is taken for a browser's preflight.
//!
//! However long a log is, memory stays bounded: lines stream; who is counted is counted exactly up to some thousands,
//! and estimated beyond.

mod combined;
mod crowd;
mod json;
mod line;
mod moment;
mod order;
mod report;
mod source;
mod tally;

use std::io::{self, BufRead};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HOST, HeaderValue, ORIGIN};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::Empty;
use panoply::{Clock, Connection, Practice, Rejection, Scheme, Shield, TrustedProxies, World};

use crate::config::{Config, HostName};
use crate::route::{Ambiguous, Routes};
use crate::{GatewayError, connection};

pub use line::{Asked, Line, Somebody, read_line};
pub use report::{Client, Complaint, Count, NotJudged, Report, Rule, Site};

use order::{Order, Place, Waiting};
use source::Source;
use tally::Tally;

/// A configuration, and what it said so far.
#[derive(Debug)]
pub struct Replay {
    routes: Routes,
    balancers: TrustedProxies,
    clock: Clock,
    /// The first line's time, at which the clock stands at zero.
    began: Option<Duration>,
    /// The host of lines that name none.
    host: HeaderValue,
    order: Order,
    tally: Tally,
}

impl Replay {
    /// With counters of its own, which are empty. `host`: which host lines are for that name none; the first site's
    /// unless told.
    ///
    /// # Errors
    /// When the configuration cannot be.
    pub fn new(config: &Config, host: Option<&HostName>) -> Result<Self, GatewayError> {
        let clock = Clock::manual();
        let world = Arc::new(World::new(clock.clone()));
        let base = Shield::in_front().world(world).trusted_proxies(config.trusted_proxies.clone());
        let routes =
            |base: &Shield, config: &Config| Routes::new(base, config, None).map_err(GatewayError::from);
        let not_judged = not_judged(config, &routes(&base, config)?);
        let others = Practice::ALL.into_iter().filter(|practice| !JUDGED.contains(practice));
        let base = others.fold(base, Shield::without);
        Ok(Self {
            routes: routes(&base, &judged(config.clone()))?,
            balancers: config.proxy_protocol.clone(),
            clock,
            began: None,
            host: header(host.or(config.sites.first().and_then(|site| site.hosts.first()))),
            order: Order::default(),
            tally: Tally::new(config, not_judged),
        })
    }

    /// Reads a log to its end. `progress` is told the lines and bytes so far, now and then.
    ///
    /// # Errors
    /// When reading fails, or when the log is compressed.
    pub async fn read(
        &mut self,
        name: &str,
        log: impl BufRead,
        mut progress: impl FnMut(u64, u64),
    ) -> io::Result<()> {
        let mut source = Source::new(log)?;
        let log = self.tally.begin(name);
        while let Some(text) = source.next_line()? {
            let place = Place { log, line: text.number };
            self.tally.line();
            match text.bytes.map_or(Err("it is longer than 256 KiB"), read_line) {
                Ok(Line::Empty) => {}
                Ok(Line::NoRequest(who)) => self.tally.no_request(&who),
                Ok(Line::Request(asked)) => self.order.add(Waiting { at: asked.at, place, asked: *asked }),
                Err(why) => self.tally.unreadable(place, why),
            }
            while let Some(waiting) = self.order.next() {
                self.judge(waiting).await;
            }
            if text.number % PROGRESS == 0 {
                progress(self.tally.lines(), source.bytes());
            }
        }
        Ok(())
    }

    /// Judges what still waits, and reports.
    pub async fn report(mut self) -> Report {
        while let Some(waiting) = self.order.rest() {
            self.judge(waiting).await;
        }
        self.tally.report()
    }

    async fn judge(&mut self, Waiting { at, place, asked }: Waiting) {
        let began = *self.began.get_or_insert(at);
        let (now, shown) = (at.saturating_sub(began), self.clock.now());
        if began + shown > at + LATE {
            return self.tally.late(place);
        }
        self.clock.advance(now.saturating_sub(shown));

        let Some(request) = self.request(&asked) else {
            return self.tally.no_request(&Somebody { at, client: asked.client, status: asked.status });
        };
        let found = self.routes.find(connection::host(&request), request.uri().path());
        let (Ok(route) | Err(Ambiguous(route))) = found;
        let connection = Connection {
            peer: Some((asked.client, 0).into()),
            // Where it is named as the client, it named nobody.
            named: !self.balancers.contains(asked.client),
            scheme: if asked.tls { Scheme::Https } else { Scheme::Http },
            trusted_certificate: true,
        };
        let status = asked.status.and_then(|status| StatusCode::from_u16(status).ok());
        let app = |_, _| async move {
            match found {
                Ok(_) => {
                    let mut answer = Response::new(Empty::<Bytes>::new());
                    *answer.status_mut() = status.unwrap_or_default();
                    Ok(answer)
                }
                Err(Ambiguous(_)) => {
                    Err(Rejection::new(StatusCode::BAD_REQUEST, "the path can be read in two ways"))
                }
            }
        };
        let (_, passage) = route.shield.pass(connection, request, app).await;
        self.tally.judged(at, route.site, &asked, &passage);
    }

    /// The request as it came, as far as the line has it; `None` where it cannot have been one.
    fn request(&self, asked: &Asked) -> Option<Request<Empty<Bytes>>> {
        let mut request = Request::new(Empty::new());
        request.method_mut().clone_from(&asked.method);
        request.uri_mut().clone_from(&asked.uri);
        let host = match &asked.host {
            line::Host::Unknown => Some(&self.host),
            line::Host::None => None,
            line::Host::Named(host) => Some(host),
        };
        if asked.is_http_2 {
            *request.version_mut() = Version::HTTP_2;
            if asked.uri.authority().is_none() && asked.method != Method::CONNECT {
                let path = asked.uri.path_and_query()?.as_str();
                let authority = host?.to_str().ok()?;
                let scheme = if asked.tls { "https" } else { "http" };
                *request.uri_mut() = Uri::try_from(format!("{scheme}://{authority}{path}")).ok()?;
            }
        } else if let Some(host) = host {
            request.headers_mut().insert(HOST, host.clone());
        }
        // Nearly every OPTIONS is a browser's preflight, which counts by itself.
        if asked.method == Method::OPTIONS {
            request.headers_mut().insert(ORIGIN, HeaderValue::from_static("null"));
            request.headers_mut().insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("GET"));
        }
        Some(request)
    }
}

/// The configuration with nothing in it that a line cannot tell.
fn judged(mut config: Config) -> Config {
    let only = |policies: &mut panoply::Policies| {
        let mut judged = std::mem::take(policies).only(&JUDGED);
        judged.rate_limit =
            judged.rate_limit.map(|guard| guard.map(panoply::RateLimit::without_what_is_sent));
        *policies = judged;
    };
    only(&mut config.shield);
    for site in &mut config.sites {
        only(&mut site.shield);
        site.rules.iter_mut().for_each(|rule| only(&mut rule.shield));
    }
    config
}

/// What the configuration has and no line can tell.
fn not_judged(config: &Config, routes: &Routes) -> Vec<NotJudged> {
    let has = |practice| routes.shields().any(|(.., shield)| shield.has(practice));
    let reasons = NOT_JUDGED.iter().filter(|(practice, _)| has(*practice));
    let mut not_judged: Vec<_> =
        reasons.map(|(practice, why)| NotJudged::new(practice.name(), *why)).collect();
    let of_sites = config
        .sites
        .iter()
        .flat_map(|site| std::iter::once(&site.shield).chain(site.rules.iter().map(|rule| &rule.shield)));
    for policies in std::iter::once(&config.shield).chain(of_sites) {
        let policy = policies.rate_limit.as_ref().and_then(panoply::Guard::policy);
        for name in policy.iter().flat_map(|policy| policy.by_what_is_sent()) {
            let what = format!("rate_limit {name}");
            if not_judged.iter().all(|known| known.what != what) {
                not_judged.push(NotJudged::new(what, "it counts by a header, a cookie or a user"));
            }
        }
    }
    not_judged
}

fn header(host: Option<&HostName>) -> HeaderValue {
    let host = host.map(|host| match host.wildcard() {
        Some(parent) => format!("www.{parent}"),
        None => host.as_str().to_owned(),
    });
    host.and_then(|host| host.try_into().ok()).unwrap_or(HeaderValue::from_static("localhost"))
}

const JUDGED: [Practice; 3] = [Practice::Hosts, Practice::Limits, Practice::RateLimit];

const NOT_JUDGED: [(Practice, &str); 4] = [
    (Practice::Limits, "only the length of the address: a log has neither headers nor bodies"),
    (Practice::Csrf, "a log has no cookies, and of the page that started a write its address at most"),
    (Practice::BruteForce, "a log has no bodies, and so no user names and no passwords"),
    (Practice::Redirects, "a log does not say where an answer led"),
];

/// So much earlier than the line before it a line may be; beyond, it is of another time, and would be judged as one
/// of a crowd that never was.
const LATE: Duration = Duration::from_secs(60);

/// Lines between two words on progress.
const PROGRESS: u64 = 1 << 16;
