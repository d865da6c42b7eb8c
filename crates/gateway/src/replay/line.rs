use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderValue, Method, Uri};

use super::{combined, json};

/// What a line of a log says.
#[derive(Clone, Debug)]
pub enum Line {
    /// Nothing.
    Empty,
    /// That somebody came who sent no request in HTTP: nothing, a TLS handshake at a port in the clear, an address that is
    /// none. The gateway itself refuses that, before any shield.
    NoRequest(Somebody),
    /// A request; boxed, for it is large.
    Request(Box<Asked>),
}

/// Somebody who sent no request in HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Somebody {
    /// When, since the beginning of 1970 UTC.
    pub at: Duration,
    /// Who.
    pub client: IpAddr,
    /// What was answered; where that was no error, the server then was not so strict.
    pub status: Option<u16>,
}

/// A request, as far as a line has it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When, since the beginning of 1970 UTC.
    pub at: Duration,
    /// Who.
    pub client: IpAddr,
    /// How.
    pub method: Method,
    /// What; without the values of its query, where the log has none, but as long as it was.
    pub uri: Uri,
    /// Which host.
    pub host: Host,
    /// Whether it came over HTTP/2 or later.
    pub is_http_2: bool,
    /// Whether it came over TLS.
    pub tls: bool,
    /// What was answered; `None`: it was given up.
    pub status: Option<u16>,
}

/// The host that a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// The log does not say.
    Unknown,
    /// The request named none.
    None,
    /// This one.
    Named(HeaderValue),
}

/// Reads a line of nginx's combined format, or of the gateway's own log, which begins with a brace.
///
/// ```
/// use panoply_gateway::replay::{Line, read_line};
///
/// let line = br#"192.0.2.1 - - [31/Dec/2026:23:59:59 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl/8""#;
/// let Ok(Line::Request(asked)) = read_line(line) else { panic!("it is one") };
/// assert_eq!((asked.uri.path(), asked.status), ("/a", Some(200)));
/// ```
///
/// # Errors
/// What is missing, in the words of the report.
pub fn read_line(line: &[u8]) -> Result<Line, &'static str> {
    match line {
        [] => Ok(Line::Empty),
        [b'{', ..] => json::read(line),
        _ => combined::read(line),
    }
}
