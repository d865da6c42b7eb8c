//! What went wrong, as it is told to the person at the terminal: the place, and the mend.

use std::error::Error;

use panoply::SettingError;
use panoply_gateway::GatewayError;
use panoply_gateway::config::ConfigError;
use panoply_gateway::supervise::AppError;

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

    #[expect(clippy::print_stderr, reason = "this is where errors reach the terminal")]
    pub(crate) fn print(&self) {
        eprintln!("{}", self.0);
    }

    /// The same, and before it what was tried.
    pub(crate) fn about(self, tried: impl std::fmt::Display) -> Self {
        let said = self.0.strip_prefix("error: ").unwrap_or(&self.0);
        Self(format!("error: {tried}: {said}"))
    }

    pub(crate) fn chained(error: &dyn Error, hint: &str) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self::new(message, hint)
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

impl From<ConfigError> for Trouble {
    fn from(error: ConfigError) -> Self {
        Self(error.to_string())
    }
}
