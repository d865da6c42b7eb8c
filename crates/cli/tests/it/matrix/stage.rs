//! The gateways with the apps behind them, and how they are asked.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use super::table::{Apps, Asks, Cells, Holds, Host, Nothing, REFUSED, Row, Way};
use crate::access_log::Place;
use crate::admin::ask;
use crate::client::Client;
use crate::gateway::Gateway;
use crate::node::Node;
use crate::port::free_address;

/// What the access log is to say of a request.
pub(super) struct Line {
    pub(super) behind: usize,
    /// In its query.
    pub(super) name: String,
    /// How many lines it has, with those of its like before it.
    pub(super) count: usize,
    pub(super) status: u16,
    pub(super) refused: &'static str,
    /// As its page has it.
    pub(super) id: Option<String>,
}

/// The gateways, by [`Behind`], each with its log, and the app.
pub(super) struct Stage {
    pub(super) apps: [Node; 2],
    /// By [`Behind`]; most tests need the first alone.
    pub(super) gateways: Vec<Gateway>,
    pub(super) logs: [Place; 3],
}

impl Stage {
    pub(super) fn new(gateways: usize) -> Self {
        let apps = [(); 2].map(|()| Node::start("matrix.js"));
        let [one, other] = [apps[0].address(), apps[1].address()];
        let nobody = free_address();
        let logs = [(); 3].map(|()| Place::new());
        let of = |place: &Place, upstream: &[SocketAddr], more: &str| {
            let upstream: Vec<_> = upstream.iter().map(|address| format!("'http://{address}'")).collect();
            let config = place.config(&format!(
                "http = '127.0.0.1:0'\n[shield]\nredirects = 'on'\ncookies.rename = {{ sid = '__Host-id' }}\n\
                 cookies.seal = ['sid']\nlimits.form_body = '100 B'\n\
                 rate_limit.limits.tight = {{ rate = '2/h', path = '/tight' }}\n\
                 brute_force.by_username_and_ip = {{ failures = 2, window = '1h', block = '1h' }}\n\
                 [[site]]\nhosts = ['localhost']\nupstream = [{}]\nupstreams.balance = 'sticky'\n\
                 upstreams.answer = '3s'\n{more}",
                upstream.join(", ")
            ));
            Gateway::start(&["serve", "--https", "127.0.0.1:0", "--config", &config], &[])
        };
        let behind: [(&[SocketAddr], &str); 3] =
            [(&[one, other], ""), (&[nobody], ""), (&[one, other], "maintenance = true")];
        let gateways = behind
            .iter()
            .zip(&logs)
            .take(gateways)
            .map(|((upstream, more), log)| of(log, upstream, more))
            .collect();
        Self { apps, gateways, logs }
    }

    /// How the app saw a request, by the places that it came to.
    pub(super) fn seen(&self, name: &str) -> Vec<Value> {
        let seen = self.apps.iter().map(|app| {
            let answer = ask(app.address(), &format!("GET /seen?row={name}"), "connection: close\r\n", "");
            let (_, body) = answer.split_once("\r\n\r\n").expect(&answer);
            serde_json::from_str::<Value>(body).expect(body)
        });
        seen.filter(|seen| !seen.is_null()).collect()
    }

    /// One place of the three axes: all that is wrong with it, and the line that is to be in the access log.
    pub(super) async fn check(&self, row: &Row, way: Way, host: Host, number: usize) -> (Vec<String>, Line) {
        let behind = row.behind as usize;
        let name = format!("row{number}");
        let low = u8::try_from(number % 250).unwrap() + 1;
        // Each has an address of its own, so that no limit of one is another's.
        let client = self.gateways[behind].client().from([127, 77, u8::try_from(number / 250).unwrap(), low]);
        let request = || request(row, way, host, &name, &client);
        for _ in 0..row.asks.before {
            send(&client, way, request()).await;
        }
        let answer = send(&client, way, request()).await;

        let mut faults = Vec::new();
        let is_site = host == Host::Site;
        let status = if is_site { row.status[way as usize] } else { 421 };
        // A cell that differs by the way: what lets a page be read keeps a socket from being opened.
        let is_refused_here = row.status[0] != row.status[way as usize] && status == 403;
        let refusal = Cells { refused: if is_site { "csrf" } else { "hosts" }, ..REFUSED };
        let cells = if !is_site || is_refused_here { &refusal } else { &row.cells };
        let mut expect = |is: bool, what: &str| {
            if !is {
                faults.push(what.to_owned());
            }
        };
        expect(answer.status == status, &format!("status {} and not {status}", answer.status));
        let headers = &answer.headers;
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"));
        let helmet = header("x-content-type-options") == "nosniff"
            && header("x-frame-options") == "SAMEORIGIN"
            && header("content-security-policy").contains("frame-ancestors")
            && header("referrer-policy") == "strict-origin-when-cross-origin";
        // From a 101 on the connection speaks another protocol: there is no page for a browser to guard.
        expect(helmet == (cells.headers == Holds && status != 101), "headers");
        let named = headers.contains_key("server") || headers.contains_key("x-powered-by");
        expect(named != (cells.fingerprint == Holds), "fingerprint");
        let shown = ["Cannot GET", "Error:", "node_modules", "10.1.2.3"]
            .iter()
            .any(|mark| answer.body.contains(mark));
        expect(!shown, &format!("errors: it shows {}", answer.body));
        if cells.errors == Apps && status == 500 {
            expect(
                answer.body == "{\"error\":\"we are out of tea\"}",
                &format!("the app's own page became {}", answer.body),
            );
        }
        let cookies: Vec<_> =
            headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap_or("?")).collect();
        let own = cookies.iter().find(|line| line.contains("sid=") || line.contains("__Host-id="));
        let hardened = own.is_some_and(|line| {
            line.starts_with("__Host-id=")
                && !line.contains("s3cr3t")
                && ["; Secure", "; HttpOnly", "; SameSite=Lax"].iter().all(|flag| line.contains(flag))
        });
        match cells.cookies {
            Nothing => expect(own.is_none(), &format!("cookies: {cookies:?}")),
            _ => expect(hardened, &format!("cookies: {cookies:?}")),
        }
        let routed = cookies.iter().any(|line| line.starts_with("__Host-route="));
        expect(routed == (cells.sticky == Holds), &format!("sticky: {cookies:?}"));
        let id = answer.body.split_once("<code>").and_then(|(_, rest)| Some(rest.split_once("</code>")?.0));
        expect(id.is_some() == (cells.id == Holds), &format!("id: {id:?} in {}", answer.body));
        expect(!headers.contains_key("traceparent"), "the trace came back");

        let seen = self.seen(&name);
        // What came before the one that is judged has reached the app.
        let times = u64::from(cells.app == Holds) + if is_site { row.asks.before as u64 } else { 0 };
        let came: u64 = seen.iter().filter_map(|seen| seen["times"].as_u64()).sum();
        // Who is too slow with what may be sent again is not the last to be asked.
        let again = u64::from(row.what.contains("slow") && is_site && way != Way::Upgrade);
        expect((times..=times + again).contains(&came), &format!("the app saw it {came} times"));
        for seen in &seen {
            expect(
                seen["headers"]["traceparent"] == GOOD,
                &format!("the app's trace: {}", seen["headers"]["traceparent"]),
            );
            expect(seen["headers"]["tracestate"] == "a=1", "the app's state of the trace");
        }

        let line = Line {
            behind,
            count: row.asks.before + 1,
            status,
            refused: cells.refused,
            id: id.map(str::to_owned),
            name,
        };
        (faults, line)
    }

    /// What is wrong with the line of a request in the access log.
    pub(super) async fn check_line(&self, expected: &Line) -> Vec<String> {
        let line = self.line(expected.behind, &expected.name, expected.count, expected.id.as_deref()).await;
        let logged = line["id"].as_str().unwrap_or("");
        [
            (line["status"] == expected.status, format!("log: status {}", line["status"])),
            (
                line["refused"].as_str().unwrap_or("") == expected.refused,
                format!("log: refused by {}", line["refused"]),
            ),
            (line["trace_id"] == GOOD[3..35], "log: trace".to_owned()),
            (
                line["client"].as_str().is_some_and(|client| client.starts_with("127.77.")),
                "log: client".to_owned(),
            ),
            (logged.len() == 32, format!("log: id {logged}, page: {:?}", expected.id)),
        ]
        .into_iter()
        .filter_map(|(is, what)| (!is).then_some(what))
        .collect()
    }

    /// Of so many lines of a request, which has its name in the query, the one with this `id`. Lines of one moment stand
    /// in any order.
    pub(super) async fn line(&self, behind: usize, name: &str, count: usize, id: Option<&str>) -> Value {
        let mark = format!("{name}=");
        let is_named = |line: &Value| {
            line["query"].as_str().is_some_and(|query| query.split('&').any(|pair| pair.starts_with(&mark)))
        };
        for _ in 0..2_500 {
            let text = std::fs::read_to_string(&self.logs[behind].log).unwrap_or_default();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let lines: Vec<_> = lines.filter(is_named).collect();
            if lines.len() >= count {
                let is_it = |line: &Value| id.is_none_or(|id| line["id"] == id);
                return lines.into_iter().find(is_it).unwrap_or_default();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Value::Null
    }
}

pub(super) fn request(row: &Row, way: Way, host: Host, name: &str, client: &Client) -> Request<Full<Bytes>> {
    let Asks { method, path, headers, body, .. } = &row.asks;
    let mark = if path.contains('?') { '&' } else { '?' };
    let mut request = Request::builder()
        .method(*method)
        .uri(format!("{path}{mark}{name}=1"))
        .header("x-row", name)
        .header("traceparent", GOOD)
        .header("tracestate", "a=1")
        .header(
            "host",
            match host {
                Host::Site => client.authority(),
                Host::Address => "192.0.2.7".to_owned(),
                Host::Stranger => "stranger.example".to_owned(),
            },
        );
    for (name, value) in *headers {
        request = request.header(*name, *value);
    }
    if way == Way::Upgrade {
        for (name, value) in [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            request = request.header(name, value);
        }
    }
    request.body(Full::from(*body)).unwrap()
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

pub(super) async fn send(client: &Client, way: Way, request: Request<Full<Bytes>>) -> Answer {
    if way == Way::Http2 {
        let answer = client.ask_http_2(request).await;
        let body = answer.text().to_owned();
        return Answer { status: answer.status.as_u16(), headers: answer.headers, body };
    }
    let (head, body) = client.begin(request).await.into_parts();
    // What follows a 101 is no body.
    let body = if head.status == 101 { Bytes::new() } else { body.collect().await.unwrap().to_bytes() };
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

/// The trace that every request says to be a part of.
pub(super) const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
