//! What cannot be read in one way only.

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Fault {
    /// RFC 9112 §2.2 lets a recipient take it for a line's end, and not all do.
    #[error("a line ends with a line feed alone")]
    LoneLineFeed,
    /// RFC 9112 §2.2: invalid, or to be replaced by a space.
    #[error("a carriage return stands inside a line")]
    LoneReturn,
    #[error("a line, a chunk's size or its end is too long")]
    LongLine,
    #[error("the first line is no request of HTTP/1.0 or 1.1")]
    Version,
    /// RFC 9112 §5.2.
    #[error("a field goes on in a second line")]
    Folded,
    /// RFC 9112 §5.1: no white space before the colon.
    #[error("a field's name is none")]
    Name,
    /// RFC 9110 §8.6: digits, once.
    #[error("the content length is no number, or is given twice")]
    Length,
    /// RFC 9112 §6.1.
    #[error("a transfer coding is not `chunked`, or is given twice")]
    Coding,
    /// RFC 9112 §6.3: an attempt at smuggling, perhaps.
    #[error("the body is framed in two ways, or chunked in HTTP/1.0")]
    TwoFramings,
    /// RFC 9110 §7.6.1: it would take the framing off at the next hop.
    #[error("`connection` names a field that frames the message")]
    Connection,
    /// RFC 9112 §7.1.
    #[error("a chunk's size is no number")]
    ChunkSize,
    #[error("a chunk is longer than its size")]
    ChunkEnd,
    /// RFC 9110 §6.5.1.
    #[error("a trailer frames or directs the message")]
    Trailer,
}
