use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use panoply::{RequestBody, Shield};
use tower::{Layer, ServiceExt, service_fn};

/// An answer as it left the shield.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The value of a header that is there once at most; empty where it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// What `shield` answers to `request` in front of an app that always says `said`.
pub(crate) async fn answer(
    shield: &Shield,
    request: Request<&str>,
    said: Response<impl Into<Bytes>>,
) -> Answer {
    let said = said.map(|body| Full::new(body.into()));
    let app = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let said = said.clone();
        async move { Ok::<_, Infallible>(said) }
    });
    let request = request.map(|body| Full::new(Bytes::copy_from_slice(body.as_bytes())));
    read(shield.layer(app).oneshot(request).await).await
}

pub(crate) async fn read<B>(response: Result<Response<B>, Infallible>) -> Answer
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let Ok(response) = response;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}
