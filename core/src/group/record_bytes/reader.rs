//! Reads the fields of a key or a value front to back.
//!
//! ```text
//!                 text, at most 32767 bytes    bytes           list             tags at the end
//!   Plain         i16 length, below 0: null    i32 length      i32 count        none
//!   Flexible      one more than the length as an unsigned varint, 0: null       count, then tag, size, bytes
//! ```
//!
//! Always true: no read goes past the end, and an error names the field that it happened in.

use super::{RecordFault, TEXT_BYTES_MAX};
use crate::unsigned_varint;

/// From this version on values are [`Encoding::Flexible`] (KIP-482).
const FLEXIBLE_VERSION_MIN: i16 = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Plain,
    Flexible,
}

/// A place in the bytes of a key or a value.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    encoding: Encoding,
}

impl<'a> Reader<'a> {
    /// A reader of a key.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, encoding: Encoding::Plain }
    }

    /// The version of a value, and a reader of its fields.
    pub fn of_value(bytes: &'a [u8], version_max: i16) -> Result<(i16, Reader<'a>), RecordFault> {
        let mut reader = Reader::new(bytes);
        let version = reader.i16("value version")?;
        if !(0..=version_max).contains(&version) {
            return Err(RecordFault::ValueVersion { version, version_max });
        }
        if version >= FLEXIBLE_VERSION_MIN {
            reader.encoding = Encoding::Flexible;
        }
        Ok((version, reader))
    }

    pub fn i16(&mut self, field: &'static str) -> Result<i16, RecordFault> {
        self.array(field).map(i16::from_be_bytes)
    }

    pub fn i32(&mut self, field: &'static str) -> Result<i32, RecordFault> {
        self.array(field).map(i32::from_be_bytes)
    }

    pub fn i64(&mut self, field: &'static str) -> Result<i64, RecordFault> {
        self.array(field).map(i64::from_be_bytes)
    }

    pub fn text(&mut self, field: &'static str) -> Result<&'a str, RecordFault> {
        self.nullable_text(field)?.ok_or(RecordFault::Null { field })
    }

    pub fn nullable_text(&mut self, field: &'static str) -> Result<Option<&'a str>, RecordFault> {
        let length = match self.encoding {
            Encoding::Plain => usize::try_from(self.i16(field)?).ok(),
            Encoding::Flexible => self.short_length(field)?,
        };
        let Some(length) = length else { return Ok(None) };
        if length > TEXT_BYTES_MAX {
            return Err(RecordFault::TextTooLong { field, bytes: length });
        }
        let bytes = self.take(length, field)?;
        std::str::from_utf8(bytes).map(Some).map_err(|_| RecordFault::NotText { field })
    }

    pub fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], RecordFault> {
        let length = self.length(field)?;
        self.take(length, field)
    }

    /// How many elements follow, which the rest has room for if each has at least `element_bytes_min`.
    pub fn count(&mut self, element_bytes_min: usize, field: &'static str) -> Result<usize, RecordFault> {
        let count = self.length(field)?;
        let needed_bytes = count.saturating_mul(element_bytes_min);
        if needed_bytes > self.rest.len() {
            return Err(RecordFault::EndsEarly { field, needed_bytes, left_bytes: self.rest.len() });
        }
        Ok(count)
    }

    /// Passes over the tagged fields of a part that knows none.
    pub fn skip_tags(&mut self) -> Result<(), RecordFault> {
        self.tags(|_, _| Ok(()))
    }

    /// Gives each tagged field, if this encoding has them, to `take`.
    pub fn tags(
        &mut self,
        mut take: impl FnMut(u32, &[u8]) -> Result<(), RecordFault>,
    ) -> Result<(), RecordFault> {
        const FIELD: &str = "tagged fields";
        if self.encoding == Encoding::Plain {
            return Ok(());
        }
        let mut previous = None;
        for _ in 0..self.unsigned_varint(FIELD)? {
            let tag = self.unsigned_varint(FIELD)?;
            if previous.is_some_and(|previous| previous >= tag) {
                return Err(RecordFault::TagOutOfOrder { tag });
            }
            previous = Some(tag);
            let size = self.unsigned_varint(FIELD)?;
            take(tag, self.take(size as usize, FIELD)?)?;
        }
        Ok(())
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), RecordFault> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(RecordFault::BytesLeft { bytes }),
        }
    }

    /// The length of bytes, or the count of a list; neither is ever null in these records.
    fn length(&mut self, field: &'static str) -> Result<usize, RecordFault> {
        let length = match self.encoding {
            Encoding::Plain => usize::try_from(self.i32(field)?).ok(),
            Encoding::Flexible => self.short_length(field)?,
        };
        length.ok_or(RecordFault::Null { field })
    }

    fn short_length(&mut self, field: &'static str) -> Result<Option<usize>, RecordFault> {
        Ok(self.unsigned_varint(field)?.checked_sub(1).map(|length| length as usize))
    }

    fn unsigned_varint(&mut self, field: &'static str) -> Result<u32, RecordFault> {
        let number = unsigned_varint::read(|| self.array(field).map(|[byte]| byte))?;
        number.ok_or(RecordFault::NumberTooLong { field })
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], RecordFault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(self.ends_early(N, field))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], RecordFault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(self.ends_early(count, field))?;
        self.rest = rest;
        Ok(taken)
    }

    fn ends_early(&self, needed_bytes: usize, field: &'static str) -> RecordFault {
        RecordFault::EndsEarly { field, needed_bytes, left_bytes: self.rest.len() }
    }
}
