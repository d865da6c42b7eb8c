//! Why connections were closed that their visitors had not done with, counted for operators.

mod handshake;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use handshake::Unmet;
use handshake::Unmets;

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// There was no place left.
    Full,
    /// The client had all of its places.
    Client,
    /// A peer that has to say whose its bytes are did not, or not in time.
    ProxyHeader,
    /// The handshake took too long.
    Handshake,
    /// No request came, or not the whole of its head.
    Head,
    /// Nothing was asked any more.
    Idle,
    /// The answer was not read.
    Unread,
    /// It had brought as many requests as one connection may.
    Requests,
    /// It sent frames of HTTP/2 in numbers that no honest client sends.
    Flood,
    /// It sent what can be read in two ways, or frames that break the rules.
    Framing,
}

impl Cut {
    pub(crate) const ALL: [Self; 10] = [
        Self::Full,
        Self::Client,
        Self::ProxyHeader,
        Self::Handshake,
        Self::Head,
        Self::Idle,
        Self::Unread,
        Self::Requests,
        Self::Flood,
        Self::Framing,
    ];

    /// As metrics and the log call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Client => "client",
            Self::ProxyHeader => "proxy_header",
            Self::Handshake => "handshake",
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Unread => "unread",
            Self::Requests => "requests",
            Self::Flood => "flood",
            Self::Framing => "framing",
        }
    }

    /// What an operator can do about it, where it is one who should know.
    const fn hint(self) -> Option<&'static str> {
        match self {
            Self::Full => Some("raise the limit of open files, or `connections.most` if it is written"),
            Self::Client => Some("if many visitors share that address, raise `connections.most_by_client`"),
            Self::ProxyHeader => Some("let it send the PROXY protocol, or take it out of `proxy_protocol`"),
            Self::Flood => {
                Some("no honest client sends HTTP/2 so; if it goes on, keep it out with `panoply bans add`")
            }
            Self::Framing => Some("it sent what is no good HTTP: it smuggles, or it is broken"),
            _ => None,
        }
    }
}

/// How often each happened.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    counts: [AtomicU64; Cut::ALL.len()],
    /// Handshakes that came to nothing.
    pub(crate) unmet: Unmets,
}

impl Cuts {
    /// One more. What an operator should know is in the log at the first, second, fourth, eighth time and so on: a
    /// flood does not fill it.
    pub(crate) fn count(&self, cut: Cut, peer: std::net::IpAddr) {
        let Some(counter) = self.counts.get(cut as usize) else { return };
        let count = counter.fetch_add(1, Ordering::Relaxed) + 1;
        match cut.hint() {
            Some(hint) if count.is_power_of_two() => {
                tracing::warn!(%peer, reason = cut.name(), count, hint, "a connection was closed unserved");
            }
            _ => tracing::debug!(%peer, reason = cut.name(), "a connection is closed"),
        }
    }

    /// Each reason with its count.
    pub(crate) fn all(&self) -> [(&'static str, u64); Cut::ALL.len()] {
        let count = |cut: Cut| self.counts.get(cut as usize).map_or(0, |count| count.load(Ordering::Relaxed));
        Cut::ALL.map(|cut| (cut.name(), count(cut)))
    }
}
