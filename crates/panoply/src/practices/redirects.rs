//! TODO
use http::response::Parts;
use serde::Deserialize;

use crate::{Policy, Practice, Rejection, Visit};

/// TODO
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Redirects {}

impl Redirects {
    pub(crate) fn finish(&self, _visit: &Visit, _response: &Parts) -> Result<(), Rejection> {
        Ok(())
    }
}

impl Policy for Redirects {
    const PRACTICE: Practice = Practice::Redirects;

    fn in_front() -> Self {
        Self::default()
    }

    fn summary(&self) -> String {
        String::new()
    }
}
