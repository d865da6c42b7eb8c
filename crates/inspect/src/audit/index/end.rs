//! The last bytes of a database: where everything else is.

use super::{Extent, FORMAT, Failure};

/// What the end leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) blocks: Extent,
    pub(super) about: Extent,
}

impl End {
    pub(super) fn to_bytes(self) -> [u8; END_LENGTH] {
        let mut bytes = [0; END_LENGTH];
        let fields = FORMAT.to_le_bytes().into_iter().chain(parts(self.blocks)).chain(parts(self.about));
        for (byte, value) in bytes.iter_mut().zip(fields) {
            *byte = value;
        }
        let (fields, tail) = bytes.split_at_mut(FIELDS);
        let crc = crc32fast::hash(fields).to_le_bytes();
        for (byte, value) in tail.iter_mut().zip(crc.into_iter().chain(*MARK)) {
            *byte = value;
        }
        bytes
    }

    pub(super) fn read(bytes: &[u8; END_LENGTH]) -> Result<Self, Failure> {
        let mut rest = bytes.as_slice();
        let format = u32::from_le_bytes(take(&mut rest));
        let (blocks, about) = (extent(&mut rest), extent(&mut rest));
        let crc = u32::from_le_bytes(take(&mut rest));
        if rest != MARK {
            return Err(Failure::Damaged("it does not end as one"));
        }
        if crc32fast::hash(bytes.get(..FIELDS).unwrap_or_default()) != crc {
            return Err(Failure::Damaged("the checksum of its end does not match"));
        }
        if format != FORMAT {
            return Err(Failure::Format(format));
        }
        Ok(Self { blocks, about })
    }
}

fn parts(extent: Extent) -> impl Iterator<Item = u8> {
    let (offset, length) = (extent.offset.to_le_bytes(), extent.length.to_le_bytes());
    offset.into_iter().chain(length).chain(extent.crc.to_le_bytes())
}

fn extent(rest: &mut &[u8]) -> Extent {
    Extent {
        offset: u64::from_le_bytes(take(rest)),
        length: u32::from_le_bytes(take(rest)),
        crc: u32::from_le_bytes(take(rest)),
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let Some((taken, left)) = rest.split_first_chunk() else { return [0; N] };
    *rest = left;
    *taken
}

/// What a database begins and ends with.
pub(super) const MARK: &[u8; 8] = b"PNPLYADV";
const FIELDS: usize = 4 + 2 * 16;
pub(super) const END_LENGTH: usize = FIELDS + 4 + MARK.len();
