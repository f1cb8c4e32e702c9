//! A record's value: who sent it, its number, when it was planned, and bytes that can be known without being kept.
//!
//! ```text
//!   0          4        8          16         24     32
//!   | producer | filler | sequence | planned  | hash | filler ...
//!   |          | start  |          | ns       |      |
//! ```
//!
//! The hash is over the other numbers and the value's length; the filler is compared with the pool byte for byte. So a
//! value that reads as right is the value that was sent.
//!
//! A compressed batch cannot be patched inside: its values say [`PRODUCER_IN_HEADER`] and their index in the batch, and
//! the batch's header says who and from which number on (see `template`).

use crate::filler::{Filler, mix};

/// Bytes before the filler.
pub const FIELDS_BYTES: usize = 32;

/// Stands in a value for "the batch's header says who".
pub const PRODUCER_IN_HEADER: u32 = u32::MAX;

/// The numbers in a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payload {
    /// Which connection sent it.
    pub producer: u32,
    /// Where in the pool its filler begins.
    pub filler_start: u32,
    /// Its number among those of this producer in this partition.
    pub sequence: u64,
    /// When it should have been sent: nanoseconds on the generator's monotonic clock.
    pub planned_ns: u64,
}

impl Payload {
    /// Writes the numbers; the filler stays as it is.
    pub fn write(&self, value: &mut [u8]) {
        let hash = self.hash(value.len());
        value[0..4].copy_from_slice(&self.producer.to_be_bytes());
        value[4..8].copy_from_slice(&self.filler_start.to_be_bytes());
        value[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        value[16..24].copy_from_slice(&self.planned_ns.to_be_bytes());
        value[24..32].copy_from_slice(&hash.to_be_bytes());
    }

    /// A whole value.
    pub fn to_value(self, bytes: usize, filler: &Filler) -> Vec<u8> {
        let mut value = vec![0; bytes];
        let part = filler.part(self.filler_start, bytes - FIELDS_BYTES);
        value[FIELDS_BYTES..].copy_from_slice(part.expect("templates choose a start that exists"));
        self.write(&mut value);
        value
    }

    /// Reads the numbers, if they are those that were written.
    pub fn peek(value: &[u8]) -> Option<Payload> {
        let word = |at: usize| Some(u64::from_be_bytes(value.get(at..at + 8)?.try_into().ok()?));
        let first = word(0)?;
        let payload = Payload {
            producer: (first >> 32) as u32,
            filler_start: first as u32,
            sequence: word(8)?,
            planned_ns: word(16)?,
        };
        (word(24)? == payload.hash(value.len())).then_some(payload)
    }

    /// Reads a value of which every byte is as it was sent.
    pub fn read(value: &[u8], filler: &Filler) -> Option<Payload> {
        let payload = Payload::peek(value)?;
        let rest = &value[FIELDS_BYTES..];
        (filler.part(payload.filler_start, rest.len()) == Some(rest)).then_some(payload)
    }

    fn hash(&self, value_bytes: usize) -> u64 {
        let first = u64::from(self.producer) << 32 | u64::from(self.filler_start);
        mix(mix(mix(first ^ value_bytes as u64) ^ self.sequence) ^ self.planned_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_as_it_was_written_and_every_changed_byte_is_noticed() {
        let filler = Filler::new();
        let payload = Payload { producer: 3, filler_start: 500, sequence: 1 << 40, planned_ns: 77 };
        let value = payload.to_value(100, &filler);
        assert_eq!(Payload::read(&value, &filler), Some(payload));
        for index in 0..value.len() {
            let mut damaged = value.clone();
            damaged[index] ^= 4;
            assert_eq!(Payload::read(&damaged, &filler), None, "byte {index}");
        }
        assert_eq!(Payload::read(&value[..99], &filler), None);
        assert_eq!(Payload::read(&value[..20], &filler), None);
        assert_eq!(Payload::read(&[], &filler), None);
    }
}
