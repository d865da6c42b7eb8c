/// Scheme, host and port: what a browser calls a site (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// Why a text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// No scheme that a page can have.
    #[error("an origin begins with https:// or http://, but `{0}` does not")]
    Scheme(String),
}
