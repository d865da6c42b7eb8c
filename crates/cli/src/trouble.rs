//! What went wrong, as it is told to the person at the terminal: the place, and the mend.

use std::error::Error;

use panoply::SettingError;
use panoply_gateway::GatewayError;
use panoply_gateway::config::ConfigError;
use panoply_gateway::supervise::AppError;
use panoply_inspect::audit::doubt::Doubt;
use panoply_inspect::audit::import::ImportError;
use panoply_inspect::audit::index::IndexError;
use panoply_inspect::audit::update::UpdateError;

use crate::ask::shown;

/// An error that ends a command.
#[derive(Debug)]
pub(crate) struct Trouble(String);

impl Trouble {
    pub(crate) fn new(message: impl std::fmt::Display, hint: impl std::fmt::Display) -> Self {
        Self(format!("error: {message}\nhint: {hint}"))
    }

    /// A flag's value that cannot be.
    pub(crate) fn flag(flag: &str, error: &SettingError) -> Self {
        Self::new(format_args!("{flag}: {error}"), error.hint())
    }

    /// Why an audit has no answer; of what a lockfile says nothing may move the terminal's cursor.
    pub(crate) fn doubt(what: &str, doubt: &Doubt) -> Self {
        Self::new(format_args!("{what}: {}", shown(&doubt.to_string())), shown(&doubt.hint()))
    }

    #[expect(clippy::print_stderr, reason = "this is where errors reach the terminal")]
    pub(crate) fn print(&self) {
        // Names and texts of others are in it: none may move the terminal's cursor.
        for line in self.0.lines() {
            eprintln!("{}", shown(line));
        }
    }

    /// The same, and before it what was tried.
    pub(crate) fn about(self, tried: impl std::fmt::Display) -> Self {
        let said = self.0.strip_prefix("error: ").unwrap_or(&self.0);
        Self(format!("error: {tried}: {said}"))
    }

    pub(crate) fn chained(error: &dyn Error, hint: &str) -> Self {
        Self::new(chain(error), hint)
    }
}

/// An error with all that led to it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}

/// As it is printed.
impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<GatewayError> for Trouble {
    fn from(error: GatewayError) -> Self {
        Self::chained(&error, &error.hint())
    }
}

impl From<AppError> for Trouble {
    fn from(error: AppError) -> Self {
        Self::chained(&error, &error.hint())
    }
}

impl From<ImportError> for Trouble {
    fn from(error: ImportError) -> Self {
        Self::chained(&error, error.hint())
    }
}

impl From<IndexError> for Trouble {
    fn from(error: IndexError) -> Self {
        Self::chained(&error, error.hint())
    }
}

impl From<UpdateError> for Trouble {
    fn from(error: UpdateError) -> Self {
        Self::chained(&error, error.hint())
    }
}

impl From<ConfigError> for Trouble {
    fn from(error: ConfigError) -> Self {
        Self(error.to_string())
    }
}
