//! TODO
use http::response::Parts;
use serde::Deserialize;

use crate::{Policy, Practice, Visit};

/// TODO
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Fingerprint {}

impl Fingerprint {
    pub(crate) fn finish(&self, _visit: &Visit, _response: &mut Parts) {}
}

impl Policy for Fingerprint {
    const PRACTICE: Practice = Practice::Fingerprint;

    fn in_front() -> Self {
        Self::default()
    }

    fn summary(&self) -> String {
        String::new()
    }
}
