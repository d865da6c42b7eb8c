mod snapshot;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use siphasher::sip::SipHasher13;

pub(crate) use self::snapshot::Moment;

use crate::{Client, Rate};

/// Every client's debt, in memory that does not grow: 1,152 KiB, whatever comes.
///
/// A request adds to its client's debt and time pays it off; a request that would lift the debt over the
/// burst is refused, and adds nothing (the generic cell rate algorithm, GCRA). A debt is the one moment at
/// which it will be paid, so a client is one word of memory, and a decision one atomic exchange, no lock.
///
/// There are 2^17 words (1 MiB) for clients. One is taken from its owner only when the debt is paid and says
/// nothing any more, so nobody who is blocked is ever set free by others. At the default rate a request owes
/// 10 ms, and the words hold out up to some ten million clients a second; with `5/min` it owes 12 s, and they
/// hold out up to some 60,000 clients in that time. Beyond that, a client that is new and finds no word
/// shares one (128 KiB are for these) with its neighbourhood, IPv4's /24 and IPv6's /48: under an attack by
/// millions of addresses newcomers may be refused too early, and nobody is let in too often. What is counted by
/// a key or a user and not by an address shares with other keys: by its address, it would owe once for each.
///
/// Two clients share a word by accident in one of 100,000 cases. The hash is keyed at random, so that nobody
/// can look for such cases; the key goes along into the file by which debts outlive the process. Time is counted in
/// 10 µs for 5.5 years; a process that lives longer limits nobody.
#[derive(Default)]
pub struct Buckets {
    // A megabyte is not spent on a shield that never counts.
    tables: OnceLock<Tables>,
}

/// Whose debt: one client's under one rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    scope: u64,
    client: u128,
    network: u128,
}

impl Key {
    pub(crate) const fn new(scope: u64, client: u128, network: u128) -> Self {
        Self { scope, client, network }
    }

    pub(crate) fn of(scope: u64, client: &Client) -> Self {
        Self::new(scope, client.key(), client.network())
    }

    /// Another debt of the same client, beside this one.
    pub(crate) const fn aside(self) -> Self {
        Self { scope: !self.scope, ..self }
    }
}

/// The name of a rule as a number; the same in every process of one build.
pub(crate) fn scope(of: impl Hash) -> u64 {
    let mut name = Name(0);
    of.hash(&mut name);
    name.finish()
}

/// Only the operator names rules, so a hash that nobody can attack would be spent on nothing; the one over
/// clients is such.
struct Name(u64);

impl Hasher for Name {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            self.write_u64(rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    // Which variant of an enum it is comes this way, and would otherwise go by the byte.
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(ODD);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// 2^64 divided by the golden ratio: every bit of a product depends on all bits below it.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What is left of a client's burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left(u64);

impl Left {
    /// How many requests of `cost` may come now.
    pub(crate) fn requests(self, rate: Rate, cost: u32) -> u64 {
        self.0 / owed(rate, cost).max(1)
    }

    /// How long until one more may come.
    pub(crate) fn until_more(self, rate: Rate, cost: u32) -> Duration {
        let each = owed(rate, cost).max(1);
        duration(each - self.0 % each)
    }
}

/// A charge that was made: what is left, and what it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charged {
    pub(crate) left: Left,
    was: u64,
    is: u64,
}

/// What was refused: what is left, and how long until it would pass; years, where it is more than the burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over {
    pub(crate) left: Left,
    pub(crate) wait: Duration,
}

impl Buckets {
    /// Lets `cost` requests through, or says how long to wait and counts nothing.
    pub(crate) fn charge(&self, key: Key, rate: Rate, cost: u32, now: Duration) -> Result<Charged, Over> {
        self.tables().charge(key, rate, cost, now_in_ticks(now))
    }

    /// Says what [`charge`](Self::charge) would, and counts nothing.
    pub(crate) fn peek(&self, key: Key, rate: Rate, cost: u32, now: Duration) -> Result<Left, Over> {
        self.tables().peek(key, rate, cost, now_in_ticks(now))
    }

    /// Takes a charge back, unless the same client was charged again in between.
    ///
    /// A debt that others have built on is left as it is: part of it may have been paid since, nobody knows how
    /// much, and to take off more than is owed would let somebody in too often.
    pub(crate) fn give_back(&self, key: Key, rate: Rate, charged: Charged) {
        self.tables().give_back(key, rate, charged);
    }

    /// Forgets what is owed, and says whether `cost` more would have been refused. What a newcomer owes with its
    /// neighbours stays.
    pub(crate) fn forgive(&self, key: Key, rate: Rate, cost: u32, now: Duration) -> bool {
        let tables = self.tables();
        let was_over = tables.peek(key, rate, cost, now_in_ticks(now)).is_err();
        tables.forgive(key);
        was_over
    }

    /// A number for `value` that nobody outside this process can foresee.
    pub(crate) fn hash(&self, value: &[u8]) -> u64 {
        self.tables().hasher.hash(value)
    }

    fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| Tables::new(SETS, SHARED, rand::random()))
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").finish_non_exhaustive()
    }
}

struct Tables {
    /// The hash's key.
    seed: [u64; 2],
    hasher: SipHasher13,
    sets: Box<[Set]>,
    shared: Box<[AtomicU64]>,
}

/// Eight words that a key may be in, in one cache line. A word holds who (20 bits, never zero) and until when
/// the debt lasts (44 bits); a word of zeros is nobody's.
#[derive(Default)]
#[repr(align(64))]
struct Set([AtomicU64; 8]);

impl Tables {
    /// `sets` and `shared` are powers of two.
    fn new(sets: usize, shared: usize, seed: [u64; 2]) -> Self {
        Self {
            seed,
            hasher: SipHasher13::new_with_keys(seed[0], seed[1]),
            sets: std::iter::repeat_with(Set::default).take(sets).collect(),
            shared: std::iter::repeat_with(AtomicU64::default).take(shared).collect(),
        }
    }

    fn charge(&self, key: Key, rate: Rate, cost: u32, now: u64) -> Result<Charged, Over> {
        let (set, tag) = self.place(key);
        let Some(Set(words)) = self.sets.get(set) else {
            return Ok(Charged { left: Left(0), was: 0, is: 0 }); // cannot be: the index is below the length
        };
        loop {
            let (word, seen, debt) = match find(words, tag, now) {
                Found::Own(word, seen) => (word, seen, seen & DEBT),
                // What the newcomer owes from a time when it had to share goes with it.
                Found::Free(word, seen) => (word, seen, self.debt_of_neighbourhood(key, rate)),
                Found::Full => return self.charge_shared(key, rate, cost, now),
            };
            let (after, left) = owe(debt, rate, cost, now)?;
            let is = tag | after;
            // Each word stands for itself, so nothing needs an order between them.
            if word.compare_exchange(seen, is, Relaxed, Relaxed).is_ok() {
                // Not `seen`: whose word this was may have another by now, and would have two.
                return Ok(Charged { left, was: tag | debt, is });
            }
        }
    }

    fn peek(&self, key: Key, rate: Rate, cost: u32, now: u64) -> Result<Left, Over> {
        let (set, tag) = self.place(key);
        let debt = match self.sets.get(set).map(|Set(words)| find(words, tag, now)) {
            Some(Found::Own(_, seen)) => seen & DEBT,
            _ => self.debt_of_neighbourhood(key, rate),
        };
        owe(debt, rate, cost, now).map(|(_, left)| left)
    }

    fn give_back(&self, key: Key, rate: Rate, charged: Charged) {
        // No tag is zero, so what has none is in a word that is shared.
        let words = if charged.is & !DEBT == 0 {
            self.shared(key, rate).map(std::slice::from_ref)
        } else {
            self.sets.get(self.place(key).0).map(|Set(words)| words.as_slice())
        };
        for word in words.unwrap_or_default() {
            let _ = word.compare_exchange(charged.is, charged.was, Relaxed, Relaxed);
        }
    }

    fn forgive(&self, key: Key) {
        let (set, tag) = self.place(key);
        let words = self.sets.get(set).map(|Set(words)| words.as_slice()).unwrap_or_default();
        for word in words {
            // The tag stays, so that who is forgiven has its word still.
            let _ = word.fetch_update(Relaxed, Relaxed, |seen| (seen & !DEBT == tag).then_some(tag));
        }
    }

    /// In one piece: the hasher takes longer for two.
    fn hash(&self, scope: u64, who: u128) -> u64 {
        self.hasher.hash([u128::from(scope).to_le_bytes(), who.to_le_bytes()].as_flattened())
    }

    /// Which set a key is in, and its tag there.
    fn place(&self, key: Key) -> (usize, u64) {
        let hash = self.hash(key.scope, key.client);
        (index(hash, self.sets.len()), (hash >> DEBT_BITS).max(1) << DEBT_BITS)
    }

    fn charge_shared(&self, key: Key, rate: Rate, cost: u32, now: u64) -> Result<Charged, Over> {
        let Some(word) = self.shared(key, rate) else {
            return Ok(Charged { left: Left(0), was: 0, is: 0 }); // cannot be, as above
        };
        loop {
            let seen = word.load(Relaxed);
            let (debt, left) = owe(seen, rate, cost, now)?;
            if word.compare_exchange(seen, debt, Relaxed, Relaxed).is_ok() {
                return Ok(Charged { left, was: seen, is: debt });
            }
        }
    }

    fn debt_of_neighbourhood(&self, key: Key, rate: Rate) -> u64 {
        self.shared(key, rate).map_or(0, |word| word.load(Relaxed))
    }

    /// The word of a neighbourhood. Debts that last days keep away from those that last seconds: who collides
    /// waits as long as the other.
    fn shared(&self, key: Key, rate: Rate) -> Option<&AtomicU64> {
        let hash = self.hash(key.scope, key.network);
        let quarter = self.shared.len() / 4;
        let class = match rate.window().as_secs() {
            0..=60 => 0,
            61..=3_600 => 1,
            3_601..=86_400 => 2,
            _ => 3,
        };
        self.shared.get(class * quarter + index(hash, quarter))
    }
}

enum Found<'a> {
    Own(&'a AtomicU64, u64),
    Free(&'a AtomicU64, u64),
    Full,
}

/// The word with `tag`, else the first whose debt is paid: the first, so that two threads that bring the same
/// newcomer choose the same.
fn find(words: &[AtomicU64; 8], tag: u64, now: u64) -> Found<'_> {
    let mut found = Found::Full;
    for word in words {
        let seen = word.load(Relaxed);
        if seen & !DEBT == tag {
            return Found::Own(word, seen);
        }
        if seen & DEBT <= now && matches!(found, Found::Full) {
            found = Found::Free(word, seen);
        }
    }
    found
}

/// The debt after one more request of `cost`, and what is left then; or the time until it would pass.
fn owe(debt: u64, rate: Rate, cost: u32, now: u64) -> Result<(u64, Left), Over> {
    let (cost, most) = (owed(rate, cost), rate.burst_ticks());
    let before = debt.max(now);
    let after = before.saturating_add(cost);
    let latest = now.saturating_add(most);
    match latest.checked_sub(after) {
        Some(left) => Ok((after.min(DEBT), Left(left))),
        None => {
            let wait = if cost > most { DEBT } else { after - latest };
            Err(Over { left: Left(latest.saturating_sub(before)), wait: duration(wait) })
        }
    }
}

fn owed(rate: Rate, cost: u32) -> u64 {
    rate.ticks().saturating_mul(u64::from(cost))
}

/// A part of the hash that the tag does not use; `length` is a power of two.
fn index(hash: u64, length: usize) -> usize {
    usize::try_from(hash & (DEBT >> 1)).unwrap_or_default() & length.saturating_sub(1)
}

fn now_in_ticks(now: Duration) -> u64 {
    ticks(now).min(DEBT)
}

fn ticks(time: Duration) -> u64 {
    let part = u64::from(time.subsec_nanos()) * TICKS_A_SECOND / 1_000_000_000;
    time.as_secs().saturating_mul(TICKS_A_SECOND).saturating_add(part)
}

fn duration(ticks: u64) -> Duration {
    Duration::from_micros(ticks.saturating_mul(1_000_000 / TICKS_A_SECOND))
}

/// A tick is 10 µs.
pub(crate) const TICKS_A_SECOND: u64 = 100_000;

const DEBT_BITS: u32 = 44;
const DEBT: u64 = (1 << DEBT_BITS) - 1;

/// 2^17 words.
const SETS: usize = 1 << 14;

/// Four classes of 2^12 words.
const SHARED: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};
    use std::net::{IpAddr, Ipv6Addr};
    use std::sync::atomic::AtomicU32;

    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    fn v4(last: u8) -> Key {
        Key::of(0, &IpAddr::from([192, 0, 2, last]).into())
    }

    /// The `n`th household of the internet, no two in a neighbourhood until there are 2^24 of them.
    fn v6(n: u64) -> Key {
        let ip = Ipv6Addr::from_bits(u128::from(n) << 104 | u128::from(n >> 24) << 64);
        Key::of(0, &IpAddr::from(ip).into())
    }

    #[test]
    fn a_burst_passes_and_then_what_time_pays_off() {
        let (buckets, rate) = (Buckets::default(), rate("1/s, burst 3"));
        let second = Duration::from_secs;
        let charge = |key, cost, now| {
            let peeked = buckets.peek(key, rate, cost, now);
            let charged = buckets.charge(key, rate, cost, now).map(|charged| charged.left);
            assert_eq!(peeked, charged, "{key:?} {now:?} {cost}");
            charged.map(|left| left.requests(rate, 1)).map_err(|over| over.wait)
        };
        for (now, cost, verdict) in [
            (second(10), 1, Ok(2)),
            (second(10), 2, Ok(0)),
            (second(10), 1, Err(second(1))),
            (second(10), 1, Err(second(1))), // being refused costs nothing
            (second(10), 3, Err(second(3))),
            (Duration::from_millis(10_500), 1, Err(Duration::from_millis(500))),
            (second(11), 1, Ok(0)),
            (second(9), 1, Err(second(3))), // another thread's clock is a little behind
            (second(100), 4, Err(duration(DEBT))),
            (second(100), 3, Ok(0)),
        ] {
            assert_eq!(charge(v4(1), cost, now), verdict, "{now:?} {cost}");
        }
        assert_eq!(charge(v4(2), 1, second(100)), Ok(2), "another client");
        assert_eq!(charge(Key { scope: 1, ..v4(1) }, 1, second(100)), Ok(2), "another rule");
    }

    #[test]
    fn what_is_left_says_when_there_is_more() {
        let (buckets, rate) = (Buckets::default(), rate("6/min, burst 7"));
        let now = Duration::from_secs(10);
        let left = buckets.charge(v4(1), rate, 5, now).unwrap().left;
        for (cost, requests, seconds) in [(1, 2, 10), (2, 1, 20), (5, 0, 30)] {
            let more = left.until_more(rate, cost);
            assert_eq!((left.requests(rate, cost), more.as_secs()), (requests, seconds), "{cost}");
        }
        let over = buckets.charge(v4(1), rate, 5, now).unwrap_err();
        assert_eq!((over.left, over.wait.as_secs()), (left, 30));
    }

    #[test]
    fn what_is_given_back_was_never_charged_unless_others_have_built_on_it() {
        let rate = rate("1/s, burst 4");
        for others in [0, 64] {
            // Where there are many, no word is left, and this one has to share.
            let tables = Tables::new(1, 4, rand::random());
            for other in 0..others {
                let _ = tables.charge(v6(other), "1/h".parse().unwrap(), 1, 1_000_000);
            }
            let left = |now| tables.peek(v4(1), rate, 1, now).map(|left| left.requests(rate, 1) + 1);
            let first = tables.charge(v4(1), rate, 3, 1_000_000).unwrap();
            tables.give_back(v4(1), rate, first);
            let again = tables.charge(v4(1), rate, 1, 1_000_000).unwrap();
            assert_eq!(left(1_000_000), Ok(3), "as if the first had not been");
            tables.charge(v4(1), rate, 1, 1_000_000 + 5 * TICKS_A_SECOND).unwrap();
            tables.give_back(v4(1), rate, again);
            assert_eq!(left(1_000_000 + 5 * TICKS_A_SECOND), Ok(3), "what was paid is not paid out");
        }
    }

    #[test]
    fn a_table_is_as_large_as_the_documentation_says() {
        let tables = Tables::new(SETS, SHARED, rand::random());
        let bytes = size_of_val(&*tables.sets) + size_of_val(&*tables.shared);
        assert_eq!(bytes, 1_152 * 1024);
    }

    #[test]
    fn millions_of_addresses_set_nobody_free() {
        // 10 M in an optimised build, 2 % of that where it would be slow.
        let millions: u64 = if cfg!(debug_assertions) { 200_000 } else { 10_000_000 };
        let (buckets, rate) = (Buckets::default(), rate("5/min"));
        let start = Duration::from_secs(1);
        let blocked: Vec<Key> = (0..100).map(v4).collect();
        for &key in &blocked {
            buckets.charge(key, rate, 5, start).unwrap();
        }
        for n in 0..millions {
            // All within ten seconds, before one request is paid off.
            let now = start + Duration::from_nanos(10_000_000_000 / millions * n);
            let _ = buckets.charge(v6(n), rate, 1, now);
        }
        for &key in &blocked {
            assert!(buckets.charge(key, rate, 1, start + Duration::from_secs(10)).is_err());
        }
    }

    #[test]
    fn threads_together_let_no_more_through() {
        let (buckets, rate) = (Buckets::default(), rate("5/min, burst 1000"));
        let admitted: Vec<AtomicU32> = std::iter::repeat_with(AtomicU32::default).take(50).collect();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..400 {
                        for (n, admitted) in admitted.iter().enumerate() {
                            if buckets.charge(v6(n as u64), rate, 1, Duration::from_secs(7)).is_ok() {
                                admitted.fetch_add(1, Relaxed);
                            }
                        }
                    }
                });
            }
        });
        for admitted in admitted {
            assert_eq!(admitted.into_inner(), 1000);
        }
    }

    #[test]
    fn who_lost_his_word_to_a_charge_that_is_given_back_has_one_all_the_same() {
        let (tables, rate) = (Tables::new(1, 4, rand::random()), rate("1/s, burst 4"));
        let (first, second) = (v4(1), v4(2));
        tables.charge(first, rate, 1, 1_000_000).unwrap();
        let paid = 1_000_000 + 10 * TICKS_A_SECOND;
        let charged = tables.charge(second, rate, 1, paid).unwrap(); // takes the word that the first does not need
        tables.charge(first, rate, 4, paid).unwrap(); // in another
        tables.give_back(second, rate, charged);
        assert!(tables.peek(first, rate, 1, paid).is_err());
        assert_eq!(tables.peek(second, rate, 4, paid), Ok(Left(0)));
    }

    /// What the table stands for: every client by itself, in whole ticks, without bound.
    #[derive(Default)]
    struct Naive(HashMap<(u64, u128), u64>);

    impl Naive {
        fn admits(&mut self, key: Key, rate: Rate, cost: u32, now: u64) -> bool {
            let debt = self.0.entry((key.scope, key.client)).or_default();
            match owe(*debt, rate, cost, now) {
                Ok((after, _)) => *debt = after,
                Err(_) => return false,
            }
            true
        }
    }

    proptest! {
        #[test]
        fn never_more_passes_than_through_a_naive_limiter(
            asks in prop::collection::vec((0_u64..24, 0_u64..2, 1_u32..4, 0_u64..10_000), 1..600),
        ) {
            // 16 words and 4 to share for 48 keys: most of them have to share, and come and go.
            let (tables, rate) = (Tables::new(2, 4, rand::random()), rate("1/s, burst 4"));
            let key = |client, scope| Key { scope, ..v6(client) };
            // By accident two keys may be one: too rare to matter, but not too rare for a test.
            let places = (0..24).flat_map(|client| [key(client, 0), key(client, 1)]).map(|key| tables.place(key));
            prop_assume!(places.collect::<HashSet<_>>().len() == 48);
            let (mut naive, mut now) = (Naive::default(), 0);
            for (client, scope, cost, ticks) in asks {
                now += ticks;
                let key = key(client, scope);
                if tables.charge(key, rate, cost, now).is_ok() {
                    prop_assert!(naive.admits(key, rate, cost, now), "{:?} at {}", key, now);
                }
            }
        }

        #[test]
        fn alone_in_a_table_a_client_gets_all_that_it_may(
            asks in prop::collection::vec((1_u32..4, 0_u64..300_000), 1..100),
        ) {
            let (tables, rate) = (Tables::new(2, 4, rand::random()), rate("1/s, burst 4"));
            let (mut naive, mut now) = (Naive::default(), 0);
            for (cost, ticks) in asks {
                now += ticks;
                let admitted = tables.charge(v4(1), rate, cost, now).is_ok();
                prop_assert_eq!(admitted, naive.admits(v4(1), rate, cost, now));
            }
        }
    }
}
