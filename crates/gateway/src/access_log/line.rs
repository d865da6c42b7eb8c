//! The words of a line. No cookie, no credentials and no value of a query is among them.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use http::header::{HOST, REFERER, USER_AGENT};
use http::{HeaderValue, Request, Version};
use panoply::trace::TraceId;
use panoply::{RequestId, Scheme};
use time::OffsetDateTime;

use super::escape::{CUT, escaped};

/// What a line says.
pub(super) struct Line<'l> {
    /// When the request came, since the beginning of 1970 UTC.
    pub(super) at: Duration,
    /// `None`: it was given up before the shield had seen it.
    pub(super) id: Option<RequestId>,
    /// Of which trace the request says to be a part.
    pub(super) trace: Option<TraceId>,
    pub(super) client: Option<IpAddr>,
    /// As [`request`] wrote it.
    pub(super) request: &'l [u8],
    /// `None`: nobody was answered.
    pub(super) status: Option<u16>,
    pub(super) bytes: u64,
    /// From the head of the request to the end of the answer.
    pub(super) took: Duration,
    /// The practice that refused, and its rule.
    pub(super) refused: Option<(&'static str, Option<&'l str>)>,
    pub(super) is_cut: bool,
}

/// Writes what a request says of itself.
pub(super) fn request<B>(out: &mut Vec<u8>, request: &Request<B>, scheme: Scheme) {
    let (uri, headers) = (request.uri(), request.headers());
    text(out, "method", request.method().as_str().as_bytes(), METHOD);
    let host = uri.authority().map(|authority| authority.as_str().as_bytes());
    if let Some(host) = host.or_else(|| headers.get(HOST).map(HeaderValue::as_bytes)) {
        text(out, "host", after_last(host, b'@'), HOST_NAME);
    }
    text(out, "path", uri.path().as_bytes(), PATH);
    if let Some(query) = uri.query() {
        out.extend_from_slice(b",\"query\":\"");
        redacted(out, query);
        out.push(b'"');
    }
    // A Vec takes whatever is written, here and below.
    let begin = uri.scheme_str().map_or(0, |scheme| scheme.len() + "://".len());
    let length = begin
        + uri.authority().map_or(0, |authority| authority.as_str().len())
        + uri.path_and_query().map_or(0, |target| target.as_str().len());
    let _ = write!(out, ",\"uri_bytes\":{length}");
    let protocol = match request.version() {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    };
    let _ = write!(out, ",\"protocol\":\"{protocol}\",\"tls\":{}", scheme == Scheme::Https);
    if let Some(origin) = headers.get(REFERER).and_then(|referer| origin(referer.as_bytes())) {
        text(out, "referer", &origin, ORIGIN);
    }
    if let Some(agent) = headers.get(USER_AGENT) {
        text(out, "agent", agent.as_bytes(), AGENT);
    }
}

/// Writes the whole line.
pub(super) fn write(out: &mut Vec<u8>, line: &Line<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    time(out, line.at);
    out.push(b'"');
    if let Some(id) = line.id {
        let _ = write!(out, ",\"id\":\"{id}\"");
    }
    if let Some(trace) = line.trace {
        let _ = write!(out, ",\"trace_id\":\"{trace}\"");
    }
    if let Some(client) = line.client {
        let _ = write!(out, ",\"client\":\"{client}\"");
    }
    out.extend_from_slice(line.request);
    if let Some(status) = line.status {
        let _ = write!(out, ",\"status\":{status}");
    }
    let (seconds, micros) = (line.took.as_secs(), line.took.subsec_micros());
    let _ = write!(out, ",\"bytes\":{},\"seconds\":{seconds}.{micros:06}", line.bytes);
    if let Some((practice, rule)) = line.refused {
        text(out, "refused", practice.as_bytes(), RULE);
        if let Some(rule) = rule {
            text(out, "rule", rule.as_bytes(), RULE);
        }
    }
    if line.is_cut {
        out.extend_from_slice(b",\"cut\":true");
    }
    out.extend_from_slice(b"}\n");
}

fn text(out: &mut Vec<u8>, name: &str, value: &[u8], most: usize) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    escaped(out, value, most);
    out.push(b'"');
}

/// The names of a query. What has no name is taken for a value: `?` and a token is a link with a secret, too.
fn redacted(out: &mut Vec<u8>, query: &str) {
    let begin = out.len();
    for (place, pair) in query.split('&').enumerate() {
        if place > 0 {
            out.push(b'&');
        }
        if out.len() - begin > QUERY {
            return out.extend_from_slice(CUT.as_bytes());
        }
        if let Some((name, _)) = pair.split_once('=') {
            escaped(out, name.as_bytes(), QUERY_NAME);
            out.push(b'=');
        }
        out.extend_from_slice(CUT.as_bytes());
    }
}

/// Scheme, host and port of a URL, without what a link may hold beside them.
fn origin(url: &[u8]) -> Option<Vec<u8>> {
    let scheme = [&b"https://"[..], b"http://"].into_iter().find(|scheme| url.starts_with(scheme))?;
    let rest = url.get(scheme.len()..)?;
    let end = rest.iter().position(|byte| b"/?#\\".contains(byte)).unwrap_or(rest.len());
    let host = after_last(rest.get(..end)?, b'@');
    Some([scheme, host].concat())
}

fn after_last(text: &[u8], sign: u8) -> &[u8] {
    let begin = text.iter().rposition(|byte| *byte == sign).map_or(0, |place| place + 1);
    text.get(begin..).unwrap_or_default()
}

/// `2026-12-31T23:59:59.123456Z` (RFC 3339). Counts are kept in steps of 10 µs, so that a replay needs more than
/// milliseconds to come to the same end.
fn time(out: &mut Vec<u8>, since_1970: Duration) {
    let (seconds, micros) = (since_1970.as_secs(), since_1970.subsec_micros());
    let at =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH); // no clock shows the year 10,000
    let (year, month, day) = at.to_calendar_date();
    let (month, (hour, minute, second)) = (u8::from(month), at.to_hms());
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
}

/// In bytes, as they were sent.
const METHOD: usize = 24;
const HOST_NAME: usize = 256;
const PATH: usize = 2_048;
const QUERY: usize = 1_024;
const QUERY_NAME: usize = 64;
const ORIGIN: usize = 256;
const AGENT: usize = 256;
const RULE: usize = 128;

#[cfg(test)]
mod tests {
    use panoply::RequestId;

    use super::*;

    #[test]
    fn a_line_says_what_was_asked_and_what_became_of_it_and_no_secret() {
        let asked = Request::post("/login?next=/a&token=hunter2&hunter2")
            .header("host", "shop.example:8443")
            .header("cookie", "sid=hunter2")
            .header("authorization", "Basic hunter2")
            .header("referer", "https://ann:hunter2@shop.example/reset/hunter2?token=hunter2")
            .header("user-agent", "curl/7 \"x\"")
            .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .body(())
            .unwrap();
        let mut text = Vec::new();
        request(&mut text, &asked, Scheme::Https);
        let mut out = Vec::new();
        write(
            &mut out,
            &Line {
                at: Duration::from_micros(1_798_761_599_123_456),
                id: "0123456789abcdef0123456789abcdef".parse::<RequestId>().ok(),
                trace: TraceId::of(asked.headers()),
                client: "2001:db8::1".parse().ok(),
                request: &text,
                status: Some(429),
                bytes: 7,
                took: Duration::from_micros(1_000_042),
                refused: Some(("rate_limit", Some("login"))),
                is_cut: true,
            },
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"time\":\"2026-12-31T23:59:59.123456Z\",\"id\":\"0123456789abcdef0123456789abcdef\",\
             \"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\
             \"client\":\"2001:db8::1\",\"method\":\"POST\",\"host\":\"shop.example:8443\",\"path\":\"/login\",\
             \"query\":\"next=…&token=…&…\",\"uri_bytes\":36,\"protocol\":\"HTTP/1.1\",\"tls\":true,\
             \"referer\":\"https://shop.example\",\"agent\":\"curl/7 \\\"x\\\"\",\"status\":429,\"bytes\":7,\
             \"seconds\":1.000042,\"refused\":\"rate_limit\",\"rule\":\"login\",\"cut\":true}\n"
        );
    }

    #[test]
    fn every_field_is_bounded_and_the_line_is_json() {
        let long = "ü".repeat(5_000);
        let asked = Request::builder()
            .method(&*"X".repeat(5_000))
            .uri(format!("/{}?{}", "p".repeat(20_000), "n=1&".repeat(5_000)))
            .header("host", "h".repeat(5_000))
            .header("referer", format!("http://{}", "r".repeat(5_000)))
            .header("user-agent", HeaderValue::from_bytes(long.as_bytes()).unwrap())
            .body(())
            .unwrap();
        let mut text = Vec::new();
        request(&mut text, &asked, Scheme::Http);
        assert!(text.len() < 12_000, "{}", text.len());
        let line = Line {
            at: Duration::ZERO,
            id: None,
            trace: None,
            client: None,
            request: &text,
            status: None,
            bytes: 0,
            took: Duration::ZERO,
            refused: None,
            is_cut: false,
        };
        let mut out = Vec::new();
        write(&mut out, &line);
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(line["time"], "1970-01-01T00:00:00.000000Z");
        assert!(line["agent"].as_str().unwrap().ends_with("ü…"), "{}", line["agent"]);
        assert!(line.get("status").is_none() && line.get("cut").is_none());
    }

    #[test]
    fn a_referer_is_its_origin_or_nothing() {
        for (referer, kept) in [
            ("https://a.example/b?c#d", Some("https://a.example")),
            ("http://a.example:8080", Some("http://a.example:8080")),
            ("https://u:p@a.example\\x", Some("https://a.example")),
            ("https://a.example?x@y", Some("https://a.example")),
            ("android-app://a.example/b", None),
            ("data:text/html,secret", None),
            ("", None),
        ] {
            let origin = origin(referer.as_bytes()).map(|origin| String::from_utf8(origin).unwrap());
            assert_eq!(origin.as_deref(), kept, "{referer}");
        }
    }
}
