//! The records of a batch, one after the other.
//!
//! ```text
//!   | length | attributes | timestamp delta | offset delta | key length | key | value length | value |
//!   | header count | key length | key | value length | value | ...        (lengths: varints, -1 is null)
//! ```
//!
//! Always true: a record that is handed out has been read to its end, its headers too, and took exactly the
//! length it announced. After a fault the iterator is at its end.

use std::borrow::Cow;

use super::fault::{BatchFault, RecordShape};
use super::varint::{Cursor, put_varint, put_varlong, varint_bytes};

/// One record, as slices of its batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordRef<'a> {
    /// Its offset, relative to the batch's base offset.
    pub offset_delta: i32,
    /// Its timestamp, relative to the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

/// A record's headers, in order, duplicates included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Headers<'a> {
    count: u32,
    bytes: &'a [u8],
}

/// One header of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeaderRef<'a> {
    /// Its name: UTF-8 by agreement, which nobody checks.
    pub key: &'a [u8],
    /// Its value.
    pub value: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Them, in order.
    pub fn iter(&self) -> impl Iterator<Item = HeaderRef<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        (0..self.count).map_while(move |_| read_header(&mut cursor).ok())
    }

    /// As they stand in the batch, without the count.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline(always)]
    fn read(cursor: &mut Cursor<'a>) -> Result<Headers<'a>, RecordShape> {
        match cursor.varint()? {
            0 => Ok(Headers::default()),
            count => Headers::read_some(cursor, count),
        }
    }

    fn read_some(cursor: &mut Cursor<'a>, count: i32) -> Result<Headers<'a>, RecordShape> {
        let count = u32::try_from(count).map_err(|_| RecordShape::HeaderCount)?;
        let bytes = cursor.rest();
        if count as usize > bytes.len() {
            return Err(RecordShape::HeaderCount);
        }
        for _ in 0..count {
            read_header(cursor)?;
        }
        Ok(Headers { count, bytes: &bytes[..bytes.len() - cursor.rest().len()] })
    }
}

fn read_header<'a>(cursor: &mut Cursor<'a>) -> Result<HeaderRef<'a>, RecordShape> {
    let key = cursor.nullable_bytes()?.ok_or(RecordShape::HeaderWithoutKey)?;
    Ok(HeaderRef { key, value: cursor.nullable_bytes()? })
}

impl<'a> RecordRef<'a> {
    /// Reads the record at the cursor.
    #[inline(always)]
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<RecordRef<'a>, RecordShape> {
        let length = usize::try_from(cursor.varint()?).map_err(|_| RecordShape::LengthMismatch)?;
        let mut fields = Cursor::new(cursor.bytes(length)?);
        fields.byte()?;
        let timestamp_delta = fields.varlong()?;
        let offset_delta = fields.varint()?;
        let key = fields.nullable_bytes()?;
        let value = fields.nullable_bytes()?;
        let headers = Headers::read(&mut fields)?;
        if !fields.rest().is_empty() {
            return Err(RecordShape::LengthMismatch);
        }
        Ok(RecordRef { offset_delta, timestamp_delta, key, value, headers })
    }

    /// Writes the record.
    pub(super) fn write(&self, target: &mut Vec<u8>) {
        let length = 1
            + varint_bytes(self.timestamp_delta)
            + varint_bytes(i64::from(self.offset_delta))
            + nullable_bytes_size(self.key)
            + nullable_bytes_size(self.value)
            + varint_bytes(i64::from(self.headers.count))
            + self.headers.bytes.len();
        put_varlong(target, length as i64);
        target.push(0);
        put_varlong(target, self.timestamp_delta);
        put_varint(target, self.offset_delta);
        put_nullable_bytes(target, self.key);
        put_nullable_bytes(target, self.value);
        put_varlong(target, i64::from(self.headers.count));
        target.extend_from_slice(self.headers.bytes());
    }
}

fn nullable_bytes_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_bytes(bytes.len() as i64) + bytes.len())
}

pub(super) fn put_nullable_bytes(target: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(target, -1),
        Some(bytes) => {
            put_varlong(target, bytes.len() as i64);
            target.extend_from_slice(bytes);
        }
    }
}

/// Headers that were written one by one, ready for a [`RecordRef`].
pub(super) fn written_headers(count: usize, bytes: &[u8]) -> Headers<'_> {
    Headers { count: u32::try_from(count).expect("headers are counted in 31 bits"), bytes }
}

/// The records of one batch, decompressed if they were compressed.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: Cow<'a, [u8]>,
    count: i32,
}

impl<'a> Records<'a> {
    pub(super) fn new(bytes: Cow<'a, [u8]>, count: i32) -> Records<'a> {
        Records { bytes, count }
    }

    /// Them, in order.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::new(&self.bytes, self.count)
    }
}

impl<'a> IntoIterator for &'a Records<'_> {
    type Item = Result<RecordRef<'a>, BatchFault>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

/// Reads as many records as the header promises, then checks that nothing follows.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    cursor: Cursor<'a>,
    index: i32,
    count: i32,
}

impl<'a> RecordIter<'a> {
    pub(super) fn new(bytes: &'a [u8], count: i32) -> RecordIter<'a> {
        RecordIter { cursor: Cursor::new(bytes), index: 0, count }
    }

    #[inline(always)]
    fn step(&mut self) -> Result<RecordRef<'a>, BatchFault> {
        let index = self.index;
        let record =
            RecordRef::read(&mut self.cursor).map_err(|shape| BatchFault::Record { index, shape })?;
        self.index += 1;
        let bytes = self.cursor.rest().len();
        if self.index == self.count && bytes != 0 {
            return Err(BatchFault::BytesAfterRecords { bytes });
        }
        Ok(record)
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordRef<'a>, BatchFault>;

    #[inline(always)]
    fn next(&mut self) -> Option<Result<RecordRef<'a>, BatchFault>> {
        if self.index >= self.count {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.index = self.count;
        }
        Some(step)
    }
}
