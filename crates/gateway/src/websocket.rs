//! Frames of a WebSocket, of which only the ends are looked for (RFC 6455 §5.2): between two of them, and nowhere
//! else, there is room for one of ours.

/// What passes one way.
#[derive(Debug, Default)]
pub struct Frames {
    place: Place,
    has_closed: bool,
}

#[derive(Debug)]
enum Place {
    /// So many bytes of a frame's head have passed; with none, the last frame is over.
    Head { bytes: [u8; LONGEST_HEAD], length: usize },
    /// So many bytes are left of it.
    Payload(u64),
    /// These are no frames.
    Lost,
}

impl Default for Place {
    fn default() -> Self {
        Self::Head { bytes: [0; LONGEST_HEAD], length: 0 }
    }
}

impl Frames {
    /// How many of `bytes`, which come next, belong to the frame that they begin or go on with: not none of some.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for byte in bytes {
            match &mut self.place {
                Place::Head { bytes: head, length } => {
                    if let Some(place) = head.get_mut(*length) {
                        *place = *byte;
                        *length += 1;
                    }
                    taken += 1;
                    let Some(after) = after(head.get(..*length).unwrap_or_default()) else { continue };
                    // Close is the one frame that nothing may follow (§5.5.1).
                    self.has_closed |= head.first().is_some_and(|first| first & 0x0f == CLOSE);
                    self.place = after;
                    if self.is_between() {
                        return taken;
                    }
                }
                Place::Payload(left) => {
                    let there = bytes.len() - taken;
                    let of_it = usize::try_from(*left).unwrap_or(usize::MAX).min(there);
                    *left -= of_it as u64;
                    if *left == 0 {
                        self.place = Place::default();
                    }
                    return taken + of_it;
                }
                Place::Lost => return bytes.len(),
            }
        }
        taken
    }

    /// Whether a frame has ended and no other has begun.
    #[must_use]
    pub const fn is_between(&self) -> bool {
        matches!(self.place, Place::Head { length: 0, .. })
    }

    /// Whether a Close frame has begun.
    #[must_use]
    pub const fn has_closed(&self) -> bool {
        self.has_closed
    }
}

/// What follows a head; `None`: it is not whole.
fn after(head: &[u8]) -> Option<Place> {
    let (second, rest) = (*head.get(1)?, head.get(2..)?);
    let (length, longer) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
        short => (u64::from(short), 0),
    };
    let mask = if second & MASKED == 0 { 0 } else { 4 };
    if rest.len() < longer + mask {
        return None;
    }
    Some(match length {
        0 => Place::default(),
        length if length >> 63 == 0 => Place::Payload(length),
        _ => Place::Lost, // the highest bit must be 0 (§5.2)
    })
}

/// A Close frame that says that this end goes away (§7.4.1). Who asks a server masks what he sends (§5.1).
pub(crate) fn going_away(mask: Option<[u8; 4]>) -> Vec<u8> {
    let [high, low] = GOING_AWAY.to_be_bytes();
    let mut frame = vec![FINAL | CLOSE];
    match mask {
        None => frame.extend([2, high, low]),
        Some([first, second, third, fourth]) => {
            frame.extend([MASKED | 2, first, second, third, fourth, high ^ first, low ^ second]);
        }
    }
    frame
}

const LONGEST_HEAD: usize = 14;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const CLOSE: u8 = 8;
const GOING_AWAY: u16 = 1001;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame as its definition says it.
    fn frame(first: u8, mask: Option<[u8; 4]>, length: usize) -> Vec<u8> {
        let masked = if mask.is_some() { MASKED } else { 0 };
        let mut frame = vec![first];
        match length {
            0..=125 => frame.push(masked | u8::try_from(length).unwrap()),
            126..=65535 => {
                frame.push(masked | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(masked | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask.into_iter().flatten());
        frame.extend(vec![FINAL | CLOSE; length]); // what is within a frame is no frame
        frame
    }

    /// Where frames end in what comes in such pieces.
    fn ends(bytes: &[u8], pieces: &[usize]) -> (Vec<usize>, bool) {
        let (mut frames, mut ends, mut at) = (Frames::default(), Vec::new(), 0);
        let mut pieces = pieces.iter().copied().cycle();
        while at < bytes.len() {
            let end = (at + pieces.next().unwrap_or(1).max(1)).min(bytes.len());
            while at < end {
                let taken = frames.take(&bytes[at..end]);
                assert!((1..=end - at).contains(&taken), "{taken} of {}", end - at);
                at += taken;
                if frames.is_between() {
                    ends.push(at);
                }
            }
        }
        (ends, frames.has_closed())
    }

    proptest! {
        #[test]
        fn a_frame_ends_where_it_ends_however_it_comes(
            frames in prop::collection::vec(
                (any::<u8>(), any::<Option<[u8; 4]>>(), prop_oneof![0..300_usize, Just(65535), Just(65536), Just(70_000)]),
                0..6,
            ),
            pieces in prop::collection::vec(1..5000_usize, 1..5),
        ) {
            let (mut bytes, mut expected, mut closes) = (Vec::new(), Vec::new(), false);
            for (first, mask, length) in frames {
                bytes.extend(frame(first, mask, length));
                expected.push(bytes.len());
                closes |= first & 0x0f == CLOSE;
            }
            prop_assert_eq!(ends(&bytes, &pieces), (expected.clone(), closes));
            prop_assert_eq!(ends(&bytes, &[1]).0, expected);
        }
    }

    #[test]
    fn no_room_is_found_in_what_are_no_frames() {
        let mut frames = Frames::default();
        let head = [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0];
        for _ in 0..3 {
            assert_eq!(frames.take(&head), head.len());
            assert!(!frames.is_between());
        }
    }

    #[test]
    fn going_away_is_a_whole_frame_either_way() {
        assert_eq!(going_away(None), [0x88, 2, 0x03, 0xe9]);
        assert_eq!(going_away(Some([1, 2, 3, 4])), [0x88, 0x82, 1, 2, 3, 4, 0x02, 0xeb]);
        for mask in [None, Some([0xff; 4])] {
            let (mut frames, bytes) = (Frames::default(), going_away(mask));
            assert_eq!(frames.take(&bytes), bytes.len());
            assert!(frames.is_between() && frames.has_closed());
        }
    }
}
