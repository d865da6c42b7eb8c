//! The line before each chunk (RFC 9112 §7.1).

use super::Fault;

/// The size of the chunk that follows; 0 is the last one. Extensions are skipped.
pub(super) fn size(line: &[u8]) -> Result<u64, Fault> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (size, rest) = line.split_at(digits);
    let extension = rest.trim_ascii_start();
    if !extension.is_empty() && !extension.starts_with(b";") || size.len() > MAX_DIGITS {
        return Err(Fault::ChunkSize);
    }
    std::str::from_utf8(size).ok().and_then(|size| u64::from_str_radix(size, 16).ok()).ok_or(Fault::ChunkSize)
}

/// As many as a `u64` has.
const MAX_DIGITS: usize = 16;
