//! A permutation of 0..count that is computed, not stored.

/// Rounds of the network; four make it look random, six leave a margin.
pub(super) const ROUNDS: usize = 6;

/// A permutation of 0..`count`, fixed by its keys: a balanced Feistel network over the next even
/// number of bits, walked until it comes back below `count`.
///
/// Source: J. Black and P. Rogaway, "Ciphers with arbitrary finite domains" (2002), cycle walking.
/// The round function is the finalizer of SplitMix64 (G. Steele, D. Lea, C. Flood, 2014).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Permutation {
    count: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    pub(crate) fn new(count: u64, keys: [u64; ROUNDS]) -> Permutation {
        let bits = 64 - count.saturating_sub(1).leading_zeros();
        Permutation {
            count,
            half_bits: bits.div_ceil(2).max(1),
            keys,
        }
    }

    /// Where `place` below the count goes. The domain is at most four times the count, so few
    /// steps are walked.
    pub(crate) fn of(&self, place: u64) -> u64 {
        let mut found = place;
        loop {
            found = self.once(found);
            if found < self.count {
                return found;
            }
        }
    }

    fn once(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        left << self.half_bits | right
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_place_is_taken_once(count in 1_u64..3000, keys in any::<[u64; ROUNDS]>()) {
            let permutation = Permutation::new(count, keys);
            let mut seen = vec![false; count as usize];
            for place in 0..count {
                let to = permutation.of(place) as usize;
                prop_assert!(!std::mem::replace(&mut seen[to], true));
            }
        }
    }
}
