use serde::Deserialize;

/// Whether the gateway, once everything is open, takes from itself what it does not need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Sandbox {
    /// Files elsewhere, programs, and system calls that no server makes: as far as the kernel has the means.
    #[default]
    On,
    /// It keeps them.
    Off,
}
