//! Advisories from the network: one file, downloaded whole or not at all.
//!
//! What has come stays on the disk until it is whole, under the name of its validator, so that a download that breaks
//! off goes on where it stopped: in the same run, or days later. Every wait has a deadline and every length a limit.
//! That it is the file that was packed, the zip's own checksums say when it is imported.

mod connection;
mod part;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HOST, IF_RANGE, LOCATION, RANGE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::time::timeout;
use url::{Host, Url};

use connection::Connection;
use part::Part;

/// Where osv.dev publishes what is known of npm's packages and of crates.io's.
pub const OSV: [&str; 2] = [
    "https://osv-vulnerabilities.storage.googleapis.com/npm/all.zip",
    "https://osv-vulnerabilities.storage.googleapis.com/crates.io/all.zip",
];

/// How long a server may take, and how much it may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For an address, a connection and its handshake. Default: 15 seconds.
    pub connect: Duration,
    /// For the next byte. Default: 30 seconds.
    pub idle: Duration,
    /// For all of one file, however often it breaks off. Default: one hour.
    pub whole: Duration,
    /// In bytes, for one file. Default: 4 GiB; osv.dev's for npm has 0.2.
    pub most: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            whole: Duration::from_secs(3_600),
            most: 4 << 30,
        }
    }
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are on the disk.
    pub have: u64,
    /// Bytes that there are, where the server says.
    pub of: Option<u64>,
}

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// It is no address to download from.
    #[error("cannot download from `{0}`, expected an https:// address")]
    Address(String),
    /// The server cannot be reached.
    #[error("cannot reach {0}")]
    Unreachable(String, #[source] io::Error),
    /// Something took too long.
    #[error("{url}: {what} took longer than {} seconds", .limit.as_secs())]
    Slow {
        /// Where.
        url: String,
        /// What.
        what: &'static str,
        /// How long it may take.
        limit: Duration,
    },
    /// It broke off before the end.
    #[error("{url}: the download broke off after {have} bytes")]
    Broken {
        /// Where.
        url: String,
        /// Bytes that are on the disk, and go on from there next time.
        have: u64,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The answer is not the file.
    #[error("{url} answered {status}, expected 200")]
    Status {
        /// Where.
        url: String,
        /// What it answered.
        status: StatusCode,
    },
    /// The answer is not what was asked for.
    #[error("{url}: {what}")]
    Wrong {
        /// Where.
        url: String,
        /// What was found.
        what: &'static str,
    },
    /// It is too large.
    #[error("{url} has more than {most} bytes")]
    Large {
        /// Where.
        url: String,
        /// How many it may have.
        most: u64,
    },
    /// Another update is at it.
    #[error("another update is writing {}", .0.display())]
    Busy(PathBuf),
    /// It cannot be written.
    #[error("cannot write {}", .0.display())]
    Disk(PathBuf, #[source] io::Error),
}

impl UpdateError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Address(_) => {
                "plain http is for this machine's own addresses alone: anyone between could hide a hole"
            }
            Self::Busy(_) => "wait until it is done",
            Self::Disk(..) => "name another place with --database, on a disk with room",
            Self::Status { .. } | Self::Wrong { .. } | Self::Large { .. } => {
                "is the address right? name another with --url, or download by hand and import the file"
            }
            Self::Unreachable(..) | Self::Slow { .. } | Self::Broken { .. } => {
                "run it again: it goes on where it stopped; without a network, import a file"
            }
        }
    }

    /// Whether the same again may go better.
    fn passes(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Slow { what: NEXT_BYTE, .. })
    }
}

/// Downloads `url` into a file of `folder`, and says which; `agent` is what the server sees of us.
///
/// # Errors
/// When it cannot be had whole. What has come stays, and the next call goes on from there.
pub async fn download(
    url: &str,
    folder: &Path,
    agent: &str,
    patience: Patience,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, UpdateError> {
    let address = address(url)?;
    let mut part = Part::open(folder, url)?;
    let whole = async {
        let mut tries = 0;
        loop {
            let before = part.length();
            let error = match attempt(&address, &mut part, agent, patience, progress).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // Who sends a little each time is asked again; who sends nothing, a few times.
            tries = if part.length() > before { 0 } else { tries + 1 };
            if !error.passes() || tries >= TRIES {
                return Err(error);
            }
        }
    };
    let slow = || UpdateError::Slow { url: url.to_owned(), what: "the download", limit: patience.whole };
    timeout(patience.whole, whole).await.map_err(|_| slow())??;
    part.finish()
}

async fn attempt(
    url: &Url,
    part: &mut Part,
    agent: &str,
    patience: Patience,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), UpdateError> {
    let mut connection;
    let mut url = url.clone();
    let mut hops = 0;
    let response = loop {
        connection = Connection::open(&url, patience.connect).await?;
        let request = request(&url, part, agent);
        let sent = timeout(patience.idle, connection.send(request)).await;
        let response = sent
            .map_err(|_| slow(&url, "the answer", patience.idle))?
            .map_err(|source| UpdateError::Broken { url: url.to_string(), have: part.length(), source })?;
        if !response.status().is_redirection() {
            break response;
        }
        hops += 1;
        if hops > MOST_HOPS {
            return Err(wrong(&url, "it leads from one address to the next without end"));
        }
        url = next(&url, response.headers())?;
    };
    let total = begin(&url, part, &response, patience.most)?;
    body(&url, part, response, total, patience, progress).await
}

fn request(url: &Url, part: &Part, agent: &str) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() =
        url[url::Position::BeforePath..url::Position::AfterQuery].parse().unwrap_or_default();
    let host = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
    let mut fields =
        vec![(HOST, host), (USER_AGENT, agent.to_owned()), (ACCEPT_ENCODING, "identity".to_owned())];
    if let Some(validator) = part.validator() {
        fields.push((RANGE, format!("bytes={}-", part.length())));
        // RFC 9110 § 13.1.5: all of it where it is another file by now.
        fields.push((IF_RANGE, validator.to_owned()));
    }
    for (name, value) in fields {
        if let Ok(value) = value.parse() {
            request.headers_mut().insert(name, value);
        }
    }
    request
}

/// What of the file is to come, and into which place; the whole file's length, where the server says.
fn begin(
    url: &Url,
    part: &mut Part,
    response: &Response<Incoming>,
    most: u64,
) -> Result<Option<u64>, UpdateError> {
    let headers = response.headers();
    let total = match response.status() {
        StatusCode::OK => {
            part.restart(field(headers, &ETAG).filter(|tag| tag.starts_with('"')))?;
            field(headers, &CONTENT_LENGTH).and_then(|length| length.parse().ok())
        }
        StatusCode::PARTIAL_CONTENT => {
            let (start, total) = field(headers, &CONTENT_RANGE)
                .and_then(content_range)
                .ok_or_else(|| wrong(url, "it sent a part without saying of what"))?;
            if part.validator().is_none() || start != part.length() {
                part.restart(None)?;
                return Err(wrong(url, "it sent another part than it was asked for"));
            }
            Some(total)
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            part.restart(None)?;
            return Err(wrong(url, "it has less than had come before; what had come is dropped"));
        }
        status => return Err(UpdateError::Status { url: url.to_string(), status }),
    };
    if total.is_some_and(|total| total > most) {
        return Err(UpdateError::Large { url: url.to_string(), most });
    }
    Ok(total)
}

async fn body(
    url: &Url,
    part: &mut Part,
    response: Response<Incoming>,
    total: Option<u64>,
    patience: Patience,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), UpdateError> {
    let mut body = response.into_body();
    loop {
        progress(Progress { have: part.length(), of: total });
        let frame = timeout(patience.idle, body.frame()).await;
        let Some(frame) = frame.map_err(|_| slow(url, NEXT_BYTE, patience.idle))? else { break };
        let frame = frame.map_err(|source| UpdateError::Broken {
            url: url.to_string(),
            have: part.length(),
            source,
        })?;
        let Ok(bytes) = frame.into_data() else { continue };
        if part.length() + bytes.len() as u64 > patience.most {
            return Err(UpdateError::Large { url: url.to_string(), most: patience.most });
        }
        part.write(&bytes)?;
    }
    if total.is_some_and(|total| total != part.length()) {
        part.restart(None)?;
        return Err(wrong(url, "it sent another length than it announced"));
    }
    Ok(())
}

fn address(url: &str) -> Result<Url, UpdateError> {
    let refuse = || UpdateError::Address(url.to_owned());
    let parsed = Url::parse(url).map_err(|_| refuse())?;
    let allowed = match parsed.scheme() {
        "https" => parsed.host().is_some(),
        "http" => is_loopback(&parsed),
        _ => false,
    };
    let plain = parsed.username().is_empty() && parsed.password().is_none();
    if allowed && plain { Ok(parsed) } else { Err(refuse()) }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Where a redirect leads; never from https to anything else.
fn next(url: &Url, headers: &HeaderMap) -> Result<Url, UpdateError> {
    let target = field(headers, &LOCATION).and_then(|location| url.join(location).ok());
    let target = target.ok_or_else(|| wrong(url, "it leads elsewhere without saying where"))?;
    if url.scheme() == "https" && target.scheme() != "https" {
        return Err(wrong(url, "it leads from https to an address without"));
    }
    address(target.as_str())
}

/// `bytes 100-199/200`: where the part begins, and the length of the whole.
fn content_range(value: &str) -> Option<(u64, u64)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end, total): (u64, u64, u64) = (start.parse().ok()?, end.parse().ok()?, total.parse().ok()?);
    (start <= end && end.checked_add(1)? == total).then_some((start, total))
}

fn field<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn wrong(url: &Url, what: &'static str) -> UpdateError {
    UpdateError::Wrong { url: url.to_string(), what }
}

fn slow(url: &Url, what: &'static str, limit: Duration) -> UpdateError {
    UpdateError::Slow { url: url.to_string(), what, limit }
}

const NEXT_BYTE: &str = "the next byte";
/// Without a byte more than before.
const TRIES: u32 = 3;
const MOST_HOPS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for (url, allowed) in [
            ("https://a.example/all.zip", true),
            ("http://127.0.0.1:8080/all.zip", true),
            ("http://[::1]/all.zip", true),
            ("http://localhost/all.zip", true),
            ("http://a.example/all.zip", false),
            ("http://localhost.a.example/all.zip", false),
            ("https://user:password@a.example/", false),
            ("file:///etc/passwd", false),
            ("all.zip", false),
        ] {
            assert_eq!(address(url).is_ok(), allowed, "{url}");
        }
    }

    #[test]
    fn a_redirect_never_leaves_https() {
        for (from, location, to) in [
            ("https://a.example/x", "/y", Some("https://a.example/y")),
            ("https://a.example/x", "https://b.example/", Some("https://b.example/")),
            ("https://a.example/x", "http://127.0.0.1/", None),
            ("https://a.example/x", "file:///etc/passwd", None),
            ("http://127.0.0.1/x", "http://b.example/", None),
        ] {
            let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
            let next = next(&Url::parse(from).unwrap(), &headers).ok();
            assert_eq!(next.as_ref().map(Url::as_str), to, "{from} {location}");
        }
    }

    #[test]
    fn a_part_says_where_it_begins_and_reaches_to_the_end() {
        for (value, read) in [
            ("bytes 100-199/200", Some((100, 200))),
            ("bytes 0-0/1", Some((0, 1))),
            ("bytes 100-198/200", None),
            ("bytes 200-199/200", None),
            ("bytes 1-18446744073709551615/0", None),
            ("bytes */200", None),
            ("bytes 1-2/*", None),
            ("100-199/200", None),
        ] {
            assert_eq!(content_range(value), read, "{value}");
        }
    }
}
