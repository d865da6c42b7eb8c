use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use panoply::{Clock, Connection, Rejection, Shield, World};

/// Any request, and any answer of an app, through both default shields: there is always an answer that can be read to
/// its end, it is hardened, and it does not name its software.
///
/// The input is three parts with an empty line between them, lines ending in LF: `METHOD TARGET` and fields, body of
/// the request, status and fields of the answer; what follows a further empty line is the answer's body.
pub fn shield(input: &[u8]) {
    let mut parts = Parts(input);
    let (first, fields) = parts.head();
    let mut words = first.splitn(2, |byte| *byte == b' ');
    let method = words.next().and_then(|method| Method::from_bytes(method).ok()).unwrap_or_default();
    let uri = words.next().and_then(|target| Uri::try_from(target).ok()).unwrap_or_default();
    let body = Bytes::copy_from_slice(parts.next());

    let (status, answer_fields) = parts.head();
    let mut answer = Response::new(Full::new(Bytes::copy_from_slice(parts.0)));
    *answer.status_mut() = status.try_into().unwrap_or_default();
    *answer.headers_mut() = answer_fields;

    let shields = SHIELDS.with(|(clock, shields)| {
        clock.advance(Duration::from_secs(60)); // each input finds the counters at rest, whatever came before
        shields.clone()
    });
    for shield in shields {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = fields.clone();
        let connection = Connection::tls(([192, 0, 2, 1], 50_000).into());
        let app_answer = answer.clone();
        let served = shield.serve(connection, request, |_, request| async move {
            let _ = request.into_body().collect().await; // too large is the shield's to answer
            ready(Ok::<_, Rejection>(app_answer)).await
        });
        let read =
            RUNTIME.with(|runtime| runtime.block_on(async { served.await.into_body().collect().await }));
        let Ok(_) = read.map_err(|never: Infallible| never);
    }
}

/// What is left of the input.
pub(crate) struct Parts<'i>(pub(crate) &'i [u8]);

impl<'i> Parts<'i> {
    /// Up to the next empty line.
    pub(crate) fn next(&mut self) -> &'i [u8] {
        let end = self.0.windows(2).position(|pair| pair == b"\n\n").unwrap_or(self.0.len());
        let (part, rest) = self.0.split_at(end);
        self.0 = rest.get(2..).unwrap_or_default();
        part
    }

    /// A first line, and the fields that can be fields.
    pub(crate) fn head(&mut self) -> (&'i [u8], HeaderMap) {
        let mut lines = self.next().split(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let mut fields = HeaderMap::new();
        for line in lines {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
                && fields.len() < MOST_FIELDS
            {
                fields.append(name, value);
            }
        }
        (first, fields)
    }
}

/// More than any shield lets pass; `HeaderMap` panics at 32,768.
const MOST_FIELDS: usize = 1_000;

thread_local! {
    static SHIELDS: (Clock, [Shield; 2]) = {
        let clock = Clock::manual();
        let shields = [Shield::in_front(), Shield::for_hosts(["shop.example"]).unwrap_or_default()];
        (clock.clone(), shields.map(|shield| shield.world(World::new(clock.clone()).into())))
    };
    /// The pace of a body is told by timers.
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime without a socket");
}
