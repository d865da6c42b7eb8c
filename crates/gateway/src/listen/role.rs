use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::{Config, Listen};

/// What a socket is for. The word is the setting's, and that of systemd's `FileDescriptorName=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Https,
    Http,
    Admin,
}

impl Role {
    pub(crate) const ALL: [Self; 3] = [Self::Https, Self::Http, Self::Admin];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Where the file wants it.
    pub(crate) fn asked(self, config: &Config) -> Option<Listen> {
        match self {
            Self::Https => Some(config.https),
            Self::Http => config.http,
            Self::Admin => config.admin,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
