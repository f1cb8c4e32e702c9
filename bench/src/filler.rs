//! What values are filled with: words in a random order, so that codecs have something to do and something left.
//!
//! Always true: the pool is the same in every process, so that whoever reads a value back knows each of its bytes from
//! the place in the pool where its filler begins.

use crate::limits::RECORD_BYTES_MAX;

/// Different places where a filler may begin.
const STARTS: usize = 64 << 10;

/// How many words there are; more make text that compresses worse.
const WORDS: u64 = 512;

/// The pool.
pub struct Filler {
    bytes: Vec<u8>,
}

impl Default for Filler {
    fn default() -> Filler {
        Filler::new()
    }
}

impl Filler {
    /// Makes the pool.
    pub fn new() -> Filler {
        let length = RECORD_BYTES_MAX as usize + STARTS;
        let mut bytes = Vec::with_capacity(length + 16);
        let mut state = 1;
        while bytes.len() < length {
            state = mix(state);
            push_word(&mut bytes, state % WORDS);
        }
        bytes.truncate(length);
        Filler { bytes }
    }

    /// Where the filler of a record of a template begins.
    pub fn start_of(template: usize, record: usize) -> u32 {
        (mix((template as u64) << 32 | record as u64) % STARTS as u64) as u32
    }

    /// The filler from there on; `None` for a place or a length that no value has.
    pub fn part(&self, start: u32, length: usize) -> Option<&[u8]> {
        self.bytes.get(start as usize..)?.get(..length)
    }
}

/// Two to nine letters and a space.
fn push_word(bytes: &mut Vec<u8>, word: u64) {
    let letters = mix(word + 77);
    let count = 2 + letters % 8;
    bytes.extend((0..count).map(|index| b'a' + (letters >> (7 * index)) as u8 % 26));
    bytes.push(b' ');
}

/// Spreads a number over 64 bits (splitmix).
pub fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use ringlog_core::compression::{Codec, compress};

    use super::*;

    #[test]
    fn it_compresses_as_text_does() {
        let filler = Filler::new();
        let text = filler.part(0, 64 << 10).unwrap();
        for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
            let ratio = text.len() as f64 / compress(codec, codec.default_level(), text).len() as f64;
            assert!((1.2..4.0).contains(&ratio), "{codec}: {ratio}");
        }
    }

    #[test]
    fn every_start_has_room_for_the_longest_value() {
        let filler = Filler::new();
        let longest = RECORD_BYTES_MAX as usize;
        assert!(filler.part(STARTS as u32, longest).is_some());
        assert!(filler.part(STARTS as u32 + 1, longest).is_none() && filler.part(u32::MAX, 1).is_none());
        assert!((0..1000).all(|record| (Filler::start_of(3, record) as usize) < STARTS));
    }
}
