//! TODO
use http::request::Parts;
use serde::Deserialize;

use crate::{Policy, Practice, Rejection, Visit, World};

/// TODO
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct RateLimit {}

impl RateLimit {
    pub(crate) fn admit(&self, _visit: &Visit, _request: &Parts, _world: &World) -> Result<(), Rejection> {
        Ok(())
    }
}

impl Policy for RateLimit {
    const PRACTICE: Practice = Practice::RateLimit;

    fn in_front() -> Self {
        Self::default()
    }

    fn summary(&self) -> String {
        String::new()
    }
}
