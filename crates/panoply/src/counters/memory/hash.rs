use crate::counters::Key;

/// SipHash-1-3 (<https://eprint.iacr.org/2012/351>) with a key of its own, of prefix, colon and name as of one text.
///
/// The library that has it takes its text in one piece, or three times as long for three; to write it in one piece first
/// would be a fifth of a decision.
pub(super) struct Hash {
    key: [u64; 2],
}

impl Hash {
    pub(super) const fn new(key: [u64; 2]) -> Self {
        Self { key }
    }

    pub(super) const fn key(&self) -> [u64; 2] {
        self.key
    }

    #[inline]
    pub(super) fn of(&self, key: Key<'_>) -> u64 {
        let mut text = Text::new(self.key);
        if !key.prefix.is_empty() {
            text.write(key.prefix.as_bytes());
            text.write(b":");
        }
        text.write(key.name.as_bytes());
        text.end()
    }
}

/// A text that has come so far.
struct Text {
    state: State,
    /// What is not a whole word yet, in its lowest bits, and how many bits that are: less than a word's.
    rest: u64,
    bits: u32,
    length: usize,
}

impl Text {
    #[inline]
    const fn new([k0, k1]: [u64; 2]) -> Self {
        let [a, b, c, d] = NOTHING_UP_MY_SLEEVE;
        Self { state: State([k0 ^ a, k1 ^ b, k0 ^ c, k1 ^ d]), rest: 0, bits: 0, length: 0 }
    }

    #[inline]
    fn write(&mut self, part: &[u8]) {
        self.length += part.len();
        let (words, bytes) = part.as_chunks();
        for word in words {
            let word = u64::from_le_bytes(*word);
            self.state.take(self.rest | word << self.bits);
            self.rest = above(word, self.bits);
        }
        let (last, bits) = (word(bytes), self.bits + 8 * bytes.len() as u32);
        self.rest |= last << self.bits;
        if bits >= u64::BITS {
            self.state.take(self.rest);
            self.rest = above(last, self.bits);
        }
        self.bits = bits % u64::BITS;
    }

    #[inline]
    fn end(mut self) -> u64 {
        self.state.take(self.rest | (self.length as u64) << 56);
        self.state.end()
    }
}

struct State([u64; 4]);

impl State {
    #[inline]
    fn take(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    #[inline]
    fn end(mut self) -> u64 {
        self.0[2] ^= 0xff;
        for _ in 0..3 {
            self.round();
        }
        let [a, b, c, d] = self.0;
        a ^ b ^ c ^ d
    }

    #[inline]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32).wrapping_add(d);
        c = c.wrapping_add(b);
        d = d.rotate_left(21) ^ a;
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

/// What of a word does not fit behind so many `bits`.
#[inline]
const fn above(word: u64, bits: u32) -> u64 {
    word >> 1 >> (u64::BITS - 1 - bits)
}

/// Fewer than eight bytes, the first in the lowest bits.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let last = u64::from(u32::from_le_bytes(*last));
        return u64::from(u32::from_le_bytes(*first)) | last << (8 * (bytes.len() - 4));
    }
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// "somepseudorandomlygeneratedbytes".
const NOTHING_UP_MY_SLEEVE: [u64; 4] =
    [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    use super::*;

    fn alike(seed: [u64; 2], prefix: &str, name: &str) -> Result<(), TestCaseError> {
        let key = Key { prefix, name, network: None };
        let expected = SipHasher13::new_with_keys(seed[0], seed[1]).hash(key.to_string().as_bytes());
        prop_assert_eq!(Hash::new(seed).of(key), expected, "{:?}", key);
        Ok(())
    }

    proptest! {
        #[test]
        fn it_is_siphash_of_the_whole_text(
            seed in any::<[u64; 2]>(),
            prefix in "\\PC{0,30}",
            name in "\\PC{0,300}",
        ) {
            alike(seed, &prefix, &name)?;
        }
    }

    #[test]
    fn it_is_that_for_parts_of_all_lengths() {
        let text = "0123456789abcdefghijklmnopqrstuvwxyz";
        for prefix in 0..20 {
            for name in 0..text.len() {
                alike([1, u64::MAX], &text[..prefix], &text[..name]).unwrap();
            }
        }
    }
}
