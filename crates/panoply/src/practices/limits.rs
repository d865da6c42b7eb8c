//! TODO
use http::request::Parts;
use serde::Deserialize;

use crate::{Policy, Practice, Rejection, Visit};

/// TODO
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Limits {}

impl Limits {
    pub(crate) fn admit(&self, _visit: &Visit, _request: &Parts) -> Result<(), Rejection> {
        Ok(())
    }

    pub(crate) fn body<B>(
        &self,
        _visit: &mut Visit,
        _request: &http::request::Parts,
        body: B,
    ) -> crate::RequestBody<B> {
        crate::RequestBody::unlimited(body)
    }
}

impl Policy for Limits {
    const PRACTICE: Practice = Practice::Limits;

    fn in_front() -> Self {
        Self::default()
    }

    fn summary(&self) -> String {
        String::new()
    }
}
