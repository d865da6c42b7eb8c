//! TODO
use http::response::Parts;
use serde::Deserialize;

use crate::{Policy, Practice, Visit};

/// TODO
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Cookies {}

impl Cookies {
    pub(crate) fn finish(&self, _visit: &Visit, _response: &mut Parts) {}
}

impl Policy for Cookies {
    const PRACTICE: Practice = Practice::Cookies;

    fn in_front() -> Self {
        Self::default()
    }

    fn summary(&self) -> String {
        String::new()
    }
}
