//! What the CA answers when it refuses (RFC 8555 §6.7).

use std::time::Duration;

use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) detail: String,
    pub(crate) retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), retry_after: None }
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(400, "malformed", detail)
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(403, "unauthorized", detail)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(404, "malformed", "there is no such thing here")
    }

    /// As Let's Encrypt says it: the type, and when to come again.
    pub(crate) fn rate_limited(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(429, "rateLimited", detail) }
    }

    /// Whether a mood said it, not the books.
    pub(crate) fn is_made_up(&self) -> bool {
        self.detail == MADE_UP
    }

    pub(crate) fn document(&self) -> Value {
        json!({
            "type": format!("urn:ietf:params:acme:error:{}", self.kind),
            "detail": self.detail,
            "status": self.status,
        })
    }
}

/// What a mood says.
pub(crate) const MADE_UP: &str = "because the test says so";
