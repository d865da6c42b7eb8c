//! TODO
use http::request::Parts;
use serde::Deserialize;

use crate::{Policy, Practice, Rejection, Visit};

/// TODO
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default = "Policy::in_front", deny_unknown_fields)]
pub struct Hosts {}

impl Hosts {
    pub(crate) fn admit(&self, _visit: &Visit, _request: &Parts) -> Result<(), Rejection> {
        Ok(())
    }
}

impl Policy for Hosts {
    const PRACTICE: Practice = Practice::Hosts;

    fn in_front() -> Self {
        Self::default()
    }

    fn summary(&self) -> String {
        String::new()
    }
}

impl Hosts {
    /// These names and no others.
    ///
    /// # Errors
    /// When one of them is no host name.
    pub fn named<H: AsRef<str>>(_hosts: impl IntoIterator<Item = H>) -> Result<Self, crate::SettingError> {
        Ok(Self::default())
    }
}
