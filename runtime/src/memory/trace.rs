//! A rolling hash of everything that happened in a world, in order: equal hashes mean equal runs.

use std::cell::Cell;

/// The hash so far.
pub(super) struct Trace {
    hash: Cell<u64>,
}

/// What happened; part of the hash.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Polled = 1,
    Event = 2,
    DiskRead = 3,
    DiskWrite = 4,
    DiskOther = 5,
    DiskFault = 6,
    Sent = 7,
    Received = 8,
    Message = 9,
    Crash = 10,
}

impl Trace {
    pub fn new(seed: u64) -> Trace {
        Trace { hash: Cell::new(seed) }
    }

    pub fn note(&self, step: Step, value: u64) {
        self.mix(step as u64);
        self.mix(value);
    }

    pub fn note_bytes(&self, step: Step, value: u64, bytes: &[u8]) {
        self.note(step, value);
        self.mix(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash.get()
    }

    fn mix(&self, value: u64) {
        let mixed = (self.hash.get() ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.hash.set(mixed ^ (mixed >> 29));
    }
}
