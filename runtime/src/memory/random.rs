//! The seeded generator behind every decision of the memory environment (SplitMix64).
//!
//! Always true: the same seed gives the same numbers on every machine; a fork is independent of its parent's
//! later draws, so one more draw in the disk does not change what a shard's `random()` returns.

use std::ops::RangeInclusive;

/// A stream of pseudo-random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

/// How often something happens, in millionths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct PerMillion(pub u32);

impl PerMillion {
    /// Never happens.
    pub const NEVER: PerMillion = PerMillion(0);
    /// Happens every time.
    pub const ALWAYS: PerMillion = PerMillion(1_000_000);
}

impl Random {
    /// The stream of a seed.
    pub fn from_seed(seed: u64) -> Random {
        let mut random = Random { state: seed };
        // Neighbouring seeds start with neighbouring states: one draw parts them.
        random.state ^= random.next_u64();
        random
    }

    /// A stream of its own for `purpose`, drawn from this one.
    pub fn fork(&mut self, purpose: u64) -> Random {
        Random::from_seed(self.next_u64() ^ purpose.wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// If `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below zero");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// An index into something of `length` elements.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// A number in the range, ends included.
    pub fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        let width = (range.end() - range.start()).saturating_add(1);
        range.start() + self.below(width)
    }

    /// Whether something of this probability happens now.
    pub fn happens(&mut self, probability: PerMillion) -> bool {
        probability > PerMillion::NEVER && self.below(1_000_000) < u64::from(probability.0)
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.next_u64() >> 63 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_numbers_and_neighbours_differ() {
        let draw = |seed| {
            let mut random = Random::from_seed(seed);
            (0..8).map(|_| random.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn probabilities_come_out_as_asked() {
        let mut random = Random::from_seed(1);
        let hits = (0..100_000).filter(|_| random.happens(PerMillion(250_000))).count();
        assert!((24_000..26_000).contains(&hits), "{hits} of 100,000 at one in four");
        assert!((0..1000).all(|_| !random.happens(PerMillion::NEVER)));
        assert!((0..1000).all(|_| random.happens(PerMillion::ALWAYS)));
    }

    #[test]
    fn ranges_include_both_ends() {
        let mut random = Random::from_seed(3);
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| random.between(4..=6)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), vec![4, 5, 6]);
    }
}
