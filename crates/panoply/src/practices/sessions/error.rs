use crate::store::StoreError;

/// Why a session could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A value has no form in JSON that JavaScript reads, or is not of the type that was asked for.
    #[error("the value does not fit: {0}")]
    Value(#[from] serde_json::Error),
    /// The name cannot be used: express-session, or the session itself, keeps something of its own there.
    #[error("`{0}` is no name for a value of a session: choose another")]
    Reserved(String),
    /// The session would be larger than its place: keep it smaller, or in the app's own database.
    #[error("a session of {size} bytes is larger than the {limit} that it may have")]
    TooLarge {
        /// What it would take.
        size: usize,
        /// What there is: [`Sessions::size`](super::Sessions::size), or 4,093 for a cookie.
        limit: usize,
    },
    /// The answer has left, and the session with it: what is changed now would be lost.
    #[error("the session was saved with the head of the answer, and takes no change any more")]
    TooLate,
    /// A session in a cookie is known to its browser alone.
    #[error("a session that is kept in a cookie can be ended by its own browser alone")]
    InCookie,
    /// The session was ended elsewhere while it was in use here.
    #[error("the session is gone")]
    Gone,
    /// Two requests changed the same value, and [`Conflict::Refuse`](super::Conflict::Refuse) is set; or too many
    /// changed it at once.
    #[error("another request changed the session at the same time")]
    Conflict,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
