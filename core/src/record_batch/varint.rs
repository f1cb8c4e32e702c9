//! Numbers of variable length inside records: seven bits a byte, lowest first, signs folded in (zigzag).
//!
//! ```text
//!   0 -> 00    -1 -> 01    1 -> 02    ...    300 -> d8 04
//! ```
//!
//! Always true: a 32-bit number takes at most five bytes, a 64-bit one ten; bits above the type's width are
//! dropped, as every Kafka client drops them.

use super::fault::RecordShape;

/// A place in bytes that are read front to back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    pub fn byte(&mut self) -> Result<u8, RecordShape> {
        let (&first, rest) = self.rest.split_first().ok_or(RecordShape::EndsEarly)?;
        self.rest = rest;
        Ok(first)
    }

    #[inline(always)]
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], RecordShape> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(RecordShape::EndsEarly)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A length and that many bytes; a negative length is a null.
    #[inline(always)]
    pub fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, RecordShape> {
        match usize::try_from(self.varint()?) {
            Ok(length) => self.bytes(length).map(Some),
            Err(_) => Ok(None),
        }
    }

    #[inline(always)]
    pub fn varint(&mut self) -> Result<i32, RecordShape> {
        match self.rest {
            [first @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(unfold_32(u32::from(*first)))
            }
            [first, second @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(unfold_32(u32::from(*first & 0x7f) | u32::from(*second) << 7))
            }
            _ => self.long_number(5).map(|number| unfold_32(number as u32)),
        }
    }

    #[inline(always)]
    pub fn varlong(&mut self) -> Result<i64, RecordShape> {
        match self.rest {
            [first @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(unfold_64(u64::from(*first)))
            }
            [first, second @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(unfold_64(u64::from(*first & 0x7f) | u64::from(*second) << 7))
            }
            _ => self.long_number(10).map(unfold_64),
        }
    }

    #[cold]
    fn long_number(&mut self, bytes_max: usize) -> Result<u64, RecordShape> {
        let mut number = 0;
        for (index, &byte) in self.rest.iter().take(bytes_max).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(number);
            }
        }
        Err(if self.rest.len() < bytes_max { RecordShape::EndsEarly } else { RecordShape::NumberTooLong })
    }
}

fn unfold_32(folded: u32) -> i32 {
    (folded >> 1) as i32 ^ -((folded & 1) as i32)
}

fn unfold_64(folded: u64) -> i64 {
    (folded >> 1) as i64 ^ -((folded & 1) as i64)
}

/// Writes a number of up to 32 bits.
pub(super) fn put_varint(target: &mut Vec<u8>, number: i32) {
    put_varlong(target, i64::from(number));
}

/// Writes a number of up to 64 bits.
pub(super) fn put_varlong(target: &mut Vec<u8>, number: i64) {
    let mut folded = (number << 1 ^ number >> 63) as u64;
    while folded >= 0x80 {
        target.push(folded as u8 | 0x80);
        folded >>= 7;
    }
    target.push(folded as u8);
}

/// How many bytes [`put_varlong`] writes.
pub(super) fn varint_bytes(number: i64) -> usize {
    let folded = (number << 1 ^ number >> 63) as u64;
    (64 - (folded | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_reads_back_and_has_the_announced_size() {
        let mut numbers = vec![0, -1, 1, 63, 64, -64, -65, 300, i64::MAX, i64::MIN];
        numbers.extend((0..63).flat_map(|shift| [1i64 << shift, -(1i64 << shift), (1i64 << shift) - 1]));
        for number in numbers {
            let mut bytes = Vec::new();
            put_varlong(&mut bytes, number);
            assert_eq!(bytes.len(), varint_bytes(number), "{number}");
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.varlong(), Ok(number));
            assert!(cursor.rest().is_empty());
            if let Ok(small) = i32::try_from(number) {
                assert_eq!(Cursor::new(&bytes).varint(), Ok(small));
            }
        }
    }

    #[test]
    fn a_number_that_never_ends_is_refused() {
        assert_eq!(Cursor::new(&[0xff; 6]).varint(), Err(RecordShape::NumberTooLong));
        assert_eq!(Cursor::new(&[0xff; 4]).varint(), Err(RecordShape::EndsEarly));
        assert_eq!(Cursor::new(&[0xff; 11]).varlong(), Err(RecordShape::NumberTooLong));
        assert_eq!(Cursor::new(&[]).varlong(), Err(RecordShape::EndsEarly));
    }
}
