//! TODO
use http::response::Parts;
use serde::Deserialize;

use crate::{Policy, Practice, Visit, World};

/// TODO
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Headers {}

impl Headers {
    pub(crate) fn admit(&self, _visit: &mut Visit, _world: &World) {}

    pub(crate) fn finish(&self, _visit: &Visit, _response: &mut Parts) {}
}

impl Policy for Headers {
    const PRACTICE: Practice = Practice::Headers;

    fn in_front() -> Self {
        Self::default()
    }

    fn summary(&self) -> String {
        String::new()
    }
}
