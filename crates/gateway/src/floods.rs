//! HTTP/2 frames that cost their sender nothing and us something: PING, SETTINGS, PRIORITY, resets, empty frames.
//!
//! What needs no request is in no rate limit, and hyper has settings only for some of it: for streams that are reset
//! before they are taken up, for fields and continuations. So frames are counted on their way to hyper, by their heads
//! of nine bytes (RFC 9113 §4.1, §10.5). Each kind has a budget that fills up again with time, and with what gives
//! honest clients a reason to send it. Whoever spends more is cut off.

mod budget;
mod stream;

use tokio::time::Instant;

pub(crate) use stream::Counted;

use budget::Budget;

/// Counts the frames of one connection.
#[derive(Debug)]
pub(crate) struct Floods {
    /// Of the preface, or of the frame that is under way.
    left: usize,
    head: [u8; HEAD],
    have: usize,
    resets: Budget,
    updates: Budget,
    others: Budget,
}

/// Too many frames of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more {0} than an honest client sends")]
pub(crate) struct Flood(&'static str);

impl Floods {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            left: PREFACE,
            head: [0; HEAD],
            have: 0,
            resets: Budget::new(RESETS, now),
            updates: Budget::new(UPDATES, now),
            others: Budget::new(OTHERS, now),
        }
    }

    /// Counts the frames in `bytes`, which came at `now`.
    pub(crate) fn see(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = (HEAD - self.have).min(bytes.len());
            let (part, rest) = bytes.split_at(wanted);
            if let Some(place) = self.head.get_mut(self.have..self.have + wanted) {
                place.copy_from_slice(part);
            }
            self.have += wanted;
            bytes = rest;
            if self.have == HEAD {
                self.have = 0;
                self.frame(now)?;
            }
        }
        Ok(())
    }

    /// We wrote so many bytes, for which a client gives back room in its windows.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.updates.earn(bytes as u64, BYTES_AN_UPDATE);
    }

    fn frame(&mut self, now: Instant) -> Result<(), Flood> {
        let [a, b, c, kind, flags, ..] = self.head;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let empty = self.left == 0 && flags & END_STREAM == 0;
        match kind {
            DATA | HEADERS if !empty => {
                if kind == HEADERS {
                    self.others.earn(OTHERS_A_REQUEST, 1);
                }
                Ok(())
            }
            CONTINUATION if self.left > 0 => Ok(()), // hyper counts them
            RST_STREAM => self.resets.spend(now).ok_or(Flood("resets")),
            WINDOW_UPDATE => self.updates.spend(now).ok_or(Flood("window updates")),
            DATA | HEADERS | CONTINUATION => self.others.spend(now).ok_or(Flood("empty frames")),
            _ => self.others.spend(now).ok_or(Flood("frames without a request")),
        }
    }
}

const HEAD: usize = 9;
/// `PRI * HTTP/2.0` and what follows (RFC 9113 §3.4).
const PREFACE: usize = 24;
const END_STREAM: u8 = 1;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Who leaves a page resets a hundred streams at once, who drags a map some dozen a second.
const RESETS: budget::Size = budget::Size { most: 1000, a_second: 100 };
/// Some clients give back room for each frame of data, on the stream and on the connection: two for 16 KiB, or for
/// less where we wrote less. Without anything written there is nothing to give back.
const UPDATES: budget::Size = budget::Size { most: 2000, a_second: 100 };
const BYTES_AN_UPDATE: u64 = 512;
/// Pings of gRPC clients come once a round trip, settings once or twice in all. Chrome sends a PRIORITY_UPDATE or two
/// with each request.
const OTHERS: budget::Size = budget::Size { most: 1000, a_second: 100 };
const OTHERS_A_REQUEST: u64 = 4;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PING: u8 = 6;
    const SETTINGS: u8 = 4;
    const PRIORITY: u8 = 2;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let mut frame = (length as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.resize(HEAD + length, 7);
        frame
    }

    fn open(now: Instant) -> Floods {
        let mut floods = Floods::new(now);
        floods.see(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now).unwrap();
        floods
    }

    /// How many of `frame` pass at one moment.
    fn passes(floods: &mut Floods, frame: &[u8], now: Instant) -> usize {
        let passed = (0..100_000).take_while(|_| floods.see(frame, now).is_ok()).count();
        floods.left = 0; // the rest of the frame that did not
        passed
    }

    #[test]
    fn what_costs_its_sender_nothing_is_counted() {
        let now = crate::clock::now();
        for (name, frame, most) in [
            ("pings", frame(PING, 0, 8), 1000),
            ("settings", frame(SETTINGS, 0, 0), 1000),
            ("priorities", frame(PRIORITY, 0, 5), 1000),
            ("unknown frames", frame(0xfa, 0, 3), 1000),
            ("resets", frame(RST_STREAM, 0, 4), 1000),
            ("window updates", frame(WINDOW_UPDATE, 0, 4), 2000),
            ("empty data", frame(DATA, 0, 0), 1000),
            ("empty continuations", frame(CONTINUATION, 0, 0), 1000),
            ("data", frame(DATA, 0, 16), 100_000),
            ("ends of bodies", frame(DATA, END_STREAM, 0), 100_000),
            ("requests", frame(HEADERS, END_STREAM | 4, 40), 100_000),
        ] {
            let mut floods = open(now);
            assert_eq!(passes(&mut floods, &frame, now), most, "{name}");
            if most < 100_000 {
                let later = now + Duration::from_secs(1);
                assert_eq!(passes(&mut floods, &frame, later), 100, "{name} a second later");
            }
        }
    }

    #[test]
    fn honest_reasons_earn_more() {
        let now = crate::clock::now();
        let mut floods = open(now);
        for _ in 0..50_000 {
            floods.see(&frame(HEADERS, END_STREAM | 4, 40), now).unwrap();
            floods.see(&frame(0x10, 0, 8), now).expect("a priority for each request");
        }
        for _ in 0..50_000 {
            floods.wrote(16 * 1024);
            floods.see(&frame(WINDOW_UPDATE, 0, 4), now).expect("room for what was written");
            floods.see(&frame(WINDOW_UPDATE, 0, 4), now).expect("on the connection as well");
        }
        assert!(passes(&mut floods, &frame(WINDOW_UPDATE, 0, 4), now) <= 2000, "nothing is saved up");
    }

    #[test]
    fn how_the_bytes_are_cut_changes_nothing() {
        let now = crate::clock::now();
        let trace: Vec<u8> = (0..300)
            .flat_map(|at| [frame(PING, 0, 8), frame(DATA, 0, at % 40 + 1), frame(SETTINGS, 1, 0)].concat())
            .collect();
        for piece in [1, 2, 5, 9, 10, 1000, trace.len()] {
            let mut floods = open(now);
            for piece in trace.chunks(piece) {
                floods.see(piece, now).unwrap();
            }
            assert_eq!(passes(&mut floods, &frame(PING, 0, 8), now), 400, "pieces of {piece}");
        }
    }
}
