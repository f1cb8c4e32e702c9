//! A fast random source, seeded by the kernel once per shard: for ids and jitter, never for secrets.

use std::cell::Cell;
use std::io;

/// Steps a 64-bit counter by an odd constant and mixes it (SplitMix64), with a second seeded word folded in so
/// that one output does not tell the next.
pub(super) struct Random {
    counter: Cell<u64>,
    whitening: u64,
}

impl Random {
    /// Seeded by the kernel.
    pub(super) fn from_kernel() -> io::Result<Random> {
        let mut seed = [0; 16];
        // SAFETY: sixteen writable bytes.
        let read = unsafe { libc::getrandom(seed.as_mut_ptr().cast(), seed.len(), 0) };
        if read != seed.len() as isize {
            return Err(io::Error::last_os_error());
        }
        let (counter, whitening) = seed.split_at(8);
        let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("half of sixteen bytes"));
        Ok(Random { counter: Cell::new(word(counter)), whitening: word(whitening) })
    }

    /// The next 64 bits.
    pub(super) fn next(&self) -> u64 {
        let counter = self.counter.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.counter.set(counter);
        mix(mix(counter) ^ self.whitening)
    }
}

fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
