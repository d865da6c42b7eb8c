/// A setting that cannot be: what was found, what was expected, and how to mend it.
///
/// It is the operator's to act on. [`Display`](std::fmt::Display) is the message, [`hint`](Self::hint) the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SettingError {
    message: String,
    hint: String,
}

impl SettingError {
    /// `message`: lower case, no full stop, what was found and what was expected. `hint`: what to write.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }

    /// How to mend it, in one line.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// The error as serde carries it: the hint on a line of its own, for whoever prints it to split off.
    #[must_use]
    pub fn into_serde<E: serde::de::Error>(self) -> E {
        E::custom(format_args!("{}\nhint: {}", self.message, self.hint))
    }
}
