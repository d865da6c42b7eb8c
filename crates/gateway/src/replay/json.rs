//! The gateway's own format: see `access_log`.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderValue, Method, Uri};
use serde::Deserialize;

use super::line::{Asked, Host, Line, Somebody};
use super::moment;

#[derive(Deserialize)]
struct Written<'l> {
    #[serde(borrow)]
    time: Cow<'l, str>,
    #[serde(borrow)]
    client: Cow<'l, str>,
    #[serde(borrow)]
    method: Cow<'l, str>,
    #[serde(borrow, default)]
    host: Option<Cow<'l, str>>,
    #[serde(borrow)]
    path: Cow<'l, str>,
    #[serde(borrow, default)]
    query: Option<Cow<'l, str>>,
    #[serde(default)]
    uri_bytes: usize,
    #[serde(borrow, default)]
    protocol: Cow<'l, str>,
    #[serde(default)]
    tls: bool,
    #[serde(default)]
    status: Option<u16>,
}

pub(super) fn read(line: &[u8]) -> Result<Line, &'static str> {
    let written: Written<'_> =
        serde_json::from_slice(line).map_err(|_| "it is no line of panoply's access log")?;
    let at = moment::rfc_3339(&written.time).ok_or("its time is none")?;
    let client = written.client.parse::<IpAddr>().map_err(|_| "its client is no address")?.to_canonical();
    let method = Method::from_bytes(written.method.as_bytes()).map_err(|_| "its method is none")?;
    let is_http_2 = !written.protocol.starts_with("HTTP/1");
    let host = match &written.host {
        None => Host::None,
        Some(host) => Host::Named(host.parse::<HeaderValue>().map_err(|_| "its host is none")?),
    };
    let (tls, status) = (written.tls, written.status.filter(|status| (100..1_000).contains(status)));
    let Some(uri) = uri(&written, &method, is_http_2) else {
        return Ok(Line::NoRequest(Somebody { at, client, status }));
    };
    Ok(Line::Request(Box::new(Asked { at, client, method, uri, host, is_http_2, tls, status })))
}

/// The address as it was asked for, with as many other letters as were left out of it.
fn uri(written: &Written<'_>, method: &Method, is_http_2: bool) -> Option<Uri> {
    let host = written.host.as_deref().unwrap_or_default();
    if method == Method::CONNECT {
        return host.parse().ok();
    }
    let mut target = written.path.clone().into_owned();
    // HTTP/2 counts scheme and host with it.
    let around = if is_http_2 { "https://".len() + host.len() } else { 0 };
    if let Some(query) = &written.query {
        target.push('?');
        target.push_str(&query.replace('…', ""));
        let missing = written.uri_bytes.min(LONGEST).saturating_sub(around + target.len());
        target.extend(std::iter::repeat_n('x', missing));
    }
    target.parse().ok()
}

/// In bytes: what an address may have in `http`.
const LONGEST: usize = 65_534;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<String, &'static str> {
        match read(line.as_bytes())? {
            Line::Request(asked) => {
                let Asked { client, method, uri, host, status, is_http_2, tls, .. } = *asked;
                Ok(format!("{client} {method} {uri} {host:?} {status:?} {is_http_2} {tls}"))
            }
            _ => Ok("no request".to_owned()),
        }
    }

    #[test]
    fn a_line_of_ours_is_read_with_the_length_of_what_it_hides() {
        let line = r#"{"time":"2026-12-31T00:00:00.000001Z","client":"192.0.2.1","method":"GET","host":"shop.example","path":"/a","query":"b=…","uri_bytes":12,"protocol":"HTTP/1.1","tls":true,"status":200,"new":[1]}"#;
        assert_eq!(
            asked(line).unwrap(),
            "192.0.2.1 GET /a?b=xxxxxxx Named(\"shop.example\") Some(200) false true"
        );
        for (from, to, expected) in [
            ("HTTP/1.1", "HTTP/2", Ok("192.0.2.1 GET /a?b= Named(\"shop.example\") Some(200) true true")),
            (r#""host":"shop.example","#, "", Ok("192.0.2.1 GET /a?b=xxxxxxx None Some(200) false true")),
            (
                r#","status":200"#,
                "",
                Ok("192.0.2.1 GET /a?b=xxxxxxx Named(\"shop.example\") None false true"),
            ),
            ("/a", "/\\u0000", Ok("no request")),
            (":12,", ":18446744073709551616,", Err("it is no line of panoply's access log")),
            ("192.0.2.1", "somebody", Err("its client is no address")),
            ("GET", "G T", Err("its method is none")),
            ("2026-12-31T", "", Err("its time is none")),
            ("shop.example", "\\u000a", Err("its host is none")),
            ("new", "host", Err("it is no line of panoply's access log")),
            ("{", "{{", Err("it is no line of panoply's access log")),
        ] {
            let line = line.replacen(from, to, 1);
            assert_eq!(asked(&line).as_deref().map_err(|why| *why), expected, "{line}");
        }
        let huge = line.replace(":12,", ":4000000000,");
        assert!(asked(&huge).unwrap().len() < 70_000);
    }
}
