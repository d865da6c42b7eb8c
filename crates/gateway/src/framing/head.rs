//! A request's head, as far as it says where the request ends.

use super::Fault;

/// What the lines of a head have said so far.
#[derive(Debug, Default)]
pub(super) struct Head {
    length: Option<u64>,
    chunked: bool,
    http_1_0: bool,
    switch: bool,
}

/// Where the request ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With its head.
    Message,
    /// After this many bytes.
    After(u64),
    /// After the last chunk.
    Chunks,
}

impl Head {
    /// Begins with the request line.
    pub(super) fn begin(line: &[u8]) -> Result<Self, Fault> {
        let http_1_0 = line.ends_with(b" HTTP/1.0");
        if !http_1_0 && !line.ends_with(b" HTTP/1.1") {
            return Err(Fault::Version);
        }
        Ok(Self { http_1_0, switch: line.starts_with(b"CONNECT "), ..Self::default() })
    }

    /// Goes on with a field.
    pub(super) fn field(&mut self, line: &[u8]) -> Result<(), Fault> {
        let (name, value) = split(line)?;
        // Most fields are told apart by their length.
        match name.len() {
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.switch = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                let mut named = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                if named.any(|name| is_one_of(name, FRAMING)) {
                    return Err(Fault::Connection);
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let again = self.length.replace(length(value)?).is_some();
                if again {
                    return Err(Fault::Length);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let again = std::mem::replace(&mut self.chunked, true);
                if again || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::Coding);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The head is whole: where does the request end?
    pub(super) fn end(&self) -> Result<End, Fault> {
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Fault::TwoFramings),
            (None, true) if self.http_1_0 => Err(Fault::TwoFramings),
            (None, true) => Ok(End::Chunks),
            (Some(length @ 1..), false) => Ok(End::After(length)),
            (Some(0) | None, false) => Ok(End::Message),
        }
    }

    /// Whether another protocol may follow.
    pub(super) fn asks_to_switch(&self) -> bool {
        self.switch
    }
}

/// Judges a field after the last chunk.
pub(super) fn trailer(line: &[u8]) -> Result<(), Fault> {
    let (name, _) = split(line)?;
    if is_one_of(name, FRAMING) { Err(Fault::Trailer) } else { Ok(()) }
}

fn split(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(Fault::Folded);
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Fault::Name)?;
    let (name, value) = line.split_at(colon);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(Fault::Name);
    }
    let value = value.strip_prefix(b":").unwrap_or_default();
    Ok((name, trim(value)))
}

/// Optional white space is space and tab (RFC 9110 §5.6.3), and none of what others take for white space.
fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(begin, |last| last + 1);
    value.get(begin..end).unwrap_or_default()
}

fn length(value: &[u8]) -> Result<u64, Fault> {
    if !value.iter().all(u8::is_ascii_digit) {
        return Err(Fault::Length);
    }
    std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).ok_or(Fault::Length)
}

fn is_one_of(name: &[u8], names: &[&[u8]]) -> bool {
    names.iter().any(|one| name.eq_ignore_ascii_case(one))
}

/// RFC 9110 §5.6.2.
const fn is_token(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Fields that say where a message ends, or whom it is for.
const FRAMING: &[&[u8]] = &[b"content-length", b"transfer-encoding", b"host"];
