use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::counters::{Count, Key, Rule};

/// Keys that the store has lately said are over their line, so that it need not say so again. Each has one place, by
/// its hash; one that is driven out is asked for again, and nothing is lost but the number of its refused hits.
pub(super) struct Hot {
    hashers: [RandomState; 2],
    places: Box<[Mutex<Place>]>,
}

#[derive(Default)]
struct Place {
    name: (u64, u64),
    points: i64,
    until: Duration,
    /// When the store is to be asked again.
    stale: Duration,
    /// Hits that it has not been told.
    more: i64,
    /// An answer to a question that was asked before the last lift is no news.
    lifts: u32,
}

/// What is known of a key before the store is asked.
pub(super) struct Before {
    lifts: u32,
    /// Whether it had said that it is over its line.
    pub(super) was_hot: bool,
    /// Hits to tell it.
    pub(super) more: i64,
}

impl Hot {
    pub(super) fn new() -> Self {
        let places = std::iter::repeat_with(Mutex::default).take(PLACES).collect();
        Self { hashers: Default::default(), places }
    }

    /// One more hit on who is over the line.
    pub(super) fn hit(&self, key: Key<'_>, points: i64, rule: &Rule, now: Duration) -> Option<Count> {
        let (name, mut place) = self.place(key);
        if !place.holds(name, now) || !rule.is_over(place.points) {
            return None;
        }
        if now >= place.stale {
            // This one asks; the others have their answer from here meanwhile.
            place.stale = now.saturating_add(FRESH);
            return None;
        }
        place.more = place.more.saturating_add(points);
        Some(place.count(now))
    }

    pub(super) fn peek(&self, key: Key<'_>, now: Duration) -> Option<Count> {
        let (name, place) = self.place(key);
        (place.holds(name, now) && now < place.stale).then(|| place.count(now))
    }

    /// What stands in the store, with the hits that it was not told.
    pub(super) fn with_more(&self, key: Key<'_>, stands: Count, now: Duration) -> Count {
        let (name, place) = self.place(key);
        // Where it holds less than it had, somebody else has lifted the key.
        let more = if place.holds(name, now) && stands.points >= place.points { place.more } else { 0 };
        Count { points: stands.points.saturating_add(more), ..stands }
    }

    /// The store is about to be asked about the key.
    pub(super) fn before(&self, key: Key<'_>, now: Duration) -> Before {
        let (name, mut place) = self.place(key);
        let was_hot = place.holds(name, now);
        let more = if was_hot { std::mem::take(&mut place.more) } else { 0 };
        place.points = place.points.saturating_add(more);
        Before { lifts: place.lifts, was_hot, more }
    }

    /// The store says that the key is over its line.
    pub(super) fn keep(&self, key: Key<'_>, before: &Before, count: Count, now: Duration) {
        let (name, mut place) = self.place(key);
        if place.lifts != before.lifts {
            return;
        }
        let more = if place.holds(name, now) { place.more } else { 0 };
        let until = count.left.map_or(Duration::MAX, |left| now.saturating_add(left));
        let stale = now.saturating_add(FRESH);
        *place = Place { name, points: count.points, until, stale, more, lifts: place.lifts };
    }

    /// The key is not over its line, or nobody knows; says the hits that the store was not told.
    pub(super) fn lift(&self, key: Key<'_>, now: Duration) -> i64 {
        let (name, mut place) = self.place(key);
        place.lifts = place.lifts.wrapping_add(1);
        if place.name != name {
            return 0;
        }
        let more = if place.holds(name, now) { place.more } else { 0 };
        (place.until, place.more) = (Duration::ZERO, 0);
        more
    }

    #[expect(clippy::indexing_slicing, reason = "the index is below the length, which is not zero")]
    fn place(&self, key: Key<'_>) -> ((u64, u64), MutexGuard<'_, Place>) {
        let [one, other] = &self.hashers;
        let hash = |hasher: &RandomState| {
            let mut hash = hasher.build_hasher();
            if !key.prefix.is_empty() {
                hash.write(key.prefix.as_bytes());
                hash.write(b":");
            }
            hash.write(key.name.as_bytes());
            hash.finish()
        };
        let name = (hash(one), hash(other));
        let place = &self.places[usize::try_from(name.0 >> 32).unwrap_or_default() % self.places.len()];
        (name, place.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Place {
    fn holds(&self, name: (u64, u64), now: Duration) -> bool {
        self.name == name && now < self.until
    }

    fn count(&self, now: Duration) -> Count {
        let left = (self.until != Duration::MAX).then(|| self.until.saturating_sub(now));
        Count { points: self.points.saturating_add(self.more), left }
    }
}

/// How long the store is not asked: so late is a lift seen that was another machine's.
const FRESH: Duration = Duration::from_secs(2);

/// A megabyte or so.
const PLACES: usize = 1 << 14;
