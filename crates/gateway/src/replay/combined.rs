//! nginx's combined format: `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent
//! "$http_referer" "$http_user_agent"`. Apache's is the same; of both, only what is needed has to be there.

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;
use http::{Method, Uri};

use super::line::{Asked, Host, Line, Somebody};
use super::moment;

pub(super) fn read(line: &[u8]) -> Result<Line, &'static str> {
    // Who logs in with brackets in his name writes no quotes: nginx escapes them. What stands before the first quote
    // is therefore the time, whatever it looks like further in front.
    let quote = line.iter().position(|byte| *byte == b'"').ok_or("it has no request in quotes")?;
    let (head, rest) = (line.get(..quote).unwrap_or_default(), line.get(quote + 1..).unwrap_or_default());
    let head = std::str::from_utf8(head).map_err(|_| "what stands before the request is no text")?;
    let client = head.split(' ').next().and_then(|client| client.parse::<IpAddr>().ok());
    let client = client.ok_or("it does not begin with the client's address")?.to_canonical();
    let time = head.trim_end().strip_suffix(']').and_then(|head| head.rsplit_once('['));
    let at = time.and_then(|(_, time)| moment::combined(time)).ok_or("it has no time in brackets")?;
    let (request, rest) = quoted(rest).ok_or("its request does not end")?;
    let status = rest.split(|byte| *byte == b' ').find(|word| !word.is_empty());
    let status = status.and_then(|status| std::str::from_utf8(status).ok()?.parse::<u16>().ok());
    let status = status.filter(|status| (100..1_000).contains(status)).ok_or("it has no status")?;

    let Some((method, uri, is_http_2)) = request_line(&unescaped(request)) else {
        return Ok(Line::NoRequest(Somebody { at, client, status: Some(status) }));
    };
    let (host, tls, status) = (Host::Unknown, true, Some(status));
    Ok(Line::Request(Box::new(Asked { at, client, method, uri, host, is_http_2, tls, status })))
}

/// Up to the quote that is not escaped, and what follows it.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut is_escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// nginx writes `\x22`, Apache also `\"`, `\\` and the likes of `\n`.
fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'\\', [b'x', high, low, after @ ..]) if digit(*high).zip(digit(*low)).is_some() => {
                plain.push(digit(*high).unwrap_or(0) << 4 | digit(*low).unwrap_or(0));
                rest = after;
            }
            (b'\\', [escaped, after @ ..]) => {
                plain.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'v' => 11,
                    other => *other,
                });
                rest = after;
            }
            _ => plain.push(*byte),
        }
    }
    Cow::Owned(plain)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// `GET /a HTTP/1.1`; `None` where it is none: `-`, or whatever else came.
fn request_line(line: &[u8]) -> Option<(Method, Uri, bool)> {
    let first = line.iter().position(|byte| *byte == b' ')?;
    let last = line.iter().rposition(|byte| *byte == b' ')?;
    let method = Method::from_bytes(line.get(..first)?).ok()?;
    let version = line.get(last + 1..)?.strip_prefix(b"HTTP/")?;
    let target = line.get(first + 1..last)?;
    let uri = Uri::from_maybe_shared(Bytes::copy_from_slice(target)).ok()?;
    Some((method, uri, !version.starts_with(b"1.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> String {
        match read(line.as_bytes()) {
            Ok(Line::Request(asked)) => {
                let Asked { client, method, uri, status, is_http_2, .. } = *asked;
                format!(
                    "{client} {method} {uri} {} {}",
                    status.unwrap_or(0),
                    if is_http_2 { "2" } else { "1" }
                )
            }
            Ok(Line::NoRequest(_)) => "no request".to_owned(),
            Ok(Line::Empty) => "empty".to_owned(),
            Err(why) => why.to_owned(),
        }
    }

    #[test]
    fn what_nginx_and_apache_write_is_read() {
        const AT: &str = "[31/Dec/2026:00:00:00 +0000]";
        for (line, expected) in [
            (r#"192.0.2.1 - - @ "GET /a?b=c HTTP/1.1" 200 5 "-" "curl/8""#, "192.0.2.1 GET /a?b=c 200 1"),
            (r#"2001:db8::1 - ann @ "POST / HTTP/2.0" 302 0 "https://a" "x""#, "2001:db8::1 POST / 302 2"),
            (r#"::ffff:192.0.2.1 - - @ "GET / HTTP/1.0" 200 5"#, "192.0.2.1 GET / 200 1"), // common format
            (r#"192.0.2.1 - - @ "GET /\x22a\x5Cb HTTP/1.1" 200 5 "-" "-""#, "192.0.2.1 GET /\"a\\b 200 1"),
            (r#"192.0.2.1 - - @ "GET /\xC3\xBC HTTP/1.1" 200 5 "-" "-""#, "192.0.2.1 GET /ü 200 1"),
            (r#"192.0.2.1 - - @ "GET /a\"b HTTP/1.1" 200 5 "-" "-""#, "192.0.2.1 GET /a\"b 200 1"), // Apache
            (r#"192.0.2.1 - - @ "GET /a b HTTP/1.1" 400 5 "-" "-""#, "no request"),
            (r#"192.0.2.1 - - @ "-" 400 0 "-" "-""#, "no request"),
            (r#"192.0.2.1 - - @ "" 408 0 "-" "-""#, "no request"),
            (r#"192.0.2.1 - - @ "\x16\x03\x01\x02\x00\x01" 400 150 "-" "-""#, "no request"),
            (r#"192.0.2.1 - - @ "GET / HTTP/1.1 HTTP/1.1" 400 150 "-" "-""#, "no request"),
            (r#"192.0.2.1 - - @ "GET /" 200 5 "-" "-""#, "no request"), // HTTP/0.9
            (
                r#"192.0.2.1 - - @ "GET http://evil.example/ HTTP/1.1" 404 5 "-" "-""#,
                "192.0.2.1 GET http://evil.example/ 404 1",
            ),
            (r#"192.0.2.1 - - @ "PROPFIND / HTTP/1.1" 405 5 "-" "-" "more""#, "192.0.2.1 PROPFIND / 405 1"),
            (
                r#"192.0.2.1 - x [01/Jan/2099:00:00:00 +0000] \x22GET @ "GET / HTTP/1.1" 200 5 "-" "-""#,
                "192.0.2.1 GET / 200 1",
            ),
            (r#"- - - @ "GET / HTTP/1.1" 200 5 "-" "-""#, "it does not begin with the client's address"),
            (r#"192.0.2.1 - - [now] "GET / HTTP/1.1" 200 5 "-" "-""#, "it has no time in brackets"),
            (r#"192.0.2.1 - - @ "GET / HTTP/1.1"#, "its request does not end"),
            (r#"192.0.2.1 - - @ "GET / HTTP/1.1" - 5 "-" "-""#, "it has no status"),
            (r#"192.0.2.1 - - @ "GET / HTTP/1.1" 7 5 "-" "-""#, "it has no status"),
            ("192.0.2.1 - -", "it has no request in quotes"),
        ] {
            assert_eq!(told(&line.replace('@', AT)), expected, "{line}");
        }
        assert_eq!(told(&format!("ü - - {AT} \"")), "it does not begin with the client's address");
    }
}
