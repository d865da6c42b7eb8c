//! The heads of frames in a stream of bytes, however it is cut (RFC 9113 §4.1).

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
}

#[derive(Debug)]
pub(super) struct Heads {
    /// Bytes until the next head begins.
    left: usize,
    head: [u8; HEAD],
    have: usize,
}

impl Heads {
    /// The first head comes after so many bytes.
    pub(super) fn after(left: usize) -> Self {
        Self { left, head: [0; HEAD], have: 0 }
    }

    /// Takes bytes until a head is whole.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        let skipped = self.left.min(bytes.len());
        self.left -= skipped;
        let (part, rest) =
            bytes.get(skipped..)?.split_at_checked(HEAD - self.have).unwrap_or((bytes.get(skipped..)?, &[]));
        if let Some(place) = self.head.get_mut(self.have..self.have + part.len()) {
            place.copy_from_slice(part);
        }
        self.have += part.len();
        *bytes = rest;
        if self.have < HEAD {
            return None;
        }
        let [a, b, c, kind, flags, ..] = self.head;
        self.have = 0;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Some(Head { length: self.left, kind, flags })
    }
}

const HEAD: usize = 9;
