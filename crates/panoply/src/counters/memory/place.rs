use std::array;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::set::PLACES;
use super::slot::{Slot, UNTIL_BITS};

/// Where one key's count is, in sixteen bytes: four to a cache line, so that most decisions wait for one line, and a
/// million keys may fit in the cache that a server's cores share.
///
/// The second word holds the points in its lowest bits, above them the end, and in the highest bit whether the last hit was
/// refused. Points that are too many for so few bits stand in [`Many`].
///
/// Words change under the set's [lock](super::lock::Lock) alone; they are atomic since that is how safe code shares
/// what a lock beside it guards.
#[derive(Default)]
pub(super) struct Place {
    id: AtomicU64,
    rest: AtomicU64,
}

/// The points that do not fit in the places of a set, each at its place's number; there are none in most sets.
#[derive(Default)]
pub(super) struct Many(OnceLock<Box<[AtomicI64; PLACES]>>);

impl Place {
    #[inline]
    pub(super) fn id(&self) -> u64 {
        self.id.load(Relaxed)
    }

    /// Whether it is nobody's.
    #[inline]
    pub(super) fn is_free(&self) -> bool {
        self.rest.load(Relaxed) & !POINTS == 0
    }

    /// `number` is the place's own.
    #[inline]
    pub(super) fn load(&self, number: usize, many: &Many) -> Slot {
        let rest = self.rest.load(Relaxed);
        let few = (rest << (64 - POINTS_BITS)).cast_signed() >> (64 - POINTS_BITS);
        let points = if few == ELSEWHERE { many.load(number) } else { few };
        Slot::at(self.id(), points, rest & REFUSED | rest >> POINTS_BITS & UNTIL)
    }

    #[inline]
    pub(super) fn store(&self, slot: Slot, number: usize, many: &Many) {
        let is_few = (ELSEWHERE + 1..=-(ELSEWHERE + 1)).contains(&slot.points);
        let points = if is_few { slot.points } else { many.store(number, slot.points) };
        let end = slot.end();
        let rest = end & REFUSED | (end & UNTIL) << POINTS_BITS | points.cast_unsigned() & POINTS;
        self.id.store(slot.id, Relaxed);
        self.rest.store(rest, Relaxed);
    }
}

impl Many {
    #[inline(never)]
    fn load(&self, number: usize) -> i64 {
        self.0.get().and_then(|points| points.get(number)).map_or(0, |points| points.load(Relaxed))
    }

    /// Gives what stands in the place then.
    #[inline(never)]
    fn store(&self, number: usize, points: i64) -> i64 {
        let all = self.0.get_or_init(|| Box::new(array::from_fn(|_| AtomicI64::new(0))));
        if let Some(place) = all.get(number) {
            place.store(points, Relaxed);
        }
        ELSEWHERE
    }

    /// In bytes, what they take beside themselves.
    pub(super) fn bytes(&self) -> usize {
        self.0.get().map_or(0, |_| size_of::<[AtomicI64; PLACES]>())
    }
}

const REFUSED: u64 = 1 << 63;
const UNTIL: u64 = (1 << UNTIL_BITS) - 1;

const POINTS_BITS: u32 = 63 - UNTIL_BITS;
const POINTS: u64 = (1 << POINTS_BITS) - 1;

/// The least that fits: some million points below zero.
const ELSEWHERE: i64 = -(1 << (POINTS_BITS - 1));

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::counters::Count;

    /// Most near the edges of what fits.
    fn points() -> impl Strategy<Value = i64> {
        let near = |edge: i64| (edge.saturating_sub(3)..=edge.saturating_add(3)).boxed();
        prop_oneof![near(ELSEWHERE), near(-ELSEWHERE), near(0), near(i64::MIN), near(i64::MAX), any::<i64>()]
    }

    proptest! {
        #[test]
        fn what_is_stored_is_loaded(
            slots in prop::collection::vec(
                (any::<u64>(), points(), prop::option::of(any::<u64>()), 0_usize..PLACES, any::<bool>()),
                1..20,
            ),
        ) {
            let (place, many) = (Place::default(), Many::default());
            for (id, points, left, number, refused) in slots {
                let count = Count { points, left: left.map(Duration::from_nanos) };
                let slot = Slot::new(id, count, 1_000, refused);
                place.store(slot, number, &many);
                let loaded = place.load(number, &many);
                prop_assert_eq!((loaded.id, loaded.points, loaded.end()), (id, points, slot.end()));
                prop_assert_eq!((loaded.is_refused(), loaded.count(1_000)), (refused, slot.count(1_000)));
            }
        }
    }

    #[test]
    fn a_place_is_free_at_first_and_after_it_was_left() {
        let (place, many) = (Place::default(), Many::default());
        assert!(place.load(0, &many).is_free());
        place.store(Slot::new(7, Count { points: i64::MAX, left: None }, 0, true), 0, &many);
        assert_eq!((place.load(0, &many).is_free(), many.bytes()), (false, 8 * PLACES));
        let ended = place.load(0, &many).ended();
        place.store(ended, 0, &many);
        assert!(!place.load(0, &many).is_free() && !place.load(0, &many).stands(0));
        place.store(Slot::FREE, 0, &many);
        assert!(place.load(0, &many).is_free());
    }
}
