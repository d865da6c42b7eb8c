use std::num::NonZeroU32;

use panoply::Period;
use serde::Deserialize;

/// `[connections]`: how many there are, and how long one may keep us waiting.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Connections {
    /// How many at once; `None`: as many as the limit of open files leaves room for, with one more file for each to
    /// the app.
    pub most: Option<NonZeroU32>,
    /// How many of them from one client, an IPv4 address or an IPv6 /64. Never more than half of all.
    pub most_by_client: NonZeroU32,
    /// For the handshake, from the first byte to the last.
    pub handshake: Period,
    /// For the head of the first request, from the end of the handshake.
    pub head: Period,
    /// Between the end of an answer and the whole head of the next request.
    pub idle: Period,
    /// How long a visitor may leave an answer unread. What it takes at once buys time: as long again for
    /// each 120 KiB, up to ten times as long.
    pub unread: Period,
    /// How many requests one connection brings before it is ended in good order.
    pub requests: NonZeroU32,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            most: None,
            most_by_client: MOST_BY_CLIENT,
            handshake: Period::seconds(10),
            head: Period::seconds(30),
            idle: Period::seconds(75),
            unread: Period::seconds(60),
            requests: REQUESTS,
        }
    }
}

/// Three hundred browsers behind one address that speak HTTP/1.1 have six each.
const MOST_BY_CLIENT: NonZeroU32 = NonZeroU32::new(2000).expect("2000 is not zero");
const REQUESTS: NonZeroU32 = NonZeroU32::new(100_000).expect("100,000 is not zero");
