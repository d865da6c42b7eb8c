//! TODO
use http::response::Parts;
use serde::Deserialize;

use crate::{Body, Policy, Practice, Rejection, Visit};

/// TODO
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Errors {}

impl Errors {
    /// Whether the answer shows what it should not; the body as far as it was read comes back whole.
    pub(crate) async fn finish<B>(
        &self,
        _visit: &Visit,
        _response: &Parts,
        body: Body<B>,
    ) -> (Body<B>, Option<Rejection>)
    where
        B: http_body::Body<Data = bytes::Bytes>,
    {
        (body, None)
    }
}

impl Policy for Errors {
    const PRACTICE: Practice = Practice::Errors;

    fn in_front() -> Self {
        Self::default()
    }

    fn summary(&self) -> String {
        String::new()
    }
}
