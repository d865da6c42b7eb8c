//! HTTP/2 frames that cost their sender nothing and us something: PING, SETTINGS, PRIORITY, resets, empty frames.
//!
//! What needs no request is in no rate limit, and hyper has settings only for some of it: for streams that are reset
//! before they are taken up, for fields and continuations. So frames are counted on their way to hyper, by their heads
//! of nine bytes (RFC 9113 §4.1, §10.5). Each kind has a budget that fills up again with time, and with what gives
//! honest clients a reason to send it. Whoever spends more is cut off.

mod budget;
mod heads;
mod stream;

use tokio::time::Instant;

pub(crate) use stream::Counted;

use budget::Budget;
use heads::{Head, Heads};

/// Counts the frames of one connection.
#[derive(Debug)]
pub(crate) struct Floods {
    came: Heads,
    went: Heads,
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
            came: Heads::after(PREFACE),
            went: Heads::after(0),
            resets: Budget::new(RESETS, now),
            updates: Budget::new(UPDATES, now),
            others: Budget::new(OTHERS, now),
        }
    }

    /// Counts the frames in `bytes`, which came at `now`.
    pub(crate) fn see(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        while let Some(head) = self.came.next(&mut bytes) {
            self.judge(head, now)?;
        }
        Ok(())
    }

    /// We wrote this. For each frame of data a client may give back room, on its stream and on the connection, and may
    /// ask how long the way is.
    pub(crate) fn wrote(&mut self, mut bytes: &[u8]) {
        while let Some(head) = self.went.next(&mut bytes) {
            if head.kind == DATA {
                self.updates.earn(UPDATES_A_FRAME);
                self.others.earn(OTHERS_A_FRAME);
            }
        }
    }

    fn judge(&mut self, head: Head, now: Instant) -> Result<(), Flood> {
        let Head { length, kind, flags } = head;
        let empty = length == 0 && flags & END_STREAM == 0;
        match kind {
            DATA | HEADERS if !empty => {
                if kind == HEADERS {
                    self.others.earn(OTHERS_A_REQUEST);
                }
                Ok(())
            }
            CONTINUATION if length > 0 => Ok(()), // hyper counts them
            RST_STREAM => self.resets.spend(now).ok_or(Flood("resets")),
            WINDOW_UPDATE => self.updates.spend(now).ok_or(Flood("window updates")),
            DATA | HEADERS | CONTINUATION => self.others.spend(now).ok_or(Flood("empty frames")),
            _ => self.others.spend(now).ok_or(Flood("frames without a request")),
        }
    }
}

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
/// Some clients give back room for each frame of data, however small. Without data there is nothing to give back.
const UPDATES: budget::Size = budget::Size { most: 2000, a_second: 100 };
const UPDATES_A_FRAME: u64 = 2;
/// Settings come once or twice in all, PRIORITY_UPDATE once or twice with each of Chrome's requests, and the PING by
/// which clients of gRPC measure the way no more often than data.
const OTHERS: budget::Size = budget::Size { most: 1000, a_second: 100 };
const OTHERS_A_REQUEST: u64 = 4;
const OTHERS_A_FRAME: u64 = 1;

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
        frame.resize(9 + length, 7);
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
        floods.came = Heads::after(0); // the rest of the frame that did not
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
            floods.wrote(&frame(DATA, 0, 40));
            floods.see(&frame(PING, 0, 8), now).expect("a ping for what was written");
            floods.see(&frame(WINDOW_UPDATE, 0, 4), now).expect("room for what was written");
            floods.see(&frame(WINDOW_UPDATE, 0, 4), now).expect("on the connection as well");
        }
        assert!(passes(&mut floods, &frame(WINDOW_UPDATE, 0, 4), now) <= 2000, "nothing is saved up");
        for _ in 0..5_000 {
            floods.wrote(&frame(PING, 1, 8)); // an answer to a ping is no reason for another
        }
        assert!(passes(&mut floods, &frame(PING, 0, 8), now) <= 1000, "pings do not feed each other");
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
