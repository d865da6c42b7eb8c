use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, Response, StatusCode};
use http_body_util::Full;
use serde::{Deserialize, Serialize};

/// What was wrong with an operator's request: what was found, and the mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What was found.
    pub error: String,
    /// How to mend it, in one line.
    pub hint: String,
    #[serde(skip)]
    status: StatusCode,
    #[serde(skip)]
    header: Option<(HeaderName, &'static str)>,
}

impl Trouble {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { error: error.into(), hint: hint.into(), status, header: None }
    }

    /// The path is right, the method is not.
    pub(super) fn method(allowed: &'static str) -> Self {
        let header = (ALLOW, allowed);
        let trouble = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path has other methods",
            format!("ask with {allowed}"),
        );
        Self { header: Some(header), ..trouble }
    }

    /// Who asks has not shown the token.
    pub(super) fn no_token() -> Self {
        let header = (WWW_AUTHENTICATE, "Bearer");
        let trouble = Self::new(
            StatusCode::UNAUTHORIZED,
            "the admin token is missing or another one",
            "send `Authorization: Bearer TOKEN`; `panoply` reads the token where `admin_token` says, or in \
             PANOPLY_ADMIN_TOKEN",
        );
        Self { header: Some(header), ..trouble }
    }

    pub(super) fn answer(self) -> Response<Full<Bytes>> {
        let mut answer = json(self.status, &self);
        if let Some((name, value)) = self.header {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    }

    #[cfg(test)]
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    // Texts, numbers and lists of them: there is nothing that could not be written.
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    page(status, "application/json", text)
}

/// In Prometheus' text format.
pub(super) fn text(text: String) -> Response<Full<Bytes>> {
    page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into_bytes())
}

fn page(status: StatusCode, kind: &'static str, text: Vec<u8>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    for (name, value) in
        [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")]
    {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
