//! Changes inputs the way senders of hostile frames do: lengths first.

/// Numbers that break things when they are read as a length, a count or an offset.
const NUMBERS: [i32; 12] = [0, 1, -1, -2, 127, 128, 255, 256, 32_767, 65_536, i32::MAX, i32::MIN];

/// A seeded source of changes.
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// A source that gives the same changes for the same seed.
    pub fn new(seed: u64) -> Mutator {
        Mutator { state: seed }
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        // SplitMix64: one addition and three mixing steps, every state reached.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    /// Changes `input` between one and four times; `other` lends parts. Never grows it beyond `bytes_max`.
    pub fn mutate(&mut self, input: &mut Vec<u8>, other: &[u8], bytes_max: usize) {
        for _ in 0..=self.below(4) {
            self.mutate_once(input, other);
        }
        input.truncate(bytes_max);
    }

    fn mutate_once(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(input.len() + 1);
        let Some(byte) = input.get(at).copied() else {
            input.push(self.below(256) as u8);
            return;
        };
        match self.below(9) {
            0 => input[at] = byte ^ (1 << self.below(8)),
            1 => input[at] = self.below(256) as u8,
            2 => input[at] = byte.wrapping_add([1, 255][self.below(2)]),
            3 => self.overwrite(input, at),
            4 => input.truncate(at),
            5 => self.remove(input, at),
            6 => self.repeat(input, at),
            7 => self.splice(input, at, other),
            _ => input[at] = [0, 0x7f, 0x80, 0xff][self.below(4)],
        }
    }

    fn overwrite(&mut self, input: &mut [u8], at: usize) {
        let number = NUMBERS[self.below(NUMBERS.len())].to_be_bytes();
        let width = [1, 2, 4][self.below(3)].min(input.len() - at);
        input[at..at + width].copy_from_slice(&number[4 - width..]);
    }

    fn remove(&mut self, input: &mut Vec<u8>, at: usize) {
        let end = at + 1 + self.below((input.len() - at).min(16));
        input.drain(at..end.min(input.len()));
    }

    fn repeat(&mut self, input: &mut Vec<u8>, at: usize) {
        let end = (at + 1 + self.below(32)).min(input.len());
        let part = input[at..end].to_vec();
        for _ in 0..=self.below(3) {
            input.splice(at..at, part.iter().copied());
        }
    }

    fn splice(&mut self, input: &mut Vec<u8>, at: usize, other: &[u8]) {
        let from = self.below(other.len() + 1);
        input.truncate(at);
        input.extend_from_slice(&other[from..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_changes_and_another_seed_others() {
        let run = |seed| {
            let (mut mutator, mut input) = (Mutator::new(seed), b"a seed of some length".to_vec());
            (0..50).for_each(|_| mutator.mutate(&mut input, b"another", 200));
            input
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn inputs_stay_within_their_bound() {
        let (mut mutator, mut input) = (Mutator::new(3), vec![7; 90]);
        for _ in 0..10_000 {
            mutator.mutate(&mut input, &[9; 80], 100);
            assert!(input.len() <= 100);
        }
    }
}
