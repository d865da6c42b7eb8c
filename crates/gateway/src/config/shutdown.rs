use panoply::Period;
use serde::Deserialize;

/// `[shutdown]`: how the gateway ends when it is told to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Shutdown {
    /// How long it goes on accepting after `/health/ready` says no. `None`: not at all, since one that stands alone has
    /// nobody in front who asks.
    pub delay: Option<Period>,
    /// How long what was begun may take to end; ten seconds unless told, the least that container runtimes and systemd
    /// allow before they kill.
    pub patience: Period,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { delay: None, patience: Period::seconds(10) }
    }
}
